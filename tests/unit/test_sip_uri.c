#include "tests/unit/test.h"

#include "sip/uri.h"

/* "scheme|user|password|host|port|params|headers" or "bad" */
static const struct {
	const char *uri, *want;
} parses[] = {
	{ "sip:alice@example.com", "0|alice||example.com|0||" },
	{ "SIPS:alice@Example.COM:5061", "1|alice||Example.COM|5061||" },
	{ "sip:example.com", "0|||example.com|0||" },
	{ "sip:a:secret@h:5080;transport=tcp;lr?Subject=x&Priority=urgent",
	  "0|a|secret|h|5080|;transport=tcp;lr|Subject=x&Priority=urgent" },
	{ "sip:user;par=u%40example.net@example.com", "0|user;par=u%40example.net||example.com|0||" },
	{ "sip:a?b/c@h", "0|a?b/c||h|0||" },
	{ "sip:a@[2001:db8::1]:5070;lr", "0|a||[2001:db8::1]|5070|;lr|" },
	{ "sip:[::1]", "0|||[::1]|0||" },
	{ "sip:a:@h", "0|a||h|0||" },
	{ "tel:+1-201-555-0123;phone-context=x", "2|+1-201-555-0123|||0|;phone-context=x|" },
	{ "tel:7042", "2|7042|||0||" },
	{ "im:alice@example.com", "3|alice@example.com|||0||" },
	{ "nobodyKnowsThisScheme:totallyopaquecontent", "3|totallyopaquecontent|||0||" },
	{ "sip:", "bad" },
	{ "sip:@h", "bad" },
	{ "sip:a@", "bad" },
	{ "sip:a@h:", "bad" },
	{ "sip:a@h:0", "bad" },
	{ "sip:a@h:65536", "bad" },
	{ "sip:a@h:4294972356", "bad" },
	{ "sip:a@h:-1", "bad" },
	{ "sip:a b@h", "bad" },
	{ "sip:a@h h", "bad" },
	{ "sip:a@b@c", "bad" },
	{ "sip:a%4@h", "bad" },
	{ "sip:a%zz@h", "bad" },
	{ "sip:a@h;x=%4", "bad" },
	{ "sip:a\"@h", "bad" },
	{ "sip:a@h<", "bad" },
	{ "sip:a@[::1", "bad" },
	{ "sip:a@[hello]", "bad" },
	{ "sip:a@[::1]x", "bad" },
	{ "tel:", "bad" },
	{ "tel:+", "bad" },
	{ "tel:alice@h", "bad" },
	{ "1sip:a@h", "bad" },
	{ ":a@h", "bad" },
	{ "alice", "bad" },
	{ "", "bad" },
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(parses) / sizeof(parses[0]); i++) {
		size_t n = strlen(parses[i].uri);
		char *copy = exact_copy(parses[i].uri, n), got[256] = "bad";
		struct sip_uri u;

		if (sip_uri_parse(slice_of(copy, n), &u))
			snprintf(got, sizeof(got), "%d|%.*s|%.*s|%.*s|%u|%.*s|%.*s", u.scheme,
				 SLICE_ARG(u.user), SLICE_ARG(u.password), SLICE_ARG(u.host), u.port,
				 SLICE_ARG(u.params), SLICE_ARG(u.headers));
		CHECK(!strcmp(got, parses[i].want), "%s: got %s\n", parses[i].uri, got);
		free(copy);
	}
}

static void test_param(void **state)
{
	struct sip_uri u;
	struct slice value;

	assert_true(sip_uri_parse(SLICE("sip:a@h;lr;Transport=TCP;x=1;x=2"), &u));
	assert_true(sip_uri_param(&u, "transport", &value));
	assert_true(slice_eq(value, SLICE("TCP")));
	assert_true(sip_uri_param(&u, "lr", &value));
	assert_int_equal(value.n, 0);
	assert_true(sip_uri_param(&u, "x", &value) && slice_eq(value, SLICE("1")));
	assert_false(sip_uri_param(&u, "trans", NULL));
}

/* The examples of RFC 3261 19.1.4 first. */
static const struct {
	const char *a, *b;
	bool equal;
} pairs[] = {
	{ "sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true },
	{ "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true },
	{ "sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true },
	{ "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
	  "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true },
	{ "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
	  "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true },
	{ "sip:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false },
	{ "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false },
	{ "sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false },
	{ "sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false },
	{ "sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false },
	{ "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false },
	{ "sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false },
	{ "sip:a@h", "sips:a@h", false },
	{ "sip:a%2fb@h", "sip:a%2Fb@h", true },
	{ "sip:a%2fb@h", "sip:a/b@h", false },
	{ "sip:a:x@h", "sip:a@h", false },
	{ "sip:a@[::1]", "sip:a@[0:0::1]", true },
	{ "sip:ab@h", "sip:a@h", false },
	{ "sip:h;x=1;x=2", "sip:h;x=2;x=1", true },
	{ "sip:h;x", "sip:h;x;x=1", false },
	{ "sip:a@h", "sip:a@h;user=phone", false },
	{ "sip:a@h", "sip:a@h;user=ip", false },
	{ "tel:+1-201-555-0123", "tel:+12015550123", true },
	{ "tel:7042;phone-context=a", "tel:7042", false },
	{ "tel:7042;phone-context=a;x=1", "tel:7042;X=1;Phone-Context=A", true },
	{ "tel:+12", "tel:+123", false },
	{ "im:a@h", "IM:a@h", true },
	{ "im:a@h", "im:b@h", false },
};

static void test_equal(void **state)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct sip_uri a, b;

		assert_true(sip_uri_parse(slice_str(pairs[i].a), &a));
		assert_true(sip_uri_parse(slice_str(pairs[i].b), &b));
		CHECK(sip_uri_equal(&a, &b) == pairs[i].equal, "%s, %s\n", pairs[i].a, pairs[i].b);
		CHECK(sip_uri_equal(&b, &a) == pairs[i].equal, "%s, %s\n", pairs[i].b, pairs[i].a);
		assert_true(sip_uri_equal(&a, &a));
	}
}

static const struct slice aliases[] = { { "im.example.com", 14 }, { "old.example", 11 } };
static const struct sip_host_port literals[] = {
	{ { "127.0.0.1", 9 }, 5070 },
	{ { "[::1]", 5 }, 5060 },
};
static const struct sip_home home = {
	.home = { "Example.com", 11 },
	.aliases = aliases,
	.alias_count = 2,
	.store_host = { "store.example.com", 17 },
	.literals = literals,
	.literal_count = 2,
};

static const struct {
	const char *uri, *want;
	bool is_home;
} canonicals[] = {
	{ "sip:alice@EXAMPLE.com", "alice@example.com", true },
	{ "sips:alice@example.com.:5061;transport=tcp?x=y", "alice@example.com", true },
	{ "sip:alice:pw@example.com:5060", "alice@example.com", true },
	{ "sip:%61lice@im.EXAMPLE.com", "alice@example.com", true },
	{ "sip:a%2fb%40@old.example", "a%2Fb%40@example.com", true },
	{ "sip:Alice@example.com", "Alice@example.com", true },
	{ "sip:store.example.com", "example.com", true },
	{ "sip:alice@127.0.0.1:5070", "alice@example.com", true },
	{ "sip:alice@127.0.0.1", "alice@example.com", true },
	{ "sip:alice@127.0.0.1:5071", "alice@127.0.0.1:5071", false },
	{ "sip:alice@[0:0:0:0:0:0:0:1]:5060", "alice@example.com", true },
	{ "sip:alice@[2001:DB8:0::1]:5061", "alice@[2001:db8::1]:5061", false },
	{ "sips:alice@other.example:5061", "alice@other.example", false },
	{ "sip:alice@Other.example:5062", "alice@other.example:5062", false },
	{ "sip:alice@example.com:5080", "alice@example.com:5080", false },
	{ "sip:alice@notexample.com", "alice@notexample.com", false },
	{ "tel:+1-201-555-0123;phone-context=x", "+12015550123@example.com", true },
	{ "sip:+1(201)5550123;x=y@gw.example;user=phone", "+12015550123@example.com", true },
	{ "sip:%2B12015550123@gw.example;user=Phone", "+12015550123@example.com", true },
	{ "sip:+12015550123@example.com", "+12015550123@example.com", true },
	{ "sip:alice@gw.example;user=phone", "alice@gw.example", false },
	{ "tel:*7#", "*7%23@example.com", true },
	{ "im:alice@example.com", "none", false },
};

static void test_canonical(void **state)
{
	for (size_t i = 0; i < sizeof(canonicals) / sizeof(canonicals[0]); i++) {
		char memory[64];
		struct buffer out = buffer_over(memory, sizeof(memory));
		struct sip_uri u;
		struct slice want = slice_str(canonicals[i].want);

		CHECK(sip_uri_parse(slice_str(canonicals[i].uri), &u), "%s\n", canonicals[i].uri);
		if (!sip_uri_canonical(&out, &u, &home))
			buffer_lit(&out, "none");
		CHECK(slice_eq(buffer_slice(&out), want), "%s: got %.*s\n", canonicals[i].uri,
		      SLICE_ARG(buffer_slice(&out)));
		CHECK(sip_uri_is_home(&u, &home) == canonicals[i].is_home, "%s\n",
		      canonicals[i].uri);
		/* one octet too few: nothing */
		if (u.scheme == SIP_SCHEME_OTHER)
			continue;
		out = buffer_over(memory, want.n - 1);
		assert_false(sip_uri_canonical(&out, &u, &home));
		assert_int_equal(out.n, 0);
	}
}

/* Canonical is a fixed point: what was written reads the same again. */
static void test_canonical_of_canonical(void **state)
{
	for (size_t i = 0; i < sizeof(canonicals) / sizeof(canonicals[0]); i++) {
		char first[64] = "sip:", second[64];
		struct buffer a = { first, 4, sizeof(first), false };
		struct buffer b = buffer_over(second, sizeof(second));
		struct sip_uri u;

		assert_true(sip_uri_parse(slice_str(canonicals[i].uri), &u));
		if (!sip_uri_canonical(&a, &u, &home))
			continue;
		CHECK(sip_uri_parse(buffer_slice(&a), &u), "%.*s\n", SLICE_ARG(buffer_slice(&a)));
		assert_true(sip_uri_canonical(&b, &u, &home));
		assert_true(slice_eq(slice_skip(buffer_slice(&a), 4), buffer_slice(&b)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),     cmocka_unit_test(test_param),
		cmocka_unit_test(test_equal),     cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_canonical_of_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
