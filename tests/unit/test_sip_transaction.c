/*
 * Server and client transactions: each state and timer of RFC 3261 17 and RFC
 * 6026 over UDP and TCP, with T1 = 10 ms on the test's clock.
 */
#include "tests/unit/sip_world.h"

static struct world world;

static void start(unsigned workers, unsigned answer)
{
	world_init(&world, workers);
	world.answer = answer;
	world_start(&world);
}

static struct peer *peer_of(bool is_tcp)
{
	return is_tcp ? peer_tcp(&world, 0) : peer_udp(&world);
}

/* Milliseconds from now at which messages arrive, within `ms`; each is looked at. */
static unsigned arrivals(struct peer *peer, unsigned ms, unsigned at[], unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 1; i <= ms; i++) {
		advance(&world, 1);
		while (peer->seen < peer->arrived) {
			CHECK(n < max, "too many messages\n");
			at[n++] = i;
			peer->seen++;
		}
	}
	return n;
}

static void expect_at(struct peer *peer, unsigned ms, const unsigned *want, unsigned count)
{
	unsigned at[64];
	unsigned n = arrivals(peer, ms, at, 64);

	for (unsigned i = 0; i < n && i < count; i++)
		CHECK(at[i] == want[i], "message %u at %u ms, not at %u\n", i, at[i], want[i]);
	assert_int_equal(n, count);
}

static struct held *last_held(void)
{
	assert_true(world.held_count > 0);
	return &world.held[world.held_count - 1];
}

static const char *ack_of(struct peer *peer, const char *branch, const char *response)
{
	return write_message(peer, (struct request){ .method = "ACK",
						     .branch = branch,
						     .to = value_of(response, "To") });
}

/* ---- server, not INVITE ---- */

static void test_server_others_timer_j(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(1, 0);
		struct peer *peer = peer_of(tcp);
		struct request r = { .method = "MESSAGE", .body = "hello" };
		send_request(&world, peer, 0, r);
		WAIT_FOR(&world, world.held_count == 1);
		send_request(&world, peer, 0, r); /* Trying: absorbed without a word */
		expect_nothing(&world, peer);
		assert_int_equal(world.held_count, 1);
		assert_int_equal(counted(&world, COUNTER_sip_rx_retransmissions), 1);
		respond(world.held[0].server, 183);
		expect(&world, peer, "SIP/2.0 183");
		send_request(&world, peer, 0, r); /* Proceeding: the provisional answer again */
		expect(&world, peer, "SIP/2.0 183");
		respond(world.held[0].server, 200);
		char *first = strdup(expect(&world, peer, "SIP/2.0 200"));
		if (tcp) { /* J is zero: the next one is a new request */
			assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
			assert_int_equal(world.held[0].gone, 1);
		} else {
			advance(&world, 64 * T1_MS - 1);
			assert_int_equal(sip_transaction_count(&world.workers[0]), 1);
			send_request(&world, peer, 0, r);
			assert_string_equal(expect(&world, peer, "SIP/2.0 200"), first);
			advance(&world, 1);
			assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
		}
		assert_int_equal(world.held_count, 1);
		free(first);
		world_end(&world);
	}
}

/* ---- server, INVITE ---- */

static void test_server_invite_timers_g_h_i(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(1, 0);
		struct peer *peer = peer_of(tcp);
		static const unsigned doubling[] = { 10, 30, 70, 150, 310, 630 };
		struct request r = { .method = "INVITE" };
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 100");
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 100");
		respond(world.held[0].server, 486);
		expect(&world, peer, "SIP/2.0 486");
		expect_at(peer, 639, doubling, tcp ? 0 : 6); /* G */
		assert_int_equal(sip_transaction_count(&world.workers[0]), 1);
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 486");
		advance(&world, 1); /* H */
		assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
		assert_int_equal(counted(&world, COUNTER_sip_transaction_timeouts), 1);
		assert_int_equal(world.held_count, 1);
		world_end(&world);

		start(1, 486);
		peer = peer_of(tcp);
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 100");
		const char *refusal = expect(&world, peer, "SIP/2.0 486");
		send_text(&world, peer, 0, ack_of(peer, NULL, refusal));
		settle(&world);
		if (tcp) {
			assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
		} else {
			send_text(&world, peer, 0,
				  ack_of(peer, NULL, refusal)); /* Confirmed: absorbed */
			send_request(&world, peer, 0, r);
			expect_nothing(&world, peer);
			advance_far(&world, 4999);
			assert_int_equal(sip_transaction_count(&world.workers[0]), 1);
			advance(&world, 1); /* I */
			assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
			assert_int_equal(world.held_count, 1);
		}
		expect_nothing(&world, peer);
		assert_int_equal(last_held()->acked, 0);
		world_end(&world);
	}
}

static void test_server_accepted_is_repeated_until_unacked(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(1, 200);
		struct peer *peer = peer_of(tcp);
		static const unsigned doubling[] = { 10, 30, 70, 150, 310, 630 };
		send_request(&world, peer, 0, (struct request){ .method = "INVITE" });
		expect(&world, peer, "SIP/2.0 100");
		expect(&world, peer, "SIP/2.0 200");
		expect_at(peer, 639, doubling, 6); /* over TCP too: RFC 3261 13.3.1.4 */
		send_request(&world, peer, 0, (struct request){ .method = "INVITE" });
		expect_nothing(&world, peer); /* RFC 6026 7.1: absorbed */
		assert_int_equal(last_held()->unacked, 0);
		advance(&world, 1); /* L */
		assert_int_equal(last_held()->unacked, 1);
		assert_int_equal(last_held()->gone, 1);
		assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
		world_end(&world);
	}
}

/* The ACK of a 2xx has a branch of its own and may come to another worker. */
static void test_server_accepted_is_acked(void **state)
{
	for (unsigned workers = 1; workers <= 4; workers += 3) {
		start(workers, 200);
		struct peer *peer = peer_udp(&world);
		const char *call_id = call_id_of(&world, workers - 1);
		send_request(&world, peer, 0,
			     (struct request){ .method = "INVITE", .call_id = call_id });
		expect(&world, peer, "SIP/2.0 100");
		const char *ok = expect(&world, peer, "SIP/2.0 200");
		assert_ptr_equal(last_held()->worker, &world.workers[workers - 1]);
		/* nobody's: another number, another tag */
		send_request(&world, peer, 0,
			     (struct request){ .method = "ACK",
					       .branch = "z9hG4bKx",
					       .cseq = 2,
					       .to = value_of(ok, "To"),
					       .call_id = call_id });
		send_request(&world, peer, 0,
			     (struct request){ .method = "ACK",
					       .branch = "z9hG4bKx",
					       .to = "<sip:bob@example.com>;tag=foreign",
					       .call_id = call_id });
		settle(&world);
		assert_int_equal(last_held()->acked, 0);
		assert_int_equal(refused(&world, REASON_DIALOG_UNKNOWN), 2);
		for (unsigned i = 0; i < workers; i++) { /* and repeated: told once */
			send_request(&world, peer, workers > 1 ? i : 0,
				     (struct request){ .method = "ACK",
						       .branch = "z9hG4bKtwo",
						       .to = value_of(ok, "To"),
						       .call_id = "whatever" });
			settle(&world);
			assert_int_equal(last_held()->acked, 1);
		}
		unsigned at[8];
		assert_int_equal(arrivals(peer, 639, at, 8),
				 0); /* repeated no more, kept until L */
		assert_int_equal(sip_transaction_count(&world.workers[workers - 1]), 1);
		advance(&world, 1);
		assert_int_equal(last_held()->unacked, 0);
		assert_int_equal(last_held()->gone, 1);
		world_end(&world);
	}
}

/* ---- CANCEL ---- */

static void test_server_cancel(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(1, 0);
		struct peer *peer = peer_of(tcp);
		send_request(&world, peer, 0, (struct request){ .method = "INVITE" });
		expect(&world, peer, "SIP/2.0 100");
		send_request(&world, peer, 0, (struct request){ .method = "CANCEL" });
		const char *ok = expect(&world, peer, "SIP/2.0 200");
		expect_text(ok, "CSeq: 1 CANCEL");
		expect_text(value_of(ok, "To"),
			    last_held()->tag); /* RFC 3261 9.2: the tag of the INVITE's answers */
		assert_int_equal(last_held()->cancelled, 1);
		if (!tcp) { /* repeated: the same 200, told once */
			send_request(&world, peer, 0, (struct request){ .method = "CANCEL" });
			assert_string_equal(expect(&world, peer, "SIP/2.0 200"), ok);
			assert_int_equal(last_held()->cancelled, 1);
		}
		respond(last_held()->server, 487);
		const char *refusal = expect(&world, peer, "SIP/2.0 487");
		assert_string_equal(value_of(refusal, "To"), value_of(ok, "To"));
		send_text(&world, peer, 0, ack_of(peer, NULL, refusal));
		settle(&world);
		world_end(&world);
	}
}

/* Whatever a CANCEL says, only the INVITE of its branch is cancelled, and only while it is not
 * answered. */
static void test_server_cancel_of_nothing_and_too_late(void **state)
{
	start(1, 200);
	struct peer *peer = peer_udp(&world);
	send_request(&world, peer, 0, (struct request){ .method = "CANCEL" });
	expect(&world, peer, "SIP/2.0 481");
	assert_int_equal(refused(&world, REASON_CANCEL_UNKNOWN), 1);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .branch = "z9hG4bKm", .call_id = "m" });
	expect(&world, peer, "SIP/2.0 200");
	send_request(&world, peer, 0,
		     (struct request){ .method = "CANCEL", .branch = "z9hG4bKm", .call_id = "m" });
	expect(&world, peer, "SIP/2.0 481");
	send_request(&world, peer, 0,
		     (struct request){ .method = "INVITE", .branch = "z9hG4bKi", .call_id = "i" });
	expect(&world, peer, "SIP/2.0 100");
	const char *ok = expect(&world, peer, "SIP/2.0 200");
	send_request(&world, peer, 0,
		     (struct request){ .method = "CANCEL", .branch = "z9hG4bKi", .call_id = "i" });
	expect_text(expect(&world, peer, "SIP/2.0 200"), "CSeq: 1 CANCEL"); /* crossed the 2xx */
	assert_int_equal(last_held()->cancelled, 0);
	send_request(&world, peer, 0,
		     (struct request){ .method = "ACK",
				       .branch = "z9hG4bKa",
				       .call_id = "i",
				       .to = value_of(ok, "To") });
	settle(&world);
	assert_int_equal(last_held()->acked, 1);
	world_end(&world);
}

/* A CANCEL is a request as others are: what is mandatory must be there. */
static void test_server_cancel_is_checked(void **state)
{
	start(1, 0);
	struct peer *peer = peer_udp(&world);
	send_request(&world, peer, 0, (struct request){ .method = "INVITE" });
	expect(&world, peer, "SIP/2.0 100");
	send_request(&world, peer, 0,
		     (struct request){ .method = "CANCEL", .cseq_method = "INVITE" });
	expect(&world, peer, "SIP/2.0 400");
	assert_int_equal(last_held()->cancelled, 0);
	respond(last_held()->server, 486);
	expect(&world, peer, "SIP/2.0 486");
	world_end(&world);
}

/* An INVITE with a short foreign To tag, then its CANCEL without one: the tag is no run of blanks.
 */
static void test_server_cancel_without_the_tag_of_its_invite(void **state)
{
	start(1, 481);
	struct peer *peer = peer_udp(&world);
	send_request(&world, peer, 0,
		     (struct request){ .method = "INVITE", .to = "<sip:bob@example.com>;tag=x" });
	expect(&world, peer, "SIP/2.0 100");
	expect(&world, peer, "SIP/2.0 481");
	send_request(&world, peer, 0, (struct request){ .method = "CANCEL" });
	assert_string_equal(value_of(expect(&world, peer, "SIP/2.0 200"), "To"),
			    "<sip:bob@example.com>;tag=x");
	world_end(&world);
}

/* INVITE, its repetition, CANCEL and ACK of the failure, each at another worker. */
static void test_server_all_at_different_workers(void **state)
{
	start(4, 0);
	struct peer *peer = peer_udp(&world);
	for (unsigned owner = 0; owner < 4; owner++) {
		const char *call_id = call_id_of(&world, owner), *branch = new_branch();
		struct request r = { .method = "INVITE", .call_id = call_id, .branch = branch };
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 100");
		send_request(&world, peer, 1, r);
		expect(&world, peer, "SIP/2.0 100");
		assert_int_equal(world.held_count, owner + 1);
		assert_ptr_equal(last_held()->worker, &world.workers[owner]);
		r.method = "CANCEL";
		send_request(&world, peer, 2, r);
		expect(&world, peer, "SIP/2.0 200");
		assert_int_equal(last_held()->cancelled, 1);
		respond(last_held()->server, 487);
		const char *refusal = expect(&world, peer, "SIP/2.0 487");
		send_request(&world, peer, 3,
			     (struct request){ .method = "ACK",
					       .call_id = call_id,
					       .branch = branch,
					       .to = value_of(refusal, "To") });
		settle(&world);
		unsigned at[4];
		assert_int_equal(arrivals(peer, 100, at, 4), 0);
	}
	assert_true(counted(&world, COUNTER_sip_foreign_messages) >= 12);
	world_end(&world);
}

/* ---- what is the same request ---- */

static void test_server_rfc2543_branches(void **state)
{
	static const char *const vias[] = {
		"SIP/2.0/UDP old.example.com;rport", "SIP/2.0/UDP old.example.com;branch=1;rport",
		"SIP/2.0/UDP old.example.com;branch=z9hG4bK;rport"
	}; /* the cookie alone names nothing */

	for (unsigned i = 0; i < 3; i++) {
		start(1, 200);
		struct peer *peer = peer_udp(&world);
		struct request r = { .method = "OPTIONS", .via = vias[i], .call_id = "first" };
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 200");
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 200");
		assert_int_equal(world.held_count, 1);
		r.cseq = 2; /* the same branch, or none, but another request */
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 200");
		assert_int_equal(world.held_count, 2);
		r.call_id = "second";
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 200");
		assert_int_equal(world.held_count, 3);
		r.from = "<sip:alice@example.com>;tag=b";
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 200");
		assert_int_equal(world.held_count, 4);
		/* ACK and CANCEL of a failed INVITE find it */
		world.answer = 0;
		r.method = "INVITE";
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 100");
		r.method = "CANCEL";
		send_request(&world, peer, 0, r);
		expect(&world, peer, "SIP/2.0 200");
		assert_int_equal(last_held()->cancelled, 1);
		respond(last_held()->server, 487);
		r.to = value_of(expect(&world, peer, "SIP/2.0 487"), "To");
		r.method = "ACK";
		send_request(&world, peer, 0, r);
		unsigned at[4];
		assert_int_equal(arrivals(peer, 100, at, 4), 0);
		world_end(&world);
	}
}

static void test_server_merged_requests(void **state)
{
	start(1, 0);
	struct peer *peer = peer_udp(&world);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .branch = "z9hG4bK1" });
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .branch = "z9hG4bK2" });
	expect_text(expect(&world, peer, "SIP/2.0 482"), "branch=z9hG4bK2");
	assert_int_equal(refused(&world, REASON_MERGED), 1);
	/* with a To tag it is in a dialog: not merged; another number neither */
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE",
				       .branch = "z9hG4bK3",
				       .to = "<sip:bob@example.com>;tag=t" });
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .branch = "z9hG4bK4", .cseq = 2 });
	expect_nothing(&world, peer);
	assert_int_equal(world.held_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		respond(world.held[i].server, 200);
		expect(&world, peer, "SIP/2.0 200");
	}
	advance(&world, 64 * T1_MS); /* forgotten with its transaction */
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .branch = "z9hG4bK5" });
	WAIT_FOR(&world, world.held_count == 4);
	respond(last_held()->server, 200);
	world_end(&world);
}

/* ---- limits ---- */

static void test_server_pool_exhausted(void **state)
{
	world_init(&world, 1);
	world.options.transactions_max = 2;
	world.answer = 0;
	world_start(&world);
	struct peer *peer = peer_udp(&world);
	for (unsigned i = 0; i < 2; i++)
		send_request(&world, peer, 0,
			     (struct request){
				     .method = "MESSAGE", .branch = new_branch(), .cseq = i + 1 });
	expect_nothing(&world, peer);
	for (unsigned i = 0; i < 2; i++) {
		send_request(&world, peer, 0,
			     (struct request){
				     .method = "MESSAGE", .branch = new_branch(), .cseq = 3 });
		expect_text(expect(&world, peer, "SIP/2.0 503"), "\r\nRetry-After: ");
	}
	assert_int_equal(refused(&world, REASON_POOL_EXHAUSTED), 2);
	send_request(&world, peer, 0,
		     (struct request){ .method = "ACK", .branch = new_branch(), .cseq = 3 });
	expect_nothing(&world, peer); /* an ACK is never answered */
	respond(world.held[0].server, 200);
	respond(world.held[1].server, 200);
	advance(&world, 64 * T1_MS);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .branch = new_branch(), .cseq = 4 });
	WAIT_FOR(&world, world.held_count == 3);
	respond(world.held[2].server, 200);
	world_end(&world);
}

static void ask_with_long_via(struct peer *peer, size_t octets)
{
	static char via[1024 * 1024], text[1024 * 1024 + 4096];

	memset(via, 'x', octets);
	via[octets] = 0;
	int n = snprintf(text, sizeof(text),
			 "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=%s\r\n"
			 "Via: SIP/2.0/TCP b;branch=%s\r\nFrom: <sip:a@b>;tag=a\r\nTo: "
			 "<sip:a@b>\r\nCall-ID: %zu\r\n"
			 "CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
			 new_branch(), via, octets);
	send_octets(&world, peer, 0, text, (size_t)n);
}

/* The head of a request comes back in its answers: however long the limit lets it be, there is
 * room. */
static void test_server_longest_head(void **state)
{
	static const size_t lengths[] = { 1000, 16000, 64000, 250000, 700000, 1000000 };

	world_init(&world, 1);
	world.options.limits.header_bytes = 1024 * 1024;
	world_start(&world);
	struct peer *peer = peer_tcp(&world, 0);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		ask_with_long_via(peer, lengths[i]);
		expect(&world, peer, "SIP/2.0 200");
	}
	for (size_t n = 392000; n < 393400; n += 50) { /* where a room of fixed size once ended */
		ask_with_long_via(peer, n);
		expect(&world, peer, "SIP/2.0 200");
	}
	ask_with_long_via(peer, 1024 * 1024 - 1);
	expect(&world, peer, "SIP/2.0 513");
	advance_far(&world, 501);
	WAIT_FOR(&world, peer->is_closed);
	world_end(&world);
}

/* ---- client, not INVITE ---- */

static void test_client_others_timers_e_f_k(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		static const unsigned doubling[] = { 10, 30, 70, 150, 310, 630 };
		struct watched watched;
		start(1, 0);
		struct peer *peer = peer_of(tcp);
		struct sip_target target = target_of(peer);
		if (tcp) {
			send_request(&world, peer, 0, (struct request){ .method = "OPTIONS" });
			WAIT_FOR(&world, world.held_count == 1);
			target = (struct sip_target){ .has_flow = true,
						      .flow_only = true,
						      .flow = *sip_server_flow(
							      world.held[0].server) };
			respond(world.held[0].server, 200);
			expect(&world, peer, "SIP/2.0 200");
		}
		send_ours(&world, 0, &watched, "MESSAGE", &target);
		expect(&world, peer, "MESSAGE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/");
		expect_at(peer, 639, doubling, tcp ? 0 : 6); /* E */
		assert_int_equal(watched.failed, 0);
		advance(&world, 1); /* F */
		assert_int_equal(watched.failed, 1);
		assert_int_equal(watched.status, 408);
		assert_int_equal(watched.gone, 1);
		assert_int_equal(counted(&world, COUNTER_sip_transaction_timeouts), 1);

		send_ours(&world, 0, &watched, "MESSAGE", &target);
		const char *ours = expect(&world, peer, "MESSAGE ");
		answer(&world, peer, 0, ours, 100, NULL);
		settle(&world);
		assert_int_equal(watched.responses, 0); /* a 100 is not told */
		answer(&world, peer, 0, ours, 183, "t");
		settle(&world);
		assert_int_equal(watched.responses, 1);
		answer(&world, peer, 0, ours, 202, "t");
		settle(&world);
		assert_int_equal(watched.responses, 2);
		assert_int_equal(watched.status, 202);
		if (tcp) {
			assert_int_equal(watched.gone, 1); /* K is zero */
		} else {
			answer(&world, peer, 0, ours, 202, "t");
			answer(&world, peer, 0, ours, 180, "t");
			settle(&world);
			assert_int_equal(watched.responses, 2); /* Completed: absorbed */
			advance_far(&world, 4999);
			assert_int_equal(watched.gone, 0);
			advance(&world, 1);
			assert_int_equal(watched.gone, 1); /* K */
		}
		assert_int_equal(watched.failed, 0);
		world_end(&world);
	}
}

/* E is T2 once a provisional answer came; F ends it all the same. */
static void test_client_others_proceeding(void **state)
{
	static const unsigned at[] = { 10 };
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "MESSAGE", &target);
	answer(&world, peer, 0, expect(&world, peer, "MESSAGE "), 100, NULL);
	settle(&world);
	expect_at(peer, 639, at, 1);
	advance(&world, 1);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 408);
	world_end(&world);
}

/* It is sent no more; the answer and the end come as ever. */
static void test_client_rests(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	for (int is_answered = 0; is_answered < 2; is_answered++) {
		send_ours(&world, 0, &watched, "MESSAGE", &target);
		const char *ours = expect(&world, peer, "MESSAGE ");
		sip_client_rest(watched.client);
		expect_at(peer, 600, NULL, 0);
		assert_int_equal(watched.failed + watched.responses, 0);
		if (is_answered)
			answer(&world, peer, 0, ours, 200, "t");
		settle(&world);
		advance(&world, 40); /* F */
		assert_int_equal(watched.failed, !is_answered);
		assert_int_equal(watched.status, is_answered ? 200 : 408);
	}
	world_end(&world);
}

/* ---- client, INVITE ---- */

static void test_client_invite_timers_a_b(void **state)
{
	static const unsigned doubling[] = { 10, 30, 70, 150, 310, 630 };
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	expect(&world, peer, "INVITE ");
	expect_at(peer, 639, doubling, 6);
	advance(&world, 1);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 408);
	world_end(&world);
}

static void test_client_invite_refused_is_acked(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	const char *invite = expect(&world, peer, "INVITE ");
	answer(&world, peer, 0, invite, 180, "t");
	settle(&world);
	unsigned at[4];
	assert_int_equal(arrivals(peer, 1000, at, 4),
			 0); /* Proceeding: nothing is repeated, B is off */
	assert_int_equal(watched.failed, 0);
	for (unsigned i = 0; i < 3; i++) { /* RFC 3261 17.1.1.2: each repetition is acknowledged */
		answer(&world, peer, 0, invite, 486, "t");
		const char *ack = expect(&world, peer, "ACK sip:bob@example.net SIP/2.0\r\n");
		assert_string_equal(value_of(ack, "Via"), value_of(invite, "Via"));
		assert_string_equal(value_of(ack, "From"), value_of(invite, "From"));
		assert_string_equal(value_of(ack, "To"), "<sip:bob@example.net>;tag=t");
		assert_string_equal(value_of(ack, "CSeq"), "7 ACK");
		assert_int_equal(watched.responses, 2);
	}
	answer(&world, peer, 0, invite, 200, "t"); /* after a failure: of a fork that we gave up */
	settle(&world);
	assert_int_equal(watched.responses, 2);
	assert_int_equal(watched.status, 486);
	advance(&world, 64 * T1_MS - 1);
	assert_int_equal(watched.gone, 0);
	advance(&world, 1); /* D */
	assert_int_equal(watched.gone, 1);
	world_end(&world);
}

static void acknowledge(struct watched *watched, struct slice to_tag, struct sip_target *target)
{
	struct sip_outgoing ack = outgoing("ACK", target);

	assert_int_equal(sip_client_ack(watched->client, to_tag, &ack), 0);
}

static void test_client_invite_accepted(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	const char *invite = expect(&world, peer, "INVITE ");
	answer(&world, peer, 0, invite, 200, "t1");
	settle(&world);
	assert_int_equal(watched.responses, 1);
	acknowledge(&watched, SLICE("t1"), &target);
	char *ack = strdup(expect(&world, peer, "ACK "));
	assert_string_not_equal(value_of(ack, "Via"), value_of(invite, "Via"));
	answer(&world, peer, 0, invite, 200,
	       "t1"); /* repeated: so is the ACK, and nobody is told */
	assert_string_equal(expect(&world, peer, "ACK "), ack);
	assert_int_equal(watched.responses, 1);
	answer(&world, peer, 0, invite, 200, "t2"); /* another fork */
	settle(&world);
	assert_int_equal(watched.responses, 2);
	acknowledge(&watched, SLICE("t2"), &target); /* each keeps its own ACK */
	char *other = strdup(expect(&world, peer, "ACK "));
	answer(&world, peer, 0, invite, 200, "t1");
	assert_string_equal(expect(&world, peer, "ACK "), ack);
	answer(&world, peer, 0, invite, 200, "t2");
	assert_string_equal(expect(&world, peer, "ACK "), other);
	assert_int_equal(watched.responses, 2);
	free(other);
	answer(&world, peer, 0, invite, 486, "t3");
	answer(&world, peer, 0, invite, 180, "t3");
	expect_nothing(&world, peer);
	assert_int_equal(watched.responses, 2);
	advance(&world, 64 * T1_MS - 1);
	assert_int_equal(watched.gone, 0);
	advance(&world, 1); /* M */
	assert_int_equal(watched.gone, 1);
	free(ack);
	world_end(&world);
}

/* ACKs are kept for 16 forks; beyond that every repetition is told, and may be acknowledged again. */
static void test_client_invite_accepted_by_many(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	const char *invite = expect(&world, peer, "INVITE ");
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 17; i++) {
			char tag[8];
			snprintf(tag, sizeof(tag), "t%u", i);
			unsigned told = watched.responses;
			answer(&world, peer, 0, invite, 200, tag);
			settle(&world);
			assert_int_equal(watched.responses, told + (round == 0 || i == 16));
			if (watched.responses > told)
				acknowledge(&watched, slice_str(tag), &target);
			expect(&world, peer, "ACK ");
		}
	advance(&world, 64 * T1_MS);
	assert_int_equal(watched.gone, 1);
	world_end(&world);
}

/* A callee that rings and rings: every state has a longest stay (RFC 3261 16.6, timer C), then
 * CANCEL. */
static void test_client_invite_rings_for_ever(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	answer(&world, peer, 0, expect(&world, peer, "INVITE "), 180, "t");
	settle(&world);
	advance_far(&world, 180 * 1000);
	expect_nothing(&world, peer);
	advance_far(&world, 120 * 1000);
	expect(&world, peer, "CANCEL ");
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 408);
	assert_int_equal(watched.gone, 1);
	world_end(&world);
}

/* ---- CANCEL of ours ---- */

static void test_client_cancel(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	const char *invite = expect(&world, peer, "INVITE ");
	sip_client_cancel(watched.client);
	expect_nothing(&world, peer); /* RFC 3261 9.1: not before a provisional answer */
	answer(&world, peer, 0, invite, 100, NULL);
	const char *cancel = expect(&world, peer, "CANCEL sip:bob@example.net SIP/2.0\r\n");
	assert_string_equal(value_of(cancel, "Via"), value_of(invite, "Via"));
	assert_string_equal(value_of(cancel, "To"), value_of(invite, "To"));
	assert_string_equal(value_of(cancel, "CSeq"), "7 CANCEL");
	answer(&world, peer, 0, cancel, 200, "t");
	settle(&world);
	assert_int_equal(watched.responses, 0); /* the CANCEL's answer is nobody's business */
	sip_client_cancel(watched.client);
	expect_nothing(&world, peer); /* once */
	answer(&world, peer, 0, invite, 487, "t");
	expect(&world, peer, "ACK ");
	assert_int_equal(watched.responses, 1);
	assert_int_equal(watched.status, 487);
	world_end(&world);
}

static void test_client_cancel_crosses_2xx(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	const char *invite = expect(&world, peer, "INVITE ");
	answer(&world, peer, 0, invite, 180, "t");
	settle(&world);
	sip_client_cancel(watched.client);
	const char *cancel = expect(&world, peer, "CANCEL ");
	answer(&world, peer, 0, invite, 200, "t");
	answer(&world, peer, 0, cancel, 200, "t");
	settle(&world);
	assert_int_equal(watched.status, 200);
	assert_int_equal(watched.responses, 2);
	acknowledge(&watched, SLICE("t"), &target);
	expect(&world, peer, "ACK ");
	world_end(&world);
}

/* RFC 3261 9.1: without a final response in 64*T1 the INVITE is considered cancelled. */
static void test_client_cancel_unanswered(void **state)
{
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "INVITE", &target);
	answer(&world, peer, 0, expect(&world, peer, "INVITE "), 180, "t");
	settle(&world);
	sip_client_cancel(watched.client);
	expect(&world, peer, "CANCEL ");
	advance(&world, 64 * T1_MS);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 408);
	assert_int_equal(watched.gone, 1);
	assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
	world_end(&world);
}

/* ---- whose response ---- */

static void send_changed(struct peer *peer, const char *answer_text, const char *what,
			 const char *by)
{
	static char text[8192];
	const char *at = strstr(answer_text, what);

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - answer_text), answer_text, by,
		 at + strlen(what));
	send_text(&world, peer, 0, text);
}

static void test_client_responses_of_nobody(void **state)
{
	static const struct {
		const char *what, *replace, *by;
	} cases[] = {
		{ "another branch", ";branch=z9hG4bK", ";branch=z9hG4bKa" },
		{ "a branch without our cookie", ";branch=z9hG4bK", ";branch=z9hG4bX" },
		{ "another method", "CSeq: 7 MESSAGE", "CSeq: 7 OPTIONS" },
		{ "an INVITE's", "CSeq: 7 MESSAGE", "CSeq: 7 INVITE" },
		{ "a CANCEL's", "CSeq: 7 MESSAGE", "CSeq: 7 CANCEL" },
		{ "no number", "CSeq: 7 MESSAGE", "CSeq: MESSAGE" },
		{ "two Vias in a line", "\r\nFrom:", ", SIP/2.0/UDP b;branch=z9hG4bKb\r\nFrom:" },
		{ "two Via headers",
		  "\r\nFrom:", "\r\nVia: SIP/2.0/UDP b;branch=z9hG4bKb\r\nFrom:" },
		{ "no Call-ID", "Call-ID: ours\r\n", "" },
		{ "another version", "SIP/2.0 200", "SIP/3.0 200" },
		{ "no status", "SIP/2.0 200", "SIP/2.0 20" },
	};
	struct watched watched;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "MESSAGE", &target);
	const char *ours = expect(&world, peer, "MESSAGE ");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before =
			refused(&world, REASON_RESPONSE_UNKNOWN) + refused(&world, REASON_FRAMING);
		send_changed(peer, write_answer(ours, 200, "t", NULL), cases[i].replace,
			     cases[i].by);
		expect_nothing(&world, peer);
		CHECK(watched.responses == 0, "taken: %s\n", cases[i].what);
		CHECK(refused(&world, REASON_RESPONSE_UNKNOWN) + refused(&world, REASON_FRAMING) ==
			      before + 1,
		      "not counted: %s\n", cases[i].what);
	}
	answer(&world, peer, 0, ours, 200, "t");
	settle(&world);
	assert_int_equal(watched.responses, 1);
	world_end(&world);
}

/* Our branch says which worker sent the request. */
static void test_client_responses_find_their_worker(void **state)
{
	struct watched watched[4];

	start(4, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	for (unsigned i = 0; i < 4; i++) {
		send_ours(&world, i, &watched[i], "MESSAGE", &target);
		const char *ours = expect(&world, peer, "MESSAGE ");
		answer(&world, peer, (i + 1) % 4, ours, 200, "t");
		settle(&world);
		assert_int_equal(watched[i].responses, 1);
	}
	world_end(&world);
}

/* ---- nowhere to go ---- */

static void test_client_connection_refused(void **state)
{
	struct watched watched, second;

	start(1, 0);
	struct peer *peer = peer_listener(&world);
	struct sip_target target = target_of(peer);
	peer_close(peer); /* nobody listens there any more */
	send_ours(&world, 0, &watched, "MESSAGE", &target);
	send_ours(&world, 0, &second, "INVITE", &target);
	assert_int_equal(watched.failed, 0); /* never inside the call */
	settle(&world);
	advance(&world, 2);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 503);
	assert_int_equal(second.status, 503);
	assert_int_equal(refused(&world, REASON_CONNECT_FAILED), 1);
	world_end(&world);
}

static void test_client_nowhere(void **state)
{
	struct sip_target nowhere = { .flow.protocol = SIP_UDP }, tls = { .flow.protocol = SIP_TLS };
	struct watched watched;

	start(1, 0);
	send_ours(&world, 0, &watched, "MESSAGE", &nowhere);
	advance(&world, 1);
	assert_int_equal(watched.status, 503);
	tls.flow.peer.v4.sin_family = AF_INET;
	send_ours(&world, 0, &watched, "INVITE", &tls);
	sip_client_cancel(watched.client);
	advance(&world, 1);
	assert_int_equal(watched.status, 503);
	assert_int_equal(watched.gone, 1);
	world_end(&world);
}

/* The watcher goes: the transaction finishes alone, an INVITE with its ACK. */
static void test_client_forgotten(void **state)
{
	struct watched watched, invite;

	start(1, 0);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 0, &watched, "MESSAGE", &target);
	const char *ours = expect(&world, peer, "MESSAGE ");
	sip_client_forget(watched.client);
	answer(&world, peer, 0, ours, 200, "t");
	settle(&world);
	assert_int_equal(watched.responses, 0);
	send_ours(&world, 0, &invite, "INVITE", &target);
	ours = expect(&world, peer, "INVITE ");
	sip_client_forget(invite.client);
	answer(&world, peer, 0, ours, 486, "t");
	expect(&world, peer, "ACK ");
	advance_far(&world, 64 * T1_MS + 5000);
	assert_int_equal(watched.gone + invite.gone, 0);
	assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
	world_end(&world);
}

/* ---- handlers that do everything inside an event ---- */

static void answer_with_another(struct watched *watched, const struct sip_message *m)
{
	static struct watched next;
	struct sip_target target = { .flow.protocol = SIP_UDP };

	if (m->status < 200)
		return;
	sip_client_forget(watched->client);
	send_ours(&world, 0, &next, "MESSAGE", &target);
	sip_client_forget(next.client);
}

static void test_client_events_may_forget_and_send(void **state)
{
	struct watched watched;

	for (int tcp = 0; tcp < 2; tcp++) {
		start(1, 0);
		struct peer *peer = tcp ? peer_listener(&world) : peer_udp(&world);
		struct sip_target target = target_of(peer);
		send_ours(&world, 0, &watched, tcp ? "INVITE" : "MESSAGE", &target);
		watched.on_response = answer_with_another;
		if (tcp)
			peer = peer_accepted(&world, peer);
		const char *ours = peer_next(&world, peer);
		answer(&world, peer, 0, ours, 100, NULL);
		answer(&world, peer, 0, ours, 486, "t");
		settle(&world);
		assert_int_equal(watched.responses, 1);
		world_end(&world);
	}
}

/* What finished transactions cost, so that a change is noticed (budgets.md: 800 octets). */
static void test_finished_transaction_fits_its_budget(void **state)
{
	start(1, 200);
	struct peer *peer = peer_udp(&world);
	send_request(&world, peer, 0,
		     (struct request){
			     .method = "MESSAGE",
			     .body = "hello",
			     .branch = "z9hG4bKPjf5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0",
			     .call_id = "0123456789abcdef0123456789abcdef@10.11.12.13",
			     .from = "\"Alice\" <sip:alice@example.com>;tag=0123456789abcdef" });
	size_t wire = strlen(expect(&world, peer, "SIP/2.0 200"));
	struct pool *pool = &layer_of(&world, 0)->servers;
	print_message("a finished MESSAGE: %zu in the pool, %zu of response\n", pool->item_octets,
		      wire);
	CHECK(pool->item_octets + wire + 64 + 32 <= 800, "%zu + %zu\n", pool->item_octets, wire);
	world_end(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_others_timer_j),
		cmocka_unit_test(test_server_invite_timers_g_h_i),
		cmocka_unit_test(test_server_accepted_is_repeated_until_unacked),
		cmocka_unit_test(test_server_accepted_is_acked),
		cmocka_unit_test(test_server_cancel),
		cmocka_unit_test(test_server_cancel_of_nothing_and_too_late),
		cmocka_unit_test(test_server_cancel_is_checked),
		cmocka_unit_test(test_server_cancel_without_the_tag_of_its_invite),
		cmocka_unit_test(test_server_all_at_different_workers),
		cmocka_unit_test(test_server_rfc2543_branches),
		cmocka_unit_test(test_server_merged_requests),
		cmocka_unit_test(test_server_pool_exhausted),
		cmocka_unit_test(test_server_longest_head),
		cmocka_unit_test(test_client_others_timers_e_f_k),
		cmocka_unit_test(test_client_others_proceeding),
		cmocka_unit_test(test_client_rests),
		cmocka_unit_test(test_client_invite_timers_a_b),
		cmocka_unit_test(test_client_invite_refused_is_acked),
		cmocka_unit_test(test_client_invite_accepted),
		cmocka_unit_test(test_client_invite_accepted_by_many),
		cmocka_unit_test(test_client_invite_rings_for_ever),
		cmocka_unit_test(test_client_cancel),
		cmocka_unit_test(test_client_cancel_crosses_2xx),
		cmocka_unit_test(test_client_cancel_unanswered),
		cmocka_unit_test(test_client_responses_of_nobody),
		cmocka_unit_test(test_client_responses_find_their_worker),
		cmocka_unit_test(test_client_connection_refused),
		cmocka_unit_test(test_client_nowhere),
		cmocka_unit_test(test_client_forgotten),
		cmocka_unit_test(test_client_events_may_forget_and_send),
		cmocka_unit_test(test_finished_transaction_fits_its_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
