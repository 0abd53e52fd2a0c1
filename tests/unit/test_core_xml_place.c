/* core/xml_place.c: where things are in the text, and that nothing is found in what is no XML. */
#include "core/xml_place.h"

#include "tests/unit/test.h"

/* Writes the places as `name[attributes]{children}` or `name[attributes]:content`. */
static void describe(struct slice text, const struct xml_place *place, struct buffer *out)
{
	struct xml_place child;

	buffer_put(out, place->name);
	for (struct slice rest = place->attributes; rest.n;) {
		struct xml_attribute_place a;
		if (!xml_place_attribute(&rest, &a))
			break;
		buffer_printf(out, " %.*s=%.*s", SLICE_ARG(a.name), SLICE_ARG(a.value));
	}
	if (!xml_place_first(text, place, &child)) {
		if (!place->is_one_tag)
			buffer_printf(out, ":%.*s", (int)(place->content_end - place->content), text.p + place->content);
		return;
	}
	buffer_char(out, '{');
	do {
		describe(text, &child, out);
		buffer_char(out, ',');
	} while (xml_place_next(text, place, &child));
	buffer_char(out, '}');
}

static const struct {
	const char *what, *text, *want;
} cases[] = {
	{ "one tag", "<a/>", "a" },
	{ "empty", "<a></a>", "a:" },
	{ "blanks in tags", "<a  x = '1'\n y=\"2\" ></a >", "a x=1 y=2:" },
	{ "prefixes", "<p:a xmlns:p=\"urn:x\"/>", "p:a xmlns:p=urn:x" },
	{ "children", "<a><b>1</b> <c/>\n<b><d/></b></a>", "a{b:1,c,b{d,},}" },
	{ "a prolog", "<?xml version='1.0'?><!-- <x> --><a/>", "a" },
	{ "tags in a comment", "<a><!-- <b/> --><c/></a>", "a{c,}" },
	{ "tags in CDATA", "<a><![CDATA[<b/>]]></a>", "a:<![CDATA[<b/>]]>" },
	{ "an instruction", "<a><?x <b/> ?><c/></a>", "a{c,}" },
	{ "end of tag in a value", "<a x='>' y=\"/>\"><b z='\">'/></a>", "a x=> y=/>{b z=\">,}" },
	{ "same name inside", "<a><a><a/></a></a>", "a{a{a,},}" },
	{ "nothing", "", NULL },
	{ "no tag", "text", NULL },
	{ "not closed", "<a>", NULL },
	{ "a tag that does not end", "<a x='", NULL },
	{ "a comment that does not end", "<!-- <a/>", NULL },
	{ "no name", "<>", NULL },
	{ "no name but a blank", "< a/>", NULL },
	{ "an end first", "</a>", NULL },
	{ "a document type", "<!DOCTYPE a><a/>", NULL },
	{ "only a slash", "</>", NULL },
	{ "an inner one not closed", "<a><b></a>", NULL },
};

static void places_are_found(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].text);
		char *copy = exact_copy(cases[i].text, n), got[256];
		struct buffer out = buffer_over(got, sizeof(got));
		struct xml_place root;
		bool found = xml_place_root(slice_of(copy, n), &root);
		if (found)
			describe(slice_of(copy, n), &root, &out);
		CHECK(found == !!cases[i].want, "%s: %s\n", cases[i].what, found ? "found" : "not found");
		CHECK(!found || slice_eq(buffer_slice(&out), slice_str(cases[i].want)), "%s: got \"%.*s\"\n", cases[i].what,
			SLICE_ARG(buffer_slice(&out)));
		free(copy);
	}
}

/* Cut anywhere, it is found nowhere and nothing behind the end is read. */
static void every_cut_is_survived(void **state)
{
	static const char text[] = "<?xml version='1.0'?><!--c--><a x='1'><b y=\"&amp;\"/><![CDATA[ > ]]></a>";

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		char *copy = exact_copy(text, n);
		struct xml_place root;
		CHECK(!xml_place_root(slice_of(copy, n), &root), "cut at %zu\n", n);
		free(copy);
	}
}

static void the_edges_are_right(void **state)
{
	struct slice text = SLICE(" <a><b x='1'>t</b></a> ");
	struct xml_place root, child;
	struct xml_attribute_place attribute;

	assert_true(xml_place_root(text, &root));
	assert_int_equal(root.begin, 1);
	assert_int_equal(root.end, text.n - 1);
	assert_true(xml_place_first(text, &root, &child));
	assert_int_equal(child.begin, root.content);
	assert_int_equal(child.end, root.content_end);
	assert_int_equal(child.content_end - child.content, 1);
	assert_true(xml_place_attribute(&child.attributes, &attribute));
	assert_true(slice_eq(attribute.whole, SLICE(" x='1'")));
	assert_false(xml_place_attribute(&child.attributes, &attribute));
}

static void values_are_decoded(void **state)
{
	static const struct {
		const char *value, *want;
	} values[] = {
		{ "a\tb", "a b" }, { "&lt;&amp;&gt;&quot;&apos;", "<&>\"'" }, { "&#65;&#x42;", "AB" }, { "&#xe4;", "\xc3\xa4" },
		{ "&#x1F600;", "\xf0\x9f\x98\x80" }, { "&", NULL }, { "&amp", NULL }, { "&x;", NULL }, { "&#;", NULL }, { "&#x;", NULL },
		{ "&#0;", NULL }, { "&#1114112;", NULL }, { "&#99999999999;", NULL }, { "&#A;", NULL },
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char got[64], again[128];
		struct buffer out = buffer_over(got, sizeof(got)), escaped = buffer_over(again, sizeof(again));
		bool good = xml_place_decode(&out, slice_str(values[i].value));
		CHECK(good == !!values[i].want, "%s\n", values[i].value);
		if (!good)
			continue;
		CHECK(slice_eq(buffer_slice(&out), slice_str(values[i].want)), "%s: %.*s\n", values[i].value,
			SLICE_ARG(buffer_slice(&out)));
		xml_place_escape(&escaped, buffer_slice(&out));
		out.n = 0;
		assert_true(xml_place_decode(&out, buffer_slice(&escaped)));
		assert_true(slice_eq(buffer_slice(&out), slice_str(values[i].want)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_found),
		cmocka_unit_test(every_cut_is_survived),
		cmocka_unit_test(the_edges_are_right),
		cmocka_unit_test(values_are_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
