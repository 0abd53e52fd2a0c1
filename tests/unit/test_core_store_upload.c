/* core/store_upload.c: content that comes in pieces is visible whole or not at all, and what nobody needs any
 * more is deleted. */
#include <errno.h>

#include "core/store_internal.h"
#include "tests/unit/store_file.h"

#define BOB SLICE("bob@example.com")
#define PIECE STORE_PIECE_MAX

static char octets[4 * PIECE];

static uint64_t number(const char *sql)
{
	uint64_t value = 0;

	assert_int_equal(store_ask_number(store, sql, &value), 0);
	return value;
}

static int open_upload(uint64_t size, uint64_t quota, uint64_t *upload)
{
	struct store_deferred m = { .id = SLICE("large"), .type = STORE_LARGE, .is_urgent = true, .size = size,
		.call_id = SLICE("call"), .head = SLICE("INVITE sip:bob@example.com SIP/2.0\r\n"),
		.summary = SLICE("Subject: x\r\n"), .received_us = 1000000, .expires_at_s = 9 };
	struct store_deferred_put *r = store_deferred_put_new(STORE_DEFERRED_OPEN, BOB, &m);

	r->quota_messages = 10;
	r->quota_octets = quota;
	int err = ask(r);
	*upload = r->upload;
	free(r);
	return err;
}

static int put_piece(uint64_t upload, uint64_t offset, size_t n)
{
	return ask_and_free(store_content_put_new(upload, offset, slice_of(octets + offset, n)));
}

static int close_upload(uint64_t upload, uint64_t offset, size_t n, uint64_t size)
{
	struct store_deferred_close *r = store_deferred_close_new(upload, offset, slice_of(octets + offset, n),
		SLICE("MSRP d93kswow SEND\r\n"));

	r->size = size;
	r->received_us = 7000000;
	r->expires_at_s = 5000;
	r->is_multimedia = true;
	int err = ask(r);
	assert_true(err || r->position > 0);
	free(r);
	return err;
}

static int abort_upload(uint64_t upload)
{
	return ask_and_free(store_deferred_abort_new(upload));
}

/* How many are visible; *m is the first, with slices that are gone. */
static unsigned visible(struct store_deferred *m)
{
	struct store_deferred_next *r = store_deferred_next_new(BOB, STORE_HEAD_ROOM);

	r->most = STORE_NEXT_MAX;
	r->now_s = 1000;
	assert_int_equal(ask(r), 0);
	unsigned count = r->count;
	if (count) {
		*m = r->messages[0];
		assert_true(slice_eq(m->id, SLICE("large")));
		assert_true(slice_eq(m->call_id, SLICE("call")));
		assert_true(slice_eq(m->head, SLICE("INVITE sip:bob@example.com SIP/2.0\r\n")));
		assert_true(slice_eq(m->summary, SLICE("Subject: x\r\n")));
		assert_true(slice_eq(m->msrp, SLICE("MSRP d93kswow SEND\r\n")));
		assert_true(m->type == STORE_LARGE && m->is_urgent && m->is_multimedia);
		assert_int_equal(m->received_us, 7000000);
		assert_int_equal(m->expires_at_s, 5000);
	}
	free(r);
	return count;
}

static void assert_content(uint64_t position, uint64_t size)
{
	uint64_t have = 0;

	while (have < size) {
		struct store_content_get *r = store_content_get_new(position, have);
		assert_int_equal(ask(r), 0);
		assert_true(r->piece.n > 0 && have + r->piece.n <= size);
		assert_memory_equal(r->piece.p, octets + have, r->piece.n);
		have += r->piece.n;
		free(r);
	}
	assert_int_equal(ask_and_free(store_content_get_new(position, size)), ENOENT);
}

static void collect(void)
{
	for (unsigned i = 0; i < 1000 && store_has_garbage(store); i++) {
		store_begin(store);
		assert_null(store_commit(store));
	}
	assert_false(store_has_garbage(store));
}

static void nothing_is_left(void)
{
	collect();
	assert_int_equal(number("SELECT count(*) FROM content"), 0);
	assert_int_equal(number("SELECT count(*) FROM garbage"), 0);
	assert_int_equal(number("SELECT count(*) FROM upload"), 0);
	assert_int_equal(number("SELECT count(*) FROM deferred"), 0);
	assert_int_equal(number("SELECT count(*) FROM deferred_key"), 0);
	assert_int_equal(number("SELECT count(*) FROM mailbox"), 0);
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)(i * 31 + i / 253);
}

static void remove_all(void)
{
	struct store_deferred_remove *r = store_deferred_remove_new(BOB);

	for (r->count = 0; r->count < 5; r->count++)
		r->positions[r->count] = r->count + 1;
	assert_int_equal(ask_and_free(r), 0);
}

static void pieces_of_any_size_become_a_message(void **state)
{
	static const size_t pieces[][4] = { { PIECE, PIECE, PIECE, 77 }, { 1, 2, 3, 4 }, { PIECE, 0, 0, 0 },
		{ 0, 0, 0, 0 }, { 5000, PIECE, 1, PIECE } };
	struct store_deferred m;
	uint64_t upload;

	fill();
	for (unsigned i = 0; i < 5; i++) {
		const size_t *n = pieces[i];
		uint64_t size = n[0] + n[1] + n[2] + n[3], at = 0;
		assert_int_equal(open_upload(size, 0, &upload), 0);
		for (unsigned k = 0; k < 3; at += n[k++])
			assert_int_equal(put_piece(upload, at, n[k]), 0);
		assert_int_equal(visible(&m), 0);
		assert_int_equal(close_upload(upload, at, n[3], size), 0);
		if (i == 0)
			reopen();
		assert_int_equal(visible(&m), 1);
		assert_int_equal(m.size, size);
		assert_content(m.position, size);
		assert_int_equal(close_upload(upload, at, n[3], size), ENOENT);
		remove_all();
		assert_int_equal(visible(&m), 0);
	}
	nothing_is_left();
}

static void one_piece_needs_no_row_of_its_own(void **state)
{
	struct store_deferred m;
	uint64_t upload;

	fill();
	assert_int_equal(open_upload(PIECE, 0, &upload), 0); /* the most, when no size was told */
	assert_int_equal(close_upload(upload, 0, 500, 500), 0);
	assert_int_equal(number("SELECT count(*) FROM content"), 0);
	assert_int_equal(visible(&m), 1);
	assert_int_equal(m.size, 500);
	assert_content(m.position, 500);
	remove_all();
	nothing_is_left();
}

/* A piece that was lost would be a hole in somebody's message. */
static void what_does_not_follow_is_refused(void **state)
{
	struct store_deferred m;
	uint64_t upload;

	fill();
	assert_int_equal(open_upload(1000, 0, &upload), 0);
	assert_int_equal(put_piece(upload, 1, 10), EINVAL);
	assert_int_equal(put_piece(upload, 0, 10), 0);
	assert_int_equal(put_piece(upload, 0, 10), EINVAL);
	assert_int_equal(put_piece(upload, 20, 10), EINVAL);
	assert_int_equal(put_piece(upload, 10, 991), EFBIG);
	assert_int_equal(close_upload(upload, 10, 991, 1001), EFBIG);
	assert_int_equal(close_upload(upload, 9, 10, 20), EINVAL);
	assert_int_equal(close_upload(upload, 10, 10, 21), EINVAL);
	assert_int_equal(close_upload(upload, 10, 10, 19), EINVAL);
	assert_int_equal(put_piece(upload + 1, 0, 10), ENOENT);
	assert_int_equal(visible(&m), 0);
	assert_int_equal(close_upload(upload, 10, 10, 20), 0);
	assert_int_equal(visible(&m), 1);
	assert_content(m.position, 20);
}

static void an_upload_counts_in_the_quota_until_it_ends(void **state)
{
	uint64_t first, second;

	fill();
	assert_int_equal(open_upload(600, 1000, &first), 0);
	assert_int_equal(open_upload(401, 1000, &second), EDQUOT);
	assert_int_equal(open_upload(400, 1000, &second), 0);
	assert_int_equal(abort_upload(first), 0);
	assert_int_equal(abort_upload(first), ENOENT);
	assert_int_equal(put_piece(first, 0, 10), ENOENT);
	assert_int_equal(open_upload(600, 1000, &first), 0);
	assert_int_equal(close_upload(first, 0, 100, 100), 0); /* shorter than announced: the rest is free again */
	assert_int_equal(open_upload(500, 1000, &first), 0);
	assert_int_equal(open_upload(1, 1000, &first), EDQUOT);
}

static void what_is_aborted_is_deleted_little_by_little(void **state)
{
	struct store_deferred m;
	uint64_t upload;

	fill();
	assert_int_equal(open_upload(100, 0, &upload), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(put_piece(upload, i, 1), 0);
	collect();
	assert_int_equal(abort_upload(upload), 0);
	uint64_t left = number("SELECT count(*) FROM content");
	assert_true(left >= 80 && left < 100);
	assert_true(store_has_garbage(store));
	assert_int_equal(visible(&m), 0); /* each group takes some with it */
	assert_true(number("SELECT count(*) FROM content") < left);
	nothing_is_left();
}

/* Or the disk would be full of what is given up, long before it is deleted. */
static void much_is_deleted_while_much_is_written(void **state)
{
	enum { PIECES = 20 };
	struct store_content_put *puts[PIECES];
	uint64_t upload;

	fill();
	assert_int_equal(open_upload(100, 0, &upload), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(put_piece(upload, i, 1), 0);
	collect();
	assert_int_equal(abort_upload(upload), 0);
	assert_int_equal(open_upload(PIECES * PIECE, 0, &upload), 0);
	store_begin(store);
	for (unsigned i = 0; i < PIECES; i++) {
		puts[i] = store_content_put_new(upload, i * PIECE, slice_of(octets, PIECE));
		store_execute(store, &puts[i]->request);
	}
	assert_ptr_equal(store_commit(store), &puts[0]->request);
	for (unsigned i = 0; i < PIECES; i++) {
		assert_int_equal(puts[i]->request.msg.err, 0);
		free(puts[i]);
	}
	assert_true(number("SELECT count(*) FROM content WHERE id IN (SELECT id FROM garbage)") <= 100 - 2 * PIECES);
	assert_int_equal(abort_upload(upload), 0);
	nothing_is_left();
}

static void the_start_sweeps_what_was_never_closed(void **state)
{
	struct store_deferred m;
	uint64_t upload, later;

	fill();
	assert_int_equal(open_upload(100, 0, &upload), 0);
	assert_int_equal(close_upload(upload, 0, 100, 100), 0);
	assert_int_equal(open_upload(100, 0, &upload), 0);
	assert_int_equal(put_piece(upload, 0, 10), 0);
	reopen();
	assert_int_equal(put_piece(upload, 10, 10), ENOENT);
	assert_int_equal(visible(&m), 1);
	assert_int_equal(number("SELECT uploads + upload_octets FROM mailbox"), 0);
	assert_int_equal(open_upload(100, 200, &later), 0);
	assert_true(later > upload);
	assert_int_equal(abort_upload(later), 0);
	remove_all();
	nothing_is_left();
}

/* Opened again after a failure, in the same process: uploads go on. */
static void a_failure_in_between_keeps_the_upload(void **state)
{
	struct store_deferred m;
	uint64_t upload;

	fill();
	assert_int_equal(open_upload(100, 0, &upload), 0);
	assert_int_equal(put_piece(upload, 0, 10), 0);
	struct store_content_put *lost = store_content_put_new(upload, 10, slice_of(octets + 10, 10));
	store_begin(store);
	store_execute(store, &lost->request);
	store_fail_group(store, EIO);
	store_commit(store);
	assert_int_equal(lost->request.msg.err, EIO);
	assert_int_equal(put_piece(upload, 20, 10), EINVAL);
	assert_int_equal(ask(lost), 0);
	free(lost);
	assert_int_equal(close_upload(upload, 20, 0, 20), 0);
	assert_int_equal(visible(&m), 1);
	assert_content(m.position, 20);
}

/* ---- of many ---- */

static int share(uint64_t upload, struct slice mailbox, uint64_t size, uint64_t quota, uint64_t *position)
{
	struct store_deferred m = { .id = SLICE("large"), .type = STORE_LARGE, .is_urgent = true, .is_multimedia = true,
		.size = size, .call_id = SLICE("call"), .head = SLICE("INVITE sip:bob@example.com SIP/2.0\r\n"),
		.summary = SLICE("Subject: x\r\n"), .msrp = SLICE("MSRP d93kswow SEND\r\n"), .received_us = 7000000,
		.expires_at_s = 5000 };
	struct store_deferred_put *r = store_deferred_put_new(STORE_DEFERRED_SHARE, mailbox, &m);

	r->quota_octets = quota;
	r->upload = upload;
	int err = ask(r);
	*position = r->message.position;
	free(r);
	return err;
}

static int remove_one(struct slice mailbox, uint64_t position)
{
	struct store_deferred_remove *r = store_deferred_remove_new(mailbox);

	r->count = 1;
	r->positions[0] = position;
	return ask_and_free(r);
}

static void content_of_many_goes_with_the_last(void **state)
{
	static const struct slice boxes[] = { SLICE("bob@example.com"), SLICE("carol@example.com"), SLICE("dave@example.com") };
	uint64_t upload, positions[3], none;
	struct store_deferred m;

	fill();
	for (unsigned first = 0; first < 4; first++) { /* 3: the upload goes first */
		assert_int_equal(open_upload(2 * PIECE + 5, 0, &upload), 0);
		assert_int_equal(share(upload, boxes[0], 0, 0, &none), EINVAL);
		assert_int_equal(put_piece(upload, 0, PIECE), 0);
		assert_int_equal(put_piece(upload, PIECE, 77), 0);
		assert_int_equal(share(upload, boxes[0], PIECE, 0, &none), EINVAL);
		assert_int_equal(share(upload + 1, boxes[0], PIECE + 77, 0, &none), ENOENT);
		assert_int_equal(share(upload, boxes[1], PIECE + 77, PIECE, &none), EDQUOT);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(share(upload, boxes[i], PIECE + 77, i ? PIECE + 77 : 0, &positions[i]), 0);
		struct store_content_get *get = store_content_get_new(0, PIECE);
		get->upload = upload; /* it may be read before anybody sees it */
		assert_int_equal(ask(get), 0);
		assert_true(slice_eq(get->piece, slice_of(octets + PIECE, 77)));
		free(get);
		assert_int_equal(visible(&m), 1);
		if (first == 3)
			assert_int_equal(abort_upload(upload), 0);
		for (unsigned i = 0; i < 3; i++) {
			unsigned at = (first + i) % 3;
			for (unsigned left = i; left < 3; left++)
				assert_content(positions[(first + left) % 3], PIECE + 77);
			assert_int_equal(remove_one(boxes[at], positions[at]), 0);
			collect();
		}
		assert_int_equal(number("SELECT count(*) FROM content"), first == 3 ? 0 : 2);
		if (first != 3)
			assert_int_equal(abort_upload(upload), 0);
		nothing_is_left();
		assert_int_equal(number("SELECT count(*) FROM content_share"), 0);
	}
}

/* A process ended before it gave its own part back. */
static void the_start_leaves_what_others_have(void **state)
{
	uint64_t upload, position, alone;

	fill();
	assert_int_equal(open_upload(PIECE, 0, &upload), 0);
	assert_int_equal(put_piece(upload, 0, PIECE), 0);
	assert_int_equal(share(upload, SLICE("carol@example.com"), PIECE, 0, &position), 0);
	assert_int_equal(open_upload(PIECE, 0, &alone), 0);
	assert_int_equal(put_piece(alone, 0, PIECE), 0);
	reopen();
	collect();
	assert_content(position, PIECE);
	assert_int_equal(number("SELECT count(*) FROM content"), 1);
	assert_int_equal(remove_one(SLICE("carol@example.com"), position), 0);
	nothing_is_left();
	assert_int_equal(number("SELECT count(*) FROM content_share"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pieces_of_any_size_become_a_message),
		CASE(one_piece_needs_no_row_of_its_own),
		CASE(what_does_not_follow_is_refused),
		CASE(an_upload_counts_in_the_quota_until_it_ends),
		CASE(what_is_aborted_is_deleted_little_by_little),
		CASE(much_is_deleted_while_much_is_written),
		CASE(the_start_sweeps_what_was_never_closed),
		CASE(a_failure_in_between_keeps_the_upload),
		CASE(content_of_many_goes_with_the_last),
		CASE(the_start_leaves_what_others_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
