/* msrp/byte_range.c: which ranges make sense, and that they are written as they were read. */
#include "tests/unit/test.h"

#include "msrp/byte_range.h"

#define U MSRP_RANGE_UNKNOWN

static const struct {
	const char *text;
	enum msrp_range_verdict want;
	uint64_t start, end, total;
} cases[] = {
	{ "1-300/300", MSRP_RANGE_OK, 1, 300, 300 },
	{ "1-*/*", MSRP_RANGE_OK, 1, U, U },
	{ "1-*/300", MSRP_RANGE_OK, 1, U, 300 },
	{ "2049-4096/8192", MSRP_RANGE_OK, 2049, 4096, 8192 },
	{ "1-5/*", MSRP_RANGE_OK, 1, 5, U },
	{ "1-0/0", MSRP_RANGE_OK, 1, 0, 0 },
	{ "1-0/*", MSRP_RANGE_OK, 1, 0, U },
	{ "301-300/300", MSRP_RANGE_OK, 301, 300, 300 },
	{ "301-*/300", MSRP_RANGE_OK, 301, U, 300 },
	{ "1-*/0", MSRP_RANGE_OK, 1, U, 0 },
	{ "9223372036854775807-9223372036854775807/9223372036854775807", MSRP_RANGE_OK, INT64_MAX,
		INT64_MAX, INT64_MAX },
	{ "0-0/0", MSRP_RANGE_START_ZERO },
	{ "0-*/*", MSRP_RANGE_START_ZERO },
	{ "3-1/10", MSRP_RANGE_END },
	{ "2-0/*", MSRP_RANGE_END },
	{ "1-11/10", MSRP_RANGE_TOTAL },
	{ "12-11/10", MSRP_RANGE_TOTAL },
	{ "12-*/10", MSRP_RANGE_TOTAL },
	{ "1-1/0", MSRP_RANGE_TOTAL },
	{ "9223372036854775808-*/*", MSRP_RANGE_NUMBER },
	{ "1-9223372036854775808/*", MSRP_RANGE_NUMBER },
	{ "1-*/18446744073709551615", MSRP_RANGE_NUMBER },
	{ "1-18446744073709551617/*", MSRP_RANGE_NUMBER },
	{ "1-99999999999999999999999999/*", MSRP_RANGE_NUMBER },
	{ "", MSRP_RANGE_SYNTAX },
	{ "1", MSRP_RANGE_SYNTAX },
	{ "1-2", MSRP_RANGE_SYNTAX },
	{ "1/2", MSRP_RANGE_SYNTAX },
	{ "-2/2", MSRP_RANGE_SYNTAX },
	{ "1-/2", MSRP_RANGE_SYNTAX },
	{ "1-2/", MSRP_RANGE_SYNTAX },
	{ "*-2/2", MSRP_RANGE_SYNTAX },
	{ "1-**/2", MSRP_RANGE_SYNTAX },
	{ "1--1/2", MSRP_RANGE_SYNTAX },
	{ "+1-2/2", MSRP_RANGE_SYNTAX },
	{ "1 -2/2", MSRP_RANGE_SYNTAX },
	{ "1-2/2/2", MSRP_RANGE_SYNTAX },
	{ "1-2/2x", MSRP_RANGE_SYNTAX },
};

static void which_make_sense(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].text);
		char *copy = exact_copy(cases[i].text, n), again[80];
		struct msrp_byte_range r = { 7, 7, 7 };
		enum msrp_range_verdict got = msrp_byte_range_parse(slice_of(copy, n), &r);
		struct buffer b = buffer_over(again, sizeof(again));

		CHECK(got == cases[i].want, "\"%s\": verdict %d\n", cases[i].text, (int)got);
		if (got == MSRP_RANGE_OK) {
			CHECK(r.start == cases[i].start && r.end == cases[i].end &&
				r.total == cases[i].total, "\"%s\": other numbers\n",
				cases[i].text);
			msrp_byte_range_write(&b, &r);
			CHECK(slice_eq(buffer_slice(&b), slice_of(copy, n)),
				"\"%s\": written %.*s\n", cases[i].text, (int)b.n, again);
		} else {
			CHECK(r.start == 7 && r.end == 7 && r.total == 7, "\"%s\": written\n",
				cases[i].text);
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(which_make_sense) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
