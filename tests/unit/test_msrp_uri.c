/* msrp/uri.c: what is a URI, and which two are the same (RFC 4975 sections 6 and 6.1). */
#include "tests/unit/test.h"

#include "msrp/uri.h"

/* want: secure userinfo|host|port|session-id|transport|parameters, or NULL when refused */
static const struct {
	const char *text, *want;
} parsed[] = {
	{ "msrp://a.example:2855/s1;tcp", "- |a.example|2855|s1|tcp|" },
	{ "msrps://a.example/s1;tcp", "s |a.example|0|s1|tcp|" },
	{ "MSRP://A.example:1/S;TCP", "- |A.example|1|S|TCP|" },
	{ "msrp://bob@a.example:2855/s1;tcp", "- bob|a.example|2855|s1|tcp|" },
	{ "msrp://bob:x;y@a.example/s1;tcp", "- bob:x;y|a.example|0|s1|tcp|" },
	{ "msrp://127.0.0.1:65535/s1;tcp", "- |127.0.0.1|65535|s1|tcp|" },
	{ "msrp://[::1]:2855/s1;tcp", "- |::1|2855|s1|tcp|" },
	{ "msrp://[2001:db8::7]/s1;tcp", "- |2001:db8::7|0|s1|tcp|" },
	{ "msrp://a.example;tcp", "- |a.example|0||tcp|" },
	{ "msrp://a.example:2855;tcp;x=1", "- |a.example|2855||tcp|;x=1" },
	{ "msrp://a.example/s/1+2=3;ws;x;y=2", "- |a.example|0|s/1+2=3|ws|;x;y=2" },
	{ "msrp://a%2Eexample/s%201;tcp", "- |a%2Eexample|0|s%201|tcp|" },
	{ "msrp://a.example/s1;tcp;addr=[::1]:5", "- |a.example|0|s1|tcp|;addr=[::1]:5" },
	{ "", NULL },
	{ "msrp:", NULL },
	{ "msrp://", NULL },
	{ "msrp:///s1;tcp", NULL },
	{ "msrp://;tcp", NULL },
	{ "msrp://@/s1;tcp", NULL },
	{ "msrp://a@b@c/s1;tcp", NULL },
	{ "sip:a.example", NULL },
	{ "http://a.example/s1;tcp", NULL },
	{ "msrp://a.example/s1", NULL },
	{ "msrp://a.example/s1;", NULL },
	{ "msrp://a.example/;tcp", NULL },
	{ "msrp://a.example/s1;t-p", NULL },
	{ "msrp://a.example/s1;tcp;", NULL },
	{ "msrp://a.example/s1;tcp;;x", NULL },
	{ "msrp://a.example/s1;tcp;x=", NULL },
	{ "msrp://a.example/s1;tcp;=x", NULL },
	{ "msrp://a.example:/s1;tcp", NULL },
	{ "msrp://a.example:0/s1;tcp", NULL },
	{ "msrp://a.example:65536/s1;tcp", NULL },
	{ "msrp://a.example:4294967328/s1;tcp", NULL },
	{ "msrp://a.example:28x5/s1;tcp", NULL },
	{ "msrp://a.example:-1/s1;tcp", NULL },
	{ "msrp://a b/s1;tcp", NULL },
	{ "msrp://a.example/s 1;tcp", NULL },
	{ "msrp://a.example/s\"1;tcp", NULL },
	{ "msrp://a.example/s%2;tcp", NULL },
	{ "msrp://a%zz.example/s;tcp", NULL },
	{ "msrp://a\x01/s1;tcp", NULL },
	{ "msrp://a.example;tcp/s1", NULL },
	{ "msrp://[::1/s1;tcp", NULL },
	{ "msrp://[::1]x:1/s1;tcp", NULL },
	{ "msrp://[::g]:1/s1;tcp", NULL },
	{ "msrp://[]:1/s1;tcp", NULL },
	{ "msrp://[1:2:3:4:5:6:7:8:9]/s1;tcp", NULL },
	{ "msrp://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/s1;tcp", NULL },
	{ "msrp://::1/s1;tcp", NULL },
};

static void what_is_a_uri(void **state)
{
	for (size_t i = 0; i < sizeof(parsed) / sizeof(parsed[0]); i++) {
		size_t n = strlen(parsed[i].text);
		char *copy = exact_copy(parsed[i].text, n), got[200];
		struct msrp_uri u = { .port = 7 };
		bool good = msrp_uri_parse(slice_of(copy, n), &u);

		if (good) {
			snprintf(got, sizeof(got), "%c %.*s|%.*s|%u|%.*s|%.*s|%.*s",
				u.secure ? 's' : '-', SLICE_ARG(u.userinfo), SLICE_ARG(u.host),
				(unsigned)u.port, SLICE_ARG(u.session_id), SLICE_ARG(u.transport),
				SLICE_ARG(u.parameters));
			CHECK(parsed[i].want && strcmp(got, parsed[i].want) == 0,
				"\"%s\": got \"%s\"\n", parsed[i].text, got);
			CHECK(u.text.p == copy && u.text.n == n, "\"%s\": text\n", parsed[i].text);
		} else {
			CHECK(!parsed[i].want, "\"%s\": refused\n", parsed[i].text);
			CHECK(u.port == 7, "\"%s\": refused, yet written\n", parsed[i].text);
		}
		free(copy);
	}
}

static void a_nul_is_never_part_of_one(void **state)
{
	static const char host[] = "msrp://a\0b/s1;tcp", id[] = "msrp://a/s\0;tcp",
		transport[] = "msrp://a/s;t\0p", address[] = "msrp://[::1\0]/s;tcp";
	struct msrp_uri u;

	assert_false(msrp_uri_parse(SLICE(host), &u));
	assert_false(msrp_uri_parse(SLICE(id), &u));
	assert_false(msrp_uri_parse(SLICE(transport), &u));
	assert_false(msrp_uri_parse(SLICE(address), &u));
}

static const struct {
	const char *a, *b;
	bool same;
} compared[] = {
	{ "msrp://a.example:1/s;tcp", "MSRP://A.EXAMPLE:1/s;TCP", true },
	{ "msrp://a.example:1/s;tcp", "msrps://a.example:1/s;tcp", false },
	{ "msrp://a.example:1/s;tcp", "msrp://a.example:1/S;tcp", false },
	{ "msrp://a.example:1/s;tcp", "msrp://a.example:1;tcp", false },
	{ "msrp://a.example:1;tcp", "msrp://a.example:1;tcp", true },
	{ "msrp://a.example:1/s;tcp", "msrp://a.example:2/s;tcp", false },
	{ "msrp://a.example:2855/s;tcp", "msrp://a.example/s;tcp", false },
	{ "msrp://a.example:1/s;tcp", "msrp://a.example:1/s;ws", false },
	{ "msrp://a.example:1/s;tcp", "msrp://b.example:1/s;tcp", false },
	{ "msrp://a.example:1/s;tcp", "msrp://a.exampl:1/s;tcp", false },
	{ "msrp://x@a.example:1/s;tcp", "msrp://y@a.example:1/s;tcp;p=1", true },
	{ "msrp://a%2Eexample:1/s;tcp", "msrp://%61.example:1/s;tcp", true },
	{ "msrp://a%2Cexample:1/s;tcp", "msrp://a,example:1/s;tcp", false },
	{ "msrp://a%2Cexample:1/s;tcp", "msrp://a%2cexample:1/s;tcp", true },
	{ "msrp://a.example:1/s%41;tcp", "msrp://a.example:1/sA;tcp", false },
	{ "msrp://[::1]:1/s;tcp", "msrp://[0:0::0001]:1/s;tcp", true },
	{ "msrp://[2001:DB8::a]:1/s;tcp", "msrp://[2001:db8::A]:1/s;tcp", true },
	{ "msrp://[::1]:1/s;tcp", "msrp://[::2]:1/s;tcp", false },
	{ "msrp://[::1]:1/s;tcp", "msrp://127.0.0.1:1/s;tcp", false },
};

static void which_two_are_the_same(void **state)
{
	for (size_t i = 0; i < sizeof(compared) / sizeof(compared[0]); i++) {
		struct msrp_uri a, b;

		assert_true(msrp_uri_parse(slice_str(compared[i].a), &a));
		assert_true(msrp_uri_parse(slice_str(compared[i].b), &b));
		CHECK(msrp_uri_equal(&a, &b) == compared[i].same, "%s and %s\n", compared[i].a,
			compared[i].b);
		CHECK(msrp_uri_equal(&b, &a) == compared[i].same, "%s and %s, turned round\n",
			compared[i].a, compared[i].b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_uri),
		cmocka_unit_test(a_nul_is_never_part_of_one),
		cmocka_unit_test(which_two_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
