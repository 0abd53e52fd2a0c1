/* core/xml.c: what is a document, what is refused and why, and that nothing an attacker writes makes it grow. */
#include "core/xml.h"

#include "tests/unit/test.h"

static const struct xml_limits limits = { 4096, 8 };

/* From a heap copy of its exact size, which is gone before anybody looks at the document. */
static enum xml_verdict parse(struct xml **out, const char *text, size_t n, const struct xml_limits *most)
{
	char *copy = exact_copy(text, n);
	enum xml_verdict verdict = xml_parse(out, slice_of(copy, n), most);

	free(copy);
	return verdict;
}

static struct xml *document(const char *text)
{
	struct xml *xml = NULL;

	CHECK(parse(&xml, text, strlen(text), &limits) == XML_OK, "refused: %s\n", text);
	return xml;
}

static void check_slice(struct slice got, const char *want)
{
	CHECK(slice_eq(got, slice_str(want)), "got \"%.*s\", not \"%s\"\n", SLICE_ARG(got), want);
}

static void elements_attributes_and_text(void **state)
{
	struct xml *xml = document("\xef\xbb\xbf<?xml version=\"1.0\" encoding='utf-8'?>\r\n<!-- one --><?do it?>"
		"<a xmlns=\"urn:x\" xmlns:y='urn:y' id=\"1 &amp; &#50;&lt;\" y:id='other' empty=''> t&#x65;xt <!-- in -->"
		"and <![CDATA[<more>]]> &gt;<b/>late<y:b>\xc3\xa4</y:b><c xmlns=''>c</c></a>\n");
	const struct xml_node *a = xml_root(xml), *b = xml_first(a);
	struct slice value;

	check_slice(xml_name(a), "a");
	check_slice(xml_namespace(a), "urn:x");
	assert_true(xml_attribute(a, SLICE_EMPTY, SLICE("id"), &value));
	check_slice(value, "1 & 2<");
	assert_true(xml_attribute(a, SLICE("urn:y"), SLICE("id"), &value));
	check_slice(value, "other");
	assert_true(xml_attribute(a, SLICE_EMPTY, SLICE("empty"), &value));
	check_slice(value, "");
	assert_false(xml_attribute(a, SLICE("urn:x"), SLICE("id"), &value)); /* the default is not for attributes */
	assert_false(xml_attribute(a, SLICE_EMPTY, SLICE("none"), &value));
	check_slice(xml_text(a), " text and <more> >");
	assert_true(xml_is(b, SLICE("urn:x"), SLICE("b")));
	check_slice(xml_text(b), "");
	assert_null(xml_first(b));
	b = xml_next(b);
	assert_true(xml_is(b, SLICE("urn:y"), SLICE("b")));
	assert_ptr_equal(b, xml_child(a, SLICE("urn:y"), SLICE("b")));
	check_slice(xml_text(b), "\xc3\xa4");
	b = xml_next(b);
	assert_true(xml_is(b, SLICE_EMPTY, SLICE("c")));
	assert_null(xml_next(b));
	assert_null(xml_child(a, SLICE("urn:x"), SLICE("c")));
	xml_free(xml);
}

static const struct {
	const char *what, *text;
	enum xml_verdict verdict;
} refused[] = {
	{ "nothing", "", XML_MALFORMED },
	{ "blanks", " \r\n", XML_MALFORMED },
	{ "no element", "<?xml version='1.0'?>", XML_MALFORMED },
	{ "no XML", "hello", XML_MALFORMED },
	{ "no end", "<a><b></b>", XML_MALFORMED },
	{ "wrong end", "<a></b>", XML_MALFORMED },
	{ "two roots", "<a/><b/>", XML_MALFORMED },
	{ "the same attribute twice", "<a b='1' b='2'/>", XML_MALFORMED },
	{ "attribute without quotes", "<a b=1/>", XML_MALFORMED },
	{ "a prefix nobody declared", "<x:a/>", XML_MALFORMED },
	{ "an attribute's prefix nobody declared", "<a x:b=''/>", XML_MALFORMED },
	{ "an entity nobody declared", "<a>&nbsp;</a>", XML_MALFORMED },
	{ "an entity in an attribute", "<a b='&x;'/>", XML_MALFORMED },
	{ "a control character", "<a>\x01</a>", XML_MALFORMED },
	{ "a reference to octet 0", "<a>&#0;</a>", XML_MALFORMED },
	{ "a document type", "<!DOCTYPE a><a/>", XML_DOCTYPE },
	{ "an external document type", "<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'><a/>", XML_DOCTYPE },
	{ "an external entity", "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>", XML_DOCTYPE },
	{ "entities of entities", "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;'>"
		"<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;'>]><a>&d;</a>", XML_DOCTYPE },
	{ "a parameter entity", "<!DOCTYPE a [<!ENTITY % p SYSTEM 'http://127.0.0.1:1/'>%p;]><a/>", XML_DOCTYPE },
	{ "Latin 1 declared", "<?xml version='1.0' encoding='ISO-8859-1'?><a/>", XML_NOT_UTF8 },
	{ "UTF-7 declared", "<?xml version='1.0' encoding = \"UTF-7\" ?><a/>", XML_NOT_UTF8 },
	{ "Latin 1", "<a>\xe4</a>", XML_NOT_UTF8 },
	{ "an overlong octet", "<a>\xc0\xaf</a>", XML_NOT_UTF8 },
	{ "an overlong sequence", "<a>\xe0\x80\xaf</a>", XML_NOT_UTF8 },
	{ "half a surrogate", "<a>\xed\xa0\x80</a>", XML_NOT_UTF8 },
	{ "beyond Unicode", "<a>\xf4\x90\x80\x80</a>", XML_NOT_UTF8 },
	{ "cut in a character", "<a>\xe2\x82", XML_NOT_UTF8 },
	{ "nine levels", "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>", XML_TOO_DEEP },
};

static void refusals(void **state)
{
	struct xml *xml = NULL;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		enum xml_verdict verdict = parse(&xml, refused[i].text, strlen(refused[i].text), &limits);
		CHECK(verdict == refused[i].verdict, "%s: %s\n", refused[i].what, xml_verdict_text(verdict));
		assert_null(xml);
	}
	/* UTF-16 has octets 0 */
	assert_int_equal(parse(&xml, "\xff\xfe<\0a\0/\0>\0", 10, &limits), XML_NOT_UTF8);
	assert_int_equal(parse(&xml, "<a/>\0", 5, &limits), XML_NOT_UTF8);
	xml_free(document("<a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a>")); /* eight levels */
	xml_free(document("<?xml version='1.0' encoding='US-ASCII'?><a/>"));
}

static void each_cut_is_malformed(void **state)
{
	static const char text[] = "<a xmlns:y='urn:y' b='c'><y:d>&amp;\xc3\xa4</y:d><![CDATA[x]]><!-- y --></a>";
	struct xml *xml = NULL;

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		enum xml_verdict verdict = parse(&xml, text, n, &limits);
		CHECK(verdict == XML_MALFORMED || verdict == XML_NOT_UTF8, "cut at %zu: %s\n", n, xml_verdict_text(verdict));
	}
	xml_free(document(text));
}

static void size_at_its_limit(void **state)
{
	char text[4097];
	struct xml *xml = NULL;

	memset(text, ' ', sizeof(text));
	memcpy(text, "<a/>", 4);
	assert_int_equal(parse(&xml, text, 4096, &limits), XML_OK);
	xml_free(xml);
	xml = NULL;
	assert_int_equal(parse(&xml, text, 4097, &limits), XML_TOO_LARGE);
	assert_null(xml);
}

/* `count` times `format` with its number, between `head` and `tail`. */
static enum xml_verdict many(unsigned count, const char *head, const char *format, const char *tail)
{
	size_t size = 64 * (count + 2), n = 0;
	char *text = malloc(size);
	struct xml *xml = NULL;

	assert_non_null(text);
	n += (size_t)snprintf(text, size, "%s", head);
	for (unsigned i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, size - n, format, i);
	n += (size_t)snprintf(text + n, size - n, "%s", tail);
	enum xml_verdict verdict = parse(&xml, text, n, &(struct xml_limits){ size, 8 });
	free(text);
	xml_free(xml);
	return verdict;
}

/* What costs more than its octets is bounded. */
static void attributes_and_namespaces_at_their_limits(void **state)
{
	assert_int_equal(many(64, "<a", " b%u='='", "/>"), XML_OK);
	assert_int_equal(many(65, "<a", " b%u='>'", "/>"), XML_TOO_DEEP);
	assert_int_equal(many(65, "<!-- <a \" --><a", " b%u=''", "/>"), XML_TOO_DEEP); /* the comment hides nothing */
	assert_int_equal(many(64, "<a>", "<b xmlns:n%u='urn:n'/>", "</a>"), XML_OK);
	assert_int_equal(many(65, "<a>", "<b xmlns:n%u='urn:n'/>", "</a>"), XML_TOO_DEEP);
	assert_int_equal(many(5000, "<a>", "<b n='%u'/>", "</a>"), XML_OK); /* elements side by side have no limit */
	assert_int_equal(many(3000, "<a>", "x=%u;", "</a>"), XML_OK); /* nor has text */
}

static void booleans(void **state)
{
	bool value;

	assert_true(xml_boolean(SLICE(" true\n"), &value) && value);
	assert_true(xml_boolean(SLICE("1"), &value) && value);
	assert_true(xml_boolean(SLICE("false"), &value) && !value);
	assert_true(xml_boolean(SLICE("0"), &value) && !value);
	assert_false(xml_boolean(SLICE("True"), &value));
	assert_false(xml_boolean(SLICE(""), &value));
	assert_false(xml_boolean(SLICE("yes"), &value));
}

static void test_line_of_what_is_malformed(void **state)
{
	assert_int_equal(xml_malformed_line(SLICE("<a>\n<b>\n</a>"), &limits), 3);
	assert_int_equal(xml_malformed_line(SLICE("hello"), &limits), 1);
	assert_int_equal(xml_malformed_line(SLICE("<a>\n<x:b/>\n</a>"), &limits), 2);
	assert_int_equal(xml_malformed_line(SLICE(""), &limits), 0);
	assert_int_equal(xml_malformed_line(SLICE("<a/>"), &limits), 0);
	assert_int_equal(xml_malformed_line(SLICE("<!DOCTYPE a><a/>"), &limits), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_of_what_is_malformed),
		cmocka_unit_test(elements_attributes_and_text),
		cmocka_unit_test(refusals),
		cmocka_unit_test(each_cut_is_malformed),
		cmocka_unit_test(size_at_its_limit),
		cmocka_unit_test(attributes_and_namespaces_at_their_limits),
		cmocka_unit_test(booleans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
