/*
 * Members of a room (msrp/room.h) and what each of them gets of what another one sends.
 */
#include "tests/unit/room_world.h"

/* ---- messages ---- */

static void to_all_others(void **state)
{
	struct hall h;
	struct chunk copies[3];

	begin(&h, 4);
	send_text(&h.members[1], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello");
	expect_answer(&h.w, h.members[1].client, h.members[1].side, "text1234", "200 OK");
	REQ("IM-4.3.1-2");
	expect_text(&h, &h.members[0], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello", &copies[0]);
	expect_text(&h, &h.members[2], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello", &copies[1]);
	expect_text(&h, &h.members[3], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello", &copies[2]);
	assert_string_equal(copies[0].id, copies[1].id);
	assert_string_equal(copies[0].id, copies[2].id);
	assert_false(msrp_room_is_quiet(h.room, h.members[0].side->leg));
	answer(&h.members[0], copies[0].id, "200 OK");
	answer(&h.members[2], copies[0].id, "200 OK");
	expect_nothing(&h.w, h.members[1].client);
	assert_int_equal(h.members[1].concluded, 0);
	answer(&h.members[3], copies[0].id, "200 OK");
	WAIT_FOR(&h.w, is_quiet(&h));
	WAIT_FOR(&h.w, h.members[1].concluded == 1 && h.members[3].copies == 1);
	assert_int_equal(h.members[1].concluded_status, 200);
	assert_int_equal(h.members[1].sent, 1);
	assert_int_equal(h.members[3].copy_status, 200);
	answer(&h.members[3], copies[0].id, "200 OK"); /* once more: to nothing */
	WAIT_FOR(&h.w, COUNTED(&h.w, msrp_stray_responses) == 1);
	assert_int_equal(COUNTED(&h.w, msrp_room_copies), 3);
	assert_int_equal(COUNTED(&h.w, msrp_chunks), 1);
	end(&h);
}

/* A SEND of nothing is answered and goes no further; without Failure-Report: yes nobody is answered. */
static void who_is_answered(void **state)
{
	struct hall h;
	struct chunk chunk;

	begin(&h, 2);
	client_send(h.members[0].client, HEAD("noth1234", "SEND") "Message-ID: n1\r\n-------noth1234$\r\n", PATHS(h.members[0].side));
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "noth1234", "200 OK");
	send_text(&h.members[0], "Message-ID: m1\r\nFailure-Report: no\r\n", "one");
	expect_text(&h, &h.members[1], "Message-ID: m1\r\nFailure-Report: no\r\n", "one", &chunk);
	send_text(&h.members[0], "Message-ID: m2\r\nFailure-Report: partial\r\n", "two");
	expect_text(&h, &h.members[1], "Message-ID: m2\r\nFailure-Report: partial\r\n", "two", &chunk);
	answer(&h.members[1], chunk.id, "200 OK");
	expect_nothing(&h.w, h.members[0].client);
	WAIT_FOR(&h.w, is_quiet(&h));
	end(&h);
}

/* Nobody is there: it was sent to all all the same. */
static void alone(void **state)
{
	struct hall h;

	begin(&h, 1);
	send_text(&h.members[0], "Message-ID: m1\r\n", "hello");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	WAIT_FOR(&h.w, h.members[0].concluded == 1);
	assert_true(is_quiet(&h));
	end(&h);
}

static void refused_heads(void **state)
{
	static const struct {
		const char *head, *status;
	} cases[] = {
		{ "SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\n", "400 Bad Request" }, /* no Message-ID */
		{ "SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: c1\r\nByte-Range: 5-9/9\r\nContent-Type: a/b\r\n", "400 Bad Request" },
		{ "SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: c1\r\nByte-Range: 1-*/3001\r\nContent-Type: a/b\r\n", "413 Stop Sending" },
		{ "WHAT\r\nTo-Path: %s\r\nFrom-Path: %s\r\n", "501 Not Implemented" },
		{ "AUTH\r\nTo-Path: %s\r\nFrom-Path: %s\r\n", "501 Not Implemented" },
	};
	struct hall h;

	begin(&h, 2);
	h.members[0].side->leg->max_octets = 3000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		client_send(h.members[0].client, "MSRP bad%zu23 ", i);
		client_send(h.members[0].client, cases[i].head, PATHS(h.members[0].side));
		client_send(h.members[0].client, "-------bad%zu23$\r\n", i);
		expect(&h.w, h.members[0].client, cases[i].status);
		expect(&h.w, h.members[0].client, "$\r\n");
	}
	expect_nothing(&h.w, h.members[1].client);
	assert_int_equal(COUNTED(&h.w, msrp_room_copies), 0);
	end(&h);
}

/* The owner's word; directions. */
static void who_may_not(void **state)
{
	struct hall h;
	struct chunk chunk;

	begin(&h, 3);
	h.refuse = 415;
	send_text(&h.members[0], "Message-ID: m1\r\n", "no");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "415 Unsupported Media Type");
	h.refuse = 0;
	msrp_room_set(h.room, h.members[0].side->leg, false, true);
	msrp_room_set(h.room, h.members[2].side->leg, true, false);
	send_text(&h.members[0], "Message-ID: m2\r\n", "no");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "403 Forbidden");
	send_text(&h.members[1], "Message-ID: m3\r\n", "yes");
	expect_text(&h, &h.members[0], "Message-ID: m3\r\n", "yes", &chunk);
	answer(&h.members[0], chunk.id, "200 OK");
	expect_nothing(&h.w, h.members[2].client);
	end(&h);
}

static void private_messages(void **state)
{
	struct hall h;
	struct chunk chunk;

	begin(&h, 4);
	h.only = &h.members[2];
	send_text(&h.members[0], "Message-ID: m1\r\n", "psst");
	expect_text(&h, &h.members[2], "Message-ID: m1\r\n", "psst", &chunk);
	answer(&h.members[2], chunk.id, "200 OK");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	expect_nothing(&h.w, h.members[1].client);
	expect_nothing(&h.w, h.members[3].client);
	h.only = &h.members[0]; /* to himself: to nobody */
	send_text(&h.members[0], "Message-ID: m2\r\n", "me");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	expect_nothing(&h.w, h.members[0].client);
	end(&h);
}

static void nicknames(void **state)
{
	static const struct {
		const char *line, *nickname, *answer;
		unsigned status;
	} cases[] = {
		{ "Use-Nickname: \"Alice the great\"\r\n", "Alice the great", "200 OK", 200 },
		{ "Use-Nickname: \"\"\r\n", "", "200 OK", 200 },
		{ "Use-Nickname: \"Bob\"\r\n", "Bob", "425 Nickname Reserved or Already in Use", 425 },
		{ "Use-Nickname: Bob\r\n", "", "424 Malformed Nickname", 200 },
		{ "", "", "424 Malformed Nickname", 200 },
	};
	struct hall h;

	begin(&h, 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h.nickname[0] = 0;
		h.nickname_status = cases[i].status;
		client_send(h.members[0].client, HEAD("nick1234", "NICKNAME") "%s-------nick1234$\r\n", PATHS(h.members[0].side), cases[i].line);
		expect_answer(&h.w, h.members[0].client, h.members[0].side, "nick1234", cases[i].answer);
		assert_string_equal(h.nickname, cases[i].nickname);
	}
	assert_int_equal(world_refused(&h.w, REASON_MSRP_NICKNAME), 3);
	expect_nothing(&h.w, h.members[1].client);
	end(&h);
}

/* ---- content of a message/cpim ---- */

#define BLOCK "To: <sip:room@x>\r\nFrom: Alice <sip:alice@example.com>\r\nDateTime: 2026-01-01T00:00:00Z\r\n\r\n"
#define ANONYMOUS_BLOCK "To: <sip:room@x>\r\nFrom: <sip:anonymous1@anonymous.invalid>\r\nDateTime: 2026-01-01T00:00:00Z\r\n\r\n"
#define INNER "Content-Type: text/plain\r\n\r\n"

static void send_cpim(struct member *from, const char *range, const char *p, size_t n, char flag)
{
	client_send(from->client, HEAD("cpim1234", "SEND") "Message-ID: c1\r\nByte-Range: %s\r\nContent-Type: Message/CPIM\r\n\r\n",
		PATHS(from->side), range);
	client_send_n(from->client, p, n);
	if (flag)
		client_send(from->client, "\r\n-------cpim1234%c\r\n", flag);
}

/* However it comes: whole, in chunks, streamed, cut anywhere; the ranges fit what goes out. */
static void an_anonymous_sender(void **state)
{
	static const char text[] = BLOCK INNER "hello", hidden[] = ANONYMOUS_BLOCK INNER "hello";
	size_t n = sizeof(text) - 1, m = sizeof(hidden) - 1, block = sizeof(BLOCK) - 1, shown = sizeof(ANONYMOUS_BLOCK) - 1;
	char range[64], want[64], got[4096], flag;
	struct hall h;
	size_t got_n;

	begin(&h, 3);
	h.cpim_from = "<sip:anonymous1@anonymous.invalid>";
	snprintf(range, sizeof(range), "1-%zu/%zu", n, n);
	snprintf(want, sizeof(want), "1-%zu/%zu", m, m);
	send_cpim(&h.members[0], range, text, n, '$');
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "cpim1234", "200 OK");
	for (unsigned i = 1; i < 3; i++)
		expect_whole(&h, &h.members[i], want, hidden, m, '$');
	assert_true(h.has_cpim_head);
	assert_string_equal(h.content, text);
	snprintf(range, sizeof(range), "1-%zu/%zu", block + 3, n);
	send_cpim(&h.members[0], range, text, block + 3, '+');
	snprintf(range, sizeof(range), "%zu-%zu/%zu", block + 4, n, n);
	send_cpim(&h.members[0], range, text + block + 3, n - block - 3, '$');
	for (unsigned i = 1; i < 3; i++) {
		snprintf(want, sizeof(want), "1-%zu/%zu", shown + 3, m);
		expect_whole(&h, &h.members[i], want, hidden, shown + 3, '+');
		snprintf(want, sizeof(want), "%zu-%zu/%zu", shown + 4, m, m);
		expect_whole(&h, &h.members[i], want, hidden + shown + 3, m - shown - 3, '$');
	}
	for (size_t cut = 1; cut < n; cut += 7) {
		h.cpim_from = cut % 2 ? "<sip:anonymous1@anonymous.invalid>" : "sip:anonymous1@anonymous.invalid";
		send_cpim(&h.members[0], "1-*/*", text, cut, 0);
		world_run_ms(&h.w, 1);
		client_send(h.members[0].client, "%s\r\n-------cpim1234$\r\n", text + cut);
		for (unsigned i = 1; i < 3; i++) {
			collect(&h, &h.members[i], got, sizeof(got), &got_n, &flag);
			assert_int_equal(got_n, m);
			assert_memory_equal(got, hidden, m);
			assert_int_equal(flag, '$');
		}
	}
	WAIT_FOR(&h.w, is_quiet(&h));
	end(&h);
}

/* What hides who sends is not guessed at. */
static void a_head_that_is_not_whole(void **state)
{
	struct hall h;
	char *much = make_content(3000);

	for (size_t i = 0; i < 3000; i++)
		much[i] = 'x';
	begin(&h, 2);
	send_cpim(&h.members[0], "1-4/*", "To: ", 4, '+');
	expect_whole(&h, &h.members[1], "1-4/*", "To: ", 4, '+');
	assert_false(h.has_cpim_head);
	send_cpim(&h.members[0], "5-5/*", "x", 1, '#');
	expect_whole(&h, &h.members[1], "5-5/*", "x", 1, '#');
	h.cpim_from = "<sip:anonymous1@anonymous.invalid>";
	h.members[0].client->seen = h.members[0].client->n;
	send_cpim(&h.members[0], "1-4/*", "To: ", 4, '+');
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "cpim1234", "400 Bad Request");
	send_cpim(&h.members[0], "1-*/*", much, 3000, '$');
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "cpim1234", "400 Bad Request");
	expect_nothing(&h.w, h.members[1].client);
	assert_int_equal(strlen(h.content), 3000);
	free(much);
	end(&h);
}

/* ---- chunks that go on as they come ---- */

static void a_long_chunk(void **state)
{
	struct hall h;
	char *content = make_content(KB(100)), *got = malloc(KB(100)), flag;
	size_t n;

	begin(&h, 3);
	send_part(&h.members[0], "long1234", "long", "1-102400/102400", content, 3000, 0);
	for (unsigned i = 1; i < 3; i++) { /* what came is there before the rest is */
		WAIT_FOR(&h.w, h.members[i].client->n - h.members[i].client->seen >= 3000);
		assert_non_null(client_has(h.members[i].client, "Byte-Range: 1-*/102400\r\n"));
	}
	client_send_n(h.members[0].client, content + 3000, KB(100) - 3000);
	client_send(h.members[0].client, "\r\n-------long1234$\r\n");
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "long1234", "200 OK");
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(collect(&h, &h.members[i], got, KB(100), &n, &flag), 1);
		assert_int_equal(n, KB(100));
		assert_memory_equal(got, content, n);
		assert_int_equal(flag, '$');
	}
	WAIT_FOR(&h.w, is_quiet(&h));
	free(content);
	free(got);
	end(&h);
}

/* Something else goes to one of them meanwhile: all go on under another name. */
static void interrupted(void **state)
{
	struct hall h;
	char *content = make_content(9000), id[64];
	struct chunk chunk;

	begin(&h, 3);
	send_part(&h.members[0], "long1234", "long", "1-9000/9000", content, 3000, 0);
	for (unsigned i = 1; i < 3; i++)
		WAIT_FOR(&h.w, h.members[i].client->n - h.members[i].client->seen >= 3000);
	send_text(&h.members[1], "Message-ID: short\r\n", "between");
	expect_text(&h, &h.members[0], "Message-ID: short\r\n", "between", &chunk);
	WAIT_FOR(&h.w, client_has(h.members[1].client, "200 OK") && client_has(h.members[2].client, "between"));
	client_send_n(h.members[0].client, content + 3000, 6000);
	client_send(h.members[0].client, "\r\n-------long1234$\r\n");
	for (unsigned i = 1; i < 3; i++) {
		expect_chunk(&h.w, h.members[i].client, "SEND", &chunk);
		assert_string_equal(chunk.range, "1-*/9000");
		assert_int_equal(chunk.flag, '+');
		assert_int_equal(chunk.n, 3000);
		answer(&h.members[i], chunk.id, "200 OK");
		snprintf(id, sizeof(id), "%s", chunk.id);
		expect_chunk(&h.w, h.members[i].client, i == 1 ? "200 OK" : "SEND", &chunk);
		expect_chunk(&h.w, h.members[i].client, "SEND", &chunk);
		assert_string_equal(chunk.range, "3001-*/9000");
		assert_string_not_equal(chunk.id, id);
		assert_int_equal(chunk.n, 6000);
		assert_memory_equal(chunk.body, content + 3000, 6000);
		assert_int_equal(chunk.flag, '$');
		answer(&h.members[i], chunk.id, "200 OK");
	}
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "long1234", "200 OK");
	free(content);
	end(&h);
}

/* The same right before its end: only the flag is left to be said, under another name to whom it was interrupted. */
static void interrupted_before_its_end(void **state)
{
	struct hall h;
	char *content = make_content(3000);
	struct chunk chunk;

	begin(&h, 4);
	send_part(&h.members[0], "long1234", "long", "1-*/3000", content, 3000, 0);
	for (unsigned i = 1; i < 4; i++)
		WAIT_FOR(&h.w, h.members[i].client->n - h.members[i].client->seen >= 3000);
	h.only = &h.members[2];
	send_text(&h.members[1], "Message-ID: short\r\n", "between");
	WAIT_FOR(&h.w, client_has(h.members[1].client, "200 OK") && client_has(h.members[2].client, "between"));
	client_send(h.members[0].client, "\r\n-------long1234$\r\n");
	expect_whole(&h, &h.members[3], "1-*/3000", content, 3000, '$');
	for (unsigned i = 1; i < 3; i++) {
		expect_whole(&h, &h.members[i], "1-*/3000", content, 3000, '+');
		expect_chunk(&h.w, h.members[i].client, i == 1 ? "200 OK" : "SEND", &chunk);
		expect_whole(&h, &h.members[i], "3001-*/3000", "", 0, '$');
	}
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "long1234", "200 OK");
	free(content);
	end(&h);
}

/* Two senders at once, in pieces: each message arrives whole and in order at all others. */
static void two_senders(void **state)
{
	struct hall h;
	char *content = make_content(KB(20)), *got[2] = { calloc(1, KB(20)), calloc(1, KB(20)) };
	size_t n[2] = { 0 };
	struct chunk chunk;

	begin(&h, 3);
	for (unsigned i = 0; i < 2; i++)
		send_part(&h.members[i], i ? "long1235" : "long1234", i ? "b" : "a", "1-*/20480", content, 2500, 0);
	for (size_t at = 2500; at < KB(20); at += 1990) {
		for (unsigned i = 0; i < 2; i++) {
			client_send_n(h.members[i].client, content + at, KB(20) - at < 1990 ? KB(20) - at : 1990);
			world_lap(&h.w);
		}
	}
	for (unsigned i = 0; i < 2; i++)
		client_send(h.members[i].client, "\r\n-------long123%c$\r\n", i ? '5' : '4');
	for (unsigned ends = 0; ends < 2; ends += chunk.flag == '$') {
		expect_chunk(&h.w, h.members[2].client, "SEND", &chunk);
		unsigned of = strstr(chunk.head, "Message-ID: b\r\n") != NULL;
		assert_int_equal(chunk.start, n[of] + 1);
		memcpy(got[of] + n[of], chunk.body, chunk.n);
		n[of] += chunk.n;
		answer(&h.members[2], chunk.id, "200 OK");
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(n[i], KB(20));
		assert_memory_equal(got[i], content, KB(20));
		free(got[i]);
	}
	free(content);
	end(&h);
}

/* Its sender begins again in the middle: what they have is given up, and all get the other one. */
static void from_the_beginning(void **state)
{
	struct hall h;

	begin(&h, 2);
	send_part(&h.members[0], "part1234", "m1", "1-3/6", "abc", 3, '+');
	expect_whole(&h, &h.members[1], "1-3/6", "abc", 3, '+');
	send_part(&h.members[0], "part1235", "m1", "1-6/6", "ABCDEF", 6, '$');
	expect(&h.w, h.members[1].client, "Byte-Range: 4-*/6\r\n");
	expect(&h.w, h.members[1].client, "#\r\n");
	expect_whole(&h, &h.members[1], "1-6/6", "ABCDEF", 6, '$');
	/* an empty last chunk without a range is not that */
	send_part(&h.members[0], "part1236", "m2", "1-3/*", "abc", 3, '+');
	expect_whole(&h, &h.members[1], "1-3/*", "abc", 3, '+');
	client_send(h.members[0].client, HEAD("part1237", "SEND") "Message-ID: m2\r\n-------part1237$\r\n", PATHS(h.members[0].side));
	expect_whole(&h, &h.members[1], "", "", 0, '$');
	end(&h);
}

/* ---- who comes and goes ---- */

static void who_comes_late(void **state)
{
	struct hall h;
	struct member *late;

	begin(&h, 2);
	send_part(&h.members[0], "part1234", "m1", "1-3/6", "abc", 3, '+');
	expect_whole(&h, &h.members[1], "1-3/6", "abc", 3, '+');
	late = open_member(&h);
	bind_member(&h, late);
	send_part(&h.members[0], "part1235", "m1", "4-6/6", "def", 3, '$');
	expect_whole(&h, &h.members[1], "4-6/6", "def", 3, '$');
	send_part(&h.members[0], "part1236", "m2", "1-3/3", "ghi", 3, '$');
	expect_whole(&h, &h.members[1], "1-3/3", "ghi", 3, '$');
	expect_whole(&h, late, "1-3/3", "ghi", 3, '$');
	expect_nothing(&h.w, late->client);
	end(&h);
}

/* What is sent before he is bound waits for him, and what is under way goes on. */
static void who_is_not_bound_yet(void **state)
{
	struct hall h;
	struct member *late;
	char *content = make_content(9000), got[9000], flag;
	size_t n;

	begin(&h, 2);
	late = open_member(&h);
	send_part(&h.members[0], "part1234", "m1", "1-3/3", "abc", 3, '$');
	send_part(&h.members[0], "part1235", "m2", "1-*/9000", content, 5000, 0);
	expect_whole(&h, &h.members[1], "1-3/3", "abc", 3, '$');
	WAIT_FOR(&h.w, h.members[1].client->n - h.members[1].client->seen > 5000);
	late->client = client_open(&h.w, 0);
	client_send(late->client, HEAD("bind1234", "SEND") "Message-ID: bind\r\n-------bind1234$\r\n", PATHS(late->side));
	expect(&h.w, late->client, "MSRP ");
	late->client->seen -= 5;
	expect_whole(&h, late, "1-3/3", "abc", 3, '$');
	WAIT_FOR(&h.w, client_has(late->client, "200 OK"));
	client_send_n(h.members[0].client, content + 5000, 4000);
	client_send(h.members[0].client, "\r\n-------part1235$\r\n");
	struct chunk chunk;
	expect_chunk(&h.w, late->client, "SEND", &chunk); /* interrupted by the answer to his own */
	assert_int_equal(chunk.flag, '+');
	assert_int_equal(chunk.n, 5000);
	assert_memory_equal(chunk.body, content, 5000);
	expect(&h.w, late->client, "200 OK");
	expect(&h.w, late->client, "$\r\n");
	expect_chunk(&h.w, late->client, "SEND", &chunk);
	assert_int_equal(chunk.start, 5001);
	assert_memory_equal(chunk.body, content + 5000, 4000);
	assert_int_equal(chunk.flag, '$');
	collect(&h, &h.members[1], got, sizeof(got), &n, &flag);
	assert_int_equal(n, 9000);
	free(content);
	end(&h);
}

/* Something between us put another host into his SDP (RFC 6714): what waited goes to who he says he is. */
static void who_has_another_name(void **state)
{
	char *content = make_content(4000);
	struct member *late;
	struct chunk chunk;
	struct hall h;

	begin(&h, 2);
	late = open_member(&h);
	struct msrp_peer peer = { .path = SLICE("msrp://middle.example:1/cema;tcp"), .has_cema = true };
	assert_int_equal(msrp_leg_set_peer(late->side->leg, &peer), 0);
	send_text(&h.members[0], "Message-ID: m1\r\n", "To-Path: msrp://middle.example:1/cema;tcp\r\n\r\n");
	send_part(&h.members[0], "part1234", "m2", "1-*/4000", content, 3000, 0);
	WAIT_FOR(&h.w, h.members[1].client->n - h.members[1].client->seen > 3000);
	snprintf(late->side->path, sizeof(late->side->path), "msrp://real.example:2/cema;tcp");
	late->client = client_open(&h.w, 0);
	client_send(late->client, HEAD("bind1234", "SEND") "Message-ID: bind\r\n-------bind1234$\r\n", PATHS(late->side));
	expect_text(&h, late, "Message-ID: m1\r\n", "To-Path: msrp://middle.example:1/cema;tcp\r\n\r\n", &chunk);
	expect_chunk(&h.w, late->client, "SEND", &chunk);
	assert_non_null(strstr(chunk.head, "To-Path: msrp://real.example:2/cema;tcp\r\n"));
	assert_int_equal(chunk.n, 3000);
	assert_memory_equal(chunk.body, content, 3000);
	free(content);
	end(&h);
}

/* As much as his bound permits. */
static void too_much_for_who_is_not_bound(void **state)
{
	struct hall h;
	struct member *late;
	char *content = make_content(KB(256));

	begin(&h, 2);
	late = open_member(&h);
	send_part(&h.members[0], "part1234", "m1", "1-*/*", content, KB(256), '$');
	WAIT_FOR(&h.w, late->dropped == 1);
	assert_int_equal(late->why, REASON_QUEUE_FULL);
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "part1234", "200 OK");
	assert_int_equal(h.members[1].dropped, 0);
	free(content);
	end(&h);
}

static void who_leaves(void **state)
{
	struct hall h;
	char *content = make_content(5000);

	begin(&h, 4);
	/* in the middle of his chunk, and of a message between two */
	send_part(&h.members[0], "part1234", "m1", "1-*/9000", content, 5000, 0);
	send_part(&h.members[1], "part1235", "m2", "1-3/9", "abc", 3, '+');
	for (unsigned i = 2; i < 4; i++)
		expect(&h.w, h.members[i].client, "Byte-Range: 1-3/9");
	client_close(h.members[0].client);
	WAIT_FOR(&h.w, h.members[0].dropped == 1);
	msrp_room_remove(h.room, h.members[1].side->leg);
	for (unsigned i = 2; i < 4; i++) {
		expect(&h.w, h.members[i].client, "Message-ID: m2\r\nByte-Range: 4-*/9\r\n-------");
		expect(&h.w, h.members[i].client, "#\r\n");
	}
	assert_int_equal(msrp_room_count(h.room), 2);
	side_close(h.members[1].side);
	assert_int_equal(h.members[1].dropped, 0);
	free(content);
	end(&h);
}

/* A room is closed in the middle of all that. */
static void closed(void **state)
{
	struct hall h;
	char *content = make_content(5000);

	begin(&h, 3);
	send_part(&h.members[0], "part1234", "m1", "1-*/9000", content, 5000, 0);
	send_text(&h.members[1], "Message-ID: m2\r\nSuccess-Report: yes\r\n", "hello");
	expect(&h.w, h.members[2].client, "hello");
	msrp_room_close(h.room);
	expect(&h.w, h.members[1].client, "#\r\n");
	send_text(&h.members[1], "Message-ID: m3\r\n", "nobody is there");
	assert_int_equal(msrp_room_open(&h.room, &h.w.workers[0], &(struct msrp_room_options){ .members_max = MEMBERS_MAX }, &room_events, &h), 0);
	world_run_ms(&h.w, 5);
	for (unsigned i = 1; i < 3; i++) /* of another room: what waited goes there */
		assert_int_equal(msrp_room_add(h.room, h.members[i].side->leg,
					 &(struct msrp_room_member){ .sends = true, .receives = true, .arg = &h.members[i] }), 0);
	expect(&h.w, h.members[2].client, "nobody is there");
	free(content);
	end(&h);
}

static void no_room_for_more(void **state)
{
	struct hall h;

	begin(&h, 0);
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		open_member(&h);
	struct side *one_more = side_open(&h.w, 0, "msrp://m.example:7654/s;tcp");
	assert_int_equal(msrp_room_add(h.room, one_more->leg, &(struct msrp_room_member){ .sends = true }), ENOSPC);
	msrp_room_remove(h.room, h.members[3].side->leg);
	assert_int_equal(msrp_room_add(h.room, one_more->leg, &(struct msrp_room_member){ .sends = true, .arg = &h.members[3] }), 0);
	msrp_room_remove(h.room, one_more->leg);
	end(&h);
}

/* Two members on one connection (a relay, or the same client twice), also in the middle of a long chunk. */
static void on_one_connection(void **state)
{
	struct hall h;
	char *content = make_content(KB(30)), *got[2] = { calloc(1, KB(30)), calloc(1, KB(30)) };
	struct member *twin;
	struct chunk chunk;
	size_t n[2] = { 0 };

	begin(&h, 2);
	twin = open_member(&h);
	twin->client = h.members[1].client;
	bind_side(&h.w, twin->client, twin->side);
	send_text(&h.members[0], "Message-ID: m1\r\n", "both");
	for (unsigned i = 0; i < 2; i++) {
		expect_chunk(&h.w, twin->client, "SEND", &chunk);
		struct member *to = strstr(chunk.head, twin->side->path) ? twin : &h.members[1];
		answer(to, chunk.id, "200 OK");
	}
	expect_answer(&h.w, h.members[0].client, h.members[0].side, "text1234", "200 OK");
	WAIT_FOR(&h.w, is_quiet(&h));
	send_part(&h.members[0], "long1234", "m2", "1-*/30720", content, KB(30), '$');
	for (unsigned ends = 0; ends < 2; ends += chunk.flag == '$') {
		expect_chunk(&h.w, twin->client, "SEND", &chunk);
		unsigned of = strstr(chunk.head, twin->side->path) != NULL;
		assert_int_equal(chunk.start, n[of] + 1);
		memcpy(got[of] + n[of], chunk.body, chunk.n);
		n[of] += chunk.n;
		answer(of ? twin : &h.members[1], chunk.id, "200 OK");
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(n[i], KB(30));
		assert_memory_equal(got[i], content, KB(30));
		free(got[i]);
	}
	/* from one of them to the other */
	send_text(twin, "Message-ID: m3\r\n", "to myself");
	expect(&h.w, twin->client, "to myself");
	expect(&h.w, h.members[0].client, "to myself");
	free(content);
	end(&h);
}

/* The connection of a member stays at the worker that has it. */
static void on_another_worker(void **state)
{
	struct hall h;
	char *content = make_content(KB(30)), *got = calloc(1, KB(30)), flag;
	struct side *elsewhere;
	struct member *far;
	size_t n;

	prepare(&h, 2);
	start(&h, 2);
	elsewhere = side_open(&h.w, 1, "msrp://m.example:7654/there;tcp");
	far = open_member(&h);
	far->client = client_open(&h.w, 1);
	bind_side(&h.w, far->client, elsewhere);
	bind_side(&h.w, far->client, far->side);
	send_part(&h.members[0], "long1234", "m1", "1-*/30720", content, KB(30), '$');
	collect(&h, far, got, KB(30), &n, &flag);
	assert_int_equal(n, KB(30));
	assert_memory_equal(got, content, n);
	assert_int_equal(flag, '$');
	send_text(far, "Message-ID: m2\r\n", "from there");
	expect_answer(&h.w, far->client, far->side, "text1234", "200 OK");
	collect(&h, &h.members[1], got, KB(30), &n, &flag);
	expect_whole(&h, &h.members[1], "1-10/10", "from there", 10, '$');
	expect(&h.w, h.members[0].client, "from there");
	client_close(far->client);
	WAIT_FOR(&h.w, far->dropped == 1);
	free(content);
	free(got);
	end(&h);
}

/* ---- running ---- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_all_others),
		cmocka_unit_test(who_is_answered),
		cmocka_unit_test(alone),
		cmocka_unit_test(refused_heads),
		cmocka_unit_test(who_may_not),
		cmocka_unit_test(private_messages),
		cmocka_unit_test(nicknames),
		cmocka_unit_test(an_anonymous_sender),
		cmocka_unit_test(a_head_that_is_not_whole),
		cmocka_unit_test(a_long_chunk),
		cmocka_unit_test(interrupted),
		cmocka_unit_test(interrupted_before_its_end),
		cmocka_unit_test(two_senders),
		cmocka_unit_test(from_the_beginning),
		cmocka_unit_test(who_comes_late),
		cmocka_unit_test(who_is_not_bound_yet),
		cmocka_unit_test(who_has_another_name),
		cmocka_unit_test(too_much_for_who_is_not_bound),
		cmocka_unit_test(who_leaves),
		cmocka_unit_test(closed),
		cmocka_unit_test(no_room_for_more),
		cmocka_unit_test(on_one_connection),
		cmocka_unit_test(on_another_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
