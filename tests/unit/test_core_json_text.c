#include "core/json_text.h"

#include "tests/unit/test.h"

static const struct {
	const char *what;
	struct slice text;
	const char *want;
} cases[] = {
	{ "empty", { NULL, 0 }, "\"\"" },
	{ "plain", SLICE("alice@example.com"), "\"alice@example.com\"" },
	{ "quote and backslash", SLICE("a\"b\\c"), "\"a\\\"b\\\\c\"" },
	{ "control characters", SLICE("a\nb\tc\0d\x7f"), "\"a\\u000ab\\u0009c\\u0000d\\u007f\"" },
	{ "two octets", SLICE("\xc3\xa9"), "\"\xc3\xa9\"" },
	{ "three octets", SLICE("\xe2\x82\xac"), "\"\xe2\x82\xac\"" },
	{ "four octets", SLICE("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"" },
	{ "cut off", SLICE("x\xe2\x82"), "\"x\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "a stray tail", SLICE("\x82z"), "\"\xef\xbf\xbdz\"" },
	{ "longer than needed", SLICE("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "longer than needed, of three", SLICE("\xe0\x80\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "half of a surrogate pair", SLICE("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "beyond Unicode", SLICE("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "Latin-1", SLICE("caf\xe9!"), "\"caf\xef\xbf\xbd!\"" },
};

static void strings_are_json_whatever_is_in_them(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = exact_copy(cases[i].text.p, cases[i].text.n), room[128];
		struct buffer out = buffer_over(room, sizeof(room));

		json_put_string(&out, slice_of(text, cases[i].text.n));
		CHECK(!out.overflow && slice_eq(buffer_slice(&out), slice_str(cases[i].want)), "%s: %.*s\n",
			cases[i].what, (int)out.n, out.p);
		free(text);
	}
}

static void no_room_is_said(void **state)
{
	char room[8];

	for (size_t size = 0; size < sizeof(room); size++) {
		struct buffer out = buffer_over(room, size);
		json_put_string(&out, SLICE("\n"));
		assert_true(out.overflow);
	}
}

static void times_are_utc(void **state)
{
	char room[64];
	struct buffer out = buffer_over(room, sizeof(room));

	json_put_time(&out, UINT64_C(1767322985006789));
	json_put_time(&out, 0);
	assert_true(slice_eq(buffer_slice(&out), SLICE("\"2026-01-02T03:03:05.006Z\"\"1970-01-01T00:00:00.000Z\"")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_json_whatever_is_in_them),
		cmocka_unit_test(no_room_is_said),
		cmocka_unit_test(times_are_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
