/* msrp/leg_uri.c: which of several listeners a leg names, and by which host (design.md 13). */
#include <arpa/inet.h>

#include "tests/unit/msrp_world.h"

static struct sockaddr_storage address(const char *text, uint16_t port)
{
	struct sockaddr_storage a = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
	return a;
}

struct row {
	enum listen_proto proto;
	const char *bound, *advertise;
	bool per_worker_ports;
};

static const struct {
	const char *what;
	struct row rows[3];   /* the n-th has port 1000 * n */
	const char *local;    /* NULL: not known */
	bool is_secure;
	const char *want;     /* scheme, host and port of the leg of worker 1; NULL: EADDRNOTAVAIL */
} cases[] = {
	{ "the only one", { { LISTEN_MSRP, "192.0.2.1", "", false } }, NULL, false, "msrp://192.0.2.1:1000/" },
	{ "the only one, of the other family", { { LISTEN_MSRP, "192.0.2.1", "", false } }, "2001:db8::9", false,
	  "msrp://192.0.2.1:1000/" },
	{ "none with TLS", { { LISTEN_MSRP, "192.0.2.1", "", false } }, NULL, true, NULL },
	{ "none without", { { LISTEN_MSRPS, "192.0.2.1", "", false } }, "192.0.2.1", false, NULL },
	{ "by security", { { LISTEN_MSRP, "192.0.2.1", "", false }, { LISTEN_MSRPS, "192.0.2.1", "", false } }, "192.0.2.1",
	  true, "msrps://192.0.2.1:2000/" },
	{ "by family, IPv6", { { LISTEN_MSRP, "192.0.2.1", "", false }, { LISTEN_MSRP, "2001:db8::1", "", false } },
	  "2001:db8::9", false, "msrp://[2001:db8::1]:2000/" },
	{ "by family, IPv4", { { LISTEN_MSRP, "2001:db8::1", "", false }, { LISTEN_MSRP, "192.0.2.1", "", false } },
	  "192.0.2.9", false, "msrp://192.0.2.1:2000/" },
	{ "a family and nothing else", { { LISTEN_MSRP, "192.0.2.1", "", false }, { LISTEN_MSRP, "2001:db8::1", "", false } },
	  "::", false, "msrp://[2001:db8::1]:2000/" },
	{ "a wildcard names where it was reached", { { LISTEN_MSRP, "0.0.0.0", "", false }, { LISTEN_MSRP, "::", "", false } },
	  "2001:db8::9", false, "msrp://[2001:db8::9]:2000/" },
	{ "a wildcard cannot be named by its family", { { LISTEN_MSRP, "::", "", false }, { LISTEN_MSRP, "2001:db8::1", "",
	  false } }, "::", false, "msrp://[2001:db8::1]:2000/" },
	{ "a wildcard that is advertised can", { { LISTEN_MSRP, "192.0.2.1", "", false }, { LISTEN_MSRP, "::",
	  "im.example.com", false } }, "::", false, "msrp://im.example.com:2000/" },
	{ "an advertised literal", { { LISTEN_MSRP, "0.0.0.0", "2001:db8::7", false } }, "192.0.2.9", false,
	  "msrp://[2001:db8::7]:1000/" },
	{ "a port for each worker", { { LISTEN_MSRP, "192.0.2.1", "", true } }, NULL, false, "msrp://192.0.2.1:1001/" },
};

static void leg_names_a_listener(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_storage local = cases[i].local ? address(cases[i].local, 5060) : (struct sockaddr_storage){ 0 };
		struct msrp_leg *leg = NULL;
		struct world w;

		world_init(&w, 2);
		world_start(&w);
		w.options.listener_count = 0;
		for (unsigned n = 0; n < 3 && cases[i].rows[n].bound; n++) {
			const struct row *row = &cases[i].rows[n];
			struct msrp_listener *listener = &w.options.listeners[w.options.listener_count++];
			listener->proto = row->proto;
			listener->bound = address(row->bound, (uint16_t)(1000 * (n + 1)));
			snprintf(listener->advertise, sizeof(listener->advertise), "%s", row->advertise);
			listener->per_worker_ports = row->per_worker_ports;
		}
		int err = msrp_leg_open(&leg, &w.workers[1], cases[i].local ? &local : NULL, cases[i].is_secure, &side_events,
			NULL);
		if (!cases[i].want) {
			assert_int_equal(err, EADDRNOTAVAIL);
		} else {
			assert_int_equal(err, 0);
			struct slice uri = msrp_leg_uri(leg);
			if (!slice_starts(uri, slice_str(cases[i].want)))
				fail_msg("%s: %.*s", cases[i].what, (int)uri.n, uri.p);
			msrp_leg_close(leg);
		}
		w.options.listener_count = 1;
		world_end(&w);
	}
}

static void listener_of_a_family(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	w.options.listener_count = 2;
	w.options.listeners[1].proto = LISTEN_MSRPS;
	w.options.listeners[1].bound = address("::", 2856);
	struct worker *worker = &w.workers[0];
	assert_true(msrp_leg_has_listener(worker, AF_INET, false));
	assert_false(msrp_leg_has_listener(worker, AF_INET, true));
	assert_false(msrp_leg_has_listener(worker, AF_INET6, true)); /* a wildcard: which of its addresses? */
	snprintf(w.options.listeners[1].advertise, sizeof(w.options.listeners[1].advertise), "im.example.com");
	assert_true(msrp_leg_has_listener(worker, AF_INET6, true));
	assert_false(msrp_leg_has_listener(worker, AF_INET6, false));
	w.options.listener_count = 1;
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leg_names_a_listener),
		cmocka_unit_test(listener_of_a_family),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
