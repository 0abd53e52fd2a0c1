/*
 * New work that is refused: at a glance or after it was parsed, the answer is the same; and how much of streams one
 * turn of the worker looks at.
 */
#include "sip/connection_internal.h"
#include "tests/unit/sip_world.h"

static struct world world;

static void start(bool refuses)
{
	world_init(&world, 1);
	world.options.retry_after_s = 7;
	world_start(&world);
	if (!refuses)
		return;
	layer_of(&world, 0)->overload.admission = (struct admission){ .taken = ADMISSION_ALWAYS, .is_shedding = true };
	world.workers[0].on_load = NULL; /* nothing changes that */
}

/* Streams that were refused something have rested. */
static void rested(void)
{
	advance(&world, 10);
}

static uint64_t glances(void)
{
	return counted(&world, COUNTER_sip_refused_at_a_glance);
}

static const char *ack_of(const char *refused, const char *answer)
{
	static char text[4096];
	char via[512];
	const char *from = strstr(refused, "\r\nVia: ") + 7;

	snprintf(via, sizeof(via), "%.*s", (int)(strstr(from, "\r\n") - from), from);
	snprintf(text, sizeof(text), "ACK sip:bob@example.com SIP/2.0\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\n"
		"CSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", via, value_of(answer, "From"),
		value_of(answer, "To"), value_of(answer, "Call-ID"));
	return text;
}

/* RFC 3261 8.2.6, 21.5.4, RFC 3581 4: what is repeated, a tag, received and rport, Retry-After; and the ACK of it is
 * known (17.1.1.3) without any state. */
static void both_ways_give_the_same_answer(void **state)
{
	static const char *const extra[] = { NULL, "Subject: over\r\n two lines\r\n" };
	char to[2][128];

	start(true);
	struct peer *peer = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 2; i++) {
		char invite[4096], rport[32];
		struct request r = { .method = "INVITE", .branch = "z9hG4bKsame", .extra = extra[i], .body = "v=0" };
		snprintf(invite, sizeof(invite), "%s", write_message(peer, r));
		rested();
		send_text(&world, peer, 0, invite);
		const char *answer = expect(&world, peer, "SIP/2.0 503 Service Unavailable\r\nVia: SIP/2.0/TCP 127.0.0.1:");
		assert_int_equal(glances(), 1); /* the second has a header over two lines */
		snprintf(rport, sizeof(rport), ";rport=%u", peer->port);
		expect_text(value_of(answer, "Via"), ";branch=z9hG4bKsame");
		expect_text(value_of(answer, "Via"), rport);
		expect_text(value_of(answer, "Via"), ";received=127.0.0.1");
		assert_string_equal(value_of(answer, "From"), "<sip:alice@example.com>;tag=a");
		assert_string_equal(value_of(answer, "Call-ID"), "call-1");
		assert_string_equal(value_of(answer, "CSeq"), "1 INVITE");
		assert_string_equal(value_of(answer, "Retry-After"), "7");
		assert_string_equal(value_of(answer, "Server"), "test");
		assert_string_equal(value_of(answer, "Content-Length"), "0");
		snprintf(to[i], sizeof(to[i]), "%s", value_of(answer, "To"));
		rested();
		send_text(&world, peer, 0, ack_of(invite, answer));
		WAIT_FOR(&world, counted(&world, COUNTER_sip_refusals_acked) == i + 1);
	}
	assert_string_equal(to[0], to[1]);
	expect_nothing(&world, peer);
	assert_int_equal(refused(&world, REASON_OVERLOAD), 2);
	assert_int_equal(counted(&world, COUNTER_sip_rx_requests), 4);
	assert_int_equal(world.held_count, 0);
	world_end(&world);
}

/* What is not plain is parsed, and gets what it deserves. */
static void what_is_not_plain_is_parsed(void **state)
{
	static const struct {
		const char *what;
		struct request r;
		const char *want, *via; /* in the first Via of the answer */
		bool at_a_glance;
	} cases[] = {
		{ "no rport", { "MESSAGE", .no_rport = true }, "SIP/2.0 503", "branch=", true },
		{ "a name in Via", { "MESSAGE", .via = "SIP/2.0/TCP client.example;branch=z9hG4bKn" }, "SIP/2.0 503",
			"client.example;branch=z9hG4bKn;received=127.0.0.1", true },
		{ "two in a Via", { "MESSAGE", .via = "SIP/2.0/TCP a.example;branch=z9hG4bKa, SIP/2.0/TCP b.example" },
			"SIP/2.0 503", "a.example;branch=z9hG4bKa;received=127.0.0.1,", true },
		{ "a Via with blanks", { "MESSAGE", .via = "SIP / 2.0 / TCP 127.0.0.1 ; branch=z9hG4bKb" }, "SIP/2.0 503",
			"branch=z9hG4bKb", true },
		{ "a false received", { "MESSAGE", .via = "SIP/2.0/TCP c.example;received=10.0.0.1;branch=z9hG4bKr" },
			"SIP/2.0 503", "c.example;branch=z9hG4bKr;received=127.0.0.1", true },
		{ "REGISTER", { "REGISTER" }, "SIP/2.0 503", "branch=", true },
		{ "a name in quotes", { "MESSAGE", .to = "\"b;tag=1 <b>\" <sip:b@example.com>" }, "SIP/2.0 503", "branch=", false },
		{ "a tag that is not ours", { "INVITE", .to = "<sip:b@example.com>;tag=1" }, "SIP/2.0 503", "branch=", false },
		{ "another To", { "MESSAGE", .extra = "t: <sip:c@example.com>\r\n" }, "SIP/2.0 503", "branch=", false },
		{ "a length twice", { "MESSAGE", .extra = "l: 0\r\n" }, "SIP/2.0 503", "branch=", false },
		{ "REFER", { "REFER", .extra = "Refer-To: <sip:c@example.com>\r\n" }, "SIP/2.0 503", "branch=", false },
	};

	start(true);
	struct peer *peer = peer_tcp(&world, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = glances();
		struct request r = cases[i].r;
		r.branch = new_branch();
		rested();
		send_request(&world, peer, 0, r);
		const char *answer = expect(&world, peer, cases[i].want);
		CHECK(strstr(value_of(answer, "Via"), cases[i].via), "%s: Via: %s\n", cases[i].what, value_of(answer, "Via"));
		CHECK(glances() == before + cases[i].at_a_glance, "%s: %s\n", cases[i].what,
			cases[i].at_a_glance ? "parsed" : "refused at a glance");
	}
	rested();
	/* what is broken is told so, or loses its stream, under overload as ever */
	send_text(&world, peer, 0, "MESSAGE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx\r\n"
		"From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n"
		"Content-Length: 1\r\nContent-Length: 2\r\n\r\n..");
	expect(&world, peer, "SIP/2.0 400");
	world_end(&world);
}

/* Responses, ACK and what ends something are not new, by whatever it is looked at. */
static void what_is_not_new_is_never_refused(void **state)
{
	static const char *const methods[] = { "BYE", "CANCEL", "PRACK", "UPDATE" };

	start(true);
	struct peer *peer = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct request r = { .method = methods[i], .branch = new_branch() };
		send_request(&world, peer, 0, r);
		const char *answer = peer_next(&world, peer);
		CHECK(strncmp(answer, "SIP/2.0 503", 11) != 0, "%s is refused\n", methods[i]);
	}
	assert_int_equal(refused(&world, REASON_OVERLOAD), 0);
	world_end(&world);
}

static void cut_at_every_octet(void **state)
{
	start(true);
	struct peer *peer = peer_tcp(&world, 0);
	for (size_t cut = 1, n = 2; cut < n; cut++) {
		char text[4096];
		n = (size_t)snprintf(text, sizeof(text), "%s\r\n\r\n%s",
			write_message(peer, (struct request){ "MESSAGE", .body = "one" }),
			write_message(peer, (struct request){ "MESSAGE", .body = "\r\n\r\n" }));
		send_octets(&world, peer, 0, text, cut);
		rested();
		send_octets(&world, peer, 0, text + cut, n - cut);
		expect(&world, peer, "SIP/2.0 503");
		expect(&world, peer, "\r\n");
		expect(&world, peer, "SIP/2.0 503");
		rested();
		expect_nothing(&world, peer);
		while (peer->arrived)
			free(peer->messages[--peer->arrived]);
		peer->seen = 0;
	}
	assert_true(glances() > 0);
	world_end(&world);
}

/* A stream that was refused something is not read for a moment; others are, and so is one that brings no new work. */
static void a_moment_of_rest(void **state)
{
	struct request r = { .method = "MESSAGE" };

	start(true);
	struct peer *peer = peer_tcp(&world, 0), *other = peer_tcp(&world, 0);
	send_request(&world, peer, 0, r);
	expect(&world, peer, "SIP/2.0 503");
	send_request(&world, peer, 0, r);
	expect_nothing(&world, peer);
	assert_non_null(layer_of(&world, 0)->turns.resting);
	send_request(&world, other, 0, (struct request){ .method = "BYE" });
	expect(&world, other, "SIP/2.0 200");
	send_request(&world, other, 0, r);
	expect(&world, other, "SIP/2.0 503");
	expect_nothing(&world, peer);
	rested();
	expect(&world, peer, "SIP/2.0 503");
	peer_close(peer); /* while it rests */
	rested();
	world_end(&world);
}

/* What had been received when a stream began to rest, or is another record of what had: it comes, and waits with it. */
static void what_comes_while_it_rests_waits(void **state)
{
	enum { MANY = 8 * 100 }; /* more than one turn looks at */
	struct request r = { .method = "MESSAGE" };
	struct peer *peers[2];
	size_t n = 0;

	start(true);
	for (unsigned i = 0; i < 2; i++)
		peers[i] = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 2; i++) {
		send_request(&world, peers[i], 0, r);
		expect(&world, peers[i], "SIP/2.0 503");
	}
	struct sip_connection *c = layer_of(&world, 0)->turns.resting;
	assert_non_null(c->next_waiting);
	const char *one = write_message(peers[1], r);
	char *text = malloc(MANY * strlen(one));
	for (unsigned i = 0; i < MANY; i++, n += strlen(one))
		memcpy(text + n, one, strlen(one));
	sip_connection_on_data(c->stream, slice_of(text, n));
	free(text);
	assert_int_equal(refused(&world, REASON_OVERLOAD), 2);
	rested();
	WAIT_FOR(&world, refused(&world, REASON_OVERLOAD) == 2 + MANY);
	for (unsigned i = 0; i < 2; i++) { /* both are read again */
		rested();
		send_request(&world, peers[i], 0, r);
		WAIT_FOR(&world, refused(&world, REASON_OVERLOAD) == 2 + MANY + i + 1);
	}
	world_end(&world);
}

/* ---- turns ---- */

static void send_many(struct peer *peer, unsigned n)
{
	static char text[MESSAGE_MAX];
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		char call_id[24];
		snprintf(call_id, sizeof(call_id), "%u-%u", peer->port, i);
		struct request r = { "MESSAGE", .branch = new_branch(), .call_id = call_id };
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", write_message(peer, r));
	}
	send_octets(&world, peer, 0, text, at);
}

static void expect_many(struct peer *peer, unsigned n)
{
	char call_id[24];

	for (unsigned i = 0; i < n; i++) {
		snprintf(call_id, sizeof(call_id), "%u-%u", peer->port, i);
		assert_string_equal(value_of(expect(&world, peer, "SIP/2.0 200"), "Call-ID"), call_id);
	}
	expect_nothing(&world, peer);
}

/* Four streams bring more in a turn than it looks at, a fifth one request: nothing is lost, each stream's order is
 * kept, and the little one does not wait for the others. */
static void who_sends_little_does_not_wait(void **state)
{
	struct peer *much[4], *little;

	start(false);
	for (unsigned i = 0; i < 4; i++)
		much[i] = peer_tcp(&world, 0);
	little = peer_tcp(&world, 0);
	settle(&world);
	for (unsigned i = 0; i < 4; i++)
		send_many(much[i], 50);
	send_many(little, 1);
	worker_turn(&world.workers[0], false); /* reads one block of each */
	assert_in_range(counted(&world, COUNTER_sip_turns_waited), 2, 4);
	assert_in_range(world.held_count, 64, 150);
	WAIT_FOR(&world, little->arrived);
	assert_true(much[3]->arrived < 50);
	expect_many(little, 1);
	for (unsigned i = 0; i < 4; i++)
		expect_many(much[i], 50);
	assert_int_equal(world.held_count, 201);
	assert_null(layer_of(&world, 0)->turns.first);
	world_end(&world);
}

/* Streams that end, or whose worker ends, while they wait for their turn. */
static void ends_while_it_waits(void **state)
{
	struct peer *peers[6];

	for (unsigned stops = 0; stops < 2; stops++) {
		start(false);
		for (unsigned i = 0; i < 6; i++)
			peers[i] = peer_tcp(&world, 0);
		settle(&world);
		for (unsigned i = 0; i < 6; i++)
			send_many(peers[i], 50);
		worker_turn(&world.workers[0], false);
		assert_non_null(layer_of(&world, 0)->turns.first);
		for (unsigned i = 0; i < 6; i += 2)
			peer_close(peers[i]);
		if (stops)
			sip_connections_free(layer_of(&world, 0), false);
		settle(&world);
		assert_null(layer_of(&world, 0)->turns.first);
		world_end(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_give_the_same_answer),
		cmocka_unit_test(what_is_not_plain_is_parsed),
		cmocka_unit_test(what_is_not_new_is_never_refused),
		cmocka_unit_test(cut_at_every_octet),
		cmocka_unit_test(a_moment_of_rest),
		cmocka_unit_test(what_comes_while_it_rests_waits),
		cmocka_unit_test(who_sends_little_does_not_wait),
		cmocka_unit_test(ends_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
