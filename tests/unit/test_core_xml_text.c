/* core/xml_text.c: what stands in XML that we write means itself, whatever it was. */
#include "core/xml_text.h"

#include "core/xml.h"
#include "tests/unit/test.h"

static void text_that_is_escaped(void **state)
{
	static const struct {
		struct slice text;
		const char *want;
	} cases[] = {
		{ SLICE(""), "" },
		{ SLICE("a&b<c>d\"e'f"), "a&amp;b&lt;c&gt;d&quot;e&apos;f" },
		{ SLICE("J\xc3\xb6rg \xf0\x9f\x98\x80"), "J\xc3\xb6rg \xf0\x9f\x98\x80" },
		{ SLICE("a\tb\nc\rd"), "a&#9;b&#10;c&#13;d" },
		{ SLICE("\x01\x1f\0"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ SLICE("\xff\xc3(\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ SLICE("\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ SLICE("cut \xe2\x82"), "cut \xef\xbf\xbd\xef\xbf\xbd" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = exact_copy(cases[i].text.p, cases[i].text.n);
		size_t room = XML_TEXT_GROWTH * cases[i].text.n;
		char *memory = malloc(room ? room : 1);
		struct buffer out = buffer_over(memory, room);
		xml_put_text(&out, slice_of(text, cases[i].text.n));
		CHECK(!out.overflow && slice_eq(buffer_slice(&out), slice_str(cases[i].want)), "case %zu: %.*s\n", i,
			SLICE_ARG(buffer_slice(&out)));
		free(memory);
		free(text);
	}
}

/* Every octet, in an attribute: it is a document in any case, and what may stand in one comes back. */
static void every_octet_makes_a_document(void **state)
{
	for (unsigned c = 0; c < 256; c++) {
		const char octet[] = { 'x', (char)c, 'y' };
		char text[64];
		struct buffer out = buffer_over(text, sizeof(text));
		struct xml *xml;
		struct slice value;
		buffer_lit(&out, "<a b=\"");
		xml_put_text(&out, slice_of(octet, 3));
		buffer_lit(&out, "\"/>");
		assert_int_equal(xml_parse(&xml, buffer_slice(&out), &(struct xml_limits){ 4096, 4 }), XML_OK);
		assert_true(xml_attribute(xml_root(xml), SLICE_EMPTY, SLICE("b"), &value));
		if ((c >= ' ' && c < 0x80) || c == '\t' || c == '\n' || c == '\r')
			CHECK(slice_eq(value, slice_of(octet, 3)), "octet %u: %.*s\n", c, SLICE_ARG(value));
		xml_free(xml);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_that_is_escaped),
		cmocka_unit_test(every_octet_makes_a_document),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
