/* msrp/path.c: walking, counting and comparing To-Path, From-Path and a=path. */
#include "tests/unit/test.h"

#include "core/buffer.h"
#include "msrp/path.h"

#define A "msrp://a.example:1/s1;tcp"
#define B "msrps://b.example:2/s2;tcp"
#define C "msrp://[::1]:3/s3;tcp"

static const struct {
	const char *text;
	enum msrp_path_verdict want;
	unsigned count;
	const char *first, *last;
} cases[] = {
	{ A, MSRP_PATH_OK, 1, A, A },
	{ A " " B, MSRP_PATH_OK, 2, A, B },
	{ A " " B " " C, MSRP_PATH_OK, 3, A, C },
	{ "  " A "\t " B " ", MSRP_PATH_OK, 2, A, B },
	{ "", MSRP_PATH_EMPTY },
	{ " \t", MSRP_PATH_EMPTY },
	{ "sip:x", MSRP_PATH_BAD_URI },
	{ A " x", MSRP_PATH_BAD_URI },
	{ A "," B, MSRP_PATH_BAD_URI },
};

static void what_is_a_path(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].text);
		char *copy = exact_copy(cases[i].text, n);
		struct msrp_path path = { .count = 99 };
		enum msrp_path_verdict got = msrp_path_parse(slice_of(copy, n), &path);

		CHECK(got == cases[i].want, "\"%s\": verdict %d\n", cases[i].text, (int)got);
		if (got == MSRP_PATH_OK) {
			CHECK(path.count == cases[i].count, "\"%s\": %u\n", cases[i].text,
				path.count);
			assert_true(slice_eq(path.first.text, slice_str(cases[i].first)));
			assert_true(slice_eq(path.last.text, slice_str(cases[i].last)));
			assert_true(slice_eq(msrp_path_first(slice_of(copy, n)),
				slice_str(cases[i].first)));
		} else {
			assert_int_equal(path.count, 99);
		}
		free(copy);
	}
	assert_int_equal(msrp_path_parse(SLICE_EMPTY, &(struct msrp_path){ 0 }), MSRP_PATH_EMPTY);
	assert_int_equal(msrp_path_first(SLICE_EMPTY).n, 0);
}

static void the_limit_and_one_more(void **state)
{
	char text[1000];
	struct buffer b = buffer_over(text, sizeof(text));
	struct msrp_path path;

	for (unsigned i = 0; i < MSRP_PATH_URIS_MAX; i++)
		buffer_str(&b, A " ");
	assert_int_equal(msrp_path_parse(buffer_slice(&b), &path), MSRP_PATH_OK);
	assert_int_equal(path.count, MSRP_PATH_URIS_MAX);
	assert_true(msrp_path_equal(buffer_slice(&b), buffer_slice(&b)));
	buffer_str(&b, A);
	assert_int_equal(msrp_path_parse(buffer_slice(&b), &path), MSRP_PATH_TOO_LONG);
	assert_false(msrp_path_equal(buffer_slice(&b), buffer_slice(&b)));
}

static void the_same_uris_in_the_same_order(void **state)
{
	assert_true(msrp_path_equal(SLICE(A " " B), SLICE(A "  " B ";x")));
	assert_true(msrp_path_equal(SLICE(A), SLICE("MSRP://A.EXAMPLE:1/s1;tcp")));
	assert_false(msrp_path_equal(SLICE(A " " B), SLICE(B " " A)));
	assert_false(msrp_path_equal(SLICE(A " " B), SLICE(A)));
	assert_false(msrp_path_equal(SLICE(A), SLICE(A " " B)));
	assert_false(msrp_path_equal(SLICE(""), SLICE("")));
	assert_false(msrp_path_equal(SLICE("x"), SLICE("x")));
}

static void the_same_session_whatever_the_host(void **state)
{
	const struct slice one = SLICE("msrp://a.example:1/s1;tcp");

	assert_true(msrp_path_same_session(one, one));
	assert_true(msrp_path_same_session(one, SLICE("msrp://192.0.2.1:99/s1;tcp;x=y")));
	assert_false(msrp_path_same_session(one, SLICE("msrp://a.example:1/S1;tcp")));
	assert_false(msrp_path_same_session(one, SLICE("msrps://a.example:1/s1;tcp")));
	assert_false(msrp_path_same_session(one, SLICE("msrp://a.example:1/s1;sctp")));
	assert_false(msrp_path_same_session(one, SLICE(A " " B)));
	assert_false(msrp_path_same_session(SLICE(A " " B), SLICE(A " " B)));
	assert_false(msrp_path_same_session(SLICE("msrp://a.example:1;tcp"), SLICE("msrp://a.example:1;tcp")));
	assert_false(msrp_path_same_session(one, SLICE("x")));
	assert_false(msrp_path_same_session(SLICE(""), one));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_path),
		cmocka_unit_test(the_limit_and_one_more),
		cmocka_unit_test(the_same_uris_in_the_same_order),
		cmocka_unit_test(the_same_session_whatever_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
