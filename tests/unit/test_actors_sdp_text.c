/* Edits of descriptions of our own, and what counts as the same one (RFC 3264 8). */
#include "actors/sdp_text.h"

#include "tests/unit/test.h"

#define TEXT(version, setup) \
	"v=0\r\no=- 77 " version " IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n" \
	"m=message 2855 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://10.0.0.1:2855/x;tcp\r\n" setup

static const char *with_version(const char *text, uint64_t version)
{
	static char out_text[1024];
	struct buffer out = buffer_over(out_text, sizeof(out_text) - 1);

	sdp_text_with_version(&out, slice_str(text), version);
	out_text[out.n] = 0;
	return out_text;
}

static const char *with_setup(const char *text, enum sdp_setup setup)
{
	static char out_text[1024];
	struct buffer out = buffer_over(out_text, sizeof(out_text) - 1);

	sdp_text_with_setup(&out, slice_str(text), setup);
	out_text[out.n] = 0;
	return out_text;
}

static void test_version(void **state)
{
	assert_string_equal(with_version(TEXT("1", ""), 2), TEXT("2", ""));
	assert_string_equal(with_version(TEXT("9", ""), 10), TEXT("10", ""));
	assert_string_equal(with_version(TEXT("18446744073709551615", ""), 7), TEXT("7", ""));
	assert_string_equal(with_version("v=0\r\n", 2), "v=0\r\n");
	assert_string_equal(with_version("v=0\r\no=a\r\n", 2), "v=0\r\no=a\r\n");
	assert_string_equal(with_version("", 2), "");
}

static void test_setup(void **state)
{
	assert_string_equal(with_setup(TEXT("1", "a=setup:actpass\r\n"), SDP_SETUP_PASSIVE),
			    TEXT("1", "a=setup:passive\r\n"));
	assert_string_equal(with_setup(TEXT("1", "a=setup:passive\r\na=x\r\n"), SDP_SETUP_ACTIVE),
			    TEXT("1", "a=setup:active\r\na=x\r\n"));
	assert_string_equal(with_setup(TEXT("1", ""), SDP_SETUP_ACTIVE), TEXT("1", ""));
}

static bool says_same(const char *a, const char *b)
{
	return sdp_text_says_same(slice_str(a), slice_str(b));
}

static void test_declined(void **state)
{
	static const char text[] = "v=0\r\no=- 1 1 IN IP4 h\r\nm=message 7 TCP/MSRP *\r\na=path:a\r\n"
		"m=message 8 TCP/TLS/MSRP *\r\na=path:b\r\nm=message 0 TCP/MSRP *\r\n";
	static const struct {
		uint32_t lines;
		const char *want;
	} cases[] = {
		{ 0, text },
		{ 1, "v=0\r\no=- 1 1 IN IP4 h\r\nm=message 0 TCP/MSRP *\r\nm=message 8 TCP/TLS/MSRP *\r\na=path:b\r\n"
		     "m=message 0 TCP/MSRP *\r\n" },
		{ 2 | 4, "v=0\r\no=- 1 1 IN IP4 h\r\nm=message 7 TCP/MSRP *\r\na=path:a\r\nm=message 0 TCP/TLS/MSRP *\r\n"
			 "m=message 0 TCP/MSRP *\r\n" },
		{ 8, text },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char memory[256];
		struct buffer out = buffer_over(memory, sizeof(memory));
		sdp_text_with_declined(&out, SLICE(text), cases[i].lines);
		CHECK(slice_eq(buffer_slice(&out), slice_str(cases[i].want)), "lines %x: got:\n%.*s\n", cases[i].lines,
			SLICE_ARG(buffer_slice(&out)));
	}
}

static void test_same(void **state)
{
	assert_true(says_same(TEXT("1", ""), TEXT("12", "")));
	assert_false(says_same(TEXT("1", ""), TEXT("1", "a=x\r\n")));
	assert_false(says_same(TEXT("1", "a=setup:active\r\n"), TEXT("1", "a=setup:passive\r\n")));
	assert_true(says_same("v=0\r\n", "v=0\r\n"));
	assert_false(says_same("v=0\r\n", TEXT("1", "")));
}

static uint64_t hash(const char *text)
{
	static struct sdp sdp;

	assert_int_equal(sdp_parse(&sdp, slice_str(text)), SDP_OK);
	return sdp_text_hash(&sdp);
}

/* What a refresh may say otherwise, and what no refresh says. */
static void test_hash(void **state)
{
	uint64_t plain = hash(TEXT("1", "a=setup:active\r\n"));

	assert_true(plain == hash(TEXT("2", "a=setup:active\r\n")));
	assert_true(plain == hash(TEXT("2", "a=setup:actpass\r\na=connection:existing\r\n")));
	assert_true(plain == hash(TEXT("2", "")));
	assert_false(plain == hash(TEXT("1", "a=sendonly\r\n")));
	assert_false(plain == hash(TEXT("1", "a=max-size:1\r\n")));
	/* the order counts: two lines that change places are another description */
	assert_false(hash(TEXT("1", "a=x\r\na=y\r\n")) == hash(TEXT("1", "a=y\r\na=x\r\n")));
	assert_false(hash(TEXT("1", "a=x\r\na=x\r\n")) == plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_declined),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
