/* config/address.c: addresses, networks and next hops as people write them. */
#include "tests/unit/test.h"

#include <arpa/inet.h>

#include "config/address.h"

/* Each input in a heap copy of its exact size. */
#define EACH(i, table) for (size_t i = 0; i < sizeof(table) / sizeof((table)[0]); i++)

static struct slice exact(const char *text)
{
	return slice_of(exact_copy(text, strlen(text)), strlen(text));
}

static void addresses(void **state)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
		unsigned port;
	} cases[] = {
		{ "127.0.0.1:5060", AF_INET, 5060 }, { "0.0.0.0:0", AF_INET, 0 },
		{ "1.2.3.4:65535", AF_INET, 65535 }, { "[::1]:5060", AF_INET6, 5060 },
		{ "[2001:db8::1]:1", AF_INET6, 1 },  { "1.2.3.4:65536", 0, 0 },
		{ "1.2.3.4:", 0, 0 },		     { "1.2.3.4", 0, 0 },
		{ "1.2.3.4:-1", 0, 0 },		     { "1.2.3.4:+1", 0, 0 },
		{ "1.2.3.4:000001", 0, 0 },	     { "1.2.3:1", 0, 0 },
		{ "1.2.3.256:1", 0, 0 },	     { "::1:5060", 0, 0 },
		{ "[::1]", 0, 0 },		     { "[::1", 0, 0 },
		{ "[]:1", 0, 0 },		     { "[1.2.3.4]:1", 0, 0 },
		{ "[::1]x:1", 0, 0 },		     { "localhost:1", 0, 0 },
		{ "", 0, 0 },			     { ":", 0, 0 },
		{ "[", 0, 0 },			     { "[::1%lo]:1", 0, 0 },
	};

	EACH(i, cases) {
		struct sockaddr_storage got = { 0 };
		struct slice text = exact(cases[i].text);
		unsigned port;

		CHECK(address_parse(text, &got) == (cases[i].family != 0), "%s\n", cases[i].text);
		port = got.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port
						 : ((struct sockaddr_in *)&got)->sin_port;
		CHECK(got.ss_family == cases[i].family && ntohs((uint16_t)port) == cases[i].port,
		      "%s: family %u port %u\n", cases[i].text, got.ss_family, ntohs((uint16_t)port));
		free((void *)text.p);
	}
}

static void networks(void **state)
{
	static const struct {
		const char *text;
		int bits; /* -1: refused */
		const char *in, *out;
	} cases[] = {
		{ "10.0.0.0/8", 8, "10.255.255.255", "11.0.0.0" },
		{ "10.0.0.0/9", 9, "10.127.255.255", "10.128.0.0" },
		{ "10.1.2.3", 32, "10.1.2.3", "10.1.2.2" },
		{ "0.0.0.0/0", 0, "255.255.255.255", "::1" },
		{ "192.168.128.0/17", 17, "192.168.128.0", "192.168.127.255" },
		{ "10.0.0.0/8", 8, "::ffff:10.0.0.1", "::ffff:11.0.0.1" },
		{ "::1/128", 128, "::1", "::2" },
		{ "2001:db8::/33", 33, "2001:db8:7fff::", "2001:db8:8000::" },
		{ "::/0", 0, "ffff::", "10.0.0.1" },
		{ "fe80::", 128, "fe80::", "fe80::1" },
		{ "10.0.0.1/8", -1, NULL, NULL },
		{ "10.0.0.0/33", -1, NULL, NULL },
		{ "10.0.0.0/", -1, NULL, NULL },
		{ "10.0.0.0/-1", -1, NULL, NULL },
		{ "10.0.0.0/8/8", -1, NULL, NULL },
		{ "10.0.0/8", -1, NULL, NULL },
		{ "::1/129", -1, NULL, NULL },
		{ "::1/64", -1, NULL, NULL },
		{ "/8", -1, NULL, NULL },
		{ "", -1, NULL, NULL },
		{ "example.com", -1, NULL, NULL },
	};

	EACH(i, cases) {
		struct network network = { 0 };
		struct network_list list = { &network, 1 };
		struct slice text = exact(cases[i].text);
		const char *probes[] = { cases[i].in, cases[i].out };

		CHECK(network_parse(text, &network) == (cases[i].bits >= 0), "%s\n", cases[i].text);
		free((void *)text.p);
		if (cases[i].bits < 0)
			continue;
		assert_int_equal(network.bits, cases[i].bits);
		for (int p = 0; p < 2; p++) {
			struct sockaddr_in v4 = { .sin_family = AF_INET };
			struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
			bool is_v4 = inet_pton(AF_INET, probes[p], &v4.sin_addr) == 1;

			assert_true(is_v4 || inet_pton(AF_INET6, probes[p], &v6.sin6_addr) == 1);
			CHECK(network_list_has(&list, is_v4 ? (void *)&v4 : (void *)&v6) == (p == 0),
			      "%s and %s\n", cases[i].text, probes[p]);
		}
	}
}

static void no_network_has_anything(void **state)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct network all = { .family = AF_INET };
	struct network_list none = { NULL, 0 }, one = { &all, 1 };

	assert_false(network_list_has(&none, (struct sockaddr *)&v4));
	assert_true(network_list_has(&one, (struct sockaddr *)&v4));
	assert_false(network_list_has(&one, &local));
	assert_false(address_is_loopback(&local));
}

static void loopback(void **state)
{
	static const struct {
		const char *address;
		bool is_loopback;
	} cases[] = { { "127.0.0.1:1", true },		{ "127.255.255.254:1", true },
		      { "[::1]:1", true },		{ "[::ffff:127.0.0.1]:1", true },
		      { "0.0.0.0:1", false },		{ "128.0.0.1:1", false },
		      { "126.255.255.255:1", false },	{ "[::]:1", false },
		      { "[::2]:1", false },		{ "[::ffff:10.0.0.1]:1", false },
		      { "[fe80::1]:1", false },		{ "[7f00::1]:1", false } };

	EACH(i, cases) {
		struct sockaddr_storage address;

		assert_true(address_parse(slice_str(cases[i].address), &address));
		CHECK(address_is_loopback((struct sockaddr *)&address) == cases[i].is_loopback, "%s\n",
		      cases[i].address);
	}
}

static void next_hops(void **state)
{
	static const struct {
		const char *text, *host; /* host NULL: refused */
		unsigned port;
		enum next_hop_transport transport;
	} cases[] = {
		{ "sip:core.example.com", "core.example.com", 5060, NEXT_HOP_UDP },
		{ "SIP:a;transport=TCP", "a", 5060, NEXT_HOP_TCP },
		{ "sip:10.0.0.1:5070;transport=udp", "10.0.0.1", 5070, NEXT_HOP_UDP },
		{ "sip:a;transport=tls", "a", 5061, NEXT_HOP_TLS },
		{ "sip:a:5060;transport=tls", "a", 5060, NEXT_HOP_TLS },
		{ "sip:[::1]", "::1", 5060, NEXT_HOP_UDP },
		{ "sip:[::1]:5070;transport=tcp", "::1", 5070, NEXT_HOP_TCP },
		{ "sip:", NULL, 0, 0 },
		{ "sips:a", NULL, 0, 0 },
		{ "a", NULL, 0, 0 },
		{ "sip:u@a", NULL, 0, 0 },
		{ "sip:a:", NULL, 0, 0 },
		{ "sip:a:0", NULL, 0, 0 },
		{ "sip:a:65536", NULL, 0, 0 },
		{ "sip:a;", NULL, 0, 0 },
		{ "sip:a;transport=sctp", NULL, 0, 0 },
		{ "sip:a;transport=udp;lr", NULL, 0, 0 },
		{ "sip:[::1", NULL, 0, 0 },
		{ "sip:[::1]x", NULL, 0, 0 },
		{ "sip:[::1]:", NULL, 0, 0 },
		{ "sip:::1", NULL, 0, 0 },
		{ "sip:[10.0.0.1]", NULL, 0, 0 },
		{ "sip:a b", NULL, 0, 0 },
	};

	EACH(i, cases) {
		struct next_hop hop = { 0 };
		struct slice host = SLICE_EMPTY, text = exact(cases[i].text);

		CHECK(next_hop_parse(text, &hop, &host) == (cases[i].host != NULL), "%s\n", cases[i].text);
		CHECK(slice_eq(host, slice_str(cases[i].host)) && hop.port == cases[i].port &&
			      hop.transport == cases[i].transport,
		      "%s: %.*s %u %u\n", cases[i].text, SLICE_ARG(host), hop.port, hop.transport);
		free((void *)text.p);
	}
}

static void collectors(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port, capture_id;
	} cases[] = {
		{ "homer.example.org:9060", "homer.example.org", 9060, 1 },
		{ "udp:192.0.2.1:9060", "192.0.2.1", 9060, 1 },
		{ "UDP:[::1]:65535", "::1", 65535, 1 },
		{ "udp:5060", NULL, 0, 0 },
		{ "a:1;id=4294967295", "a", 1, 4294967295 },
		{ "a:1;id=0", "a", 1, 0 },
		{ "", NULL, 0, 0 }, { "a", NULL, 0, 0 }, { "a:", NULL, 0, 0 }, { ":1", NULL, 0, 0 }, { "udp::1", NULL, 0, 0 },
		{ "a:0", NULL, 0, 0 }, { "a:65536", NULL, 0, 0 }, { "tcp:a:1", NULL, 0, 0 }, { "::1:9060", NULL, 0, 0 },
		{ "a:1;", NULL, 0, 0 }, { "a:1;id=", NULL, 0, 0 }, { "a:1;id=4294967296", NULL, 0, 0 },
		{ "a:1;ID=1", NULL, 0, 0 }, { "a:1;id=1;x", NULL, 0, 0 }, { "a b:1", NULL, 0, 0 },
	};

	EACH(i, cases) {
		struct hep_collector collector = { 0 };
		struct slice text = exact(cases[i].text);

		CHECK(collector_parse(text, &collector) == (cases[i].host != NULL), "\"%s\"\n", cases[i].text);
		CHECK(!strcmp(collector.host, cases[i].host ? cases[i].host : "") && collector.port == cases[i].port &&
			      collector.capture_id == cases[i].capture_id,
		      "%s: %s %u %u\n", cases[i].text, collector.host, collector.port, collector.capture_id);
		free((void *)text.p);
	}
}

static void hosts(void **state)
{
	static const struct {
		const char *text;
		bool is_valid;
	} cases[] = {
		{ "a", true }, { "example.com", true }, { "x-1.example", true }, { "10.0.0.1", true },
		{ "[::1]", true }, { "1a.2b", true }, { "", false }, { ".", false }, { "a.", false },
		{ ".a", false }, { "a..b", false }, { "-a", false }, { "a-", false }, { "a b", false },
		{ "10.0.0", false }, { "10.0.0.256", false }, { "::1", false }, { "[::1", false },
		{ "[]", false }, { "a:1", false }, { "a/b", false }, { "\xc3\xa4.de", false },
	};
	char longest[256];

	EACH(i, cases) {
		struct slice text = exact(cases[i].text);

		CHECK(host_is_valid(text) == cases[i].is_valid, "\"%s\"\n", cases[i].text);
		free((void *)text.p);
	}
	memset(longest, 'a', sizeof(longest));
	assert_true(host_is_valid(slice_of(longest, 63)));
	assert_false(host_is_valid(slice_of(longest, 64)));
	for (size_t at = 63; at < sizeof(longest); at += 64)
		longest[at] = '.';
	assert_true(host_is_valid(slice_of(longest, 253)));
	assert_false(host_is_valid(slice_of(longest, 254)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses), cmocka_unit_test(networks),
		cmocka_unit_test(no_network_has_anything), cmocka_unit_test(loopback),
		cmocka_unit_test(next_hops), cmocka_unit_test(collectors), cmocka_unit_test(hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
