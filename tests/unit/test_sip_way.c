/*
 * Where requests go: sip/locate.c with a DNS that answers when the test says,
 * and sip/client_way.c with servers that refuse, are silent, or take no TCP.
 */
#include "sip/locate.h"
#include "sip/peers.h"
#include "tests/unit/sip_world.h"

static struct world world;

/* ---- the DNS ---- */

struct zone_record {
	enum name_kind kind;
	const char *name, *target; /* target: of addresses the address */
	uint16_t priority, weight, port;
	char service;
};

static struct zone_record zone[32];
static unsigned zone_count, asked_count;
static struct name_question *asked[64];

static void submit(struct resolver *resolver, struct name_question *question)
{
	assert_true(asked_count < 64);
	asked[asked_count++] = question;
}

static struct resolver fake = { submit };

static void answer_one(struct name_question *q)
{
	q->ttl_s = 600;
	for (unsigned i = 0; i < zone_count; i++) {
		const struct zone_record *z = &zone[i];
		struct name_record *r = &q->records[q->count];
		if (z->kind != q->kind || strcmp(z->name, q->name))
			continue;
		if (q->kind == NAME_ADDRESSES) {
			bool is_v6 = strchr(z->target, ':');
			r->address.any.sa_family = is_v6 ? AF_INET6 : AF_INET;
			inet_pton(r->address.any.sa_family, z->target,
				is_v6 ? (void *)&r->address.v6.sin6_addr : (void *)&r->address.v4.sin_addr);
		} else {
			r->server.priority = z->priority;
			r->server.weight = z->weight;
			r->server.port = z->port;
			r->server.service = z->service;
			snprintf(r->server.target, sizeof(r->server.target), "%s", z->target);
		}
		q->count++;
	}
	q->msg.err = q->count ? 0 : ENOENT;
	resolver_send_home(&world.group, q);
}

/* Until nothing more is asked.  The number of questions answered. */
static unsigned dns_answers(void)
{
	unsigned n = 0;

	while (asked_count) {
		answer_one(asked[--asked_count]);
		n++;
		settle(&world);
	}
	return n;
}

static void know(struct zone_record record)
{
	zone[zone_count++] = record;
}

static void server(const char *service, uint16_t priority, uint16_t weight, const struct peer *peer)
{
	know((struct zone_record){ NAME_SERVERS, service, "a.core.test", priority, weight, peer->port });
}

static void start(void)
{
	world_init(&world, 1);
	world_start(&world);
	assert_int_equal(names_worker_init(&world.workers[0], &fake), 0);
	zone_count = asked_count = 0;
	know((struct zone_record){ NAME_ADDRESSES, "a.core.test", "127.0.0.1" });
}

static void end(void)
{
	dns_answers();
	world_end(&world);
}

/* world_end() frees the worker with all that is in it, so the names go first; what they answer comes no more. */
static void finish(void)
{
	dns_answers();
	advance_far(&world, 60000);
	names_worker_free(&world.workers[0]);
	world.workers[0].names = NULL;
	end();
}

static const struct sip_target by_udp = { .name = "core.test", .flow.protocol = SIP_UDP },
	by_tcp = { .name = "core.test", .flow.protocol = SIP_TCP },
	by_any = { .name = "core.test", .flow.protocol = SIP_UDP, .any_protocol = true },
	by_port = { .name = "a.core.test", .flow.protocol = SIP_UDP, .port = 5099 };

/* ---- locating ---- */

static struct sip_location location;
static int located_err;

static void on_located(struct sip_location *l, int err)
{
	located_err = err;
}

/* What it comes to: "PROTOCOL PORT[,...]" or "-ERRNO". */
static const char *locate(const struct sip_target *target)
{
	static char text[256];
	size_t n = 0;

	memset(&location, 0, sizeof(location));
	located_err = sip_locate(&location, &world.workers[0], target, on_located);
	if (located_err == EINPROGRESS)
		dns_answers();
	if (located_err) {
		snprintf(text, sizeof(text), "-%s", located_err == ENOENT ? "ENOENT" : strerror(located_err));
		return text;
	}
	for (unsigned i = 0; i < location.count; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %u", i ? "," : "",
			sip_protocol_name(location.candidates[i].protocol),
			ntohs(location.candidates[i].peer.v4.sin_port));
	return text;
}

static void again(void)
{
	finish();
	start();
}

static void test_locate(void **state)
{
	start();
	assert_string_equal(locate(&by_port), "UDP 5099");
	assert_string_equal(locate(&by_udp), "-ENOENT");
	again();
	know((struct zone_record){ NAME_ADDRESSES, "core.test", "127.0.0.1" });
	assert_string_equal(locate(&by_udp), "UDP 5060"); /* no SRV: the address itself */
	assert_string_equal(locate(&by_tcp), "TCP 5060");
	assert_string_equal(locate(&by_any), "UDP 5060");
	again();
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "a.core.test", 30, 0, 3 });
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "a.core.test", 10, 0, 1 });
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "nowhere.test", 20, 0, 2 });
	assert_string_equal(locate(&by_udp), "UDP 1,UDP 3"); /* one without address is left out */
	assert_string_equal(locate(&by_any), "UDP 1,UDP 3");
	again();
	know((struct zone_record){ NAME_SERVERS, "_sip._tcp.core.test", "a.core.test", 10, 0, 1 });
	assert_string_equal(locate(&by_any), "TCP 1"); /* what has SRV is what is supported */
	again();
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "", 0, 0, 0 });
	know((struct zone_record){ NAME_ADDRESSES, "core.test", "127.0.0.1" });
	assert_string_equal(locate(&by_udp), "-ENOENT"); /* RFC 2782: the service is not there, decidedly */
	again();
	know((struct zone_record){ NAME_POINTERS, "core.test", "x.test", 20, 1, 0, 'U' });
	know((struct zone_record){ NAME_POINTERS, "core.test", "y.test", 10, 2, 0, 'T' });
	know((struct zone_record){ NAME_POINTERS, "core.test", "z.test", 10, 1, 0, 'S' });
	know((struct zone_record){ NAME_SERVERS, "x.test", "a.core.test", 0, 0, 7 });
	know((struct zone_record){ NAME_SERVERS, "y.test", "a.core.test", 0, 0, 8 });
	assert_string_equal(locate(&by_any), "TCP 8");
	again();
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "six.test", 0, 0, 9 });
	know((struct zone_record){ NAME_ADDRESSES, "six.test", "::1" });
	know((struct zone_record){ NAME_ADDRESSES, "six.test", "127.0.0.1" });
	assert_string_equal(locate(&by_udp), "UDP 9"); /* there is no UDP listener of IPv6 to send from */
	finish();
}

static void test_weights(void **state)
{
	unsigned first[3] = { 0 };

	start();
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "a.core.test", 1, 30, 1 });
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "a.core.test", 1, 10, 2 });
	know((struct zone_record){ NAME_SERVERS, "_sip._udp.core.test", "a.core.test", 2, 1000, 3 });
	for (unsigned i = 0; i < 1000; i++) {
		const char *text = locate(&by_udp);
		first[text[4] - '1']++;
		assert_string_equal(text + strlen(text) - 5, "UDP 3"); /* the higher priority number last */
	}
	assert_in_range(first[0], 650, 850); /* 31 of 42 */
	assert_int_equal(first[2], 0);
	finish();
}

/* ---- requests to names ---- */

static void test_request_waits_for_its_name(void **state)
{
	struct watched one, two;

	start();
	struct peer *core = peer_udp(&world);
	server("_sip._udp.core.test", 1, 0, core);
	send_ours(&world, 0, &one, "MESSAGE", &by_udp);
	expect_nothing(&world, core);
	assert_int_equal(dns_answers(), 2);
	answer(&world, core, 0, expect(&world, core, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, one.responses == 1);
	send_ours(&world, 0, &two, "MESSAGE", &by_udp); /* known: at once */
	assert_int_equal(asked_count, 0);
	answer(&world, core, 0, expect(&world, core, "MESSAGE "), 202, "t");
	WAIT_FOR(&world, two.responses == 1);
	finish();
}

static void test_name_unknown(void **state)
{
	struct watched watched;

	start();
	send_ours(&world, 0, &watched, "INVITE", &by_udp);
	dns_answers();
	advance(&world, 2);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 503);
	assert_int_equal(watched.gone, 1);
	assert_int_equal(refused(&world, REASON_NAME_UNKNOWN), 1);
	send_ours(&world, 0, &watched, "INVITE", &by_udp); /* known to be unknown: never inside the call */
	assert_int_equal(watched.failed, 0);
	advance(&world, 2);
	assert_int_equal(watched.failed, 1);
	finish();
}

static void test_dns_never_answers(void **state)
{
	struct watched watched;

	start();
	send_ours(&world, 0, &watched, "MESSAGE", &by_udp);
	advance(&world, 64 * T1_MS + 1);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 503);
	assert_int_equal(watched.gone, 1);
	finish();
}

static void test_cancelled_before_it_was_sent(void **state)
{
	struct watched watched;

	start();
	struct peer *core = peer_udp(&world);
	server("_sip._udp.core.test", 1, 0, core);
	send_ours(&world, 0, &watched, "INVITE", &by_udp);
	sip_client_cancel(watched.client);
	dns_answers();
	advance(&world, 2);
	assert_int_equal(watched.failed, 1);
	expect_nothing(&world, core);
	finish();
}

static void test_next_server_after_503(void **state)
{
	struct watched all[4], *watched = all;
	char branch[128];

	start();
	struct peer *first = peer_udp(&world), *second = peer_udp(&world);
	server("_sip._udp.core.test", 1, 0, first);
	server("_sip._udp.core.test", 2, 0, second);
	send_ours(&world, 0, watched, "INVITE", &by_udp);
	dns_answers();
	const char *invite = expect(&world, first, "INVITE ");
	snprintf(branch, sizeof(branch), "%s", value_of(invite, "Via"));
	answer(&world, first, 0, invite, 100, NULL);
	answer(&world, first, 0, invite, 503, "t");
	expect_text(expect(&world, first, "ACK "), branch); /* RFC 3261 17.1.1.3: of that transaction */
	invite = expect(&world, second, "INVITE ");
	assert_string_not_equal(value_of(invite, "Via"), branch); /* RFC 3263 4.3: a new one */
	assert_int_equal(watched->responses, 0);
	answer(&world, second, 0, invite, 486, "u");
	expect(&world, second, "ACK ");
	WAIT_FOR(&world, watched->responses == 1);
	assert_int_equal(watched->status, 486);
	assert_int_equal(counted(&world, COUNTER_sip_next_servers), 1);
	/* for a while the other one is asked first */
	watched++;
	send_ours(&world, 0, watched, "MESSAGE", &by_udp);
	answer(&world, second, 0, expect(&world, second, "MESSAGE "), 503, "v");
	answer(&world, first, 0, expect(&world, first, "MESSAGE "), 503, "w");
	WAIT_FOR(&world, watched->responses == 1); /* nobody is left: that is the answer */
	assert_int_equal(watched->status, 503);
	advance_far(&world, SIP_PEER_FAILED_MS + 1);
	watched++;
	send_ours(&world, 0, watched, "MESSAGE", &by_udp);
	answer(&world, first, 0, expect(&world, first, "MESSAGE "), 200, "x");
	WAIT_FOR(&world, watched->responses == 1);
	finish();
}

static void test_next_server_after_refusal(void **state)
{
	struct watched watched;

	start();
	struct peer *first = peer_listener(&world), *second = peer_listener(&world);
	server("_sip._tcp.core.test", 1, 0, first);
	server("_sip._tcp.core.test", 2, 0, second);
	peer_close(first);
	send_ours(&world, 0, &watched, "MESSAGE", &by_tcp);
	dns_answers();
	struct peer *at = peer_accepted(&world, second);
	answer(&world, at, 0, expect(&world, at, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, watched.responses == 1);
	assert_int_equal(watched.failed, 0);
	finish();
}

static void test_next_server_after_silence(void **state)
{
	struct watched watched;

	start();
	struct peer *first = peer_udp(&world), *second = peer_udp(&world);
	server("_sip._udp.core.test", 1, 0, first);
	server("_sip._udp.core.test", 2, 0, second);
	send_ours(&world, 0, &watched, "MESSAGE", &by_udp);
	dns_answers();
	expect(&world, first, "MESSAGE ");
	advance(&world, 64 * T1_MS + 1);
	answer(&world, second, 0, expect(&world, second, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, watched.responses == 1);
	assert_int_equal(watched.failed, 0);
	finish();
}

/* ---- too large for a datagram ---- */

static void send_large(struct watched *watched, const char *method, const struct sip_target *target, size_t n)
{
	static char body[70000];
	struct sip_outgoing request = outgoing(method, target);

	memset(watched, 0, sizeof(*watched));
	memset(body, 'x', sizeof(body));
	request.content_type = SLICE("text/plain");
	request.body = slice_of(body, n);
	assert_int_equal(sip_client_send(&watched->client, &world.workers[0], &request, &watched_events, watched), 0);
}

/* A UDP peer, and a socket of TCP bound to the same port. */
static struct peer *peer_with_tcp_port(int *fd)
{
	for (unsigned i = 0; i < 10; i++) { /* somebody else may have that port */
		struct peer *peer = peer_udp(&world);
		struct sockaddr_in me = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = htons(peer->port) };
		*fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (bind(*fd, (struct sockaddr *)&me, sizeof(me)) == 0)
			return peer;
		close(*fd);
	}
	CHECK(false, "no port free for both UDP and TCP\n");
	return NULL;
}

static struct peer *listen_at(int fd)
{
	assert_int_equal(listen(fd, 8), 0);
	struct peer *listener = peer_new(&world, fd, true);
	listener->is_listening = true;
	return listener;
}

static void test_large_by_tcp(void **state)
{
	struct watched watched;

	start();
	int fd;
	struct peer *core = peer_with_tcp_port(&fd), *listener = listen_at(fd);
	struct sip_target target = target_of(core);
	send_large(&watched, "INVITE", &target, 2000);
	struct peer *at = peer_accepted(&world, listener);
	const char *invite = expect(&world, at, "INVITE ");
	expect_text(invite, "\r\nVia: SIP/2.0/TCP ");
	answer(&world, at, 0, invite, 404, "t");
	expect_text(expect(&world, at, "ACK "), "\r\nVia: SIP/2.0/TCP "); /* where the INVITE went */
	WAIT_FOR(&world, watched.responses == 1);
	expect_nothing(&world, core);
	send_large(&watched, "MESSAGE", &target, 10);
	expect_text(expect(&world, core, "MESSAGE "), "\r\nVia: SIP/2.0/UDP ");
	finish();
}

/* 1300 octets go by UDP, one more by TCP (RFC 3261 18.1.1). */
static void test_large_begins_at_1301(void **state)
{
	struct watched all[4], *watched = all;

	start();
	int fd;
	struct peer *core = peer_with_tcp_port(&fd), *listener = listen_at(fd);
	struct sip_target target = target_of(core);
	send_large(watched, "MESSAGE", &target, 500);
	WAIT_FOR(&world, core->arrived == 1);
	size_t head = core->lengths[0] - 500;
	watched++;
	send_large(watched, "MESSAGE", &target, 1300 - head - 1); /* one digit more in Content-Length */
	size_t before = core->arrived;
	WAIT_FOR(&world, core->arrived > before);
	assert_in_range(core->lengths[core->arrived - 1], 1299, 1300);
	assert_int_equal(counted(&world, COUNTER_sip_large_by_tcp), 0);
	watched++;
	send_large(watched, "MESSAGE", &target, 1301 - core->lengths[core->arrived - 1] + 1300 - head - 1);
	struct peer *at = peer_accepted(&world, listener);
	expect(&world, at, "MESSAGE ");
	assert_int_equal(counted(&world, COUNTER_sip_large_by_tcp), 1);
	assert_int_equal(at->lengths[0], 1301);
	finish();
}

static void test_large_by_udp_after_refusal(void **state)
{
	struct watched all[4], *watched = all;

	start();
	int fd;
	struct peer *core = peer_with_tcp_port(&fd); /* bound, not listening: refused */
	struct sip_target target = target_of(core);
	for (unsigned i = 0; i < 3; i++, watched++) {
		send_large(watched, "MESSAGE", &target, 2000);
		const char *message = expect(&world, core, "MESSAGE ");
		expect_text(message, "\r\nVia: SIP/2.0/UDP ");
		answer(&world, core, 0, message, 200, "t");
		WAIT_FOR(&world, watched->responses == 1);
	}
	assert_int_equal(counted(&world, COUNTER_sip_large_by_tcp), 1); /* remembered */
	assert_int_equal(counted(&world, COUNTER_sip_large_by_udp), 1);
	advance_far(&world, SIP_PEER_NO_TCP_MS + 1);
	struct peer *listener = listen_at(fd);
	send_large(watched, "MESSAGE", &target, 2000);
	struct peer *at = peer_accepted(&world, listener); /* after ten minutes it is tried again */
	answer(&world, at, 0, expect(&world, at, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, watched->responses == 1);
	finish();
}

/* A UDP contact registered here is reached by its flow, and large requests all the same. */
static void test_large_by_a_flow(void **state)
{
	struct watched watched;

	start();
	struct peer *contact = peer_udp(&world);
	struct sip_target address = target_of(contact), target = { .has_flow = true, .flow_only = true };
	target.flow.protocol = SIP_UDP;
	target.flow.peer = address.flow.peer;
	send_large(&watched, "MESSAGE", &target, 2000);
	answer(&world, contact, 0, expect(&world, contact, "MESSAGE "), 200, "t");
	WAIT_FOR(&world, watched.responses == 1);
	finish();
}

static void test_too_large_for_udp(void **state)
{
	struct watched watched;

	start();
	struct peer *core = peer_udp(&world);
	struct sip_target target = target_of(core);
	send_large(&watched, "MESSAGE", &target, 66000);
	WAIT_FOR(&world, counted(&world, COUNTER_sip_large_by_udp) == 1);
	advance(&world, 2);
	assert_int_equal(watched.failed, 1);
	assert_int_equal(watched.status, 503);
	assert_int_equal(refused(&world, REASON_TOO_LARGE), 1);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locate),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_request_waits_for_its_name),
		cmocka_unit_test(test_name_unknown),
		cmocka_unit_test(test_dns_never_answers),
		cmocka_unit_test(test_cancelled_before_it_was_sent),
		cmocka_unit_test(test_next_server_after_503),
		cmocka_unit_test(test_next_server_after_refusal),
		cmocka_unit_test(test_next_server_after_silence),
		cmocka_unit_test(test_large_by_tcp),
		cmocka_unit_test(test_large_begins_at_1301),
		cmocka_unit_test(test_large_by_udp_after_refusal),
		cmocka_unit_test(test_large_by_a_flow),
		cmocka_unit_test(test_too_large_for_udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
