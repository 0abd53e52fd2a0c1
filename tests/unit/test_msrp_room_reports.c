/*
 * A room (msrp/room.h): what its members confirm or refuse and what the sender hears of it (D2-44), and members who are
 * given up.
 */
#include "tests/unit/room_world.h"

static void report(struct member *from, const char *message, const char *range, const char *status)
{
	client_send(from->client, HEAD("rep01234", "REPORT") "Message-ID: %s\r\nByte-Range: %s\r\nStatus: 000 %s\r\n-------rep01234$\r\n",
		PATHS(from->side), message, range, status);
}

/* The only REPORT that comes. */
static void expect_report(struct hall *h, struct member *to, const char *message, const char *range, const char *status)
{
	char head[1024];
	struct chunk chunk;

	expect_chunk(&h->w, to->client, "REPORT", &chunk);
	snprintf(head, sizeof(head), "To-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\nByte-Range: %s\r\nStatus: 000 %s\r\n",
		to->side->path, to->side->uri, message, range, status);
	assert_string_equal(chunk.head, head);
}

/* Member 0 sends, the others have it and answer. */
static void send_and_answer(struct hall *h, const char *headers, const char *body)
{
	struct chunk chunk;

	send_text(&h->members[0], headers, body);
	expect_answer(&h->w, h->members[0].client, h->members[0].side, "text1234", "200 OK");
	for (unsigned i = 1; i < h->count; i++) {
		expect_text(h, &h->members[i], headers, body, &chunk);
		answer(&h->members[i], chunk.id, "200 OK");
	}
}

static void all_confirm(void **state)
{
	struct hall h;

	begin(&h, 4);
	send_and_answer(&h, "Message-ID: m1\r\nSuccess-Report: yes\r\n", "abcdef");
	report(&h.members[1], "m1", "1-6/6", "200 OK");
	report(&h.members[2], "m1", "1-3/6", "200 OK");
	report(&h.members[2], "m1", "4-6/6", "200 OK");
	report(&h.members[1], "m1", "1-6/6", "200 OK"); /* once more */
	report(&h.members[3], "m1", "4-6/6", "200 OK"); /* the beginning is missing */
	expect_nothing(&h.w, h.members[0].client);
	assert_int_equal(h.members[1].copies, 1);
	assert_int_equal(h.members[3].copies, 0);
	report(&h.members[3], "m1", "1-*/6", "200 OK");
	expect_report(&h, &h.members[0], "m1", "1-6/6", "200 OK");
	expect_nothing(&h.w, h.members[0].client);
	assert_int_equal(h.members[0].concluded_status, 200);
	assert_true(COUNTED(&h.w, msrp_stray_reports) >= 1);
	end(&h);
}

/* A 200 alone confirms nothing, and who does not want a REPORT gets none. */
static void nobody_asked(void **state)
{
	struct hall h;

	begin(&h, 3);
	send_and_answer(&h, "Message-ID: m1\r\nSuccess-Report: yes\r\n", "abc");
	send_and_answer(&h, "Message-ID: m2\r\n", "abc");
	report(&h.members[1], "m2", "1-3/3", "200 OK");
	report(&h.members[2], "m2", "1-3/3", "200 OK");
	expect_nothing(&h.w, h.members[0].client);
	end(&h);
}

static void one_fails(void **state)
{
	static const struct {
		const char *headers, *report;
	} cases[] = {
		{ "Message-ID: m1\r\nSuccess-Report: yes\r\n", "415 Unsupported Media Type" },
		{ "Message-ID: m1\r\nSuccess-Report: yes\r\nFailure-Report: no\r\n", NULL },
		{ "Message-ID: m1\r\nSuccess-Report: yes\r\nFailure-Report: partial\r\n", "415 Unsupported Media Type" },
	};
	struct chunk chunk;
	struct hall h;

	begin(&h, 3);
	for (unsigned i = 0; i < 3; i++) {
		send_text(&h.members[0], cases[i].headers, "abc");
		if (i == 0)
			expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
		for (unsigned j = 1; j < 3; j++)
			expect_text(&h, &h.members[j], cases[i].headers, "abc", &chunk);
		report(&h.members[1], "m1", "1-3/3", "200 OK");
		report(&h.members[2], "m1", "1-3/3", "415 Unsupported Media Type");
		if (cases[i].report)
			expect_report(&h, &h.members[0], "m1", "1-3/3", cases[i].report);
		report(&h.members[1], "m1", "1-3/3", "200 OK");
		expect_nothing(&h.w, h.members[0].client);
		WAIT_FOR(&h.w, h.members[0].concluded == i + 1);
		assert_int_equal(h.members[0].concluded_status, 415);
	}
	end(&h);
}

/* A member's error ends the message for him; the others get the rest. */
static void one_refuses(void **state)
{
	char *content = make_content(6000), got[6000], flag;
	struct chunk chunk;
	struct hall h;
	size_t n;

	begin(&h, 3);
	send_part(&h.members[0], "part1234", "m1", "1-3/6", "abc", 3, '+');
	expect_whole(&h, &h.members[1], "1-3/6", "abc", 3, '+');
	expect_chunk(&h.w, h.members[2].client, "SEND", &chunk);
	answer(&h.members[2], chunk.id, "413 Stop Sending");
	WAIT_FOR(&h.w, world_refused(&h.w, REASON_MSRP_MEMBER_REFUSED) == 1);
	send_part(&h.members[0], "part1235", "m1", "4-6/6", "def", 3, '$');
	expect_whole(&h, &h.members[1], "4-6/6", "def", 3, '$');
	expect_nothing(&h.w, h.members[2].client);
	expect(&h.w, h.members[0].client, "-------part1235$\r\n");
	expect_report(&h, &h.members[0], "m1", "1-6/6", "413 Stop Sending");
	/* in the middle of a chunk */
	send_part(&h.members[0], "part1236", "m2", "1-*/6000", content, 3000, 0);
	WAIT_FOR(&h.w, h.members[2].client->n - h.members[2].client->seen >= 3000);
	char id[MSRP_ID_CHARS + 1];
	assert_int_equal(sscanf(h.members[2].client->got + h.members[2].client->seen, "MSRP %18s", id), 1);
	answer(&h.members[2], id, "413 Stop Sending");
	expect_whole(&h, &h.members[2], "1-*/6000", content, 3000, '#');
	client_send_n(h.members[0].client, content + 3000, 3000);
	client_send(h.members[0].client, "\r\n-------part1236$\r\n");
	collect(&h, &h.members[1], got, sizeof(got), &n, &flag);
	assert_int_equal(n, 6000);
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "part1236", "200 OK");
	expect_report(&h, &h.members[0], "m2", "1-6000/6000", "413 Stop Sending");
	expect_nothing(&h.w, h.members[2].client);
	/* the next one is for him again */
	send_text(&h.members[0], "Message-ID: m3\r\n", "hello");
	expect_whole(&h, &h.members[2], "1-5/5", "hello", 5, '$');
	assert_int_equal(h.members[2].dropped, 0);
	free(content);
	end(&h);
}

/* What his SDP does not take is not sent to him (RFC 4975 8.6). */
static void one_does_not_take_it(void **state)
{
	struct msrp_peer peer = { 0 };
	struct chunk chunk;
	struct hall h;

	begin(&h, 3);
	peer.path = slice_str(h.members[2].side->path);
	msrp_accept_set(&peer.accept, SLICE("text/html"), SLICE_EMPTY);
	assert_int_equal(msrp_leg_set_peer(h.members[2].side->leg, &peer), 0);
	send_text(&h.members[0], "Message-ID: m1\r\n", "hello");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	expect_text(&h, &h.members[1], "Message-ID: m1\r\n", "hello", &chunk);
	expect_report(&h, &h.members[0], "m1", "1-5/5", "415 Unsupported Media Type");
	answer(&h.members[1], chunk.id, "200 OK");
	expect_nothing(&h.w, h.members[2].client);
	peer.accept = (struct msrp_accept){ .max_octets = 5 };
	assert_int_equal(msrp_leg_set_peer(h.members[2].side->leg, &peer), 0);
	send_text(&h.members[0], "Message-ID: m2\r\n", "hello");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	expect_whole(&h, &h.members[1], "1-5/5", "hello", 5, '$');
	expect_whole(&h, &h.members[2], "1-5/5", "hello", 5, '$');
	h.only = &h.members[2];
	send_text(&h.members[0], "Message-ID: m3\r\n", "hello!");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "413 Stop Sending");
	expect_nothing(&h.w, h.members[2].client);
	end(&h);
}

static void a_member_without_session(void **state)
{
	struct chunk chunk;
	struct hall h;

	begin(&h, 3);
	send_text(&h.members[0], "Message-ID: m1\r\n", "abc");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	expect_chunk(&h.w, h.members[2].client, "SEND", &chunk);
	answer(&h.members[2], chunk.id, "481 No Such Session");
	WAIT_FOR(&h.w, h.members[2].dropped == 1);
	assert_int_equal(h.members[2].why, REASON_MSRP_MEMBER_GONE);
	expect_report(&h, &h.members[0], "m1", "1-3/3", "408 Request Timeout");
	expect_chunk(&h.w, h.members[1].client, "SEND", &chunk);
	answer(&h.members[1], chunk.id, "200 OK");
	WAIT_FOR(&h.w, is_quiet(&h));
	assert_int_equal(msrp_room_count(h.room), 2);
	end(&h);
}

/* Who leaves before he has confirmed has not confirmed; without Success-Report that is no error. */
static void who_leaves(void **state)
{
	struct hall h;

	begin(&h, 4);
	send_and_answer(&h, "Message-ID: m1\r\nSuccess-Report: yes\r\n", "abc");
	send_text(&h.members[0], "Message-ID: m2\r\n", "abc");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	side_close(h.members[3].side);
	expect_report(&h, &h.members[0], "m1", "1-3/3", "408 Request Timeout");
	expect_nothing(&h.w, h.members[0].client);
	assert_int_equal(h.members[3].dropped, 0);
	client_close(h.members[2].client); /* with a chunk unanswered */
	WAIT_FOR(&h.w, h.members[2].dropped == 1);
	assert_int_equal(h.members[2].why, REASON_PEER_CLOSED);
	client_send(h.members[1].client, "%s", "");
	side_close(h.members[1].side);
	expect_report(&h, &h.members[0], "m2", "1-3/3", "408 Request Timeout");
	end(&h);
}

/* Silence, where an answer was asked for. */
static void a_silent_member(void **state)
{
	struct chunk chunk;
	struct hall h;

	prepare(&h, 1);
	h.w.options.msrp_transaction_ms = 300;
	start(&h, 3);
	send_text(&h.members[0], "Message-ID: m1\r\nFailure-Report: partial\r\n", "abc");
	send_text(&h.members[0], "Message-ID: m2\r\nFailure-Report: no\r\n", "abc");
	WAIT_FOR(&h.w, client_has(h.members[2].client, "m2"));
	WAIT_FOR(&h.w, is_quiet(&h)); /* it is forgotten */
	assert_int_equal(h.members[2].dropped, 0);
	h.members[1].client->seen = h.members[1].client->n;
	send_text(&h.members[0], "Message-ID: m3\r\n", "abc");
	expect_text(&h, &h.members[1], "Message-ID: m3\r\n", "abc", &chunk);
	answer(&h.members[1], chunk.id, "200 OK");
	WAIT_FOR(&h.w, h.members[2].dropped == 1);
	assert_int_equal(h.members[2].why, REASON_TIMEOUT);
	assert_int_equal(h.members[1].dropped, 0);
	expect(&h.w, h.members[0].client, "Status: 000 408");
	end(&h);
}

/* ---- who does not read ---- */

static void send_much(struct hall *h, const char *content, unsigned i)
{
	char id[16], message[16];

	snprintf(id, sizeof(id), "much%04u", i);
	snprintf(message, sizeof(message), "m%u", i);
	client_send(h->members[0].client, HEAD("%s", "SEND") "Message-ID: %s\r\nFailure-Report: no\r\nByte-Range: 1-65536/65536\r\n"
		"Content-Type: text/plain\r\n\r\n", id, PATHS(h->members[0].side), message);
	client_send_n(h->members[0].client, content, KB(64));
	client_send(h->members[0].client, "\r\n-------%s$\r\n", id);
}

/* He goes, and the others have had everything meanwhile. */
static void a_deaf_member(void **state)
{
	char *content = make_content(KB(64)), *got = malloc(KB(64)), flag;
	unsigned sent = 0;
	struct hall h;
	size_t n;

	begin(&h, 4);
	h.members[3].client->is_deaf = true;
	while (!h.members[3].dropped) {
		CHECK(sent < 2000, "he is still there\n");
		send_much(&h, content, sent++);
		for (unsigned i = 1; i < 3; i++) {
			collect(&h, &h.members[i], got, KB(64), &n, &flag);
			assert_int_equal(n, KB(64));
			assert_memory_equal(got, content, n);
		}
	}
	assert_int_equal(h.members[3].why, REASON_QUEUE_FULL);
	assert_int_equal(h.members[1].dropped + h.members[2].dropped, 0);
	assert_int_equal(COUNTED(&h.w, msrp_rx_paused), 0);
	assert_int_equal(COUNTED(&h.w, msrp_room_dropped), 1);
	free(content);
	free(got);
	end(&h);
}

/* When everybody is slow the sender waits, and nothing is lost. */
static void all_are_deaf_for_a_while(void **state)
{
	char *content = make_content(KB(64)), *got = malloc(KB(64)), flag;
	unsigned sent = 0, had = 0;
	struct hall h;
	size_t n;

	begin(&h, 3);
	h.members[1].client->is_deaf = h.members[2].client->is_deaf = true;
	while (!COUNTED(&h.w, msrp_rx_paused)) {
		CHECK(sent < 2000, "he is still read\n");
		send_much(&h, content, sent++);
		world_lap(&h.w);
	}
	h.members[1].client->is_deaf = h.members[2].client->is_deaf = false;
	for (had = 0; had < sent; had++) {
		for (unsigned i = 1; i < 3; i++) {
			collect(&h, &h.members[i], got, KB(64), &n, &flag);
			assert_int_equal(n, KB(64));
			assert_int_equal(flag, '$');
		}
	}
	assert_int_equal(h.members[1].dropped + h.members[2].dropped, 0);
	free(content);
	free(got);
	end(&h);
}

/* But not for ever. */
static void the_only_other_is_deaf(void **state)
{
	char *content = make_content(KB(64));
	unsigned sent = 0;
	struct hall h;

	prepare(&h, 1);
	h.w.options.limits.chunk_stall_ms = 300;
	start(&h, 2);
	h.members[1].client->is_deaf = true;
	while (!h.members[1].dropped) {
		if (h.members[0].client->out_n == 0)
			send_much(&h, content, sent++ % 10000);
		world_lap(&h.w);
	}
	assert_int_equal(h.members[1].why, REASON_QUEUE_FULL);
	assert_true(COUNTED(&h.w, msrp_rx_paused) > 0);
	WAIT_FOR(&h.w, h.members[0].client->out_n == 0); /* he is read again */
	free(content);
	end(&h);
}

/* ---- who takes part without being a member ---- */

struct listener {
	struct msrp_room_message *message;
	char got[KB(8)];
	size_t n;
	char flag;
};

static void on_begin(struct msrp_room *room, struct msrp_room_message *m, const struct msrp_room_begin *begin, void *arg)
{
	struct listener *listener = arg;

	*listener = (struct listener){ .message = m };
	assert_true(msrp_room_wants_report(m));
	msrp_room_expect(m, 2);
}

static void on_octets(struct msrp_room *room, struct msrp_room_message *m, uint64_t offset, struct slice octets, void *arg)
{
	struct listener *listener = arg;

	assert_int_equal(offset, listener->n);
	memcpy(listener->got + offset, octets.p, octets.n);
	listener->n += octets.n;
}

static void on_end(struct msrp_room *room, struct msrp_room_message *m, char flag, void *arg)
{
	((struct listener *)arg)->flag = flag;
}

static void a_listener(void **state)
{
	static const struct msrp_room_tap tap = { on_begin, on_octets, on_end };
	struct listener listener = { 0 };
	char *content = make_content(6000), got[6000], flag;
	struct hall h;
	size_t n;

	begin(&h, 2);
	msrp_room_set_tap(h.room, &tap, &listener);
	client_send(h.members[0].client, HEAD("part1234", "SEND") "Message-ID: m1\r\nSuccess-Report: yes\r\nByte-Range: 1-1000/6000\r\n"
		"Content-Type: text/plain\r\n\r\n", PATHS(h.members[0].side));
	client_send_n(h.members[0].client, content, 1000);
	client_send(h.members[0].client, "\r\n-------part1234+\r\n");
	WAIT_FOR(&h.w, listener.n == 1000);
	msrp_room_hold(h.room, true);
	send_part(&h.members[0], "part1235", "m1", "1001-*/6000", content + 1000, 5000, '$');
	WAIT_FOR(&h.w, COUNTED(&h.w, msrp_rx_paused) > 0);
	msrp_room_hold(h.room, false);
	WAIT_FOR(&h.w, listener.flag == '$');
	assert_int_equal(listener.n, 6000);
	assert_memory_equal(listener.got, content, 6000);
	collect(&h, &h.members[1], got, sizeof(got), &n, &flag);
	report(&h.members[1], "m1", "1-6000/6000", "200 OK");
	expect(&h.w, h.members[0].client, "-------part1235$\r\n");
	msrp_room_confirm(listener.message, 200);
	expect_nothing(&h.w, h.members[0].client);
	msrp_room_confirm(listener.message, 200);
	expect_report(&h, &h.members[0], "m1", "1-6000/6000", "200 OK");
	free(content);
	end(&h);
}

/* ---- running ---- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_confirm),
		cmocka_unit_test(nobody_asked),
		cmocka_unit_test(one_fails),
		cmocka_unit_test(one_refuses),
		cmocka_unit_test(one_does_not_take_it),
		cmocka_unit_test(a_member_without_session),
		cmocka_unit_test(who_leaves),
		cmocka_unit_test(a_silent_member),
		cmocka_unit_test(a_deaf_member),
		cmocka_unit_test(all_are_deaf_for_a_while),
		cmocka_unit_test(the_only_other_is_deaf),
		cmocka_unit_test(a_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
