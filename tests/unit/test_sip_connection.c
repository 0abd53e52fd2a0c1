/*
 * SIP over streams: framing, credit, what a peer that does not read or does
 * not speak costs, and answers whose connection is gone.
 */
#include "tests/unit/sip_world.h"

static struct world world;

static void start(unsigned workers, unsigned answer)
{
	world_init(&world, workers);
	world.answer = answer;
	world_start(&world);
}

static unsigned connections(unsigned worker)
{
	return pool_used(&layer_of(&world, worker)->connections);
}

static const char *message(struct peer *peer, unsigned number, const char *body)
{
	char call_id[16];

	snprintf(call_id, sizeof(call_id), "c%u", number);
	return write_message(peer, (struct request){ .method = "MESSAGE",
						     .branch = new_branch(),
						     .call_id = call_id,
						     .body = body });
}

/* Two messages with pings, keepalives and a body that looks like a head, as TCP might deliver them.
 */
static size_t conversation(struct peer *peer, char *to, size_t size)
{
	int n = snprintf(to, size, "\r\n\r\n%s\r\n",
			 message(peer, 1, "one\r\n\r\nMESSAGE sip:x SIP/2.0\r\n\r\n"));

	n += snprintf(to + n, size - (size_t)n, "%s\r\n\r\n", message(peer, 2, ""));
	return (size_t)n;
}

static void expect_conversation(struct peer *peer, size_t cut)
{
	settle(&world);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const want[] = { "\r\n", "SIP/2.0 200", "SIP/2.0 200", "\r\n" };
		CHECK(peer->seen < peer->arrived &&
			      !strncmp(peer->messages[peer->seen], want[i], strlen(want[i])),
		      "cut at %zu: no \"%s\"\n", cut, want[i]);
		peer->seen++;
	}
	expect_nothing(&world, peer);
	assert_false(peer->is_closed);
}

static void test_cut_at_every_octet(void **state)
{
	char text[4096];

	start(1, 200);
	struct peer *peer = peer_tcp(&world, 0);
	for (size_t cut = 0, n = 1; cut <= n; cut++) {
		n = conversation(peer, text, sizeof(text));
		send_octets(&world, peer, 0, text, cut);
		settle(&world);
		send_octets(&world, peer, 0, text + cut, n - cut);
		expect_conversation(peer, cut);
		peer->arrived = peer->seen = 0; /* the messages leak no further than this test */
		for (unsigned i = 0; i < 4; i++)
			free(peer->messages[i]);
		world.held_count = 0;
	}
	size_t n = conversation(peer, text, sizeof(text));
	for (size_t i = 0; i < n; i++) {
		send_octets(&world, peer, 0, text + i, 1);
		world_lap(&world);
	}
	expect_conversation(peer, n + 1);
	world_end(&world);
}

/* ---- wrong messages ---- */

#define HEAD                                                                              \
	"Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKbad\r\nFrom: <sip:a@b>;tag=a\r\nTo: " \
	"<sip:c@d>\r\n"                                                                   \
	"Call-ID: bad\r\nCSeq: 1 MESSAGE\r\n"

static void test_bad_framing_on_a_stream(void **state)
{
	static const struct {
		const char *what, *wire, *want; /* want NULL: no answer */
		bool is_closed;
	} cases[] = {
		{ "negative length",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: -1\r\n\r\n", "SIP/2.0 400",
		  true },
		{ "length above 2^32",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: 4294967328\r\n\r\n",
		  "SIP/2.0 400", true },
		{ "two lengths",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD
		  "Content-Length: 0\r\nContent-Length: 1\r\n\r\n",
		  "SIP/2.0 400", true },
		{ "no length", "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "\r\n", "SIP/2.0 400", true },
		{ "body too large",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: 131073\r\n\r\n",
		  "SIP/2.0 413", true },
		{ "bad request line",
		  "MESSAGE  sip:c@d SIP/2.0\r\n" HEAD "Content-Length: 0\r\n\r\n", "SIP/2.0 400",
		  false },
		{ "other version", "MESSAGE sip:c@d SIP/7.0\r\n" HEAD "Content-Length: 0\r\n\r\n",
		  "SIP/2.0 505", false },
		{ "a line without colon",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "what\r\nContent-Length: 0\r\n\r\n",
		  "SIP/2.0 400", false },
		{ "bare LFs", "MESSAGE sip:c@d SIP/2.0\n\n", NULL, true },
		{ "not SIP", "\x16\x03\x01", NULL, true },
		{ "HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL, true },
		{ "a response with a bad line",
		  "SIP/2.0 200 OK\r\n" HEAD "what\r\nContent-Length: 0\r\n\r\n", NULL, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(1, 200);
		struct peer *peer = peer_tcp(&world, 0);
		send_text(&world, peer, 0, cases[i].wire);
		settle(&world);
		if (cases[i].want) {
			CHECK(peer->arrived == 1, "%s: no answer\n", cases[i].what);
			expect(&world, peer, cases[i].want);
		}
		CHECK(refused(&world, REASON_FRAMING) + refused(&world, REASON_TOO_LARGE) +
				      refused(&world, REASON_SYNTAX) >=
			      1,
		      "%s: not counted\n", cases[i].what);
		assert_false(peer->is_closed); /* so that answers to what came before may still go out */
		advance_far(&world, 501);
		settle(&world);
		CHECK(peer->is_closed == cases[i].is_closed, "%s: closed %d\n", cases[i].what,
		      peer->is_closed);
		if (!peer->is_closed) {
			send_text(&world, peer, 0, message(peer, 1, "after"));
			expect(&world, peer, "SIP/2.0 200");
		}
		world_end(&world);
	}
}

/* What was whole before the stream was lost is answered, also if its owner needs a while. */
static void test_answers_outlive_the_framing(void **state)
{
	start(2, 0);
	struct peer *peer = peer_tcp(&world, 0);
	for (unsigned worker = 0; worker < 2; worker++) {
		struct request r = { .method = "MESSAGE", .call_id = call_id_of(&world, worker), .branch = new_branch() };
		send_request(&world, peer, 0, r);
	}
	send_text(&world, peer, 0, "nonsense \r\n\r\n");
	WAIT_FOR(&world, world.held_count == 2);
	send_text(&world, peer, 0, message(peer, 9, "")); /* not looked at any more */
	settle(&world);
	assert_int_equal(world.held_count, 2);
	respond(world.held[0].server, 200);
	respond(world.held[1].server, 200);
	expect(&world, peer, "SIP/2.0 200");
	expect(&world, peer, "SIP/2.0 200");
	advance_far(&world, 501);
	WAIT_FOR(&world, peer->is_closed);
	assert_int_equal(refused(&world, REASON_FRAMING), 1);
	world_end(&world);
}

/* A message that drips, octet by octet, has one deadline from its first octet on. */
static void test_dripping_is_not_progress(void **state)
{
	start(1, 200);
	struct peer *peer = peer_tcp(&world, 0);
	for (unsigned round = 0; round < 2; round++) {
		const char *text = message(peer, round, "");
		for (unsigned i = 0; i < 9; i++) {
			send_octets(&world, peer, 0, text + i, 1);
			settle(&world);
			advance_far(&world, 1000);
		}
		assert_false(peer->is_closed);
		if (round == 0) {
			send_text(&world, peer, 0, text + 9);
			expect(&world, peer, "SIP/2.0 200");
			advance_far(&world, 40000); /* nothing is under way: it may stay */
			assert_false(peer->is_closed);
		}
	}
	advance_far(&world, 1001);
	WAIT_FOR(&world, peer->is_closed);
	assert_int_equal(refused(&world, REASON_TIMEOUT), 1);
	world_end(&world);
}

static void test_head_limits_on_a_stream(void **state)
{
	static char extra[16500];

	for (int over = 0; over < 2; over++) {
		start(1, 200);
		struct peer *peer = peer_tcp(&world, 0);
		struct request r = { .method = "MESSAGE", .extra = "X: \r\n" };
		size_t filler = 16384 - strlen(write_message(peer, r)) + (size_t)over;
		snprintf(extra, sizeof(extra), "X: %*s\r\n", (int)filler, "x");
		r.extra = extra;
		assert_int_equal(strlen(write_message(peer, r)), 16384 + over);
		send_request(&world, peer, 0, r);
		expect(&world, peer, over ? "SIP/2.0 513" : "SIP/2.0 200");
		world_end(&world);
	}
}

/* ---- peers that do not speak ---- */

static void test_silent_and_slow_peers_are_closed(void **state)
{
	start(1, 200);
	struct peer *silent = peer_tcp(&world, 0), *pinging = peer_tcp(&world, 0),
		    *half = peer_tcp(&world, 0), *good = peer_tcp(&world, 0),
		    *half_later = peer_tcp(&world, 0);
	send_text(&world, half, 0, "MESSAGE sip:x SIP/2.0\r\nVia: ");
	send_text(&world, good, 0, message(good, 1, ""));
	expect(&world, good, "SIP/2.0 200");
	send_text(&world, half_later, 0, message(half_later, 2, ""));
	expect(&world, half_later, "SIP/2.0 200");
	send_text(&world, half_later, 0, "MESSAGE sip:x SIP/2.0\r\nVia: ");
	settle(&world);
	assert_int_equal(connections(0), 5);
	for (unsigned i = 0; i < 31; i++) {
		advance_far(&world, 1000);
		send_text(&world, pinging, 0, "\r\n\r\n");
		if (i == 9)
			WAIT_FOR(&world, half->is_closed && half_later->is_closed); /* limits.chunk_stall */
	}
	settle(&world);
	assert_int_equal(connections(0), 3);
	advance_far(&world, 1001);
	WAIT_FOR(&world, silent->is_closed && pinging->is_closed);
	assert_false(good->is_closed);
	assert_int_equal(refused(&world, REASON_TIMEOUT), 4);
	world_end(&world);
}

static void test_conns_per_ip(void **state)
{
	world_init(&world, 2);
	world.options.limits.conns_per_ip = 3;
	world_start(&world);
	struct peer *peers[4];
	struct sip_flow flow;
	for (unsigned i = 0; i < 3; i++)
		peers[i] = peer_tcp(&world, i % 2);
	settle(&world);
	peers[3] = peer_tcp(&world, 1);
	WAIT_FOR(&world, peers[3]->is_closed);
	assert_int_equal(refused(&world, REASON_CONNECTION_LIMIT), 1);
	send_text(&world, peers[0], 0, message(peers[0], 1, "")); /* any message is no session or registered flow */
	expect(&world, peers[0], "SIP/2.0 200");
	peers[3] = peer_tcp(&world, 1);
	WAIT_FOR(&world, peers[3]->is_closed);
	assert_int_equal(refused(&world, REASON_CONNECTION_LIMIT), 2);
	sip_connection_flow(layer_of(&world, 0)->all, &flow);
	sip_flow_watch(&world.workers[0], &flow); /* bound: it counts no more */
	settle(&world);
	peers[3] = peer_tcp(&world, 1);
	settle(&world);
	assert_false(peers[3]->is_closed);
	peer_close(peers[1]); /* so does one that is gone */
	settle(&world);
	peers[1] = peer_tcp(&world, 1);
	settle(&world);
	assert_false(peers[1]->is_closed);
	world_trusts = true;
	struct peer *trusted = peer_tcp(&world, 0);
	settle(&world);
	assert_false(trusted->is_closed);
	assert_int_equal(connections(0) + connections(1), 5);
	world_end(&world);
}

/* ---- peers that send no more, and read ---- */

static void test_half_closed(void **state)
{
	start(2, 0);
	for (unsigned owner = 0; owner < 2; owner++) { /* answered by the connection's worker, and by another */
		struct peer *peer = peer_tcp(&world, 0);
		world.held_count = 0;
		send_request(&world, peer, 0, (struct request){ .method = "MESSAGE", .call_id = call_id_of(&world, owner) });
		send_request(&world, peer, 0, (struct request){ .method = "MESSAGE", .branch = new_branch(),
			.call_id = call_id_of(&world, owner) });
		WAIT_FOR(&world, world.held_count == 2);
		assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
		settle(&world);
		assert_int_equal(connections(0), 1);
		respond(world.held[0].server, 200);
		expect(&world, peer, "SIP/2.0 200");
		settle(&world);
		assert_false(peer->is_closed); /* one is still to come */
		respond(world.held[1].server, 404);
		expect(&world, peer, "SIP/2.0 404");
		settle(&world);
		advance(&world, 201);
		WAIT_FOR(&world, peer->is_closed);
		assert_int_equal(connections(0), 0);
		assert_int_equal(counted(&world, COUNTER_sip_connections_opened), 0);
	}
	struct peer *idle = peer_tcp(&world, 0);
	settle(&world);
	assert_int_equal(shutdown(idle->fd, SHUT_WR), 0);
	WAIT_FOR(&world, idle->is_closed); /* nothing to wait for */
	struct peer *nameless = peer_tcp(&world, 0);
	send_text(&world, nameless, 0, "MESSAGE sip:x SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x>\r\n"
		"Call-ID: y\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n");
	send_text(&world, nameless, 0, "MESSAGE sip:x SIP/2.0\r\nVia: nonsense\r\nFrom: <sip:a@b>;tag=1\r\n"
		"To: <sip:x>\r\nCall-ID: y\r\nCSeq: 2 MESSAGE\r\nContent-Length: 0\r\n\r\n");
	settle(&world);
	assert_int_equal(shutdown(nameless->fd, SHUT_WR), 0);
	WAIT_FOR(&world, nameless->is_closed); /* requests that cannot be answered */
	world_end(&world);
}

/* What is never answered does not hold a connection for ever. */
static void test_half_closed_without_answer(void **state)
{
	start(1, 0);
	struct peer *peer = peer_tcp(&world, 0);
	send_request(&world, peer, 0, (struct request){ .method = "MESSAGE", .call_id = "x" });
	WAIT_FOR(&world, world.held_count == 1);
	assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
	settle(&world);
	assert_int_equal(connections(0), 1);
	advance_far(&world, 33000);
	WAIT_FOR(&world, connections(0) == 0);
	assert_int_equal(refused(&world, REASON_PEER_CLOSED), 1);
	respond(world.held[0].server, 200); /* too late: where the Via says, and nobody is there */
	WAIT_FOR(&world, refused(&world, REASON_CONNECT_FAILED) == 1);
	world_end(&world);
}

/* ---- peers that do not read ---- */

static void test_pings_without_reading(void **state)
{
	static char pings[65536];
	size_t sent = 0;

	world_init(&world, 1);
	world.options.limits.leg_high = 4096;
	world.options.limits.leg_low = 1024;
	world_start(&world);
	struct peer *peer = peer_tcp(&world, 0);
	peer->is_deaf = true;
	for (size_t i = 0; i < sizeof(pings); i++)
		pings[i] = "\r\n"[i % 2];
	for (unsigned i = 0; i < 20000 && sent < 64u << 20; i++) {
		ssize_t n = send(peer->fd, pings, sizeof(pings), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		if (n <= 0 && i > 2000)
			break; /* TCP holds us */
		world_lap(&world);
	}
	assert_true(sent < 64u << 20);
	struct sip_connection *c = layer_of(&world, 0)->all;
	assert_non_null(c);
	assert_false(sip_connection_is_full(c));
	advance_far(&world, 32001);
	assert_int_equal(refused(&world, REASON_STREAM_STALL) + refused(&world, REASON_TIMEOUT), 1);
	assert_int_equal(connections(0), 0);
	world_end(&world);
}

static void test_requests_to_a_deaf_peer(void **state)
{
	static char body[100000];
	static struct watched watched[400];

	memset(body, 'x', sizeof(body));
	world_init(&world, 2);
	world.options.limits.leg_high = 65536;
	world.answer = 200;
	world_start(&world);
	struct peer *peer = peer_tcp(&world, 0);
	send_text(&world, peer, 0, message(peer, 1, ""));
	expect(&world, peer, "SIP/2.0 200");
	peer->is_deaf = true;
	struct sip_target target = { .has_flow = true, .flow_only = true };
	sip_connection_flow(layer_of(&world, 0)->all, &target.flow);
	unsigned failed = 0;
	for (unsigned i = 0; i < 400; i++) { /* 40 MB from two workers */
		struct sip_outgoing request = outgoing("MESSAGE", &target);
		request.content_type = SLICE("text/plain");
		request.body = slice_of(body, sizeof(body));
		assert_int_equal(sip_client_send(&watched[i].client, &world.workers[i % 2],
						 &request, &watched_events, &watched[i]),
				 0);
		advance(&world, 1);
	}
	advance(&world, 1);
	for (unsigned i = 0; i < 400; i++)
		failed += watched[i].failed && watched[i].status == 503;
	CHECK(failed > 100, "only %u refused\n", failed);
	assert_true(refused(&world, REASON_QUEUE_FULL) >= failed);
	assert_false(peer->is_closed);
	advance_far(&world, 32001);
	assert_int_equal(refused(&world, REASON_STREAM_STALL), 1);
	assert_int_equal(connections(0), 0);
	world_end(&world);
}

/* ---- credit ---- */

#define MANY 1500

static void test_credit_loses_nothing_over_tcp(void **state)
{
	static char text[2 * 1024 * 1024];
	size_t n = 0;

	start(2, 200);
	struct peer *peers[3];
	for (unsigned p = 0; p < 3; p++)
		peers[p] = peer_tcp(&world, 0);
	settle(&world);
	world.asleep = 1u << 1;
	for (unsigned p = 0; p < 3; p++) {
		n = 0;
		for (unsigned i = 0; i < MANY / 3; i++)
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, "%s",
				write_message(peers[p],
					      (struct request){ .method = "MESSAGE",
								.branch = new_branch(),
								.call_id = call_id_of(&world, 1),
								.body = "hello" }));
		/* half a message first, so that the timer of what is not whole runs */
		send_octets(&world, peers[p], 0, text, 50);
		settle(&world);
		send_octets(&world, peers[p], 0, text + 50, n - 50);
		settle(&world);
	}
	advance_far(&world, 60000); /* the owner is slow, nobody is to be blamed */
	assert_int_equal(layer_of(&world, 0)->credit[1], 0);
	assert_true(counted(&world, COUNTER_mailbox_credit_waits) >= 2);
	assert_int_equal(world.held_count, 0);
	world.asleep = 0;
	WAIT_FOR(&world, world.held_count == MANY);
	WAIT_FOR(&world, peers[0]->arrived + peers[1]->arrived + peers[2]->arrived == MANY);
	for (unsigned p = 0; p < 3; p++) {
		assert_false(peers[p]->is_closed);
		assert_int_equal(peers[p]->arrived, MANY / 3);
	}
	world_end(&world);
}

/* Connections that wait for credit may go meanwhile. */
static void test_credit_comes_for_connections_that_left(void **state)
{
	start(2, 200);
	struct peer *peers[6];
	for (unsigned p = 0; p < 6; p++)
		peers[p] = peer_tcp(&world, 0);
	settle(&world);
	world.asleep = 1u << 1;
	for (unsigned i = 0; i < 100 * 6; i++)
		send_text(&world, peers[i % 6], 0,
			  write_message(peers[i % 6],
					(struct request){ .method = "MESSAGE",
							  .branch = new_branch(),
							  .call_id = call_id_of(&world, 1) }));
	settle(&world);
	assert_int_equal(layer_of(&world, 0)->credit[1], 0);
	struct linger now = { .l_onoff = 1 };
	for (unsigned p = 0; p < 6; p += 2) {
		setsockopt(peers[p]->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		peer_close(peers[p]);
	}
	settle(&world);
	world.asleep = 0;
	for (unsigned p = 1; p < 6; p += 2)
		WAIT_FOR(&world, peers[p]->arrived == 100);
	world_end(&world);
}

/* ---- answers whose connection is gone ---- */

static void hold_request_with_port(struct peer *peer, unsigned worker, unsigned port,
				   const char *call_id)
{
	char via[128];
	unsigned before = world.held_count;

	snprintf(via, sizeof(via), "SIP/2.0/TCP 127.0.0.1:%u;branch=%s;rport", port, new_branch());
	send_request(&world, peer, worker,
		     (struct request){ .method = "MESSAGE", .via = via, .call_id = call_id });
	WAIT_FOR(&world, world.held_count == before + 1);
}

static void test_answer_without_its_connection(void **state)
{
	for (unsigned workers = 1; workers <= 4; workers += 3) {
		start(workers, 0);
		struct peer *listener = peer_listener(&world), *peer = peer_tcp(&world, 0);
		hold_request_with_port(peer, 0, listener->port, call_id_of(&world, workers - 1));
		assert_ptr_equal(world.held[0].worker, &world.workers[workers - 1]);
		peer_close(peer);
		settle(&world);
		respond(world.held[0].server, 202);
		settle(&world);
		advance(&world, 201); /* then it is known that the close was of both ways */
		struct peer *back = peer_accepted(&world, listener);
		expect(&world, back, "SIP/2.0 202"); /* RFC 3261 18.2.2: to the port of the Via */
		world_end(&world);

		start(workers, 0); /* once: where nobody listens, it is given up and counted */
		listener = peer_listener(&world);
		peer = peer_tcp(&world, 0);
		hold_request_with_port(peer, 0, listener->port, call_id_of(&world, workers - 1));
		peer_close(peer);
		peer_close(listener);
		settle(&world);
		respond(world.held[0].server, 202);
		settle(&world);
		advance(&world, 201);
		WAIT_FOR(&world, refused(&world, REASON_CONNECT_FAILED) == 1);
		assert_int_equal(counted(&world, COUNTER_sip_connections_opened), 1);
		world_end(&world);
	}
}

static void test_answers_without_their_connection_are_limited(void **state)
{
	world_init(&world, 1);
	world.options.limits.conns_per_ip = 3;
	world.answer = 0;
	world_start(&world);
	struct peer *listeners[6], *peer = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 6; i++) {
		listeners[i] = peer_listener(&world);
		hold_request_with_port(peer, 0, listeners[i]->port, call_id_of(&world, 0));
	}
	peer_close(peer);
	settle(&world);
	for (unsigned i = 0; i < 6; i++)
		respond(world.held[i].server, 200);
	settle(&world);
	advance(&world, 201);
	assert_int_equal(connections(0), 3);
	assert_int_equal(refused(&world, REASON_CONNECTION_LIMIT), 3);
	struct peer *back = peer_accepted(&world, listeners[0]);
	expect(&world, back, "SIP/2.0 200");
	/* who says something valid on it may keep it */
	world.answer = 200;
	send_text(&world, back, 0, message(back, 7, ""));
	expect(&world, back, "SIP/2.0 200");
	advance_far(&world, 33000);
	assert_int_equal(connections(0), 1);
	world_end(&world);
}

/* ---- requests by connections ---- */

static void test_request_by_a_flow_that_is_gone(void **state)
{
	start(4, 200);
	for (unsigned worker = 0; worker < 4; worker++) {
		struct peer *peer = peer_tcp(&world, 1);
		struct watched watched;
		send_text(&world, peer, 1, message(peer, worker, ""));
		expect(&world, peer, "SIP/2.0 200");
		struct sip_target target = { .has_flow = true, .flow_only = true };
		sip_connection_flow(layer_of(&world, 1)->all, &target.flow);
		send_ours(&world, worker, &watched, "MESSAGE", &target); /* from whichever worker */
		answer(&world, peer, 1, expect(&world, peer, "MESSAGE "), 200, "t");
		WAIT_FOR(&world, watched.responses == 1);
		peer_close(peer);
		WAIT_FOR(&world, connections(1) == 0);
		send_ours(&world, worker, &watched, "INVITE", &target);
		advance(&world, 2);
		assert_int_equal(watched.failed, 1);
		assert_int_equal(watched.status, 503);
		assert_int_equal(watched.gone, 1);
		assert_int_equal(refused(&world, REASON_SEND_FAILED), worker + 1);
	}
	world_end(&world);
}

static void test_one_connection_to_an_address(void **state)
{
	start(1, 200);
	struct watched watched[3];
	struct peer *first = peer_listener(&world), *second = peer_listener(&world);
	struct peer *client = peer_tcp(&world, 0); /* theirs is never used for ours */
	settle(&world);
	struct sip_target to_first = target_of(first), to_second = target_of(second);
	send_ours(&world, 0, &watched[0], "MESSAGE",
		  &to_first); /* before and after it is connected */
	send_ours(&world, 0, &watched[1], "MESSAGE", &to_first);
	struct peer *connection = peer_accepted(&world, first);
	answer(&world, connection, 0, expect(&world, connection, "MESSAGE "), 200, "t");
	answer(&world, connection, 0, expect(&world, connection, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, watched[1].gone);
	send_ours(&world, 0, &watched[0], "MESSAGE", &to_first);
	answer(&world, connection, 0, expect(&world, connection, "MESSAGE "), 200, "t");
	send_ours(&world, 0, &watched[2], "MESSAGE", &to_second);
	connection = peer_accepted(&world, second);
	answer(&world, connection, 0, expect(&world, connection, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, watched[0].gone && watched[2].gone);
	assert_int_equal(counted(&world, COUNTER_sip_connections_opened), 2);
	assert_int_equal(connections(0), 3);
	expect_nothing(&world, client);
	advance_far(&world, 100000); /* those that we opened stay for a while, idle or not */
	assert_int_equal(connections(0), 2);
	send_ours(&world, 0, &watched[0], "MESSAGE", &(struct sip_target){ .flow = {
		.protocol = SIP_TCP, .peer = target_of(first).flow.peer } });
	advance_far(&world, 201000); /* five minutes without use */
	assert_int_equal(connections(0), 1);
	advance_far(&world, 100000);
	assert_int_equal(connections(0), 0);
	world_end(&world);
}

/* Closed in the middle of everything: a transaction that waits for its answer, half a message held.
 */
static void test_closed_in_the_middle(void **state)
{
	start(1, 0);
	struct peer *peer = peer_tcp(&world, 0);
	send_request(&world, peer, 0, (struct request){ .method = "INVITE" });
	expect(&world, peer, "SIP/2.0 100");
	send_text(&world, peer, 0, "BYE sip:");
	settle(&world);
	peer_close(peer);
	WAIT_FOR(&world, refused(&world, REASON_PEER_CLOSED) == 1);
	respond(world.held[0].server, 200);
	settle(&world);
	advance(&world, 201);
	assert_int_equal(connections(0), 0);
	advance(&world, 64 * T1_MS);
	assert_int_equal(world.held[0].unacked, 1);
	world_end(&world);
}

static unsigned lost_at[WORLD_WORKERS];

static void on_flow_lost(struct worker *worker, const struct sip_flow *flow)
{
	lost_at[worker->index]++;
	assert_int_equal(flow->protocol, SIP_TCP);
	assert_int_equal(flow->worker, 0);
}

/* Whoever watches a stream hears of its end once, on his own worker; also when it ended before. */
static void test_watched_until_the_end(void **state)
{
	struct sip_flow flow;

	memset(lost_at, 0, sizeof(lost_at));
	start(3, 0);
	world.options.on_flow_lost = on_flow_lost;
	struct peer *peer = peer_tcp(&world, 0);
	send_request(&world, peer, 0, (struct request){ .method = "MESSAGE", .call_id = call_id_of(&world, 0) });
	WAIT_FOR(&world, world.held_count == 1);
	flow = *sip_server_flow(world.held[0].server);
	respond(world.held[0].server, 200);
	sip_flow_watch(&world.workers[0], &flow);
	sip_flow_watch(&world.workers[1], &flow);
	sip_flow_watch(&world.workers[1], &flow);
	settle(&world);
	assert_int_equal(lost_at[0] + lost_at[1] + lost_at[2], 0);
	peer_close(peer);
	WAIT_FOR(&world, lost_at[0] == 1 && lost_at[1] == 1);
	sip_flow_watch(&world.workers[2], &flow);
	assert_int_equal(lost_at[2], 0); /* never inside the call */
	WAIT_FOR(&world, lost_at[2] == 1);
	settle(&world);
	assert_true(lost_at[0] == 1 && lost_at[1] == 1);
	flow.protocol = SIP_UDP;
	sip_flow_watch(&world.workers[2], &flow);
	settle(&world);
	assert_int_equal(lost_at[2], 1);
	world_end(&world);
}

/* Everything is stopped while connections, transactions and datagrams are alive. */
static void test_stopped_in_the_middle(void **state)
{
	struct watched watched;

	start(2, 0);
	struct peer *peer = peer_tcp(&world, 0), *listener = peer_listener(&world);
	struct sip_target target = target_of(listener);
	send_request(&world, peer, 0,
		     (struct request){ .method = "INVITE", .call_id = call_id_of(&world, 0) });
	expect(&world, peer, "SIP/2.0 100");
	respond(world.held[0].server, 486);
	send_ours(&world, 0, &watched, "INVITE", &target);
	sip_worker_stop(&world.workers[0], true);
	WAIT_FOR(&world, peer->is_closed);
	assert_int_equal(connections(0), 0);
	expect(&world, peer, "SIP/2.0 486"); /* what was written goes out */
	world_end(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_every_octet),
		cmocka_unit_test(test_bad_framing_on_a_stream),
		cmocka_unit_test(test_answers_outlive_the_framing),
		cmocka_unit_test(test_dripping_is_not_progress),
		cmocka_unit_test(test_head_limits_on_a_stream),
		cmocka_unit_test(test_silent_and_slow_peers_are_closed),
		cmocka_unit_test(test_conns_per_ip),
		cmocka_unit_test(test_half_closed),
		cmocka_unit_test(test_half_closed_without_answer),
		cmocka_unit_test(test_pings_without_reading),
		cmocka_unit_test(test_requests_to_a_deaf_peer),
		cmocka_unit_test(test_credit_loses_nothing_over_tcp),
		cmocka_unit_test(test_credit_comes_for_connections_that_left),
		cmocka_unit_test(test_answer_without_its_connection),
		cmocka_unit_test(test_answers_without_their_connection_are_limited),
		cmocka_unit_test(test_request_by_a_flow_that_is_gone),
		cmocka_unit_test(test_one_connection_to_an_address),
		cmocka_unit_test(test_closed_in_the_middle),
		cmocka_unit_test(test_watched_until_the_end),
		cmocka_unit_test(test_stopped_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
