/*
 * Reliable provisional responses and their PRACK (RFC 3262 3, 7.2), with T1 =
 * 10 ms on the test's clock.
 */
#include "tests/unit/sip_world.h"

static struct world world;

/* The INVITE that is answered, and what was told of it. */
static struct {
	struct sip_server *server;
	struct worker *worker;
	unsigned unpracked, acked;
	unsigned answer_then; /* in on_unpracked; 0: nothing */
} told;

static void on_unpracked(struct sip_server *server, void *arg)
{
	told.unpracked++;
	if (told.answer_then)
		respond(server, told.answer_then);
}

static void on_acked(struct sip_server *server, const struct sip_message *ack, void *arg)
{
	told.acked++;
}

static const struct sip_server_events events = { NULL, on_acked, NULL, NULL, on_unpracked };

static void on_request(struct worker *worker, struct sip_server *server, const struct sip_message *m)
{
	if (m->method == SIP_PRACK) {
		sip_server_prack(worker, server, m);
		return;
	}
	told.server = server;
	told.worker = worker;
	sip_server_watch(server, &events, NULL);
}

static void start(void)
{
	memset(&told, 0, sizeof(told));
	world_init(&world, 1);
	world_start(&world);
	layer_of(&world, 0)->on_request = on_request;
}

static struct peer *invited(bool is_tcp)
{
	struct peer *peer = is_tcp ? peer_tcp(&world, 0) : peer_udp(&world);

	send_request(&world, peer, 0, (struct request){ .method = "INVITE", .cseq = 5 });
	expect(&world, peer, "SIP/2.0 100");
	return peer;
}

static void ring(unsigned status)
{
	sip_server_respond(told.server, &(struct sip_reply){ .status = status, .is_reliable = true,
		.headers = SLICE("Contact: <sip:us@here>\r\n") });
}

static uint32_t rseq_of(const char *response)
{
	expect_text(response, "\r\nRequire: 100rel\r\n");
	expect_text(response, "\r\nContact: <sip:us@here>\r\n");
	return (uint32_t)strtoul(value_of(response, "RSeq"), NULL, 10);
}

static void send_prack(struct peer *peer, const char *response, const char *rack, unsigned want)
{
	char line[128], status[32];

	snprintf(line, sizeof(line), "RAck: %s\r\n", rack);
	snprintf(status, sizeof(status), "SIP/2.0 %u", want);
	send_request(&world, peer, 0, (struct request){ .method = "PRACK", .branch = new_branch(), .cseq = 6,
		.to = value_of(response, "To"), .extra = line });
	expect_text(expect(&world, peer, status), "PRACK");
}

static void acknowledge(struct peer *peer, const char *response, unsigned want)
{
	char rack[64];

	snprintf(rack, sizeof(rack), "%u 5 INVITE", rseq_of(response));
	send_prack(peer, response, rack, want);
}

static void test_repeated_until_its_prack(void **state)
{
	start();
	struct peer *peer = invited(false);
	ring(180);
	char *first = strdup(expect(&world, peer, "SIP/2.0 180"));
	assert_in_range(rseq_of(first), 1, 0x7fffffff);
	for (unsigned ms = T1_MS; ms < 16 * T1_MS; ms *= 2) { /* T1 and doubling */
		advance(&world, ms - 1);
		expect_nothing(&world, peer);
		advance(&world, 1);
		assert_string_equal(expect(&world, peer, "SIP/2.0 180"), first);
	}
	acknowledge(peer, first, 200);
	acknowledge(peer, first, 481); /* nothing waits for it any more */
	assert_int_equal(refused(&world, REASON_PRACK_UNKNOWN), 1);
	advance(&world, 100 * T1_MS);
	expect_nothing(&world, peer);
	assert_int_equal(told.unpracked, 0);
	ring(183);
	const char *second = expect(&world, peer, "SIP/2.0 183");
	assert_int_equal(rseq_of(second), rseq_of(first) + 1);
	free(first);
	respond(told.server, 486);
	expect(&world, peer, "SIP/2.0 486");
	world_end(&world);
}

/* RFC 3262 3: the next one only after the PRACK; of several the newest. */
static void test_one_at_a_time(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start();
		struct peer *peer = invited(tcp);
		ring(180);
		char *first = strdup(expect(&world, peer, "SIP/2.0 180"));
		ring(181);
		ring(183);
		expect_nothing(&world, peer);
		acknowledge(peer, first, 200);
		char *second = strdup(expect(&world, peer, "SIP/2.0 183"));
		assert_int_equal(rseq_of(second), rseq_of(first) + 1);
		acknowledge(peer, first, 481);
		acknowledge(peer, second, 200);
		free(first);
		free(second);
		respond(told.server, 200);
		expect(&world, peer, "SIP/2.0 200");
		world_end(&world);
	}
}

static void test_pracks_of_something_else(void **state)
{
	static const struct { const char *what, *rack; unsigned want; } cases[] = {
		{ "another number", "%2$u 5 INVITE", 481 }, { "another CSeq", "%1$u 6 INVITE", 481 },
		{ "another method", "%1$u 5 UPDATE", 481 }, { "zero", "0 5 INVITE", 400 },
		{ "too large", "4294967296 5 INVITE", 400 }, { "no method", "%1$u 5", 400 },
		{ "no numbers", "INVITE", 400 }, { "negative", "-1 5 INVITE", 400 },
		{ "nothing", "", 400 }, { "blanks", "%1$u \t 5   INVITE", 200 },
	};

	start();
	struct peer *peer = invited(false);
	ring(180);
	char *ringing = strdup(expect(&world, peer, "SIP/2.0 180"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char rack[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
		snprintf(rack, sizeof(rack), cases[i].rack, rseq_of(ringing), rseq_of(ringing) + 1);
#pragma GCC diagnostic pop
		send_prack(peer, ringing, rack, cases[i].want);
	}
	send_prack(peer, "SIP/2.0 180 Ringing\r\nTo: <sip:bob@example.com>;tag=another\r\n\r\n", "1 5 INVITE", 481);
	free(ringing);
	respond(told.server, 486);
	expect(&world, peer, "SIP/2.0 486");
	world_end(&world);
}

/* 64*T1 without PRACK: told once, and the INVITE can still be answered then or later. */
static void test_nobody_acknowledges(void **state)
{
	for (unsigned answers = 0; answers < 2; answers++) {
		start();
		told.answer_then = answers ? 504 : 0;
		struct peer *peer = invited(false);
		ring(180);
		advance(&world, 64 * T1_MS - 1);
		assert_int_equal(told.unpracked, 0);
		advance(&world, 1);
		assert_int_equal(told.unpracked, 1);
		assert_int_equal(refused(&world, REASON_NO_PRACK), 1);
		if (!answers)
			respond(told.server, 504);
		while (!strstr(peer_next(&world, peer), "SIP/2.0 504"))
			;
		world_end(&world);
	}
}

/* A final answer does not wait, ends the repetitions, and its late PRACK is one (RFC 3262 3). */
static void test_answered_before_the_prack(void **state)
{
	static const unsigned answers[] = { 200, 486 };

	for (unsigned i = 0; i < 2; i++) {
		start();
		struct peer *peer = invited(false);
		ring(180);
		char *ringing = strdup(expect(&world, peer, "SIP/2.0 180"));
		ring(183); /* nobody needs it any more */
		respond(told.server, answers[i]);
		char *answer = strdup(expect(&world, peer, answers[i] == 200 ? "SIP/2.0 200" : "SIP/2.0 486"));
		acknowledge(peer, ringing, 200);
		acknowledge(peer, ringing, 481);
		send_request(&world, peer, 0, (struct request){ .method = "ACK", .cseq = 5, .to = value_of(answer, "To"),
			.branch = answers[i] == 200 ? new_branch() : NULL });
		settle(&world);
		expect_nothing(&world, peer);
		assert_int_equal(told.acked, answers[i] == 200);
		advance(&world, 60 * T1_MS);
		expect_nothing(&world, peer);
		assert_int_equal(told.unpracked, 0);
		free(ringing);
		free(answer);
		world_end(&world);
	}
}

/* The repetition of the INVITE gets the last provisional response, as ever. */
static void test_repeated_invite(void **state)
{
	start();
	struct peer *peer = invited(false);
	ring(180);
	char *ringing = strdup(expect(&world, peer, "SIP/2.0 180"));
	send_request(&world, peer, 0, (struct request){ .method = "INVITE", .cseq = 5 });
	assert_string_equal(expect(&world, peer, "SIP/2.0 180"), ringing);
	free(ringing);
	respond(told.server, 486);
	expect(&world, peer, "SIP/2.0 486");
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repeated_until_its_prack),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_pracks_of_something_else),
		cmocka_unit_test(test_nobody_acknowledges),
		cmocka_unit_test(test_answered_before_the_prack),
		cmocka_unit_test(test_repeated_invite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
