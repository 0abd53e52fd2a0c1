#include "tests/unit/test.h"

#include "core/buffer.h"
#include "sip/multipart.h"

#define TYPE "multipart/mixed;boundary=b"

/* What comes out: [headers|content] of each part, then . at the end or ! where it is bad; - not begun. */
static const struct {
	const char *what, *type, *body, *want;
} cases[] = {
	{ "one part", TYPE, "--b\r\nA: 1\r\n\r\nx\r\n--b--\r\n", "[A: 1\r\n|x]." },
	{ "two parts", TYPE, "--b\r\nA: 1\r\n\r\nx\r\n--b\r\nB: 2\r\n\r\ny\r\n--b--", "[A: 1\r\n|x][B: 2\r\n|y]." },
	{ "quoted boundary", "multipart/mixed; boundary=\"b\"", "--b\r\nA: 1\r\n\r\nx\r\n--b--\r\n", "[A: 1\r\n|x]." },
	{ "preamble and epilogue", TYPE, "hello --b\r\n--b\r\n\r\nx\r\n--b--\r\n--b\r\nend", "[|x]." },
	{ "no headers", TYPE, "--b\r\n\r\nx\r\n--b--\r\n", "[|x]." },
	{ "empty content", TYPE, "--b\r\nA: 1\r\n\r\n\r\n--b--\r\n", "[A: 1\r\n|]." },
	{ "content keeps its own line ends", TYPE, "--b\r\n\r\nx\r\n\r\n--b--\r\n", "[|x\r\n]." },
	{ "padded delimiter", TYPE, "--b \t\r\n\r\nx\r\n--b-- \r\n", "[|x]." },
	{ "lines that end with LF", TYPE, "--b\nA: 1\n\nx\n--b--\n", "[A: 1\n|x]." },
	{ "another boundary that begins alike", TYPE, "--b\r\n\r\n--bb\r\nx\r\n--b--\r\n", "[|--bb\r\nx]." },
	{ "a delimiter inside a line is content", TYPE, "--b\r\n\r\nx --b--\r\n--b--\r\n", "[|x --b--]." },
	{ "nothing but the end", TYPE, "--b--\r\n", "." },
	{ "no end", TYPE, "--b\r\n\r\nx\r\n", "!" },
	{ "no end behind the second", TYPE, "--b\r\n\r\nx\r\n--b\r\n\r\ny", "[|x]!" },
	{ "no empty line", TYPE, "--b\r\nA: 1\r\n--b--\r\n", "!" },
	{ "no delimiter", TYPE, "x\r\n", "-" },
	{ "no boundary", "multipart/mixed", "--b\r\n\r\nx\r\n--b--\r\n", "-" },
	{ "empty boundary", "multipart/mixed;boundary=\"\"", "--\r\n\r\nx\r\n----\r\n", "-" },
	{ "boundary of 71", "multipart/mixed;boundary=" "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1",
	  "--aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1\r\n", "-" },
	{ "no multipart", "text/plain;boundary=b", "--b\r\n\r\nx\r\n--b--\r\n", "-" },
};

static void take_apart(const char *type, struct slice body, char *got, size_t size)
{
	struct buffer out = buffer_over(got, size - 1);
	enum sip_part_verdict verdict = SIP_PART_BAD;
	struct sip_parts parts;
	struct sip_part part;

	if (!sip_parts_begin(&parts, slice_str(type), body)) {
		buffer_lit(&out, "-");
	} else {
		while ((verdict = sip_parts_next(&parts, &part)) == SIP_PART_OK) {
			buffer_char(&out, '[');
			buffer_put(&out, part.headers);
			buffer_char(&out, '|');
			buffer_put(&out, part.content);
			buffer_char(&out, ']');
		}
		buffer_char(&out, verdict == SIP_PART_END ? '.' : '!');
	}
	got[out.n] = 0;
}

static void test_parts(void **state)
{
	char got[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].body);
		char *copy = exact_copy(cases[i].body, n);

		take_apart(cases[i].type, slice_of(copy, n), got, sizeof(got));
		CHECK(!strcmp(got, cases[i].want), "%s: got \"%s\"\n", cases[i].what, got);
		free(copy);
		for (size_t cut = 0; cut < n; cut++) { /* nothing is read behind the end */
			char *tight = exact_copy(cases[i].body, cut);
			take_apart(cases[i].type, slice_of(tight, cut), got, sizeof(got));
			free(tight);
		}
	}
}

static void test_headers_of_a_part(void **state)
{
	struct sip_part part = { .headers = SLICE("content-TYPE : a/b;\r\n c=d\r\nX\r\nY: 1\r\nY: 2\r\nEmpty:\r\n") };

	assert_true(slice_eq(sip_part_header(&part, "Content-Type"), SLICE("a/b;\r\n c=d")));
	assert_true(slice_eq(sip_part_header(&part, "Y"), SLICE("1")));
	assert_true(sip_part_header(&part, "Empty").n == 0);
	assert_null(sip_part_header(&part, "X").p); /* without a colon it is no header */
	assert_null(sip_part_header(&part, "Z").p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_headers_of_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
