/*
 * The generic checks of a request, in their order (design.md 4): each case breaks
 * one rule and all that come after it, so the earliest must answer.
 */
#include "tests/unit/sip_world.h"

static struct world world;

static void test_each_refusal_in_order(void **state)
{
	char loop_via[256];
	const char *const require = "Require: timer, nothing\r\nProxy-Require: neither\r\n";

	world_init(&world, 1);
	world_start(&world);
	struct peer *peer = peer_udp(&world);
	/* the Via that we would write for a request to urn:x, come back */
	char minted[MINTED_CHARS];
	struct buffer out = buffer_over(loop_via, sizeof(loop_via) - 1);
	struct sip_message m = { .uri = SLICE("urn:x:y") };
	struct sip_flow flow = { .protocol = SIP_UDP, .listener = LISTENER_UDP };
	minted_make(&world.workers[0], minted);
	buffer_lit(&out, "Via: SIP/2.0/UDP 127.0.0.1;branch=");
	sip_branch_write(&out, minted, sip_loop_of(&world.workers[0], &flow, &m));
	buffer_lit(&out, "\r\n");
	buffer_put(&out, slice_str(require));
	loop_via[out.n] = 0;

	const struct {
		const char *what, *want;
		struct request r;
		enum reason why;
	} cases[] = {
		{ "mandatory headers",
		  "SIP/2.0 400 Two From Headers",
		  { .method = "FOO",
		    .uri = "urn:x:y",
		    .max_forwards = "0",
		    .extra = "From: <sip:x@y>\r\n" },
		  REASON_SYNTAX },
		{ "no Call-ID",
		  "SIP/2.0 400 Bad Call-ID",
		  { .method = "FOO", .call_id = "" },
		  REASON_SYNTAX },
		{ "CSeq of another method",
		  "SIP/2.0 400 CSeq Method Mismatch",
		  { .method = "MESSAGE", .cseq_method = "BYE", .max_forwards = "0" },
		  REASON_SYNTAX },
		{ "a bad From",
		  "SIP/2.0 400 Bad From",
		  { .method = "MESSAGE", .from = "<sip:a", .max_forwards = "0" },
		  REASON_SYNTAX },
		{ "Max-Forwards that is no number",
		  "SIP/2.0 400 Bad Max-Forwards",
		  { .method = "FOO", .max_forwards = "256" },
		  REASON_SYNTAX },
		{ "a bad Contact",
		  "SIP/2.0 400 Bad Contact",
		  { .method = "FOO", .max_forwards = "0", .extra = "Contact: \"\r\n" },
		  REASON_SYNTAX },
		{ "a bad Request-URI",
		  "SIP/2.0 400 Bad Request-URI",
		  { .method = "FOO",
		    .uri = "sip:%zz@example.com",
		    .max_forwards = "0",
		    .extra = loop_via },
		  REASON_SYNTAX },
		{ "Max-Forwards",
		  "SIP/2.0 483",
		  { .method = "FOO", .uri = "urn:x:y", .max_forwards = "0", .extra = loop_via },
		  REASON_MAX_FORWARDS },
		{ "loop",
		  "SIP/2.0 482",
		  { .method = "FOO", .uri = "urn:x:y", .max_forwards = "1", .extra = loop_via },
		  REASON_LOOP },
		{ "method",
		  "SIP/2.0 501",
		  { .method = "FOO", .uri = "urn:x:y", .extra = require },
		  REASON_METHOD_UNKNOWN },
		{ "a method in lower case",
		  "SIP/2.0 501",
		  { .method = "message", .extra = require },
		  REASON_METHOD_UNKNOWN },
		{ "scheme",
		  "SIP/2.0 416",
		  { .method = "MESSAGE", .uri = "urn:x:y", .extra = require },
		  REASON_SCHEME },
		{ "Require",
		  "SIP/2.0 420",
		  { .method = "MESSAGE", .extra = require },
		  REASON_REQUIRE },
		{ "nothing",
		  "SIP/2.0 200",
		  { .method = "MESSAGE",
		    .uri = "tel:+49",
		    .max_forwards = "1",
		    .extra = "Require: 100rel\r\nRequire: timer\r\n" },
		  REASON_COUNT },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request r = cases[i].r;
		uint64_t before = cases[i].why < REASON_COUNT ? refused(&world, cases[i].why) : 0;
		char call_id[16];
		snprintf(call_id, sizeof(call_id), "c%zu", i);
		r.branch = new_branch();
		r.call_id = r.call_id ? r.call_id : call_id;
		send_request(&world, peer, 0, r);
		const char *answer = peer_next(&world, peer);
		CHECK(!strncmp(answer, cases[i].want, strlen(cases[i].want)), "%s: %.60s\n",
		      cases[i].what, answer);
		if (cases[i].why < REASON_COUNT)
			CHECK(refused(&world, cases[i].why) == before + 1, "%s: not counted\n",
			      cases[i].what);
		if (cases[i].why == REASON_REQUIRE)
			assert_string_equal(value_of(answer, "Unsupported"), "nothing, neither");
	}
	assert_int_equal(world.held_count, 1);
	/* an ACK is refused by nobody, whatever it requires */
	send_request(&world, peer, 0,
		     (struct request){ .method = "ACK",
				       .extra = require,
				       .max_forwards = "0",
				       .call_id = "ack",
				       .branch = new_branch() });
	expect_nothing(&world, peer);
	world_end(&world);
}

/* What stands in Require comes back, but bounded, in whole tags and in one line. */
static void test_unsupported_is_bounded(void **state)
{
	static char extra[16000];
	size_t n = 0;

	world_init(&world, 1);
	world_start(&world);
	struct peer *peer = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 1500; i++)
		n += (size_t)snprintf(extra + n, sizeof(extra) - n, "%stag%u",
				      i ? "," : "Require: ", i);
	snprintf(extra + n, sizeof(extra) - n, "\r\n");
	send_request(&world, peer, 0, (struct request){ .method = "MESSAGE", .extra = extra });
	const char *answer = expect(&world, peer, "SIP/2.0 420"),
		   *value = value_of(answer, "Unsupported");
	expect_text(value, "tag0, tag1, tag2");
	CHECK(strlen(value) < 520, "%zu octets\n", strlen(value));
	const char *last = strrchr(value, ' ');
	unsigned number;
	char end;
	assert_int_equal(sscanf(last, " tag%u%c", &number, &end), 1);
	assert_null(strstr(value, ", ,"));

	memset(extra, 'x', 2000);
	memcpy(extra, "Require: ", 9);
	snprintf(extra + 2000, 16, "\r\n");
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE",
				       .extra = extra,
				       .branch = new_branch(),
				       .call_id = "2" });
	assert_int_equal(strlen(value_of(expect(&world, peer, "SIP/2.0 420"), "Unsupported")), 64);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE",
				       .branch = new_branch(),
				       .call_id = "3",
				       .extra = "Require: \"a\r\n b\"\r\n" });
	expect(&world, peer, "SIP/2.0 400 Bad Require"); /* no tag, nothing to repeat */
	world_end(&world);
}

/* Thousands of Vias in a head of the largest size are looked at once each. */
static void test_many_vias_are_cheap(void **state)
{
	static char extra[16000];
	size_t n = 0;

	world_init(&world, 1);
	world_start(&world);
	struct peer *peer = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 100; i++) {
		n += (size_t)snprintf(extra + n, sizeof(extra) - n, "v: ");
		for (unsigned j = 0; j < 9; j++)
			n += (size_t)snprintf(extra + n, sizeof(extra) - n, "%sSIP/2.0/TCP a",
					      j ? "," : "");
		n += (size_t)snprintf(extra + n, sizeof(extra) - n, "\r\n");
	}
	clock_t begin = clock();
	for (unsigned i = 0; i < 50; i++) {
		char call_id[16];
		snprintf(call_id, sizeof(call_id), "c%u", i);
		send_request(&world, peer, 0,
			     (struct request){ .method = "MESSAGE",
					       .extra = extra,
					       .branch = new_branch(),
					       .call_id = call_id });
		expect(&world, peer, "SIP/2.0 200");
	}
	assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
	world_end(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_refusal_in_order),
		cmocka_unit_test(test_unsupported_is_bounded),
		cmocka_unit_test(test_many_vias_are_cheap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
