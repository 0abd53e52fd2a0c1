/* actors/sdp_kept.c: whatever is packed comes out again, and ours become short. */
#include "actors/sdp_kept.h"

#include "tests/unit/test.h"

#define PATH "msrp://127.0.0.1:2855/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;tcp"
#define OURS                                                                                              \
	"v=0\r\no=- 4611686018427387904 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"      \
	"m=message 2855 TCP/MSRP *\r\na=accept-types:text/plain message/cpim\r\na=path:" PATH             \
	"\r\na=setup:actpass\r\na=sendrecv\r\na=max-size:10485760\r\n"

static size_t packed(const char *text, size_t n, char *out)
{
	char *exact = malloc(n ? n : 1); /* so that the sanitizer sees the first octet too many */

	assert_non_null(exact);
	memcpy(exact, text, n);
	size_t kept = sdp_kept_pack(exact, n, SLICE(PATH));
	assert_true(kept <= n);
	memcpy(out, exact, kept);
	free(exact);
	return kept;
}

static void comes_out_again(const char *text, size_t n)
{
	char kept[SDP_TEXT_MAX], room[SDP_TEXT_MAX];
	struct slice again = sdp_kept_text(slice_of(kept, packed(text, n, kept)), SLICE(PATH), room);

	assert_true(slice_eq(again, slice_of(text, n)));
}

static void ours_is_short(void **state)
{
	char kept[SDP_TEXT_MAX];

	comes_out_again(OURS, sizeof(OURS) - 1);
	assert_in_range(packed(OURS, sizeof(OURS) - 1, kept), 1, 80);
}

static void any_text(void **state)
{
	static const char *const texts[] = { "", "v", "v=0\r\n", "v=0\r\no=- ", "v=0\r\no=- \r\n", "v=0\r\no=alice 1 1 IN IP4 h\r\n",
		"v=0\r\no=- 1 1 IN IP4 h\r\ns=\xc3\xa9\r\n", "v=0\r\no=- " PATH PATH, "v=0\r\no=- a=path:a=path:\r\r\n\n",
		"v=0\r\no=- \x80" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		comes_out_again(texts[i], strlen(texts[i]));
	for (size_t n = 0; n < sizeof(OURS); n++) /* cut anywhere */
		comes_out_again(OURS, n);
	for (size_t at = 1; at < sizeof(OURS) - 1; at++) {
		char changed[] = OURS;
		for (int octet = 0; octet < 256; octet += 5) {
			changed[at] = (char)octet;
			comes_out_again(changed, sizeof(OURS) - 1);
		}
	}
}

static void the_longest(void **state)
{
	static char text[SDP_TEXT_MAX];

	for (size_t at = 0; at < sizeof(text); at++)
		text[at] = ("v=0\r\no=- ")[at < 9 ? at : at % 2]; /* "v=" again and again */
	comes_out_again(text, sizeof(text));
	memset(text + 9, 'x', sizeof(text) - 9);
	comes_out_again(text, sizeof(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_is_short),
		cmocka_unit_test(any_text),
		cmocka_unit_test(the_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
