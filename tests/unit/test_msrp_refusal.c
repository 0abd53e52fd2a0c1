/*
 * What the switch refuses by itself for the far side (msrp/refusal.c, msrp/content.c, msrp/message.c): types that
 * are not taken, 415, and messages that are too large, 413 (RFC 4975 8.6, 10.5, 10.6; design.md 5).
 */
#include "tests/unit/msrp_world.h"

#define ALICE "msrp://alice.example:7654/a1;tcp"
#define BOB   "msrp://bob.example:4567/b2;tcp"

struct session {
	struct world w;
	struct side *a, *b;
	struct client *alice, *bob;
};

/* What the leg's peer says that he takes; NULL: nothing. */
static void set_accept(struct side *side, const char *types, const char *wrapped, uint64_t max_octets)
{
	struct msrp_peer peer = { .path = slice_str(side->path) };

	msrp_accept_set(&peer.accept, slice_str(types), slice_str(wrapped));
	peer.accept.max_octets = max_octets;
	assert_int_equal(msrp_leg_set_peer(side->leg, &peer), 0);
}

static void begin(struct session *s)
{
	world_init(&s->w, 1);
	world_start(&s->w);
	s->a = side_open(&s->w, 0, ALICE);
	s->b = side_open(&s->w, 0, BOB);
	msrp_leg_pair(s->a->leg, s->b->leg);
	s->alice = client_open(&s->w, 0);
	s->bob = client_open(&s->w, 0);
	bind_side(&s->w, s->alice, s->a);
	bind_side(&s->w, s->bob, s->b);
	WAIT_FOR(&s->w, s->a->bound == 1 && s->b->bound == 1);
}

static void answer(struct client *client, struct side *side, const char *id, const char *status)
{
	client_send(client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id,
		status, side->uri, side->path, id);
}

/* A chunk of Alice: its type and body may be empty. */
static void send_chunk(struct session *s, const char *id, const char *message, const char *range, const char *type,
	const char *body, char flag)
{
	client_send(s->alice, HEAD("%s", "SEND") "Message-ID: %s\r\nByte-Range: %s\r\n%s%s%s\r\n%s\r\n-------%s%c\r\n", id,
		PATHS(s->a), message, range, *type ? "Content-Type: " : "", type, *type ? "\r\n" : "", body, id, flag);
}

static void expect_through(struct session *s, const char *id)
{
	struct chunk chunk;

	expect_chunk(&s->w, s->bob, "SEND", &chunk);
	answer(s->bob, s->b, chunk.id, "200 OK");
	expect_answer(&s->w, s->alice, s->a, id, "200 OK");
}

static void expect_refused(struct session *s, const char *id, const char *status)
{
	expect_answer(&s->w, s->alice, s->a, id, status);
	expect_nothing(&s->w, s->bob);
}

static const struct {
	const char *accept, *type;
	bool is_taken;
} types[] = {
	{ NULL, "any/thing", true },
	{ "*", "any/thing", true },
	{ "text/plain *", "any/thing", true },
	{ "text/plain", "text/plain", true },
	{ "text/plain", "TEXT/PLAIN", true },
	{ "text/plain", "text/plain;charset=UTF-8", true },
	{ "text/plain", "text/html", false },
	{ "text/plain", "text/plainer", false },
	{ "text/* image/png", "text/html", true },
	{ "text/* image/png", "image/png; name=\"a\"", true },
	{ "text/* image/png", "image/jpeg", false },
	{ "text/plain Application/IM-isComposing+xml", "application/im-iscomposing+xml", true },
	{ "text/plain", "application/im-iscomposing+xml", false },
};

static const struct {
	const char *type;
	bool is_taken;
} in_a_row[] = { { "text/plain", true }, { "text/plainer", false }, { "text/plain;x=y", true }, { "text/plain ;x=y", true },
	{ "text/plai", false }, { "image/png", true }, { "image/*", true }, { "image", false }, { "text/plain", true } };

static void content_types(void **state)
{
	struct session s;
	unsigned refused = 0;

	begin(&s);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		set_accept(s.b, types[i].accept, NULL, 0);
		for (unsigned again = 0; again < 2; again++) { /* what was accepted is known the second time */
			send_chunk(&s, "type1234", "m", "1-2/2", types[i].type, "hi", '$');
			if (types[i].is_taken)
				expect_through(&s, "type1234");
			else
				expect_refused(&s, "type1234", "415 Unsupported Media Type");
			refused += !types[i].is_taken;
		}
	}
	assert_int_equal(world_refused(&s.w, REASON_MSRP_CONTENT_TYPE), refused);
	/* one after the other, each like the one before but for its end */
	set_accept(s.b, "text/plain image/*", NULL, 0);
	for (size_t i = 0; i < sizeof(in_a_row) / sizeof(in_a_row[0]); i++) {
		send_chunk(&s, "row12345", "m", "1-2/2", in_a_row[i].type, "hi", '$');
		if (in_a_row[i].is_taken)
			expect_through(&s, "row12345");
		else
			expect_refused(&s, "row12345", "415 Unsupported Media Type");
	}
	/* what Alice takes is not asked about what she sends */
	set_accept(s.b, NULL, NULL, 0);
	set_accept(s.a, "text/plain", NULL, 0);
	send_chunk(&s, "free1234", "m", "1-2/2", "image/png", "hi", '$');
	expect_through(&s, "free1234");
	client_send(s.bob, HEAD("back1234", "SEND") "Message-ID: b\r\nByte-Range: 1-2/2\r\nContent-Type: image/png\r\n\r\n"
		"hi\r\n-------back1234$\r\n", PATHS(s.b));
	expect_answer(&s.w, s.bob, s.b, "back1234", "415 Unsupported Media Type");
	expect_nothing(&s.w, s.alice);
	world_end(&s.w);
}

/* RFC 4975 7.2: the wish decides whether the sender hears of it; nothing goes on in any case. */
static void who_hears_of_a_refusal(void **state)
{
	static const struct {
		const char *wish;
		bool is_told;
	} wishes[] = { { "", true }, { "Failure-Report: yes\r\n", true }, { "Failure-Report: partial\r\n", true },
		{ "Failure-Report: no\r\n", false } };
	struct session s;

	begin(&s);
	set_accept(s.b, "text/plain", NULL, 2000);
	for (unsigned size = 0; size < 3; size++) {
		const char *type = size ? "text/plain" : "a/b", *status = size ? "413 Stop Sending" : "415 Unsupported Media Type";
		for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
			/* by its type; by what is announced; by growing, which the far side is told */
			client_send(s.alice, HEAD("wish1234", "SEND") "Message-ID: m%u%zu\r\n%sByte-Range: %s\r\n"
				"Content-Type: %s\r\n\r\n%0*u\r\n-------wish1234$\r\n", PATHS(s.a), size, i, wishes[i].wish,
				size == 1 ? "1-*/2001" : "1-*/*", type, size == 2 ? 2001 : 10, 7);
			if (wishes[i].is_told)
				expect_answer(&s.w, s.alice, s.a, "wish1234", status);
			expect_nothing(&s.w, s.alice);
			if (s.bob->n > s.bob->seen) { /* as much as came in one piece */
				struct chunk chunk;
				assert_int_equal(size, 2);
				expect_chunk(&s.w, s.bob, "SEND", &chunk);
				assert_int_equal(chunk.flag, '#');
			}
			expect_nothing(&s.w, s.bob);
		}
	}
	assert_int_equal(world_refused(&s.w, REASON_MSRP_CONTENT_TYPE), 4);
	assert_int_equal(world_refused(&s.w, REASON_MSRP_TOO_LARGE), 8);
	assert_int_equal(pool_used(&msrp_endpoint_of(&s.w.workers[0])->transactions), 0);
	send_chunk(&s, "then1234", "m", "1-2000/2000", "text/plain", "hi", '+');
	expect_through(&s, "then1234");
	world_end(&s.w);
}

/* The answer comes at the head; what follows is read and dropped, its end-line ends it. */
static void a_long_chunk_is_refused_at_its_head(void **state)
{
	const size_t size = KB(512);
	char *content = calloc(1, size);
	struct session s;

	begin(&s);
	set_accept(s.b, "text/plain", NULL, 0);
	client_send(s.alice, HEAD("long1234", "SEND") "Message-ID: l\r\nByte-Range: 1-*/*\r\nContent-Type: a/b\r\n\r\n",
		PATHS(s.a));
	expect_answer(&s.w, s.alice, s.a, "long1234", "415 Unsupported Media Type");
	for (unsigned i = 0; i < 4; i++) {
		client_send_n(s.alice, content, size);
		WAIT_FOR(&s.w, s.alice->out_n == 0);
	}
	client_send(s.alice, "\r\n-------long1234#\r\n");
	send_chunk(&s, "then1234", "m", "1-2/2", "text/plain", "hi", '$');
	expect_through(&s, "then1234");
	assert_int_equal(s.a->leg->octets, 2);
	free(content);
	world_end(&s.w);
}

#define CPIM(type) "From: <im:alice@example.com>\r\nTo: <im:bob@example.com>\r\n\r\nContent-Type: " type "\r\n\r\nhello"

static const struct {
	const char *accept, *wrapped, *type, *content;
	bool is_taken;
} wrappers[] = {
	{ "message/cpim", "text/plain", "message/cpim", CPIM("text/plain"), true },
	{ "message/cpim", "text/plain", "Message/CPIM", CPIM("Text/Plain; charset=utf-8"), true },
	{ "message/cpim", "text/plain", "message/cpim", CPIM("text/html"), false },
	{ "message/cpim", "text/*", "message/cpim", CPIM("text/html"), true },
	{ "message/cpim", "*", "message/cpim", CPIM("text/html"), true },
	/* what may be the root may be wrapped, RFC 4975 8.6; who says nothing of it judges himself */
	{ "message/cpim text/html", "text/plain", "message/cpim", CPIM("text/html"), true },
	{ "message/cpim text/html", NULL, "message/cpim", CPIM("image/png"), true },
	{ "*", "text/plain", "message/cpim", CPIM("image/png"), true },
	/* what may be wrapped may not be the root */
	{ "message/cpim", "text/plain", "text/plain", "hello", false },
	{ "text/plain", "text/html", "message/cpim", CPIM("text/plain"), false },
	/* what it does not show, its receiver will see */
	{ "message/cpim", "text/plain", "message/cpim", "From: <im:alice@example.com>\r\n", true },
	{ "message/cpim", "text/plain", "message/cpim", "", true },
	{ "message/cpim", "image/png", "message/cpim", "From: x\r\n\r\nX: y\r\n\r\nhello", false }, /* text/plain */
};

/* Each in one piece, in a chunk that says how long it is, and octet by octet in one that does not. */
static void what_is_wrapped(void **state)
{
	struct session s;
	struct chunk chunk;
	char range[64];

	begin(&s);
	for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++) {
		size_t n = strlen(wrappers[i].content);
		set_accept(s.b, wrappers[i].accept, wrappers[i].wrapped, 0);
		snprintf(range, sizeof(range), "1-%zu/%zu", n, n);
		send_chunk(&s, "wrap1234", "m", range, wrappers[i].type, wrappers[i].content, '$');
		if (wrappers[i].is_taken)
			expect_through(&s, "wrap1234");
		else
			expect_refused(&s, "wrap1234", "415 Unsupported Media Type");
		client_send(s.alice, HEAD("slow1234", "SEND") "Message-ID: s\r\nByte-Range: 1-*/*\r\nContent-Type: %s\r\n\r\n",
			PATHS(s.a), wrappers[i].type);
		for (size_t at = 0; at < n; at++) {
			client_send_n(s.alice, wrappers[i].content + at, 1);
			world_lap(&s.w);
		}
		client_send(s.alice, "\r\n-------slow1234$\r\n");
		if (!wrappers[i].is_taken) {
			expect_refused(&s, "slow1234", "415 Unsupported Media Type");
			continue;
		}
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		CHECK(chunk.n == n && !memcmp(chunk.body, wrappers[i].content, n), "case %zu\n", i);
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_answer(&s.w, s.alice, s.a, "slow1234", "200 OK");
	}
	world_end(&s.w);
}

/* Headers of the wrapper at the place where one stops looking, and one octet beyond. */
static void a_wrapper_with_long_headers(void **state)
{
	struct session s;
	char content[MSRP_SMALL_CHUNK + 100], range[64];

	begin(&s);
	set_accept(s.b, "message/cpim", "text/plain", 0);
	for (int beyond = 0; beyond < 2; beyond++) {
		const char tail[] = "\r\n\r\nContent-Type: a/b\r\n";
		int pad = 2048 - (int)strlen("X: ") - (int)strlen(tail) + beyond;
		for (unsigned is_small = 0; is_small < 2; is_small++) {
			int n = snprintf(content, sizeof(content), "X: %0*u%s", pad, 7, tail);
			snprintf(range, sizeof(range), is_small ? "1-%d/%d" : "1-*/*", n, n);
			send_chunk(&s, "wrap1234", "m", range, "message/cpim", content, '$');
			if (beyond)
				expect_through(&s, "wrap1234");
			else
				expect_refused(&s, "wrap1234", "415 Unsupported Media Type");
		}
	}
	world_end(&s.w);
}

/* Nothing in a later chunk says why its message was refused. */
static void later_chunks_of_a_refused_message(void **state)
{
	struct session s;

	begin(&s);
	set_accept(s.b, "message/cpim text/plain", "text/plain", 5000);
	send_chunk(&s, "first123", "m1", "1-*/*", "message/cpim", CPIM("a/b"), '+');
	expect_refused(&s, "first123", "415 Unsupported Media Type");
	send_chunk(&s, "first124", "m2", "1-5/6000", "text/plain", "hello", '+');
	expect_refused(&s, "first124", "413 Stop Sending");
	for (unsigned i = 0; i < 3; i++) { /* they come for ever: nothing is kept of them */
		send_chunk(&s, "later123", "m1", "100-104/*", "message/cpim", "hello", '+');
		expect_refused(&s, "later123", "415 Unsupported Media Type");
		send_chunk(&s, "later124", "m2", "6-10/*", "text/plain", "hello", '+');
		expect_refused(&s, "later124", "413 Stop Sending");
	}
	assert_int_equal(world_refused(&s.w, REASON_MSRP_REFUSED_BEFORE), 6);
	send_chunk(&s, "other123", "m3", "6-10/*", "text/plain", "hello", '$'); /* of another one */
	expect_through(&s, "other123");
	send_chunk(&s, "again123", "m2", "1-5/10", "text/plain", "hello", '+'); /* it begins again, and is right */
	expect_through(&s, "again123");
	send_chunk(&s, "again124", "m2", "6-10/10", "text/plain", "hello", '$');
	expect_through(&s, "again124");
	world_end(&s.w);
}

/* The table of refused messages at its limit and one more: the oldest is forgotten. */
static void more_refused_messages_than_are_remembered(void **state)
{
	struct session s;
	char id[16];

	begin(&s);
	set_accept(s.b, "text/plain", NULL, 0);
	for (unsigned i = 0; i <= MSRP_REFUSED_MESSAGES; i++) {
		snprintf(id, sizeof(id), "m%u", i);
		send_chunk(&s, "some1234", id, "1-2/4", "a/b", "hi", '+');
		expect_refused(&s, "some1234", "415 Unsupported Media Type");
	}
	for (unsigned i = 0; i <= MSRP_REFUSED_MESSAGES; i++) {
		snprintf(id, sizeof(id), "m%u", i);
		send_chunk(&s, "some1234", id, "3-4/4", "text/plain", "hi", '$');
		if (i == 0)
			expect_through(&s, "some1234");
		else
			expect_refused(&s, "some1234", "415 Unsupported Media Type");
	}
	world_end(&s.w);
}

/* The far side has the beginning of a message that then changes its type, its size, or has no type: '#'. */
static void a_message_that_turns_bad(void **state)
{
	static const struct {
		const char *range, *type, *status;
	} turns[] = { { "3-4/*", "a/b", "415 Unsupported Media Type" }, { "3-4/3001", "text/plain", "413 Stop Sending" },
		{ "3-4/4", "", "400 Bad Request" }, { "3001-3002/*", "text/plain", "413 Stop Sending" } };
	struct session s;
	struct chunk chunk;

	begin(&s);
	set_accept(s.b, "text/plain", NULL, 3000);
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		char id[8];
		snprintf(id, sizeof(id), "t%zu", i);
		send_chunk(&s, "good1234", id, "1-2/*", "text/plain", "hi", '+');
		expect_through(&s, "good1234");
		send_chunk(&s, "turn1234", id, turns[i].range, turns[i].type, "hi", '$');
		expect_answer(&s.w, s.alice, s.a, "turn1234", turns[i].status);
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.flag, '#');
		assert_int_equal(chunk.n, 0);
		assert_int_equal(chunk.start, strtoul(turns[i].range, NULL, 10));
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_nothing(&s.w, s.alice);
		if (strtoul(turns[i].status, NULL, 10) != 400) { /* that is said of one chunk */
			send_chunk(&s, "more1234", id, "5-6/*", "text/plain", "hi", '$');
			expect_refused(&s, "more1234", turns[i].status); /* and no second '#' */
		}
		expect_nothing(&s.w, s.bob);
	}
	assert_int_equal(pool_used(&msrp_endpoint_of(&s.w.workers[0])->transactions), 0);
	world_end(&s.w);
}

/* ... while the far side is away: his leg hears of it when it is back. */
static void a_message_that_turns_bad_while_nobody_is_there(void **state)
{
	struct session s;
	struct chunk chunk;

	begin(&s);
	set_accept(s.b, "text/plain", NULL, 0);
	send_chunk(&s, "good1234", "m", "1-2/*", "text/plain", "hi", '+');
	expect_through(&s, "good1234");
	client_close(s.bob);
	WAIT_FOR(&s.w, s.b->lost == 1);
	send_chunk(&s, "turn1234", "m", "3-4/*", "a/b", "hi", '$');
	send_chunk(&s, "then1234", "n", "1-2/2", "text/plain", "hi", '$');
	expect_nothing(&s.w, s.alice);
	s.bob = client_open(&s.w, 0);
	bind_side(&s.w, s.bob, s.b);
	expect_answer(&s.w, s.alice, s.a, "turn1234", "415 Unsupported Media Type");
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '#');
	expect_through(&s, "then1234");
	world_end(&s.w);
}

/* RFC 4975 7.1: content has a Content-Type; a SEND or REPORT without content needs none, blank line or not. */
static void content_without_a_type(void **state)
{
	struct session s;
	struct chunk chunk;

	begin(&s);
	send_chunk(&s, "none1234", "m", "1-2/2", "", "hi", '$');
	expect_refused(&s, "none1234", "400 Bad Request");
	send_chunk(&s, "none1235", "m", "1-*/*", "", "hi", '$');
	expect_refused(&s, "none1235", "400 Bad Request");
	client_send(s.alice, HEAD("empty123", "SEND") "Message-ID: e\r\nByte-Range: 1-0/0\r\n\r\n\r\n-------empty123$\r\n",
		PATHS(s.a));
	expect_answer(&s.w, s.alice, s.a, "empty123", "200 OK");
	client_send(s.alice, HEAD("report12", "REPORT") "Message-ID: e\r\nByte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n"
		"-------report12$\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "REPORT", &chunk);
	client_send(s.alice, HEAD("report12", "REPORT") "Message-ID: e\r\nByte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n\r\nhi\r\n"
		"-------report12$\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "REPORT", &chunk);
	world_end(&s.w);
}

/* a=max-size of who receives: at it and one octet more; the smaller one of it and ours holds. */
static void what_the_receiver_takes_at_most(void **state)
{
	struct session s;
	struct chunk chunk;

	begin(&s);
	for (unsigned i = 0; i < 3; i++) {
		set_accept(s.b, NULL, NULL, i == 2 ? 20 : 10);
		s.a->leg->max_octets = i == 0 ? 0 : i == 1 ? 20 : 10;
		send_chunk(&s, "size1234", "m1", "1-10/10", "a/b", "0123456789", '$');
		expect_through(&s, "size1234");
		send_chunk(&s, "size1235", "m2", "1-11/11", "a/b", "0123456789a", '$');
		expect_refused(&s, "size1235", "413 Stop Sending");
		send_chunk(&s, "size1238", "m5", "1-11/*", "a/b", "short", '+');
		expect_refused(&s, "size1238", "413 Stop Sending");
		send_chunk(&s, "size1239", "m6", "12-*/*", "a/b", "", '$');
		expect_refused(&s, "size1239", "413 Stop Sending");
		send_chunk(&s, "size1236", "m3", "1-*/*", "a/b", "0123456789a", '$');
		expect_answer(&s.w, s.alice, s.a, "size1236", "413 Stop Sending");
		while (s.bob->n > s.bob->seen) /* as much as came before */
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
		set_accept(s.b, NULL, NULL, 0); /* a re-INVITE that takes it back */
		s.a->leg->max_octets = 0;
		send_chunk(&s, "size1237", "m4", "1-11/11", "a/b", "0123456789a", '$');
		expect_through(&s, "size1237");
	}
	world_end(&s.w);
}

/* Once is an answer; more often, to nothing, late, or from the wrong side it is counted and changes nothing. */
static void responses_that_nobody_waits_for(void **state)
{
	static const char *const ids[] = { "abcd", "aaaaaaaaaaaaaaaaaa", "22222222222222222222222222222222", "baaaa23456723456723" };
	struct session s;
	struct chunk chunk;

	begin(&s);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		answer(s.alice, s.a, ids[i], "200 OK");
		answer(s.bob, s.b, ids[i], "413 Stop");
	}
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_responses) == 8);
	send_chunk(&s, "wait1234", "m", "1-2/2", "a/b", "hi", '$');
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	answer(s.alice, s.a, chunk.id, "200 OK"); /* he is not asked */
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_responses) == 9);
	answer(s.bob, s.b, chunk.id, "100 Trying");
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_responses) == 10);
	expect_nothing(&s.w, s.alice);
	answer(s.bob, s.b, chunk.id, "403 No");
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_answer(&s.w, s.alice, s.a, "wait1234", "403 No");
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_stray_responses) == 11);
	expect_nothing(&s.w, s.alice);
	/* what wants no answer may be answered all the same */
	client_send(s.alice, HEAD("none1234", "SEND") "Message-ID: n\r\nFailure-Report: no\r\nByte-Range: 1-2/2\r\n"
		"Content-Type: a/b\r\n\r\nhi\r\n-------none1234$\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_nothing(&s.w, s.alice);
	assert_int_equal(COUNTED(&s.w, msrp_stray_responses), 11);
	world_end(&s.w);
}

/* Every status that is an error is passed on as it was said, in one chunk and in one that streams. */
static void errors_of_the_far_side(void **state)
{
	static const char *const said[] = { "400 a", "403 b c", "408 d", "413 e", "415", "423 f", "424 g", "425 h", "428 i",
		"481 j", "501 k", "506 l", "300 m", "404 n", "499 o", "500 p", "600 q", "699 r", "999 s" };
	struct session s;
	struct chunk chunk;
	char body[3001];

	begin(&s);
	memset(body, 'x', 3000);
	body[3000] = 0;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		send_chunk(&s, "some1234", "m", "1-2/2", "a/b", "hi", '$');
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		answer(s.bob, s.b, chunk.id, said[i]);
		expect_answer(&s.w, s.alice, s.a, "some1234", strlen(said[i]) == 3 ? "415 Unsupported Media Type" : said[i]);
		send_chunk(&s, "long1234", "l", "1-*/*", "a/b", body, '$');
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		answer(s.bob, s.b, chunk.id, said[i]);
		expect_answer(&s.w, s.alice, s.a, "long1234", strlen(said[i]) == 3 ? "415 Unsupported Media Type" : said[i]);
		while (chunk.flag == '+')
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
	}
	assert_int_equal(pool_used(&msrp_endpoint_of(&s.w.workers[0])->transactions), 0);
	world_end(&s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_types),
		cmocka_unit_test(who_hears_of_a_refusal),
		cmocka_unit_test(a_long_chunk_is_refused_at_its_head),
		cmocka_unit_test(what_is_wrapped),
		cmocka_unit_test(a_wrapper_with_long_headers),
		cmocka_unit_test(later_chunks_of_a_refused_message),
		cmocka_unit_test(more_refused_messages_than_are_remembered),
		cmocka_unit_test(a_message_that_turns_bad),
		cmocka_unit_test(a_message_that_turns_bad_while_nobody_is_there),
		cmocka_unit_test(content_without_a_type),
		cmocka_unit_test(what_the_receiver_takes_at_most),
		cmocka_unit_test(responses_that_nobody_waits_for),
		cmocka_unit_test(errors_of_the_far_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
