/* core/store_deferred.c, store_mailbox.c, store_reading.c: deferred messages are kept, handed out in order,
 * found, counted, and go. */
#include <errno.h>

#include "core/store_internal.h"
#include "tests/unit/store_file.h"

#define BOB   SLICE("bob@example.com")
#define CAROL SLICE("carol@example.com")
#define ROOM  (256 * 1024)

static struct store_deferred message(const char *id, uint64_t expires_at_s)
{
	return (struct store_deferred){ .id = slice_str(id), .received_us = 1000 * 1000000ull,
		.expires_at_s = expires_at_s, .size = 5, .call_id = SLICE("call@phone"),
		.head = SLICE("MESSAGE sip:bob@example.com SIP/2.0\r\nFrom: <sip:alice@example.com>\r\n"),
		.summary = SLICE("From: <sip:alice@example.com>\r\n"), .content = SLICE("hello") };
}

static int put_with(struct slice mailbox, struct store_deferred m, uint64_t messages, uint64_t octets)
{
	struct store_deferred_put *r = store_deferred_put_new(STORE_DEFERRED_PUT, mailbox, &m);

	assert_non_null(r);
	r->quota_messages = messages;
	r->quota_octets = octets;
	return ask_and_free(r);
}

static void put(struct slice mailbox, const char *id, uint64_t expires_at_s)
{
	assert_int_equal(put_with(mailbox, message(id, expires_at_s), 0, 0), 0);
}

static void put_many(struct slice mailbox, unsigned count)
{
	char id[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "message%u", i);
		put(mailbox, id, 5000);
	}
}

static struct store_deferred_next *next(struct slice mailbox, uint64_t after, unsigned most, uint32_t room)
{
	struct store_deferred_next *r = store_deferred_next_new(mailbox, room);

	assert_non_null(r);
	r->after = after;
	r->now_s = 2000;
	r->most = most;
	assert_int_equal(ask(r), 0);
	return r;
}

static void remove_one(struct slice mailbox, uint64_t position, unsigned removed)
{
	struct store_deferred_remove *r = store_deferred_remove_new(mailbox);

	r->count = 1;
	r->positions[0] = position;
	assert_int_equal(ask(r), 0);
	assert_int_equal(r->removed, removed);
	free(r);
}

static struct store_deferred_counts counts_at(struct slice mailbox, uint64_t now_s)
{
	struct store_deferred_summary *r = store_deferred_summary_new(mailbox, 0);

	r->now_s = now_s;
	assert_int_equal(ask(r), 0);
	struct store_deferred_counts counts = r->counts;
	free(r);
	return counts;
}

static void assert_totals(uint64_t messages, uint64_t octets)
{
	uint64_t m, o;

	store_deferred_totals(store, &m, &o);
	assert_int_equal(m, messages);
	assert_int_equal(o, octets);
}

/* ---- whole and in order ---- */

static void what_is_put_comes_out_the_same(void **state)
{
	struct store_deferred m = message("abcdefghijklmnopqrstuvwxyz", 5000);

	m.type = STORE_LARGE;
	m.is_urgent = m.is_multimedia = true;
	m.msrp = SLICE("MSRP d93kswow SEND\r\nMessage-ID: 12339sdqwer\r\n");
	m.content = slice_of("a\0b\r\n", 5);
	assert_int_equal(put_with(BOB, m, 0, 0), 0);
	reopen();
	struct store_deferred_next *r = next(BOB, 0, 8, ROOM);
	const struct store_deferred *got = &r->messages[0];
	assert_int_equal(r->count, 1);
	assert_true(r->is_last);
	assert_int_equal(got->position, 1);
	assert_int_equal(got->type, STORE_LARGE);
	assert_true(got->is_urgent && got->is_multimedia);
	assert_int_equal(got->received_us, 1000000000);
	assert_int_equal(got->expires_at_s, 5000);
	assert_int_equal(got->size, 5);
	assert_true(slice_eq(got->id, m.id));
	assert_true(slice_eq(got->call_id, m.call_id));
	assert_true(slice_eq(got->head, m.head));
	assert_true(slice_eq(got->msrp, m.msrp));
	assert_true(slice_eq(got->summary, m.summary));
	assert_true(slice_eq(got->content, m.content));
	free(r);
}

static void the_oldest_come_first_a_window_at_a_time(void **state)
{
	uint64_t after = 0;
	unsigned seen = 0;
	char id[32];
	bool is_last = false;

	put_many(BOB, 37);
	put(CAROL, "other", 5000);
	while (!is_last) {
		struct store_deferred_next *r = next(BOB, after, 8, ROOM);
		for (unsigned i = 0; i < r->count; i++, seen++) {
			snprintf(id, sizeof(id), "message%u", seen);
			assert_true(slice_eq(r->messages[i].id, slice_str(id)));
			assert_true(r->messages[i].position > after);
			after = r->messages[i].position;
		}
		is_last = r->is_last;
		assert_int_equal(r->count, seen == 37 ? 5 : 8);
		free(r);
	}
	assert_int_equal(seen, 37);
}

static void an_unknown_mailbox_is_empty(void **state)
{
	struct store_deferred_next *r = next(BOB, 0, 8, ROOM);

	assert_int_equal(r->count, 0);
	assert_true(r->is_last);
	free(r);
	assert_int_equal(counts_at(BOB, 2000).messages, 0);
	remove_one(BOB, 1, 0);
}

static void no_position_comes_again(void **state)
{
	put(BOB, "one", 5000);
	put(BOB, "two", 5000);
	remove_one(BOB, 2, 1);
	reopen();
	put(BOB, "three", 5000);
	struct store_deferred_next *r = next(BOB, 1, 8, ROOM);
	assert_int_equal(r->count, 1);
	assert_int_equal(r->messages[0].position, 3);
	free(r);
}

/* ---- room ---- */

static char big[3 * STORE_PIECE_MAX + 1000];

static struct store_deferred big_message(const char *id, size_t n)
{
	struct store_deferred m = message(id, 5000);

	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i * 7 + i / 251);
	m.content = slice_of(big, n);
	m.size = n;
	return m;
}

static void assert_content(const struct store_deferred *m, size_t n)
{
	size_t have = m->content.n;

	assert_int_equal(m->size, n);
	assert_true(have == 0 || memcmp(m->content.p, big, have) == 0);
	while (have < n) {
		struct store_content_get *r = store_content_get_new(m->position, have);
		assert_int_equal(ask(r), 0);
		assert_true(r->piece.n > 0 && r->piece.n <= n - have);
		assert_memory_equal(r->piece.p, big + have, r->piece.n);
		have += r->piece.n;
		free(r);
	}
	struct store_content_get *beyond = store_content_get_new(m->position, n);
	assert_int_equal(ask_and_free(beyond), ENOENT);
}

static void long_content_is_read_in_pieces(void **state)
{
	static const size_t sizes[] = { 0, 1, STORE_PIECE_MAX, STORE_PIECE_MAX + 1, sizeof(big) };

	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(put_with(BOB, big_message("big", sizes[i]), 0, 0), 0);
		for (uint32_t room = STORE_HEAD_ROOM; room <= ROOM; room += ROOM - STORE_HEAD_ROOM) {
			struct store_deferred_next *r = next(BOB, 0, 8, room);
			assert_int_equal(r->count, 1);
			assert_content(&r->messages[0], sizes[i]);
			if (room == STORE_HEAD_ROOM)
				remove_one(CAROL, r->messages[0].position, 0); /* hers it is not */
			else
				remove_one(BOB, r->messages[0].position, 1);
			free(r);
		}
	}
	assert_totals(0, 0);
}

static void messages_that_do_not_fit_come_with_the_next(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(put_with(BOB, big_message("big", 30000), 0, 0), 0);
	struct store_deferred_next *r = next(BOB, 0, 8, 70000);
	assert_int_equal(r->count, 2);
	assert_false(r->is_last);
	assert_int_equal(r->messages[1].content.n, 30000);
	struct store_deferred_next *rest = next(BOB, r->messages[1].position, 8, 70000);
	assert_int_equal(rest->count, 2);
	assert_true(rest->is_last);
	free(r);
	free(rest);
}

/* What no answer would have room for is not taken: it would block the mailbox. */
static void header_lines_have_a_limit(void **state)
{
	struct store_deferred m = message("id", 5000);
	size_t others = m.id.n + m.call_id.n + m.summary.n;

	m.head = slice_of(big, STORE_HEAD_ROOM - others + 1);
	assert_int_equal(put_with(BOB, m, 0, 0), EFBIG);
	m.head.n--;
	assert_int_equal(put_with(BOB, m, 0, 0), 0);
	struct store_deferred_next *r = next(BOB, 0, 8, STORE_HEAD_ROOM);
	assert_int_equal(r->count, 1);
	assert_int_equal(r->messages[0].content.n, 0);
	assert_int_equal(r->messages[0].size, 5);
	free(r);
}

/* Nor does it harm the others of its group. */
static void long_header_lines_harm_no_other(void **state)
{
	struct store_deferred m = message("id", 5000), long_one = message("long", 5000);
	struct store_deferred_put *good, *bad;

	long_one.head = slice_of(big, STORE_HEAD_ROOM);
	good = store_deferred_put_new(STORE_DEFERRED_PUT, BOB, &m);
	bad = store_deferred_put_new(STORE_DEFERRED_PUT, BOB, &long_one);
	store_begin(store);
	store_execute(store, &good->request);
	store_execute(store, &bad->request);
	assert_ptr_equal(store_commit(store), &good->request);
	assert_int_equal(good->request.msg.err, 0);
	assert_int_equal(bad->request.msg.err, EFBIG);
	free(good);
	free(bad);
}

/* ---- one by its name ---- */

static int find(struct slice mailbox, const char *key, uint64_t now_s, uint64_t *position)
{
	struct store_deferred_find *r = store_deferred_find_new(mailbox, slice_str(key), ROOM);

	r->now_s = now_s;
	int err = ask(r);
	if (!err)
		*position = r->message.position;
	free(r);
	return err;
}

static void put_call(const char *id, const char *call_id)
{
	struct store_deferred m = message(id, 5000);

	m.call_id = slice_str(call_id);
	assert_int_equal(put_with(BOB, m, 0, 0), 0);
}

static void a_message_is_found_by_its_id(void **state)
{
	uint64_t position = 0;

	put_call("one", "call1");
	put_call("two", "call2");
	assert_int_equal(find(BOB, "two", 2000, &position), 0);
	assert_int_equal(position, 2);
	assert_int_equal(find(BOB, "three", 2000, &position), ENOENT);
	assert_int_equal(find(BOB, "Two", 2000, &position), ENOENT);
	assert_int_equal(find(BOB, "", 2000, &position), ENOENT);
	assert_int_equal(find(CAROL, "two", 2000, &position), ENOENT);
	assert_int_equal(find(BOB, "two", 5000, &position), ENOENT); /* expired */
	remove_one(BOB, 2, 1);
	assert_int_equal(find(BOB, "two", 2000, &position), ENOENT);
}

static void a_call_id_finds_the_only_one_that_has_it(void **state)
{
	uint64_t position = 0;

	put_call("one", "call1");
	put_call("two", "call2");
	put_call("three", "one"); /* an id goes first */
	put_call("four", "");
	assert_int_equal(find(BOB, "call2", 2000, &position), 0);
	assert_int_equal(position, 2);
	assert_int_equal(find(BOB, "one", 2000, &position), 0);
	assert_int_equal(position, 1);
	put_call("five", "call2");
	assert_int_equal(find(BOB, "call2", 2000, &position), ENOENT);
	remove_one(BOB, 2, 1);
	assert_int_equal(find(BOB, "call2", 2000, &position), 0);
	assert_int_equal(position, 5);
	for (unsigned i = 0; i < 40; i++)
		put_call("same", "call2");
	assert_int_equal(find(BOB, "call2", 2000, &position), ENOENT);
}

/* ---- counts and bounds ---- */

static void counts_are_kept(void **state)
{
	static const struct { bool is_urgent, is_multimedia; } kinds[] = { { false, false }, { true, false },
		{ true, false }, { false, true }, { true, true }, { true, true }, { true, true } };

	for (unsigned i = 0; i < 7; i++) {
		struct store_deferred m = message("id", 5000);
		m.is_urgent = kinds[i].is_urgent;
		m.is_multimedia = kinds[i].is_multimedia;
		assert_int_equal(put_with(BOB, m, 0, 0), 0);
	}
	struct store_deferred_counts c = counts_at(BOB, 2000);
	assert_int_equal(c.messages, 7);
	assert_int_equal(c.octets, 35);
	assert_int_equal(c.text, 3);
	assert_int_equal(c.text_urgent, 2);
	assert_int_equal(c.multimedia, 4);
	assert_int_equal(c.multimedia_urgent, 3);
	remove_one(BOB, 2, 1);
	remove_one(BOB, 2, 0);
	remove_one(BOB, 4, 1);
	reopen();
	c = counts_at(BOB, 2000);
	assert_int_equal(c.messages, 5);
	assert_int_equal(c.text_urgent, 1);
	assert_int_equal(c.multimedia, 3);
	assert_int_equal(c.multimedia_urgent, 3);
	assert_totals(5, 25);
}

static void the_summary_lists_page_by_page(void **state)
{
	uint64_t after = 0;
	unsigned seen = 0;

	put_many(BOB, 25);
	for (bool is_last = false; !is_last; seen++) {
		struct store_deferred_summary *r = store_deferred_summary_new(BOB, ROOM);
		r->now_s = 2000;
		r->after = after;
		r->most = 10;
		assert_int_equal(ask(r), 0);
		assert_int_equal(r->counts.messages, 25);
		assert_int_equal(r->count, seen == 2 ? 5 : 10);
		assert_true(slice_eq(r->rows[0].summary, SLICE("From: <sip:alice@example.com>\r\n")));
		assert_int_equal(r->rows[0].position, after + 1);
		assert_int_equal(r->rows[0].size, 5);
		after = r->rows[r->count - 1].position;
		is_last = r->is_last;
		free(r);
	}
	assert_int_equal(seen, 3);
}

static void a_summary_without_room_is_left_out(void **state)
{
	struct store_deferred m = message("id", 5000);

	m.summary = slice_of(big, 3000);
	assert_int_equal(put_with(BOB, m, 0, 0), 0);
	put(BOB, "next", 5000);
	struct store_deferred_summary *r = store_deferred_summary_new(BOB, 2000);
	r->now_s = 2000;
	r->most = 10;
	assert_int_equal(ask(r), 0);
	assert_int_equal(r->count, 2);
	assert_true(r->is_last);
	assert_true(slice_eq(r->rows[0].id, SLICE("id")));
	assert_int_equal(r->rows[0].summary.n, 0);
	assert_true(r->rows[1].summary.n > 0);
	free(r);
}

static void beyond_the_quota_nothing_is_stored(void **state)
{
	assert_int_equal(put_with(BOB, message("a", 5000), 2, 11), 0);
	assert_int_equal(put_with(BOB, message("b", 5000), 2, 9), EDQUOT);
	assert_int_equal(put_with(BOB, message("b", 5000), 2, 10), 0);
	assert_int_equal(put_with(BOB, message("c", 5000), 2, 0), EDQUOT);
	assert_int_equal(put_with(CAROL, message("c", 5000), 2, 5), 0);
	assert_int_equal(put_with(CAROL, message("d", 5000), 0, 4), EDQUOT);
	assert_int_equal(counts_at(BOB, 2000).messages, 2);
	assert_totals(3, 15);
	remove_one(BOB, 1, 1);
	assert_int_equal(put_with(BOB, message("c", 5000), 2, 11), 0);
}

static void a_message_that_is_not_whole_is_refused(void **state)
{
	struct store_deferred m = message("a", 5000);

	m.size = 6;
	assert_int_equal(put_with(BOB, m, 0, 0), EINVAL);
	assert_totals(0, 0);
}

/* ---- expiry ---- */

static void what_expired_is_not_handed_out(void **state)
{
	put(BOB, "old", 2000);
	put(BOB, "new", 2001);
	struct store_deferred_next *r = next(BOB, 0, 8, ROOM);
	assert_int_equal(r->count, 1);
	assert_true(slice_eq(r->messages[0].id, SLICE("new")));
	free(r);
	assert_int_equal(counts_at(BOB, 1999).messages, 2);
	assert_int_equal(counts_at(BOB, 2000).messages, 1); /* it is gone, not hidden */
	assert_int_equal(counts_at(BOB, 1999).messages, 1);
	assert_totals(1, 5);
	assert_int_equal(store_deferred_take_expired(store), 1);
	assert_int_equal(store_deferred_take_expired(store), 0);
}

static void what_expired_makes_room(void **state)
{
	put(BOB, "old", 900);
	put(BOB, "new", 5000);
	assert_int_equal(put_with(BOB, message("c", 5000), 2, 0), 0); /* received at 1000 */
	assert_int_equal(put_with(BOB, message("d", 5000), 2, 0), EDQUOT);
	assert_int_equal(counts_at(BOB, 1000).messages, 2);
	put(BOB, "old", 900);
	assert_totals(3, 15);
	assert_int_equal(put_with(BOB, message("d", 5000), 2, 0), EDQUOT); /* and what expired is gone all the same */
	assert_totals(2, 10);
	assert_int_equal(store_deferred_take_expired(store), 2);
}

static void sweeps_are_bounded_and_name_the_mailboxes(void **state)
{
	struct store_deferred_sweep *r;
	unsigned removed = 0, rounds = 0, named = 0;
	char name[32];
	bool is_last = false;

	for (unsigned i = 0; i < STORE_EXPIRE_MAX + 30; i++)
		put(BOB, "old", 100 + i);
	for (unsigned i = 0; i < STORE_EXPIRED_BOXES + 5; i++) {
		snprintf(name, sizeof(name), "user%u@x", i);
		put(slice_str(name), "old", 1500);
		put(slice_str(name), "new", 2001);
	}
	while (!is_last) {
		r = store_deferred_sweep_new(2000);
		assert_int_equal(ask(r), 0);
		assert_true(r->removed <= STORE_EXPIRE_MAX);
		if (rounds == 0) {
			assert_int_equal(r->count, 1);
			assert_true(slice_eq(r->mailboxes[0], BOB));
		}
		removed += r->removed;
		named += r->count;
		is_last = r->is_last;
		rounds++;
		free(r);
	}
	assert_int_equal(removed, STORE_EXPIRE_MAX + 30 + STORE_EXPIRED_BOXES + 5);
	assert_true(named >= STORE_EXPIRED_BOXES + 6);
	assert_int_equal(counts_at(BOB, 2000).messages, 0);
	assert_totals(STORE_EXPIRED_BOXES + 5, 5 * (STORE_EXPIRED_BOXES + 5));
	assert_int_equal(store_deferred_take_expired(store), removed);
}

/* The first to expire was fetched: the mailbox is not looked at for ever. */
static void a_sweep_for_nothing_happens_once(void **state)
{
	put(BOB, "short", 1500);
	put(BOB, "long", 5000);
	remove_one(BOB, 1, 1);
	for (unsigned i = 0; i < 2; i++) {
		struct store_deferred_sweep *r = store_deferred_sweep_new(2000);
		assert_int_equal(ask(r), 0);
		assert_true(r->is_last);
		assert_int_equal(r->removed, 0);
		assert_int_equal(r->count, 0);
		free(r);
	}
	assert_int_equal(counts_at(BOB, 2000).messages, 1);
}

/* ---- groups ---- */

static void a_refused_put_and_a_lost_group_count_nothing(void **state)
{
	struct store_deferred m = message("a", 5000);
	struct store_deferred_put *good = store_deferred_put_new(STORE_DEFERRED_PUT, BOB, &m),
				  *refused = store_deferred_put_new(STORE_DEFERRED_PUT, BOB, &m),
				  *last = store_deferred_put_new(STORE_DEFERRED_PUT, BOB, &m);

	refused->quota_messages = 1;
	for (unsigned round = 0; round < 2; round++) {
		store_begin(store);
		store_execute(store, &good->request);
		store_execute(store, &refused->request);
		store_execute(store, &last->request);
		if (round == 0)
			store_fail_group(store, EIO);
		store_commit(store);
		assert_int_equal(good->request.msg.err, round == 0 ? EIO : 0);
		assert_int_equal(refused->request.msg.err, round == 0 ? EIO : EDQUOT);
		assert_int_equal(last->request.msg.err, round == 0 ? EIO : 0);
		assert_totals(round == 0 ? 0 : 2, round == 0 ? 0 : 10);
		assert_int_equal(counts_at(BOB, 2000).messages, round == 0 ? 0 : 2);
	}
	free(good);
	free(refused);
	free(last);
}

/* A row that cannot be harms one group at most: from then on only what meets it is refused. */
static void a_bad_row_harms_one_group_once(void **state)
{
	struct store_deferred m = message("a", 5000);
	struct store_deferred_put *all[3];

	put(BOB, "first", 5000);
	assert_int_equal(store_run_sql(store, "INSERT INTO deferred_key SELECT mailbox, kind, 5001, 3 FROM deferred_key "
		"WHERE kind = 3"), 0); /* as if of the third message */
	for (unsigned round = 0; round < 2; round++) {
		store_begin(store);
		for (unsigned i = 0; i < 3; i++) {
			m.expires_at_s = i == 1 ? 5001 : 5000;
			all[i] = store_deferred_put_new(STORE_DEFERRED_PUT, i == 1 ? BOB : CAROL, &m);
			store_execute(store, &all[i]->request);
		}
		store_commit(store);
		for (unsigned i = 0; i < 3; i++) {
			int err = all[i]->request.msg.err;
			assert_int_equal(err, round == 0 || i == 1 ? EIO : 0);
			free(all[i]);
		}
	}
	assert_int_equal(counts_at(BOB, 2000).messages, 1);
	assert_int_equal(counts_at(CAROL, 2000).messages, 2);
	assert_totals(3, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_put_comes_out_the_same),
		CASE(the_oldest_come_first_a_window_at_a_time),
		CASE(an_unknown_mailbox_is_empty),
		CASE(no_position_comes_again),
		CASE(long_content_is_read_in_pieces),
		CASE(messages_that_do_not_fit_come_with_the_next),
		CASE(header_lines_have_a_limit),
		CASE(long_header_lines_harm_no_other),
		CASE(a_message_is_found_by_its_id),
		CASE(a_call_id_finds_the_only_one_that_has_it),
		CASE(counts_are_kept),
		CASE(the_summary_lists_page_by_page),
		CASE(a_summary_without_room_is_left_out),
		CASE(beyond_the_quota_nothing_is_stored),
		CASE(a_message_that_is_not_whole_is_refused),
		CASE(what_expired_is_not_handed_out),
		CASE(what_expired_makes_room),
		CASE(sweeps_are_bounded_and_name_the_mailboxes),
		CASE(a_sweep_for_nothing_happens_once),
		CASE(a_refused_put_and_a_lost_group_count_nothing),
		CASE(a_bad_row_harms_one_group_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
