/* STUN Binding requests as keepalives (RFC 5626 4.4.2, RFC 8489). */
#include "sip/stun.h"

#include <arpa/inet.h>

#include "tests/unit/test.h"

#define COOKIE "\x21\x12\xa4\x42"
#define ID     "0123456789ab"

static const struct {
	const char *what, *wire;
	size_t n;
	bool is_stun, is_answered;
} cases[] = {
	{ "plain request", "\0\1\0\0" COOKIE ID, 20, true, true },
	{ "an attribute that may be ignored", "\0\1\0\x8" COOKIE ID "\x80\x22\0\3abc\0", 28, true, true },
	{ "an attribute that must be understood", "\0\1\0\x8" COOKIE ID "\0\6\0\4user", 28, true, false },
	{ "an attribute longer than the message", "\0\1\0\x8" COOKIE ID "\x80\x22\0\5abcd", 28, true, false },
	{ "an attribute of the greatest length", "\0\1\0\x4" COOKIE ID "\x80\x22\xff\xff", 24, true, false },
	{ "octets that are no attribute", "\0\1\0\2" COOKIE ID "\x80\x22", 22, true, false },
	{ "a length that lies", "\0\1\0\4" COOKIE ID, 20, true, false },
	{ "an indication", "\0\x11\0\0" COOKIE ID, 20, true, false },
	{ "a response", "\1\1\0\0" COOKIE ID, 20, true, false },
	{ "another cookie", "\0\1\0\0" "\x21\x12\xa4\x43" ID, 20, false, false },
	{ "cut off", "\0\1\0\0" COOKIE "0123456789a", 19, false, false },
	{ "the first bits of no STUN", "\x40\1\0\0" COOKIE ID, 20, false, false },
	{ "SIP", "OPTIONS sip:example.com SIP/2.0\r\n", 33, false, false },
};

static void test_requests(void **state)
{
	struct net_address from = { .v4 = { .sin_family = AF_INET, .sin_port = htons(0x1234),
						.sin_addr.s_addr = htonl(0x7f000001) } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char answer[SIP_STUN_ANSWER_MAX];
		char *wire = exact_copy(cases[i].wire, cases[i].n);
		struct slice datagram = slice_of(wire, cases[i].n);
		size_t n = sip_stun_answer(datagram, &from, answer);
		CHECK(sip_stun_is(datagram) == cases[i].is_stun, "%s\n", cases[i].what);
		CHECK(n == (cases[i].is_answered ? 32 : 0), "%s: %zu\n", cases[i].what, n);
		if (n)
			assert_memory_equal(answer, "\1\1\0\xc" COOKIE ID "\0\x20\0\x8\0\1\x33\x26\x5e\x12\xa4\x43", 32);
		free(wire);
	}
}

static void test_ipv6(void **state)
{
	struct net_address from = { .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(0x1234) } };
	char answer[SIP_STUN_ANSWER_MAX];

	from.v6.sin6_addr.s6_addr[0] = 0x20; /* 2000::1 */
	from.v6.sin6_addr.s6_addr[15] = 1;
	assert_int_equal(sip_stun_answer(slice_of("\0\1\0\0" COOKIE ID, 20), &from, answer), 44);
	assert_memory_equal(answer, "\1\1\0\x18" COOKIE ID "\0\x20\0\x14\0\2\x33\x26", 28);
	assert_memory_equal(answer + 28, "\x01\x12\xa4\x42" "0123456789a\x63", 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
