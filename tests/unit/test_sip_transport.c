/*
 * Datagrams, flows and the way to the owner: what is answered without state,
 * what is dropped and counted, and how the layer ends.
 */
#include "tests/unit/sip_world.h"

static struct world world;

static void start(unsigned workers, unsigned answer)
{
	world_init(&world, workers);
	world.answer = answer;
	world_start(&world);
}

/* ---- datagrams that are wrong ---- */

#define HEAD                                                                                  \
	"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKbad;rport\r\nFrom: <sip:a@b>;tag=a\r\nTo: " \
	"<sip:c@d>\r\n"                                                                       \
	"Call-ID: bad\r\nCSeq: 1 MESSAGE\r\n"

static void test_bad_datagrams(void **state)
{
	static const struct {
		const char *what, *wire, *want; /* want NULL: no answer */
		enum reason why;
	} cases[] = {
		{ "negative length",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: -1\r\n\r\n", "SIP/2.0 400",
		  REASON_FRAMING },
		{ "length above 2^32",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: 4294967296\r\n\r\n",
		  "SIP/2.0 400", REASON_FRAMING },
		{ "longer than the datagram",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: 3\r\n\r\nab", "SIP/2.0 400",
		  REASON_FRAMING },
		{ "two lengths",
		  "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: 1\r\nl: 2\r\n\r\nab",
		  "SIP/2.0 400", REASON_FRAMING },
		{ "other version", "MESSAGE sip:c@d SIP/3.0\r\n" HEAD "\r\n", "SIP/2.0 505",
		  REASON_SYNTAX },
		{ "no end of head", "MESSAGE sip:c@d SIP/2.0\r\n" HEAD, "SIP/2.0 400",
		  REASON_FRAMING },
		{ "no Via: nobody to answer", "MESSAGE sip:c@d SIP/2.0\r\nFrom: <sip:a@b>\r\n\r\n",
		  NULL, REASON_SYNTAX },
		{ "a bad Via", "MESSAGE sip:c@d SIP/2.0\r\nVia: what\r\nFrom: <sip:a@b>\r\n\r\n",
		  "SIP/2.0 400", REASON_SYNTAX },
		{ "an ACK with a bad Via",
		  "ACK sip:c@d SIP/2.0\r\nVia: what\r\nFrom: <sip:a@b>\r\n\r\n", NULL,
		  REASON_SYNTAX },
		{ "a bad ACK", "ACK sip:c@d SIP/2.0\r\n" HEAD "Content-Length: -1\r\n\r\n", NULL,
		  REASON_FRAMING },
		{ "a bad response", "SIP/2.0 200 OK\r\n" HEAD "Content-Length: -1\r\n\r\n", NULL,
		  REASON_FRAMING },
		{ "a response to nobody", "SIP/2.0 200 OK\r\n" HEAD "\r\n", NULL,
		  REASON_RESPONSE_UNKNOWN },
		{ "not SIP", "\x80\x81\x82", NULL, REASON_FRAMING },
		{ "blanks", "    ", NULL, REASON_FRAMING },
		{ "a keepalive", "\r\n\r\n", NULL, REASON_COUNT },
		{ "STUN", "\x01\x01", NULL, REASON_FRAMING },
	};

	start(1, 200);
	struct peer *peer = peer_udp(&world);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = cases[i].why < REASON_COUNT ? refused(&world, cases[i].why) : 0;
		send_text(&world, peer, 0, cases[i].wire);
		settle(&world);
		CHECK((peer->seen < peer->arrived) == (cases[i].want != NULL), "%s: %u answers\n",
		      cases[i].what, peer->arrived - peer->seen);
		if (cases[i].want)
			expect(&world, peer, cases[i].want);
		if (cases[i].why < REASON_COUNT)
			CHECK(refused(&world, cases[i].why) == before + 1, "%s: not counted\n",
			      cases[i].what);
	}
	send_octets(&world, peer, 0, "", 0);
	assert_int_equal(world.held_count, 0);
	send_request(&world, peer, 0, (struct request){ .method = "MESSAGE" });
	expect(&world, peer, "SIP/2.0 200");
	world_end(&world);
}

/* What is longer than a receive block: 513 to a request, nothing to a response or an ACK, which
 * would be answered with an answer. */
static void test_truncated_datagrams(void **state)
{
	static const char *const starts[] = { "MESSAGE sip:c@d SIP/2.0", "ACK sip:c@d SIP/2.0",
					      "SIP/2.0 200 OK" };
	static char text[20000];

	start(1, 200);
	struct peer *peer = peer_udp(&world);
	for (int with_length = 0; with_length < 2; with_length++) {
		for (unsigned i = 0; i < 3; i++) {
			uint64_t before = refused(&world, REASON_UDP_TRUNCATED) +
					  refused(&world, REASON_FRAMING);
			int n = snprintf(text, sizeof(text), "%s\r\n" HEAD "%s\r\n", starts[i],
					 with_length ? "Content-Length: 0\r\n" : "");
			memset(text + n, 'x', sizeof(text) - (size_t)n);
			send_octets(&world, peer, 0, text, sizeof(text));
			if (i == 0)
				expect(&world, peer, "SIP/2.0 513");
			expect_nothing(&world, peer);
			assert_int_equal(refused(&world, REASON_UDP_TRUNCATED) +
						 refused(&world, REASON_FRAMING),
					 before + 1);
		}
	}
	world_end(&world);
}

/* The same bad request again: the same answer, To tag included (RFC 3261 8.2.7), and no state. */
static void test_stateless_answers_are_the_same(void **state)
{
	start(1, 200);
	struct peer *peer = peer_udp(&world);
	send_text(&world, peer, 0, "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: -1\r\n\r\n");
	const char *first = expect(&world, peer, "SIP/2.0 400");
	expect_text(value_of(first, "To"), "<sip:c@d>;tag=");
	expect_text(value_of(first, "Via"), "received=127.0.0.1");
	send_text(&world, peer, 0, "MESSAGE sip:c@d SIP/2.0\r\n" HEAD "Content-Length: -1\r\n\r\n");
	assert_string_equal(expect(&world, peer, "SIP/2.0 400"), first);
	assert_int_equal(sip_transaction_count(&world.workers[0]), 0);
	world_end(&world);
}

/* ---- where answers go ---- */

static void test_answers_without_rport(void **state)
{
	char via[128];

	start(1, 200);
	struct peer *peer = peer_udp(&world), *other = peer_udp(&world);
	snprintf(via, sizeof(via), "SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK1", other->port);
	send_request(&world, peer, 0, (struct request){ .method = "MESSAGE", .via = via });
	expect(&world, other, "SIP/2.0 200");
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .via = via }); /* the repetition too */
	expect(&world, other, "SIP/2.0 200");
	snprintf(via, sizeof(via), "SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK2", other->port);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE",
				       .via = via,
				       .call_id = "2",
				       .cseq_method = "BYE" });
	expect(&world, other, "SIP/2.0 400");
	snprintf(via, sizeof(via), "SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK3;rport", other->port);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .via = via, .call_id = "3" });
	const char *ok = expect(&world, peer, "SIP/2.0 200");
	char rport[32];
	snprintf(rport, sizeof(rport), ";rport=%u", peer->port);
	expect_text(value_of(ok, "Via"), rport);
	/* without state, as well */
	char text[1024];
	snprintf(text, sizeof(text),
		 "MESSAGE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP a:%u;branch=z9hG4bK4\r\n"
		 "Content-Length: x\r\n\r\n",
		 other->port);
	send_text(&world, peer, 0, text);
	expect(&world, other, "SIP/2.0 400");
	/* what is stored as the way to the peer is where it came from */
	struct sockaddr_storage from;
	struct held *held = &world.held[0];
	world.answer = 0;
	snprintf(via, sizeof(via), "SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK5", other->port);
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE", .via = via, .call_id = "5" });
	settle(&world);
	held = &world.held[world.held_count - 1];
	sip_flow_get_peer(sip_server_flow(held->server), &from);
	assert_int_equal(ntohs(((struct sockaddr_in *)&from)->sin_port), peer->port);
	respond(held->server, 200);
	expect_nothing(&world, peer);
	expect(&world, other, "SIP/2.0 200");
	world_end(&world);
}

/* ---- to the owner ---- */

static void test_any_worker_receives_for_any_owner(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		start(4, 200);
		struct peer *peers[4];
		for (unsigned i = 0; i < 4; i++)
			peers[i] = tcp ? peer_tcp(&world, i) : peer_udp(&world);
		for (unsigned at = 0; at < 4; at++) {
			for (unsigned owner = 0; owner < 4; owner++) {
				unsigned count = world.held_count;
				send_request(&world, peers[at], at,
					     (struct request){ .method = "MESSAGE",
							       .branch = new_branch(),
							       .call_id = call_id_of(&world, owner),
							       .body = "hello" });
				expect(&world, peers[at], "SIP/2.0 200");
				assert_int_equal(world.held_count, count + 1);
				assert_ptr_equal(world.held[count].worker, &world.workers[owner]);
			}
		}
		assert_int_equal(counted(&world, COUNTER_sip_foreign_messages), 12);
		assert_int_equal(counted(&world, COUNTER_sip_rx_requests), 16);
		world_end(&world);
	}
}

static void test_datagrams_without_credit_are_dropped(void **state)
{
	start(2, 200);
	struct peer *peer = peer_udp(&world);
	world.asleep = 1u << 1;
	for (unsigned i = 0; i < SIP_CREDIT + 30; i++) {
		send_request(&world, peer, 0,
			     (struct request){ .method = "MESSAGE",
					       .branch = new_branch(),
					       .call_id = call_id_of(&world, 1) });
		world_lap(&world);
	}
	settle(&world);
	assert_int_equal(refused(&world, REASON_CREDIT), 30);
	/* its own are served meanwhile */
	send_request(&world, peer, 0,
		     (struct request){ .method = "MESSAGE",
				       .branch = new_branch(),
				       .call_id = call_id_of(&world, 0) });
	expect(&world, peer, "SIP/2.0 200");
	world.asleep = 0;
	WAIT_FOR(&world, peer->arrived == SIP_CREDIT + 1);
	settle(&world);
	assert_int_equal(world.held_count, SIP_CREDIT + 1);
	world_end(&world);
}

/* Who has seen one branch of ours can send answers to it without end: they need credit too, though
 * not the requests' share of it. */
static void test_credit_bounds_responses(void **state)
{
	struct watched watched;

	start(2, 200);
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	send_ours(&world, 1, &watched, "MESSAGE", &target);
	const char *ours = expect(&world, peer, "MESSAGE ");
	world.asleep = 1u << 1;
	for (unsigned i = 0; i < SIP_CREDIT; i++) {
		send_request(&world, peer, 0,
			     (struct request){ .method = "MESSAGE",
					       .branch = new_branch(),
					       .call_id = call_id_of(&world, 1) });
		world_lap(&world);
	}
	for (unsigned i = 0; i < SIP_CREDIT + 30; i++) {
		answer(&world, peer, 0, ours, 200, "t");
		world_lap(&world);
	}
	settle(&world);
	assert_int_equal(refused(&world, REASON_CREDIT), 30);
	world.asleep = 0;
	WAIT_FOR(&world, watched.responses == 1);
	world_end(&world);
}

/* ---- flows ---- */

static void test_flows_say_who_we_are(void **state)
{
	char text[128];

	world_init(&world, 1);
	world_start(&world);
	struct sip_listener *udp = &world.options.listeners[LISTENER_UDP];
	struct peer *peer = peer_udp(&world);
	struct sip_target target = target_of(peer);
	struct sip_flow flow, other;
	assert_int_equal(sip_transport_flow_to(layer_of(&world, 0), &target, &flow), 0);
	static const struct {
		const char *advertise, *want;
	} cases[] = { { "", "127.0.0.1:" },
		      { "im.example.com", "im.example.com:" },
		      { "2001:db8::1", "[2001:db8::1]:" },
		      { "[2001:db8::1]", "[2001:db8::1]:" } };
	for (size_t i = 0; i < 4; i++) {
		struct buffer out = buffer_over(text, sizeof(text) - 1);
		char want[128];
		snprintf(udp->advertise, sizeof(udp->advertise), "%s", cases[i].advertise);
		sip_flow_host_port(&world.workers[0], &flow, &out);
		text[out.n] = 0;
		snprintf(want, sizeof(want), "%s%u", cases[i].want,
			 ntohs(((struct sockaddr_in *)&udp->bound)->sin_port));
		assert_string_equal(text, want);
	}
	/* behind a wildcard: the address that the peer sees */
	struct sockaddr_storage bound = udp->bound, local;
	((struct sockaddr_in *)&udp->bound)->sin_addr.s_addr = INADDR_ANY;
	sip_flow_local(&world.workers[0], &flow, &local);
	assert_int_equal(((struct sockaddr_in *)&local)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	udp->bound = bound;
	udp->role = ROLE_TERMINATING;
	assert_int_equal(sip_flow_role(&world.workers[0], &flow), ROLE_TERMINATING);
	other = flow;
	assert_true(sip_flow_equal(&flow, &other));
	other.peer.v4.sin_port++;
	assert_false(sip_flow_equal(&flow, &other));
	other = flow;
	other.protocol = SIP_TCP;
	assert_false(sip_flow_equal(&flow, &other));
	flow = other;
	other.generation++;
	assert_false(sip_flow_equal(&flow, &other));
	other.peer.v4.sin_port++;
	other.generation--;
	assert_true(sip_flow_equal(&flow, &other)); /* a connection is a connection */
	world_end(&world);
}

/* ---- the end ---- */

static void test_stopped_layers_take_nothing(void **state)
{
	start(1, 200);
	struct peer *peer = peer_udp(&world);
	sip_worker_stop(&world.workers[0], true);
	settle(&world);
	send_request(&world, peer, 0, (struct request){ .method = "MESSAGE" });
	advance(&world, 10);
	assert_int_equal(peer->arrived, 0);
	assert_int_equal(world.held_count, 0);
	world_end(&world);
}

/* Answers that were not sent yet when the layer goes: the ring reads them until it says otherwise.
 */
static void test_freed_while_sending(void **state)
{
	static char body[4096];

	start(1, 0);
	memset(body, 'x', sizeof(body));
	struct peer *peer = peer_udp(&world), *tcp = peer_tcp(&world, 0);
	for (unsigned i = 0; i < 8; i++)
		send_request(&world, peer, 0,
			     (struct request){
				     .method = "MESSAGE", .branch = new_branch(), .cseq = i + 1 });
	send_request(&world, tcp, 0,
		     (struct request){
			     .method = "MESSAGE", .branch = new_branch(), .call_id = "tcp" });
	WAIT_FOR(&world, world.held_count == 9);
	for (unsigned i = 0; i < 9; i++) {
		sip_server_watch(world.held[i].server, NULL, NULL);
		sip_server_respond(world.held[i].server,
				   &(struct sip_reply){
					   .status = 200,
					   .content_type = SLICE("text/plain"),
					   .body = slice_of(body, i % 2 ? sizeof(body) : 5) });
	}
	struct worker *worker = &world.workers[0];
	sip_worker_stop(worker, true);
	sip_worker_free(worker); /* without a turn in between */
	sip_dialogs_free(worker);
	stream_worker_free(worker);
	worker->ring->ops->close(worker->ring, world.udp[0]);
	worker->ring->ops->close(worker->ring, world.tcp[0]);
	worker_free(worker);
	peer_read(peer);
	assert_int_equal(peer->arrived,
			 8); /* streams need a turn of theirs: stream_worker_free() drops */
	peer_forget(peer);
	peer_forget(tcp);
	assert_int_equal(world_descriptors(), world.descriptors);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_datagrams),
		cmocka_unit_test(test_truncated_datagrams),
		cmocka_unit_test(test_stateless_answers_are_the_same),
		cmocka_unit_test(test_answers_without_rport),
		cmocka_unit_test(test_any_worker_receives_for_any_owner),
		cmocka_unit_test(test_datagrams_without_credit_are_dropped),
		cmocka_unit_test(test_credit_bounds_responses),
		cmocka_unit_test(test_flows_say_who_we_are),
		cmocka_unit_test(test_stopped_layers_take_nothing),
		cmocka_unit_test(test_freed_while_sending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
