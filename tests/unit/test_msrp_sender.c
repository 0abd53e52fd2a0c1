/*
 * A leg that sends messages of its owner (msrp/sender.h): what goes out, when, and
 * what becomes of each.
 */
#include "msrp/sender.h"
#include "msrp/transaction.h"
#include "tests/unit/msrp_world.h"

#define BOB    "msrp://relay.example:1/r;tcp msrp://bob.example:4567/b2;tcp"
#define WINDOW 3

/* A message of the owner, and what he was told of it. */
struct item {
	struct msrp_outgoing out;
	char *content;
	size_t step;           /* given at a time; 0: all, or what may be asked for */
	bool is_late;          /* given when the test says so                     */
	bool drop_when_asked;
	unsigned asked, ended, status, order;
	uint64_t offset;
};

struct session {
	struct world w;
	struct side *b;
	struct client *bob;
	struct item items[16];
	unsigned count, ended;
	bool close_when_ended;
};

static void give(struct session *s, struct item *item)
{
	size_t left = item->out.size - item->out.sent, n = item->step ? item->step : MSRP_ASKED_MAX;
	const char *p = item->content + item->out.sent;

	n = n < left ? n : left;
	/* in two parts, of which one may be empty */
	msrp_sender_give(s->b->leg, &item->out, (struct slice[]){ slice_of(p, n / 3), slice_of(p + n / 3, n - n / 3) }, 2);
}

static void on_want(struct msrp_leg *leg, struct msrp_outgoing *m, uint64_t offset, void *arg)
{
	struct item *item = (struct item *)m;
	struct session *s = arg;

	assert_int_equal(offset, m->sent);
	item->asked++;
	item->offset = offset;
	if (item->drop_when_asked)
		msrp_sender_drop(leg, m);
	else if (!item->is_late)
		give(s, item);
}

static void on_end(struct msrp_leg *leg, struct msrp_outgoing *m, unsigned status, void *arg)
{
	struct item *item = (struct item *)m;
	struct session *s = arg;

	item->ended++;
	item->status = status;
	item->order = ++s->ended;
	if (s->close_when_ended)
		side_close(s->b);
}

static const struct msrp_sender_events sender_events = { on_want, on_end };

static void begin_with(struct session *s)
{
	memset(s->items, 0, sizeof(s->items));
	s->count = s->ended = 0;
	s->close_when_ended = false;
	world_start(&s->w);
	s->b = side_open(&s->w, 0, BOB);
	assert_int_equal(msrp_sender_attach(s->b->leg, WINDOW, &sender_events, s), 0);
	s->bob = client_open(&s->w, 0);
}

static void bind_bob(struct session *s)
{
	client_send(s->bob, HEAD("bind1234", "SEND") "Message-ID: bind\r\n-------bind1234$\r\n", PATHS(s->b));
	expect(&s->w, s->bob, "MSRP bind1234 200 OK");
	expect(&s->w, s->bob, "-------bind1234$\r\n");
	WAIT_FOR(&s->w, s->b->bound == 1);
}

static void begin(struct session *s)
{
	world_init(&s->w, 1);
	begin_with(s);
	bind_bob(s);
}

static void finish(struct session *s)
{
	world_end(&s->w);
	for (unsigned i = 0; i < s->count; i++)
		free(s->items[i].content);
}

static struct item *make_item(struct session *s, size_t n)
{
	struct item *item = &s->items[s->count++];

	assert_in_range(s->count, 1, 16);
	item->content = malloc(n + 1);
	assert_non_null(item->content);
	for (size_t i = 0; i < n; i++)
		item->content[i] = i % 61 == 60 ? '\n' : (char)('a' + i * 31 % 26);
	item->out.content_type = SLICE("text/plain");
	item->out.size = n;
	return item;
}

static struct item *send_item(struct session *s, size_t n)
{
	struct item *item = make_item(s, n);

	msrp_sender_send(s->b->leg, &item->out);
	return item;
}

static void answer(struct session *s, const char *id, const char *status)
{
	client_send(s->bob, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: msrp://relay.example:1/r;tcp\r\n-------%s$\r\n", id, status,
		s->b->uri, id);
}

static void expect_end(struct session *s, const struct item *item, unsigned status)
{
	WAIT_FOR(&s->w, item->ended);
	assert_int_equal(item->ended, 1);
	assert_int_equal(item->status, status);
}

static void a_message_and_its_answer(void **state)
{
	struct session s;
	struct chunk chunk;
	struct item *item;
	char head[1024];

	begin(&s);
	item = make_item(&s, 300);
	item->out.lines = SLICE("Content-Disposition: attachment\r\n");
	msrp_sender_send(s.b->leg, &item->out);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	snprintf(head, sizeof(head), "To-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %.32s\r\nByte-Range: 1-300/300\r\n"
		"Content-Disposition: attachment\r\nContent-Type: text/plain\r\n", BOB, s.b->uri, item->out.message_id);
	assert_string_equal(chunk.head, head);
	assert_int_equal(strlen(chunk.id), MSRP_ID_CHARS);
	assert_int_equal(chunk.n, 300);
	assert_memory_equal(chunk.body, item->content, 300);
	assert_int_equal(chunk.flag, '$');
	assert_int_equal(msrp_sender_outstanding(s.b->leg), 1);
	assert_false(item->ended);
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, item, 200);
	assert_int_equal(msrp_sender_outstanding(s.b->leg), 0);
	assert_int_equal(COUNTED(&s.w, msrp_messages_sent), 1);
	answer(&s, chunk.id, "200 OK"); /* twice is once too often */
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_responses) == 1);
	item = send_item(&s, 0);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_string_equal(chunk.range, "1-0/0");
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, item, 200);
	finish(&s);
}

/* Nothing goes before the leg is bound, and never more than the window. */
static void several_wait_for_their_answers(void **state)
{
	char ids[6][64];
	struct session s;
	struct chunk chunk;

	world_init(&s.w, 1);
	begin_with(&s);
	for (unsigned i = 0; i < 6; i++)
		send_item(&s, 10 + i);
	world_run_ms(&s.w, 10);
	assert_int_equal(s.items[0].asked, 0);
	bind_bob(&s);
	for (unsigned i = 0; i < WINDOW; i++) {
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.n, 10 + i);
		memcpy(ids[i], chunk.id, sizeof(ids[i]));
	}
	expect_nothing(&s.w, s.bob);
	assert_int_equal(msrp_sender_outstanding(s.b->leg), WINDOW);
	answer(&s, ids[1], "415 No"); /* in whatever order */
	expect_end(&s, &s.items[1], 415);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.n, 10 + WINDOW);
	answer(&s, ids[2], "200 OK");
	answer(&s, chunk.id, "200 OK");
	answer(&s, ids[0], "200 OK");
	expect_end(&s, &s.items[0], 200);
	assert_int_equal(s.items[2].order, 2);
	for (unsigned i = 4; i < 6; i++) {
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.n, 10 + i);
		answer(&s, chunk.id, "200 OK");
		expect_end(&s, &s.items[i], 200);
	}
	assert_int_equal(world_refused(&s.w, REASON_MSRP_PEER_REFUSED), 1);
	finish(&s);
}

/* Whole, in pieces of any size, each a chunk; above 2048 octets it does not say where it ends. */
static void long_content_goes_in_chunks(void **state)
{
	static const struct {
		size_t n, step;
		const char *first;
		unsigned chunks;
	} cases[] = { { 2048, 0, "1-2048/2048", 1 }, { 2049, 0, "1-*/2049", 1 }, { 2049, 1000, "1-1000/2049", 3 },
		{ MSRP_ASKED_MAX, 0, "1-*/65536", 1 }, { KB(700) + 3, 0, "1-*/716803", 11 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session s;
		struct item *item;
		struct chunk chunk;
		size_t got = 0;
		begin(&s);
		item = make_item(&s, cases[i].n);
		item->step = cases[i].step;
		msrp_sender_send(s.b->leg, &item->out);
		for (unsigned j = 0; j < cases[i].chunks; j++) {
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
			if (j == 0)
				assert_string_equal(chunk.range, cases[i].first);
			assert_int_equal(chunk.start, got + 1);
			assert_memory_equal(chunk.body, item->content + got, chunk.n);
			got += chunk.n;
			assert_int_equal(chunk.flag, got == cases[i].n ? '$' : '+');
			assert_false(item->ended);
			answer(&s, chunk.id, "200 OK");
		}
		assert_int_equal(got, cases[i].n);
		expect_end(&s, item, 200);
		assert_int_equal(item->asked, cases[i].chunks);
		finish(&s);
	}
}

/* Who does not read is not written to, and not asked for: leg_high unanswered, or leg_low in the queue. */
static void what_goes_out_is_bounded(void **state)
{
	struct session s;
	struct item *item;

	begin(&s);
	item = send_item(&s, KB(4096));
	world_run_ms(&s.w, 30);
	assert_in_range(item->out.sent, KB(256), KB(256) + MSRP_ASKED_MAX); /* read, but not answered */
	finish(&s);

	world_init(&s.w, 1);
	s.w.options.limits.leg_high = KB(65536);
	begin_with(&s);
	bind_bob(&s);
	s.bob->is_deaf = true;
	item = send_item(&s, KB(12288));
	for (uint64_t sent = UINT64_MAX; sent != item->out.sent; world_run_ms(&s.w, 30))
		sent = item->out.sent;
	assert_in_range(msrp_endpoint_of(&s.w.workers[0])->queued, 1, KB(64) + MSRP_ASKED_MAX + 1024);
	assert_in_range(item->out.sent, 1, KB(12288) - 1);
	s.bob->is_deaf = false;
	WAIT_FOR(&s.w, item->out.sent == KB(12288));
	WAIT_FOR(&s.w, msrp_endpoint_of(&s.w.workers[0])->queued == 0);
	finish(&s);
}

static void the_owner_takes_his_time(void **state)
{
	struct session s;
	struct item *item;
	struct chunk chunk;

	begin(&s);
	item = make_item(&s, 100);
	item->is_late = true;
	item->step = 60;
	msrp_sender_send(s.b->leg, &item->out);
	send_item(&s, 7); /* one after the other */
	WAIT_FOR(&s.w, item->asked == 1);
	expect_nothing(&s.w, s.bob);
	give(&s, item);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_string_equal(chunk.range, "1-60/100");
	WAIT_FOR(&s.w, item->asked == 2);
	assert_int_equal(item->offset, 60);
	answer(&s, chunk.id, "200 OK"); /* not the last: nothing is over */
	world_run_ms(&s.w, 10);
	assert_false(item->ended);
	give(&s, item);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_string_equal(chunk.range, "61-100/100");
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, item, 200);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.n, 7);
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, &s.items[1], 200);
	finish(&s);
}

/* Before it begins, when it is asked for, in the middle, and when all of it is out. */
static void what_is_dropped_is_told_to_the_peer_if_he_has_a_part(void **state)
{
	struct session s;
	struct item *item;
	struct chunk chunk;
	char id[64];

	begin(&s);
	item = send_item(&s, 10);
	msrp_sender_drop(s.b->leg, &item->out);
	item = make_item(&s, 10);
	item->drop_when_asked = true;
	msrp_sender_send(s.b->leg, &item->out);
	WAIT_FOR(&s.w, item->asked == 1);
	expect_nothing(&s.w, s.bob);
	item = make_item(&s, 100);
	item->is_late = true;
	item->step = 60;
	msrp_sender_send(s.b->leg, &item->out);
	WAIT_FOR(&s.w, item->asked == 1);
	give(&s, item);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	memcpy(id, chunk.id, sizeof(id));
	msrp_sender_drop(s.b->leg, &item->out);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '#');
	assert_string_equal(chunk.range, "61-60/100");
	assert_false(chunk.has_body);
	answer(&s, chunk.id, "200 OK");
	answer(&s, id, "413 Too late"); /* of no interest any more */
	item = send_item(&s, 10);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	msrp_sender_drop(s.b->leg, &item->out);
	expect_nothing(&s.w, s.bob); /* he has all of it */
	answer(&s, chunk.id, "200 OK");
	world_run_ms(&s.w, 10);
	assert_int_equal(s.ended, 0);
	assert_int_equal(msrp_sender_outstanding(s.b->leg), 0);
	finish(&s);
}

static void an_error_ends_the_message_at_once(void **state)
{
	struct session s;
	struct item *item;
	struct chunk chunk;
	char first[64];

	begin(&s);
	item = make_item(&s, KB(300));
	item->step = KB(10);
	msrp_sender_send(s.b->leg, &item->out);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	memcpy(first, chunk.id, sizeof(first));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	answer(&s, first, "413 Stop");
	expect_end(&s, item, 413);
	answer(&s, chunk.id, "200 OK"); /* to nothing that waits */
	assert_true(item->out.sent < KB(300));
	world_run_ms(&s.w, 20);
	assert_int_equal(item->ended, 1);
	finish(&s);
}

static void a_report_of_failure_is_an_answer(void **state)
{
	struct session s;
	struct item *item;
	struct chunk chunk;

	begin(&s);
	item = send_item(&s, 20);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	client_send(s.bob, HEAD("rep1", "REPORT") "Message-ID: %.32s\r\nByte-Range: 1-20/20\r\nStatus: 000 200 OK\r\n-------rep1$\r\n",
		PATHS(s.b), item->out.message_id);
	client_send(s.bob, HEAD("rep2", "REPORT") "Message-ID: other\r\nByte-Range: 1-20/20\r\nStatus: 000 408 No\r\n-------rep2$\r\n",
		PATHS(s.b));
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_reports) == 1);
	assert_false(item->ended);
	client_send(s.bob, HEAD("rep3", "REPORT") "Message-ID: %.32s\r\nByte-Range: 1-20/20\r\nStatus: 000 408 No\r\n-------rep3$\r\n",
		PATHS(s.b), item->out.message_id);
	expect_end(&s, item, 408);
	finish(&s);
}

/* Counted from his last answer: who is slow is not silent. */
static void silence(void **state)
{
	struct session s;
	struct chunk chunk;
	char ids[2][64];

	world_init(&s.w, 1);
	s.w.options.msrp_transaction_ms = 400;
	begin_with(&s);
	bind_bob(&s);
	for (unsigned i = 0; i < 2; i++) {
		send_item(&s, 10);
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		memcpy(ids[i], chunk.id, sizeof(ids[i]));
	}
	expect_end(&s, &s.items[0], 408);
	expect_end(&s, &s.items[1], 408);
	answer(&s, ids[0], "200 OK");
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_responses) == 1);
	assert_int_equal(world_refused(&s.w, REASON_TIMEOUT), 2);
	finish(&s);
}

static void a_lost_connection_ends_all(void **state)
{
	struct session s;
	struct chunk chunk;

	begin(&s);
	for (unsigned i = 0; i < 5; i++)
		send_item(&s, 10);
	for (unsigned i = 0; i < WINDOW; i++)
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, &s.items[WINDOW - 1], 200);
	s.b->close_when_lost = true;
	client_close(s.bob);
	WAIT_FOR(&s.w, s.b->lost == 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(s.items[i].ended, 1);
		assert_int_equal(s.items[i].status, i == WINDOW - 1 ? 200 : MSRP_STATUS_LOST);
	}
	finish(&s);

	begin(&s); /* given after it was lost, and the leg closed in on_end() */
	s.items[0].is_late = true;
	send_item(&s, 10);
	s.items[0].is_late = true;
	WAIT_FOR(&s.w, s.items[0].asked == 1);
	s.close_when_ended = true;
	client_close(s.bob);
	WAIT_FOR(&s.w, s.items[0].ended == 1);
	assert_int_equal(s.items[0].status, MSRP_STATUS_LOST);
	assert_int_equal(s.b->lost, 0); /* it was closed before */
	finish(&s);
}

/* Another path: what was begun is answered 408, the rest goes there. */
static void on_a_new_path(void **state)
{
	struct msrp_peer peer = { .path = SLICE("msrp://bob.example:9/new;tcp") };
	struct session s;
	struct chunk chunk;

	begin(&s);
	for (unsigned i = 0; i < WINDOW + 1; i++)
		send_item(&s, 10 + i);
	for (unsigned i = 0; i < WINDOW; i++)
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(msrp_leg_set_peer(s.b->leg, &peer), 0);
	for (unsigned i = 0; i < WINDOW; i++)
		expect_end(&s, &s.items[i], 408);
	snprintf(s.b->path, sizeof(s.b->path), "%.*s", SLICE_ARG(peer.path));
	s.bob = client_open(&s.w, 0);
	bind_side(&s.w, s.bob, s.b);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.n, 10 + WINDOW);
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, &s.items[WINDOW], 200);
	finish(&s);
}

/* The id that comes first is in the content. */
static unsigned names;

static void guessable(struct worker *worker, void *p, size_t n)
{
	memset(p, 0, n);
	*(uint8_t *)p = (uint8_t)(names++ / 2 % 31 + 1);
}

static void no_content_ends_its_chunk(void **state)
{
	struct session s;
	struct item *item;
	struct chunk chunk;
	char id[MSRP_ID_CHARS + 1] = "";

	begin(&s);
	msrp_endpoint_of(&s.w.workers[0])->random = guessable;
	names = 0;
	msrp_transaction_make_id(msrp_endpoint_of(&s.w.workers[0]), 0, id);
	names = 0;
	item = make_item(&s, 100);
	memcpy(item->content + 20, "\r\n-------", 9);
	memcpy(item->content + 29, id, MSRP_ID_CHARS);
	memcpy(item->content + 29 + MSRP_ID_CHARS, "$\r\n", 3);
	msrp_sender_send(s.b->leg, &item->out);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_true(names >= 2);
	assert_int_not_equal(strcmp(chunk.id, id), 0);
	assert_int_equal(chunk.n, 100);
	assert_memory_equal(chunk.body, item->content, 100);
	answer(&s, chunk.id, "200 OK");
	expect_end(&s, item, 200);
	finish(&s);
}

static void what_is_sent_to_a_sender_is_not_taken(void **state)
{
	struct session s;

	begin(&s);
	client_send(s.bob, HEAD("text", "SEND") "Message-ID: m1\r\nByte-Range: 1-3/3\r\nContent-Type: text/plain\r\n\r\n"
		"abc\r\n-------text$\r\n", PATHS(s.b));
	expect(&s.w, s.bob, "MSRP text 403 Forbidden\r\n");
	expect(&s.w, s.bob, "-------text$\r\n");
	assert_int_equal(world_refused(&s.w, REASON_MSRP_NOT_TAKEN), 1);
	client_send(s.bob, HEAD("live", "SEND") "Message-ID: m2\r\n-------live$\r\n", PATHS(s.b));
	expect(&s.w, s.bob, "MSRP live 200 OK\r\n");
	finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_and_its_answer),
		cmocka_unit_test(several_wait_for_their_answers),
		cmocka_unit_test(long_content_goes_in_chunks),
		cmocka_unit_test(what_goes_out_is_bounded),
		cmocka_unit_test(the_owner_takes_his_time),
		cmocka_unit_test(what_is_dropped_is_told_to_the_peer_if_he_has_a_part),
		cmocka_unit_test(an_error_ends_the_message_at_once),
		cmocka_unit_test(a_report_of_failure_is_an_answer),
		cmocka_unit_test(silence),
		cmocka_unit_test(a_lost_connection_ends_all),
		cmocka_unit_test(on_a_new_path),
		cmocka_unit_test(no_content_ends_its_chunk),
		cmocka_unit_test(what_is_sent_to_a_sender_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
