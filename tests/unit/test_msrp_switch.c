/*
 * Two clients and the two legs between them (msrp/leg.h, msrp/switch.c and
 * msrp/transaction.c): who gets what, and who answers (design.md 5).
 */
#include "tests/unit/msrp_world.h"

#define ALICE "msrp://alice.example:7654/a1;tcp"
#define BOB   "msrp://relay.example:1/r;tcp msrp://bob.example:4567/b2;tcp"

/* A session on worker 0 with both clients bound. */
struct session {
	struct world w;
	struct side *a, *b;
	struct client *alice, *bob;
};

static void begin(struct session *s)
{
	world_start(&s->w);
	s->a = side_open(&s->w, 0, ALICE);
	s->b = side_open(&s->w, 0, BOB);
	msrp_leg_pair(s->a->leg, s->b->leg);
	s->alice = client_open(&s->w, 0);
	s->bob = client_open(&s->w, 0);
	bind_side(&s->w, s->alice, s->a);
	client_send(s->bob, HEAD("bind1234", "SEND") "Message-ID: bind\r\n-------bind1234$\r\n",
		PATHS(s->b));
	expect(&s->w, s->bob, "-------bind1234$\r\n");
	WAIT_FOR(&s->w, s->a->bound == 1 && s->b->bound == 1);
}

static void begin_one(struct session *s)
{
	world_init(&s->w, 1);
	begin(s);
}

/* The client answers the request with that id. */
static void answer(struct client *client, struct side *side, const char *id, const char *status)
{
	client_send(client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id,
		status, side->uri, side->path, id);
}

/* Sends a head that announces, then content from `p`, without end-line. */
static void send_begin(struct session *s, const char *range, const char *p, size_t n)
{
	client_send(s->alice, HEAD("long1234", "SEND") "Message-ID: long\r\nByte-Range: %s\r\n"
		"Content-Type: text/plain\r\n\r\n", PATHS(s->a), range);
	client_send_n(s->alice, p, n);
}

static char *make_content(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = i % 61 == 60 ? '\n' : i % 7 == 6 ? '-' : (char)('a' + i * 31 % 26);
	return p;
}

static void a_message_and_its_answer(void **state)
{
	struct session s;
	struct chunk chunk;
	char head[1024];

	begin_one(&s);
	for (unsigned way = 0; way < 2; way++) {
		struct client *from = way ? s.bob : s.alice, *to = way ? s.alice : s.bob;
		struct side *near = way ? s.b : s.a, *far = way ? s.a : s.b;

		client_send(from, HEAD("a786hjs2", "SEND") "Message-ID: 87652491\r\n"
			"Content-Disposition: attachment \r\nByte-Range: 1-25/25\r\n"
			"Content-Type: text/plain\r\n\r\n"
			"Hey Bob, are you there?!!\r\n-------a786hjs2$\r\n", PATHS(near));
		expect_chunk(&s.w, to, "SEND", &chunk);
		assert_int_equal(strlen(chunk.id), MSRP_ID_CHARS);
		REQ("IM-7.1.1.17.2-1");
		snprintf(head, sizeof(head),
			 "To-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 87652491\r\n"
			 "Content-Disposition: attachment \r\nByte-Range: 1-25/25\r\n"
			 "Content-Type: text/plain\r\n",
			 far->path, far->uri);
		assert_string_equal(chunk.head, head);
		assert_int_equal(chunk.n, 25);
		assert_memory_equal(chunk.body, "Hey Bob, are you there?!!", 25);
		assert_int_equal(chunk.flag, '$');
		expect_nothing(&s.w, from);
		answer(to, far, chunk.id, "200 OK");
		if (way == 0) /* Bob's first URI is the relay's: see msrp_response */
			expect_answer(&s.w, from, near, "a786hjs2", "200 OK");
		else
			expect(&s.w, from,
			       "MSRP a786hjs2 200 OK\r\nTo-Path: msrp://relay.example:1/r;tcp\r\n");
	}
	assert_int_equal(COUNTED(&s.w, msrp_chunks), 2);
	world_end(&s.w);
}

/* One chunk of `n` octets. */
static void send_octets(struct session *s, const char *id, const char *message, const char *range, unsigned n, char flag)
{
	char body[4096];

	memset(body, 'x', n);
	body[n] = 0;
	client_send(s->alice, HEAD("%s", "SEND") "Message-ID: %s\r\nByte-Range: %s\r\nContent-Type: text/plain\r\n\r\n"
		"%s\r\n-------%s%c\r\n", id, PATHS(s->a), message, range, body, id, flag);
}

/* max_octets, at it and one beyond: announced, grown in one chunk, and grown chunk by chunk. */
static void a_message_that_is_too_large(void **state)
{
	static const struct {
		const char *range;
		unsigned n;
	} beyond[] = { { "1-*/3001", 10 }, { "1-3001/3001", 3001 }, { "1-3001/*", 3001 }, { "1-*/*", 3001 },
		{ "3002-3002/*", 1 } },
	  grown[] = { { "2001-*/*", 1001 }, { "2001-3001/*", 1001 }, { "3001-3001/*", 1 } };
	struct session s;
	struct chunk chunk;

	begin_one(&s);
	s.a->leg->max_octets = 3000;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		send_octets(&s, "large123", "m1", beyond[i].range, beyond[i].n, '$');
		expect_answer(&s.w, s.alice, s.a, "large123", "413 Stop Sending");
	}
	send_octets(&s, "right123", "m2", "1-*/*", 3000, '$');
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	while (chunk.flag == '#') /* what was begun of those whose end was not announced */
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.n, 3000);
	assert_int_equal(chunk.flag, '$');
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_answer(&s.w, s.alice, s.a, "right123", "200 OK");
	for (size_t i = 0; i < sizeof(grown) / sizeof(grown[0]); i++) {
		char message[8];
		snprintf(message, sizeof(message), "grow%zu", i);
		send_octets(&s, "first123", message, "1-2000/*", 2000, '+');
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.flag, '+');
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_answer(&s.w, s.alice, s.a, "first123", "200 OK");
		send_octets(&s, "large123", message, grown[i].range, grown[i].n, '$');
		expect_answer(&s.w, s.alice, s.a, "large123", "413 Stop Sending");
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.flag, '#');
	}
	assert_int_equal(pool_used(&msrp_endpoint_of(&s.w.workers[0])->transactions), 0);
	world_end(&s.w);
}

/* Each way to wish, each way the far side may answer: what the sender gets. */
static const struct {
	const char *wish, *far, *near; /* near NULL: nothing */
} wishes[] = {
	{ "", "200 OK", "200 OK" },
	{ "", "413 Stop", "413 Stop" },
	{ "", "481", "481 No Such Session" },
	{ "", NULL, "408 Request Timeout" },
	{ "Failure-Report: yes\r\n", "415 no", "415 no" },
	{ "Failure-Report: partial\r\n", "200 OK", NULL },
	{ "Failure-Report: partial\r\n", "415 no", "415 no" },
	{ "Failure-Report: partial\r\n", NULL, NULL },
	{ "Failure-Report: no\r\n", "200 OK", NULL },
	{ "Failure-Report: no\r\n", "413 Stop", NULL },
	{ "Failure-Report: no\r\n", NULL, NULL },
};

static void who_answers(void **state)
{
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct session s;
		struct chunk chunk;

		world_init(&s.w, 1);
		s.w.options.msrp_transaction_ms = wishes[i].far ? 30000 : 50;
		begin(&s);
		client_send(s.alice, HEAD("wish1234", "SEND") "Message-ID: 1\r\n%s"
			"Byte-Range: 1-2/2\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
			"-------wish1234$\r\n", PATHS(s.a), wishes[i].wish);
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		if (wishes[i].far)
			answer(s.bob, s.b, chunk.id, wishes[i].far);
		if (wishes[i].near)
			expect_answer(&s.w, s.alice, s.a, "wish1234", wishes[i].near);
		world_run_ms(&s.w, 50);
		expect_nothing(&s.w, s.alice);
		assert_int_equal(pool_used(&msrp_endpoint_of(&s.w.workers[0])->transactions), 0);
		world_end(&s.w);
	}
}

static void silence_is_counted_from_the_end_line(void **state)
{
	struct session s;
	struct chunk chunk;
	char *content = make_content(3000);

	world_init(&s.w, 1);
	s.w.options.msrp_transaction_ms = 250; /* 0.8 of it: 200 */
	begin(&s);
	send_begin(&s, "1-3000/3000", content, 2500);
	world_run_ms(&s.w, 220); /* an open chunk is nobody's silence */
	expect_nothing(&s.w, s.alice);
	client_send_n(s.alice, content + 2500, 500);
	uint64_t from_ms = world_now_ms();
	client_send(s.alice, "\r\n-------long1234$\r\n");
	expect_answer(&s.w, s.alice, s.a, "long1234", "408 Request Timeout");
	assert_in_range(world_now_ms() - from_ms, 195, 2000);
	assert_int_equal(world_refused(&s.w, REASON_TIMEOUT), 1);
	/* an answer after that is to nothing */
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_nothing(&s.w, s.alice);
	free(content);
	world_end(&s.w);
}

static void chunks_of_a_message_keep_their_ranges(void **state)
{
	static const struct { const char *range, *body, *flag; } parts[] = {
		{ "1-5/14", "first", "+" }, { "6-8/14", "two", "+" }, { "9-14/14", "-three", "$" },
		{ "1-4/9", "half", "#" },
	};
	struct session s;
	struct chunk chunk;

	begin_one(&s);
	for (unsigned i = 0; i < 4; i++) {
		char id[16];
		snprintf(id, sizeof(id), "part%u", i);
		client_send(s.alice,
			    "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 7\r\n"
			    "Byte-Range: %s\r\nContent-Type: a/b\r\n\r\n%s\r\n-------%s%s\r\n",
			    id, PATHS(s.a), parts[i].range, parts[i].body, id, parts[i].flag);
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_string_equal(chunk.range, parts[i].range);
		assert_int_equal(chunk.n, strlen(parts[i].body));
		assert_memory_equal(chunk.body, parts[i].body, chunk.n);
		assert_int_equal(chunk.flag, parts[i].flag[0]);
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_answer(&s.w, s.alice, s.a, id, "200 OK");
	}
	world_end(&s.w);
}

/* Puts the parts of a message together; answers each.  Returns the last flag. */
static char reassemble(struct session *s, char *message, size_t size, size_t *n, unsigned *parts)
{
	struct chunk chunk;

	*n = *parts = 0;
	do {
		expect_chunk(&s->w, s->bob, "SEND", &chunk);
		assert_int_equal(chunk.start, *n + 1);
		assert_in_range(chunk.n, 0, size - *n);
		memcpy(message + *n, chunk.body, chunk.n);
		*n += chunk.n;
		(*parts)++;
		answer(s->bob, s->b, chunk.id, "200 OK");
	} while (chunk.flag == '+');
	return chunk.flag;
}

static void a_large_chunk_streams(void **state)
{
	const size_t size = KB(64);
	char *content = make_content(size), *got = malloc(size);
	const char *ranges[] = { "1-65536/65536", "1-*/65536", "1-*/*" };
	struct session s;
	unsigned parts;
	size_t n;

	begin_one(&s);
	for (unsigned i = 0; i < 3; i++) {
		send_begin(&s, ranges[i], content, 5000);
		WAIT_FOR(&s.w, client_has(s.bob, "Byte-Range: 1-*/")); /* before it is complete */
		client_send_n(s.alice, content + 5000, size - 5000);
		client_send(s.alice, "\r\n-------long1234$\r\n");
		assert_int_equal(reassemble(&s, got, size, &n, &parts), '$');
		assert_int_equal(n, size);
		assert_memory_equal(got, content, size);
		expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
	}
	free(content);
	free(got);
	world_end(&s.w);
}

/* RFC 4975 7.1.1 lets a sender end any chunk early; one that says 2000 and means 10 is legal. */
static void a_small_chunk_may_be_cut_or_lie(void **state)
{
	struct session s;
	struct chunk chunk;
	char *content = make_content(4000), got[4000];
	unsigned parts;
	size_t n;

	begin_one(&s);
	send_begin(&s, "1-2000/2000", content, 10);
	expect_nothing(&s.w, s.bob);
	client_send(s.alice, "\r\n-------long1234+\r\n");
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_string_equal(chunk.range, "1-2000/2000");
	assert_int_equal(chunk.n, 10);
	assert_int_equal(chunk.flag, '+');
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");

	send_begin(&s, "1-2000/4000", content, 4000); /* more than it says */
	client_send(s.alice, "\r\n-------long1234$\r\n");
	assert_int_equal(reassemble(&s, got, sizeof(got), &n, &parts), '$');
	assert_int_equal(n, 4000);
	assert_memory_equal(got, content, 4000);
	expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
	free(content);
	world_end(&s.w);
}

/* RFC 4975 7.1.1: a part of it that began behind the total would be no Byte-Range; nor behind what a number can be. */
static void content_beyond_its_total(void **state)
{
	static const struct {
		const char *range;
		bool has_begun;
	} cases[] = { { "1-*/3999", true }, { "1-2000/3999", true }, { "1-*/0", false }, { "7-7/7", false },
		{ "9223372036854772000-*/*", true }, { "9223372036854775807-*/*", false } };
	char *content = make_content(4000), got[4000];
	struct session s;
	struct chunk chunk;
	unsigned parts;
	size_t n;

	begin_one(&s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		send_begin(&s, cases[i].range, content, cases[i].has_begun ? 3000 : 1);
		if (cases[i].has_begun)
			WAIT_FOR(&s.w, s.bob->n - s.bob->seen > 3000);
		client_send_n(s.alice, content + 3000, 1000);
		expect_answer(&s.w, s.alice, s.a, "long1234", "400 Bad Request");
		client_send(s.alice, "\r\n-------long1234$\r\n");
		if (cases[i].has_begun) {
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
			assert_int_equal(chunk.flag, '#');
			assert_int_equal(chunk.n, 3000);
		}
	}
	send_begin(&s, "1-*/4000", content, 4000);
	client_send(s.alice, "\r\n-------long1234$\r\n");
	assert_int_equal(reassemble(&s, got, sizeof(got), &n, &parts), '$');
	assert_int_equal(n, 4000);
	expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
	free(content);
	world_end(&s.w);
}

static void the_limit_of_a_small_chunk(void **state)
{
	char *content = make_content(MSRP_SMALL_CHUNK + 1);
	struct session s;
	struct chunk chunk;

	begin_one(&s);
	for (size_t n = MSRP_SMALL_CHUNK; n <= MSRP_SMALL_CHUNK + 1; n++) {
		char range[64];
		snprintf(range, sizeof(range), "1-%zu/%zu", n, n);
		send_begin(&s, range, content, n);
		client_send(s.alice, "\r\n-------long1234$\r\n");
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.n, n);
		assert_string_equal(chunk.range,
				    n == MSRP_SMALL_CHUNK ? "1-2048/2048" : "1-*/2049");
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
	}
	free(content);
	world_end(&s.w);
}

static void a_sender_that_goes_ends_its_chunk(void **state)
{
	struct session s;
	struct chunk chunk;
	char *content = make_content(5000);

	begin_one(&s);
	send_begin(&s, "1-9000/9000", content, 5000);
	WAIT_FOR(&s.w, s.bob->n > 5000);
	client_close(s.alice);
	WAIT_FOR(&s.w, client_has(s.bob, "#\r\n"));
	assert_memory_equal(s.bob->got + s.bob->n - 3, "#\r\n", 3);
	WAIT_FOR(&s.w, s.a->lost == 1);
	assert_int_equal(s.a->why, REASON_PEER_CLOSED);
	assert_false(msrp_leg_is_bound(s.a->leg));
	assert_true(msrp_leg_is_bound(s.b->leg));
	/* Bob's messages wait until Alice is back (limits.reattach is the actor's) */
	s.bob->seen = s.bob->n;
	client_send(s.bob, HEAD("back1234", "SEND") "Message-ID: 9\r\nByte-Range: 1-2/2\r\n"
		"Content-Type: a/b\r\n\r\nhi\r\n-------back1234$\r\n", PATHS(s.b));
	expect_nothing(&s.w, s.bob);
	s.alice = client_open(&s.w, 0);
	bind_side(&s.w, s.alice, s.a);
	expect_chunk(&s.w, s.alice, "SEND", &chunk);
	assert_int_equal(s.a->bound, 2);
	free(content);
	world_end(&s.w);
}

static void a_far_side_that_goes_fails_what_is_outstanding(void **state)
{
	struct session s;
	char *content = make_content(5000);

	begin_one(&s);
	for (unsigned i = 0; i < 3; i++)
		client_send(s.alice,
			    "MSRP out%u SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 7\r\n"
			    "Byte-Range: 1-2/2\r\nContent-Type: a/b\r\n\r\nhi\r\n-------out%u$\r\n",
			    i, PATHS(s.a), i);
	send_begin(&s, "1-9000/9000", content, 5000);
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_chunks) == 4);
	client_close(s.bob);
	expect_answer(&s.w, s.alice, s.a, "out0", "408 Request Timeout");
	expect_answer(&s.w, s.alice, s.a, "out1", "408 Request Timeout");
	expect_answer(&s.w, s.alice, s.a, "out2", "408 Request Timeout");
	expect_answer(&s.w, s.alice, s.a, "long1234", "408 Request Timeout");
	assert_int_equal(s.b->lost, 1);
	assert_int_equal(s.a->lost, 0);
	free(content);
	world_end(&s.w);
}

/* A re-INVITE brought another path: as if the old connection had been lost, but nobody is told so. */
static void a_new_path_takes_the_place_of_the_old(void **state)
{
	struct session s;
	char *content = make_content(5000);
	struct msrp_peer peer = { .path = SLICE("msrp://127.0.0.1:9/elsewhere;tcp") };
	struct chunk chunk;

	begin_one(&s);
	client_send(s.alice,
		    "MSRP out1 SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 7\r\n"
		    "Byte-Range: 1-2/2\r\nContent-Type: a/b\r\n\r\nhi\r\n-------out1$\r\n",
		    PATHS(s.a));
	send_begin(&s, "1-9000/9000", content, 5000);
	client_send(s.bob,
		    "MSRP back1 SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 8\r\n"
		    "Byte-Range: 1-2/2\r\nContent-Type: a/b\r\n\r\nho\r\n-------back1$\r\n",
		    PATHS(s.b));
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_chunks) == 3);
	expect_chunk(&s.w, s.alice, "SEND", &chunk);
	unsigned bound = s.b->bound;
	assert_int_equal(msrp_leg_set_peer(s.b->leg, &(struct msrp_peer){ .path = slice_str(s.b->path) }), 0);
	assert_true(msrp_leg_is_bound(s.b->leg)); /* the same path changes nothing */
	assert_int_equal(msrp_leg_set_peer(s.b->leg, &peer), 0);
	assert_false(msrp_leg_is_bound(s.b->leg));
	expect_answer(&s.w, s.alice, s.a, "out1", "408 Request Timeout");
	expect_answer(&s.w, s.alice, s.a, "long1234", "408 Request Timeout");
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '$');
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '#');
	s.b->path[strcspn(s.b->path, " ")] = 0; /* an answer has the first URI only */
	expect_answer(&s.w, s.bob, s.b, "back1", "408 Request Timeout"); /* by the path of before */
	struct client *again = client_open(&s.w, 0);
	snprintf(s.b->path, sizeof(s.b->path), "%.*s", SLICE_ARG(peer.path));
	bind_side(&s.w, again, s.b);
	WAIT_FOR(&s.w, s.b->bound == bound + 1);
	assert_int_equal(s.b->lost, 0);
	assert_int_equal(s.a->lost, 0);
	free(content);
	world_end(&s.w);
}

static void an_error_in_mid_chunk_comes_back_at_once(void **state)
{
	struct session s;
	char *content = make_content(5000), id[64];

	begin_one(&s);
	send_begin(&s, "1-9000/9000", content, 5000);
	WAIT_FOR(&s.w, client_has(s.bob, " SEND\r\n"));
	assert_int_equal(sscanf(s.bob->got + s.bob->seen, "MSRP %63s", id), 1);
	answer(s.bob, s.b, id, "413 Stop");
	expect_answer(&s.w, s.alice, s.a, "long1234", "413 Stop");
	client_send(s.alice, "\r\n-------long1234#\r\n");
	WAIT_FOR(&s.w, client_has(s.bob, "#\r\n"));
	expect_nothing(&s.w, s.alice);
	free(content);
	world_end(&s.w);
}

/* The content learns the outgoing id and writes it: RFC 4975 7.1 wants no end-line in content. */
static void content_that_holds_the_outgoing_end_line(void **state)
{
	struct session s;
	char *content = make_content(4000), message[9000], got[9000], id[64];
	size_t n = 4000, got_n;
	unsigned parts;

	begin_one(&s);
	send_begin(&s, "1-*/*", content, 4000);
	memcpy(message, content, 4000);
	WAIT_FOR(&s.w, s.bob->n > 4000);
	assert_int_equal(sscanf(s.bob->got + s.bob->seen, "MSRP %63s", id), 1);
	n += (size_t)sprintf(message + n, "before\r\n-------%s$\r\nafter", id);
	client_send_n(s.alice, message + 4000, n - 4000);
	client_send(s.alice, "\r\n-------long1234$\r\n");
	assert_int_equal(reassemble(&s, got, sizeof(got), &got_n, &parts), '$');
	assert_int_equal(parts, 2);
	assert_int_equal(got_n, n);
	assert_memory_equal(got, message, n);
	expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
	free(content);
	world_end(&s.w);
}

static void a_stream_gives_way(void **state)
{
	struct session s;
	struct chunk chunk;
	char *content = make_content(9000), got[9000];
	size_t n;

	begin_one(&s);
	send_begin(&s, "1-9000/9000", content, 5000);
	WAIT_FOR(&s.w, s.bob->n > 5000);
	/* Bob's own message needs Alice's answer to come through */
	client_send(s.bob, HEAD("bobs1234", "SEND") "Message-ID: 2\r\nByte-Range: 1-2/2\r\n"
		"Content-Type: a/b\r\n\r\nhi\r\n-------bobs1234$\r\n", PATHS(s.b));
	expect_chunk(&s.w, s.alice, "SEND", &chunk);
	/* Alice's chunk is open: her answer goes out when it ends; here, in the same write */
	client_send_n(s.alice, content + 5000, 1000);
	client_send(s.alice, "\r\n-------long1234+\r\n");
	answer(s.alice, s.a, chunk.id, "200 OK");
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '+');
	n = chunk.n;
	memcpy(got, chunk.body, n);
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect(&s.w, s.bob, "MSRP bobs1234 200 OK\r\n");
	expect(&s.w, s.bob, "-------bobs1234$\r\n");
	expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");

	/* An answer of ours (to an empty SEND) interrupts what Alice does not continue just now. */
	client_send(s.alice,
		    HEAD("long5678", "SEND") "Message-ID: long\r\nByte-Range: 6001-*/9000\r\n"
					     "Content-Type: text/plain\r\n\r\n",
		    PATHS(s.a));
	client_send_n(s.alice, content + 6000, 2100);
	WAIT_FOR(&s.w, s.bob->n - s.bob->seen > 2100);
	client_send(s.bob, HEAD("keep1234", "SEND") "Message-ID: 3\r\n-------keep1234$\r\n",
		    PATHS(s.b));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '+');
	assert_string_equal(chunk.range, "6001-*/9000");
	memcpy(got + n, chunk.body, chunk.n);
	n += chunk.n;
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_chunk(&s.w, s.bob, "200 OK", &chunk);
	assert_string_equal(chunk.id, "keep1234");
	client_send_n(s.alice, content + 8100, 900);
	expect_nothing(&s.w, s.alice); /* one part is answered, the chunk is not */
	client_send(s.alice, "\r\n-------long5678$\r\n");
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.start, n + 1);
	assert_int_equal(chunk.flag, '$');
	memcpy(got + n, chunk.body, chunk.n);
	n += chunk.n;
	expect_nothing(&s.w, s.alice);
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_answer(&s.w, s.alice, s.a, "long5678", "200 OK");
	assert_int_equal(n, 9000);
	assert_memory_equal(got, content, n);
	free(content);
	world_end(&s.w);
}

/* After an interruption with nothing left to say but the flag. */
static void an_interrupted_chunk_still_ends(void **state)
{
	static const char flags[] = "$#+";

	for (unsigned i = 0; i < 3; i++) {
		struct session s;
		struct chunk chunk;
		char *content = make_content(3000);

		begin_one(&s);
		send_begin(&s, "1-*/*", content, 3000);
		WAIT_FOR(&s.w, s.bob->n > 3000);
		client_send(s.bob, HEAD("keep1234", "SEND") "Message-ID: 3\r\n-------keep1234$\r\n",
			PATHS(s.b));
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.n, 3000);
		assert_int_equal(chunk.flag, '+');
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_chunk(&s.w, s.bob, "200 OK", &chunk);
		client_send(s.alice, "\r\n-------long1234%c\r\n", flags[i]);
		if (flags[i] != '+') {
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
			assert_int_equal(chunk.flag, flags[i]);
			assert_string_equal(chunk.range, "3001-*/*");
			assert_int_equal(chunk.n, 0);
			answer(s.bob, s.b, chunk.id, "200 OK");
		}
		expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
		free(content);
		world_end(&s.w);
	}
}

/* ... and its sender goes before he says how: the other side waits for an end. */
static void an_interrupted_chunk_that_is_lost(void **state)
{
	struct session s;
	struct chunk chunk;
	char *content = make_content(3000);

	begin_one(&s);
	send_begin(&s, "1-*/*", content, 3000);
	WAIT_FOR(&s.w, s.bob->n > 3000);
	client_send(s.bob, HEAD("keep1234", "SEND") "Message-ID: 3\r\n-------keep1234$\r\n",
		PATHS(s.b));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	expect_chunk(&s.w, s.bob, "200 OK", &chunk);
	client_close(s.alice);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_string_equal(chunk.range, "3001-*/*");
	assert_non_null(strstr(chunk.head, "Message-ID: long\r\n"));
	assert_int_equal(chunk.n, 0);
	assert_int_equal(chunk.flag, '#');
	free(content);
	world_end(&s.w);
}

/* At the limit the sender is not read, one answer less and he is, half of them later. */
static void outstanding_chunks_are_bounded(void **state)
{
	for (unsigned partial = 0; partial < 2; partial++) {
		struct session s;
		struct chunk chunk;
		unsigned sent = 0, answered = 0;
		const char *wish = partial ? "Failure-Report: partial\r\n" : "";

		begin_one(&s);
		while (sent < MSRP_TRANSACTIONS_PER_LEG + 200) {
			for (unsigned i = 0; i < 50; i++, sent++)
				client_send(s.alice, HEAD("more1", "SEND") "Message-ID: 1\r\n%s"
					"Byte-Range: 1-2/2\r\nContent-Type: a/b\r\n\r\nhi\r\n"
					"-------more1$\r\n", PATHS(s.a), wish);
			world_lap(&s.w);
		}
		world_run_ms(&s.w, 20);
		if (partial) { /* nobody waits for these: the oldest are forgotten */
			assert_int_equal(s.a->leg->transaction_count, MSRP_TRANSACTIONS_PER_LEG);
			assert_int_equal(COUNTED(&s.w, msrp_dropped),
				sent - MSRP_TRANSACTIONS_PER_LEG);
			assert_int_equal(s.a->leg->connection->pauses, 0);
			world_end(&s.w);
			continue;
		}
		assert_int_equal(s.a->leg->connection->pauses, PAUSE_OUTSTANDING);
		for (unsigned i = 0; i < sent; i++) {
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
			answer(s.bob, s.b, chunk.id, "200 OK");
		}
		for (; answered < sent; answered++)
			expect_answer(&s.w, s.alice, s.a, "more1", "200 OK");
		assert_int_equal(COUNTED(&s.w, msrp_dropped), 0);
		world_end(&s.w);
	}
}

static void a_report_passes_and_is_not_answered(void **state)
{
	struct session s;
	struct chunk chunk;
	char head[1024];

	begin_one(&s);
	client_send(s.bob, HEAD("repo1234", "REPORT") "Message-ID: 12339sdqwer\r\n"
		"Byte-Range: 1-39/39\r\nStatus: 000 200 OK\r\n-------repo1234$\r\n", PATHS(s.b));
	expect_chunk(&s.w, s.alice, "REPORT", &chunk);
	snprintf(head, sizeof(head), "To-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 12339sdqwer\r\n"
		"Byte-Range: 1-39/39\r\nStatus: 000 200 OK\r\n", s.a->path, s.a->uri);
	assert_string_equal(chunk.head, head);
	assert_int_equal(chunk.flag, '$');
	/* a broken one neither */
	client_send(s.bob, HEAD("repo1235", "REPORT") "-------repo1235$\r\n", PATHS(s.b));
	expect_nothing(&s.w, s.bob);
	expect_nothing(&s.w, s.alice);
	world_end(&s.w);
}

static void empty_sends(void **state)
{
	struct session s;
	struct chunk chunk;
	char content[2600];

	begin_one(&s);
	/* nobody's message: ours to answer, whatever it wishes of failures */
	client_send(s.alice, HEAD("empty1", "SEND") "Message-ID: e\r\nByte-Range: 1-0/0\r\n"
		"-------empty1$\r\n", PATHS(s.a));
	expect_answer(&s.w, s.alice, s.a, "empty1", "200 OK");
	client_send(s.alice, HEAD("empty2", "SEND") "Message-ID: e\r\nFailure-Report: no\r\n"
		"-------empty2$\r\n", PATHS(s.a));
	expect_nothing(&s.w, s.alice);
	expect_nothing(&s.w, s.bob);
	/* the last of a message that is open: the other side waits for it */
	client_send(s.alice, HEAD("open1", "SEND") "Message-ID: m\r\nByte-Range: 1-2/*\r\n"
		"Content-Type: a/b\r\n\r\nhi\r\n-------open1+\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	client_send(s.alice, HEAD("open2", "SEND") "Message-ID: m\r\nByte-Range: 3-2/2\r\n"
		"-------open2$\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_string_equal(chunk.range, "3-2/2");
	assert_false(chunk.has_body);
	answer(s.bob, s.b, chunk.id, "200 OK");
	expect_answer(&s.w, s.alice, s.a, "open2", "200 OK");
	/* one that streams is a message like others */
	snprintf(content, sizeof(content), "%02500u", 7);
	client_send(s.alice, HEAD("long1", "SEND") "Message-ID: l\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n%s\r\n-------long1+\r\n", PATHS(s.a), content);
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	client_send(s.alice, HEAD("long2", "SEND") "Message-ID: l\r\n-------long2$\r\n",
		    PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '$');
	/* it is closed now; '#' and content of length 0 pass always */
	client_send(s.alice, HEAD("open3", "SEND") "Message-ID: m\r\n-------open3$\r\n",
		    PATHS(s.a));
	expect_answer(&s.w, s.alice, s.a, "open3", "200 OK");
	client_send(s.alice, HEAD("open4", "SEND") "Message-ID: m\r\n-------open4#\r\n",
		    PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.flag, '#');
	client_send(s.alice, HEAD("open5", "SEND") "Message-ID: n\r\nByte-Range: 1-0/0\r\n"
		"Content-Type: a/b\r\n\r\n\r\n-------open5$\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.n, 0);
	assert_true(chunk.has_body);
	world_end(&s.w);
}

/* The table of open messages at its limit and one more. */
static void more_open_messages_than_are_remembered(void **state)
{
	struct session s;
	struct chunk chunk;

	begin_one(&s);
	for (unsigned n = MSRP_OPEN_MESSAGES; n <= MSRP_OPEN_MESSAGES + 1; n++) {
		for (unsigned i = 0; i < n; i++) {
			client_send(s.alice, HEAD("many1", "SEND") "Message-ID: m%u\r\n"
				"Byte-Range: 1-2/*\r\nContent-Type: a/b\r\n\r\nhi\r\n"
				"-------many1+\r\n", PATHS(s.a), i);
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
			answer(s.bob, s.b, chunk.id, "200 OK");
			expect_answer(&s.w, s.alice, s.a, "many1", "200 OK");
		}
		client_send(s.alice, HEAD("other", "SEND") "Message-ID: other\r\n-------other$\r\n",
			PATHS(s.a));
		if (n == MSRP_OPEN_MESSAGES) {
			expect_answer(&s.w, s.alice, s.a, "other", "200 OK");
		} else { /* it might be one of those forgotten: the far side knows */
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
		}
	}
	world_end(&s.w);
}

static void what_cannot_be_switched(void **state)
{
	static const struct { const char *method, *lines, *status; } cases[] = {
		{ "NICKNAME", "Use-Nickname: \"x\"\r\n", "501 Not Implemented" },
		{ "AUTH", "", "501 Not Implemented" },
		{ "PING", "", "501 Not Implemented" },
		{ "SEND", "", "400 Bad Request" },
		{ "SEND", "Message-ID: 1\r\nByte-Range: 5-1/1\r\n", "400 Bad Request" },
		{ "SEND", "Message-ID: 1\r\nFailure-Report: maybe\r\n", "400 Bad Request" },
		{ "SEND", "Message-ID: 1\r\nMessage-ID: 2\r\n", "400 Bad Request" },
	};
	struct session s;
	struct chunk chunk;

	begin_one(&s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		client_send(s.alice,
			    "MSRP bad%zu %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n%sContent-Type: a/b"
			    "\r\n\r\nnot for Bob\r\n-------bad%zu$\r\n",
			    i, cases[i].method, PATHS(s.a), cases[i].lines, i);
		expect_chunk(&s.w, s.alice, cases[i].status, &chunk);
		assert_int_equal(chunk.flag, '$');
		expect_nothing(&s.w, s.bob);
	}
	/* and a normal message works */
	client_send(s.alice, HEAD("good1", "SEND") "Message-ID: 5\r\nByte-Range: 1-2/2\r\n"
		"Content-Type: a/b\r\n\r\nhi\r\n-------good1$\r\n", PATHS(s.a));
	expect_chunk(&s.w, s.bob, "SEND", &chunk);
	world_end(&s.w);
}

static void octets_that_are_not_msrp(void **state)
{
	static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n", "MSRP x\r\n", "\r\n" };

	for (unsigned i = 0; i < 3; i++) {
		struct session s;

		begin_one(&s);
		client_send(s.alice, "%s", garbage[i]);
		WAIT_FOR(&s.w, s.alice->is_closed && s.a->lost == 1);
		assert_int_equal(s.a->why, REASON_MSRP_BAD);
		assert_int_equal(world_refused(&s.w, REASON_MSRP_BAD), 1);
		assert_int_equal(s.b->lost, 0);
		world_end(&s.w);
	}
}

static void a_head_at_its_limit_and_one_more(void **state)
{
	for (unsigned more = 0; more < 2; more++) {
		struct session s;
		struct chunk chunk;
		char padding[1025], head[1024];
		int n;

		world_init(&s.w, 1);
		s.w.options.limits.header_bytes = 1024;
		begin(&s);
		n = snprintf(head, sizeof(head), HEAD("long1", "SEND") "Message-ID: 5\r\nX: \r\n",
			     PATHS(s.a));
		memset(padding, 'x', sizeof(padding));
		client_send(s.alice,
			    HEAD("long1", "SEND") "Message-ID: 5\r\nX: %.*s\r\n-------long1+\r\n",
			    PATHS(s.a), (int)(1024 - n + (int)more), padding);
		if (more) {
			WAIT_FOR(&s.w, s.alice->is_closed && s.a->lost == 1);
			assert_int_equal(s.a->why, REASON_MSRP_HEAD_LIMIT);
		} else {
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
		}
		world_end(&s.w);
	}
}

static void a_chunk_that_stalls(void **state)
{
	static const char *const begun[] = { "MSRP x", "hello", "" };

	for (unsigned i = 0; i < 3; i++) {
		struct session s;

		world_init(&s.w, 1);
		s.w.options.limits.chunk_stall_ms = 100;
		begin(&s);
		if (i == 1)
			send_begin(&s, "1-9/9", begun[i], strlen(begun[i]));
		else
			client_send(s.alice, "%s", begun[i]);
		world_run_ms(&s.w, 60);
		client_send(s.alice, "%s", i == 1 ? "h" : ""); /* progress */
		world_run_ms(&s.w, 60);
		assert_int_equal(s.a->lost, i == 0);
		world_run_ms(&s.w, 60);
		assert_int_equal(s.a->lost, i < 2); /* nothing begun: nothing stalls */
		if (i < 2)
			assert_int_equal(s.a->why, REASON_MSRP_CHUNK_STALL);
		world_end(&s.w);
	}
}

/* Parser and incoming chunk are there only while one is open: msrp/reading.h. */
static void an_idle_connection_parses_nothing(void **state)
{
	static const char begun[] = "MSRP abcd1234 REPORT\r\n";
	struct session s;

	begin_one(&s);
	const struct msrp_endpoint *endpoint = msrp_endpoint_of(&s.w.workers[0]);
	const struct msrp_connection *alice = s.a->leg->connection, *bob = s.b->leg->connection;
	for (unsigned i = 0; i < 3; i++) {
		assert_null(alice->parser);
		assert_null(bob->parser);
		assert_int_equal(pool_used(&endpoint->readings), 1); /* at hand for whoever sends next */
		client_send_n(s.bob, begun, sizeof(begun) - 1);
		WAIT_FOR(&s.w, bob->parser);
		assert_int_equal(pool_used(&endpoint->readings), 1);
		send_begin(&s, "1-5/5", "he", 2);
		WAIT_FOR(&s.w, alice->parser);
		assert_int_equal(pool_used(&endpoint->readings), 2);
		client_send(s.alice, "llo\r\n-------long1234$\r\n");
		client_send(s.bob, "To-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: r\r\nByte-Range: 1-5/5\r\n"
			"Status: 000 200 OK\r\n-------abcd1234$\r\n", PATHS(s.b));
		expect(&s.w, s.bob, "hello");
		expect(&s.w, s.alice, "REPORT");
		WAIT_FOR(&s.w, !alice->parser && !bob->parser);
	}
	world_end(&s.w);
}

static void content_waits_for_the_other_side(void **state)
{
	for (unsigned large = 0; large < 2; large++) {
		struct session s;
		struct chunk chunk;
		size_t size = large ? 300000 : 300, n;
		char *content = make_content(size), *got = malloc(size), range[64];
		unsigned parts;

		world_init(&s.w, 1);
		world_start(&s.w);
		s.a = side_open(&s.w, 0, ALICE);
		s.b = side_open(&s.w, 0, BOB);
		s.alice = client_open(&s.w, 0);
		bind_side(&s.w, s.alice, s.a);
		snprintf(range, sizeof(range), "1-%zu/%zu", size, size);
		send_begin(&s, range, content, size);
		client_send(s.alice,
			"\r\n-------long1234$\r\n"
			HEAD("next1", "SEND") "Message-ID: 2\r\nByte-Range: 1-2/2\r\n"
			"Content-Type: a/b\r\n\r\nhi\r\n-------next1$\r\n", PATHS(s.a));
		world_run_ms(&s.w, 20);
		msrp_leg_pair(s.a->leg, s.b->leg);
		expect_nothing(&s.w, s.alice);
		assert_int_equal(COUNTED(&s.w, msrp_dropped), 0);
		s.bob = client_open(&s.w, 0);
		client_send(s.bob, HEAD("bind1", "SEND") "Message-ID: 1\r\n-------bind1$\r\n",
			    PATHS(s.b));
		expect(&s.w, s.bob, "-------bind1$\r\n");
		assert_int_equal(reassemble(&s, got, size, &n, &parts), '$');
		assert_int_equal(n, size);
		assert_memory_equal(got, content, size);
		expect_answer(&s.w, s.alice, s.a, "long1234", "200 OK");
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		assert_memory_equal(chunk.body, "hi", 2);
		free(content);
		free(got);
		world_end(&s.w);
	}
}

/* One exchange, the octets of Alice cut in two at every place. */
static void cut_at_every_octet(void **state)
{
	struct session s;
	struct chunk chunk;
	char text[4096];
	int size;

	begin_one(&s);
	size = snprintf(text, sizeof(text),
		HEAD("cut1", "SEND") "Message-ID: 1\r\nByte-Range: 1-9/9\r\n"
		"Content-Type: a/b\r\n\r\n\r\n-------\r\n-------cut1$\r\n"
		HEAD("cut2", "SEND") "Message-ID: 2\r\n-------cut2$\r\n"
		HEAD("cut3", "SEND") "Message-ID: 3\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\nxy\r\n-------cut3$\r\n",
		PATHS(s.a), PATHS(s.a), PATHS(s.a));
	for (int cut = 0; cut <= size; cut++) {
		client_send_n(s.alice, text, (size_t)cut);
		for (unsigned i = 0; i < 3; i++)
			world_lap(&s.w);
		client_send_n(s.alice, text + cut, (size_t)(size - cut));
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		CHECK(chunk.n == 9 && !memcmp(chunk.body, "\r\n-------", 9), "cut at %d\n", cut);
		answer(s.bob, s.b, chunk.id, "200 OK");
		expect_chunk(&s.w, s.bob, "SEND", &chunk);
		size_t got = chunk.n;
		answer(s.bob, s.b, chunk.id, "200 OK");
		while (chunk.flag == '+') { /* our 200 to cut2 or to Bob may stand between */
			expect_chunk(&s.w, s.bob, "SEND", &chunk);
			answer(s.bob, s.b, chunk.id, "200 OK");
			got += chunk.n;
		}
		CHECK(got == 2, "cut at %d\n", cut);
		bool seen[4] = { false };
		for (unsigned i = 0; i < 3; i++) {
			expect_chunk(&s.w, s.alice, "200 OK", &chunk);
			seen[chunk.id[3] - '0'] = true;
		}
		CHECK(seen[1] && seen[2] && seen[3], "cut at %d\n", cut);
	}
	world_end(&s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_and_its_answer),
		cmocka_unit_test(a_message_that_is_too_large),
		cmocka_unit_test(who_answers),
		cmocka_unit_test(silence_is_counted_from_the_end_line),
		cmocka_unit_test(chunks_of_a_message_keep_their_ranges),
		cmocka_unit_test(a_large_chunk_streams),
		cmocka_unit_test(a_small_chunk_may_be_cut_or_lie),
		cmocka_unit_test(content_beyond_its_total),
		cmocka_unit_test(the_limit_of_a_small_chunk),
		cmocka_unit_test(a_sender_that_goes_ends_its_chunk),
		cmocka_unit_test(a_far_side_that_goes_fails_what_is_outstanding),
		cmocka_unit_test(a_new_path_takes_the_place_of_the_old),
		cmocka_unit_test(an_error_in_mid_chunk_comes_back_at_once),
		cmocka_unit_test(content_that_holds_the_outgoing_end_line),
		cmocka_unit_test(a_stream_gives_way),
		cmocka_unit_test(an_interrupted_chunk_still_ends),
		cmocka_unit_test(an_interrupted_chunk_that_is_lost),
		cmocka_unit_test(outstanding_chunks_are_bounded),
		cmocka_unit_test(a_report_passes_and_is_not_answered),
		cmocka_unit_test(empty_sends),
		cmocka_unit_test(more_open_messages_than_are_remembered),
		cmocka_unit_test(what_cannot_be_switched),
		cmocka_unit_test(octets_that_are_not_msrp),
		cmocka_unit_test(a_head_at_its_limit_and_one_more),
		cmocka_unit_test(a_chunk_that_stalls),
		cmocka_unit_test(an_idle_connection_parses_nothing),
		cmocka_unit_test(content_waits_for_the_other_side),
		cmocka_unit_test(cut_at_every_octet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
