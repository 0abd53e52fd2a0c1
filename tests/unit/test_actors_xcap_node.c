/* actors/xcap_selector.c, xcap_node.c: RFC 4825 6.3 and 8, on a document that uses prefixes, comments and both quotes. */
#include "actors/xcap_node.h"

#include "tests/unit/test.h"

#define NS "urn:l"

static const char text[] =
	"<?xml version='1.0'?><!-- <a/> -->\n"
	"<a xmlns='urn:l' xmlns:p='urn:p'>\n"
	" <b n='1' p:n='x'>one</b>\n"
	" <b n=\"2&amp;&quot;\">two</b>\n"
	" <p:b n='3'/>\n"
	" <c/>\n"
	" <d xmlns='urn:d'><e/><e k='v'/></d>\n"
	"</a>";

static enum xcap_verdict parse(struct xcap_node *node, const char *selector, const char *query)
{
	return xcap_node_parse(node, slice_str(selector), slice_str(query), SLICE(NS)) ? XCAP_OK : XCAP_NOT_VALUE;
}

static const struct {
	const char *selector, *query, *want; /* NULL: not found */
} gets[] = {
	{ "a/c", NULL, "<c/>" },
	{ "a/b[1]", NULL, "<b n='1' p:n='x'>one</b>" },
	{ "a/b[2]", NULL, "<b n=\"2&amp;&quot;\">two</b>" },
	{ "a/b", NULL, NULL }, /* two */
	{ "a/b[3]", NULL, NULL },
	{ "a/*[3]", NULL, "<p:b n='3'/>" },
	{ "a/b[@n=\"1\"]", NULL, "<b n='1' p:n='x'>one</b>" },
	{ "a/b[@n='2&amp;\"']", NULL, "<b n=\"2&amp;&quot;\">two</b>" },
	{ "a/b[1][@n='1']", NULL, "<b n='1' p:n='x'>one</b>" },
	{ "a/b[2][@n='1']", NULL, NULL },
	{ "a/b[@n='9']", NULL, NULL },
	{ "a/q:b", "xmlns(q=urn:p)", "<p:b n='3'/>" },
	{ "q:a/b[@n='1']", "xmlns(q=urn:l)", "<b n='1' p:n='x'>one</b>" },
	{ "a/*[@q:n='x']", " xmlns(r=urn:r) xmlns(q=urn:p)", "<b n='1' p:n='x'>one</b>" },
	{ "a/*[@n='3']", NULL, "<p:b n='3'/>" },
	{ "a/d", NULL, NULL }, /* another namespace */
	{ "a/d:d/d:e[2]", "xmlns(d=urn:d)", "<e k='v'/>" },
	{ "a/d:d/d:e[@k='v']/@k", "xmlns(d=urn:d)", "v" },
	{ "a/b[2]/@n", NULL, "2&amp;&quot;" },
	{ "a/b[1]/@q:n", "xmlns(q=urn:p)", "x" },
	{ "a/b[1]/@xmlns", NULL, NULL },
	{ "a/@n", NULL, NULL },
	{ "b", NULL, NULL },
	{ "a/d:d/namespace::*", "xmlns(d=urn:d)", "<d xmlns='urn:d' xmlns:p='urn:p'/>" },
};

static void nodes_are_read(void **state)
{
	for (size_t i = 0; i < sizeof(gets) / sizeof(gets[0]); i++) {
		struct xcap_node node;
		struct buffer out = { 0 };
		CHECK(parse(&node, gets[i].selector, gets[i].query) == XCAP_OK, "%s\n", gets[i].selector);
		enum xcap_verdict verdict = xcap_node_get(&node, SLICE(text), &out);
		CHECK(verdict == (gets[i].want ? XCAP_OK : XCAP_NOT_FOUND), "%s: %d\n", gets[i].selector, verdict);
		CHECK(!gets[i].want || slice_eq(buffer_slice(&out), slice_str(gets[i].want)), "%s: got \"%.*s\"\n",
			gets[i].selector, SLICE_ARG(buffer_slice(&out)));
		free(out.p);
	}
}

static void what_is_no_selector(void **state)
{
	static const char *const wrong[][2] = {
		{ "", NULL }, { "/", NULL }, { "a/", NULL }, { "a//b", NULL }, { "@n", NULL }, { "a/@", NULL }, { "a/@n/b", NULL },
		{ "a/b[0]", NULL }, { "a/b[x]", NULL }, { "a/b[1", NULL }, { "a/b]", NULL }, { "a/b[]", NULL }, { "a/b[1][2]", NULL },
		{ "a/b[@n]", NULL }, { "a/b[@n='1]", NULL }, { "a/b[@n=1]", NULL }, { "a/b[@n='1'][1]", NULL }, { "a/b[@n='1']x", NULL },
		{ "q:a", NULL }, { "a:", NULL }, { ":a", NULL }, { "a/q:b", "xmlns(r=urn:p)" }, { "a", "xmlns(q)" }, { "a", "xmlns(=x)" },
		{ "a", "xmlns(q=x" }, { "a", "q" }, { "a<", NULL }, { "a/namespace::x", NULL },
		{ "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", NULL },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t n = strlen(wrong[i][0]);
		char *copy = exact_copy(wrong[i][0], n);
		struct xcap_node node;
		CHECK(!xcap_node_parse(&node, slice_of(copy, n), slice_str(wrong[i][1]), SLICE(NS)), "%s is one\n", wrong[i][0]);
		free(copy);
	}
}

#define DOC  "<a xmlns='urn:l'><b n='1'/><b n='2'/><c/></a>"

static const struct {
	const char *what, *selector, *body; /* body NULL: delete */
	enum xcap_verdict verdict;
	const char *want;
} changes[] = {
	{ "replace", "a/c", "<c>x</c>", XCAP_OK, "<a xmlns='urn:l'><b n='1'/><b n='2'/><c>x</c></a>" },
	{ "replace with blanks around", "a/c", " \n<c>x</c>\n", XCAP_OK, "<a xmlns='urn:l'><b n='1'/><b n='2'/><c>x</c></a>" },
	{ "replace the root", "a", "<a xmlns='urn:l'/>", XCAP_OK, "<a xmlns='urn:l'/>" },
	{ "replace with another name", "a/c", "<d/>", XCAP_CANNOT_INSERT, NULL },
	{ "replace with another attribute", "a/b[@n='1']", "<b n='3'/>", XCAP_CANNOT_INSERT, NULL },
	{ "replace the root with another", "b", "<b/>", XCAP_CANNOT_INSERT, NULL },
	{ "insert at the end", "a/d", "<d/>", XCAP_INSERTED, "<a xmlns='urn:l'><b n='1'/><b n='2'/><c/><d/></a>" },
	{ "insert behind those of the name", "a/b[@n='3']", "<b n='3'/>", XCAP_INSERTED,
		"<a xmlns='urn:l'><b n='1'/><b n='2'/><b n='3'/><c/></a>" },
	{ "insert at a position", "a/b[3]", "<b/>", XCAP_INSERTED, "<a xmlns='urn:l'><b n='1'/><b n='2'/><b/><c/></a>" },
	{ "insert before", "a/b[1][@n='0']", "<b n='0'/>", XCAP_INSERTED, "<a xmlns='urn:l'><b n='0'/><b n='1'/><b n='2'/><c/></a>" },
	{ "insert first of all", "a/*[1][@n='0']", "<b n='0'/>", XCAP_INSERTED,
		"<a xmlns='urn:l'><b n='0'/><b n='1'/><b n='2'/><c/></a>" },
	{ "insert a first one", "a/d[1]", "<d/>", XCAP_INSERTED, "<a xmlns='urn:l'><b n='1'/><b n='2'/><c/><d/></a>" },
	{ "insert behind a gap", "a/b[4]", "<b/>", XCAP_CANNOT_INSERT, NULL },
	{ "insert with the wrong attribute", "a/b[@n='3']", "<b n='4'/>", XCAP_CANNOT_INSERT, NULL },
	{ "insert the same twice", "a/b", "<b/>", XCAP_CANNOT_INSERT, NULL },
	{ "insert into one tag", "a/c/d", "<d/>", XCAP_INSERTED, "<a xmlns='urn:l'><b n='1'/><b n='2'/><c><d/></c></a>" },
	{ "no parent", "a/d/e", "<e/>", XCAP_NO_PARENT, NULL },
	{ "two elements", "a/c", "<c/><c/>", XCAP_NOT_FRAGMENT, NULL },
	{ "text", "a/c", "c", XCAP_NOT_FRAGMENT, NULL },
	{ "nothing", "a/c", "", XCAP_NOT_FRAGMENT, NULL },
	{ "a way out", "a/c", "<c/></a><a>", XCAP_NOT_FRAGMENT, NULL },
	{ "a comment before", "a/c", "<!-- --><c/>", XCAP_NOT_FRAGMENT, NULL },
	{ "replace an attribute", "a/b[1]/@n", "7", XCAP_OK, "<a xmlns='urn:l'><b n='7'/><b n='2'/><c/></a>" },
	{ "quotes in it", "a/b[1]/@n", "'\"", XCAP_OK, "<a xmlns='urn:l'><b n='&apos;&quot;'/><b n='2'/><c/></a>" },
	{ "a new attribute", "a/c/@k", "&lt;v", XCAP_INSERTED, "<a xmlns='urn:l'><b n='1'/><b n='2'/><c k=\"&lt;v\"/></a>" },
	{ "an attribute that selects", "a/b[@n='1']/@n", "7", XCAP_CANNOT_INSERT, NULL },
	{ "an attribute of nothing", "a/d/@n", "7", XCAP_NO_PARENT, NULL },
	{ "no value", "a/c/@k", "<", XCAP_NOT_VALUE, NULL },
	{ "a reference that is none", "a/c/@k", "&", XCAP_NOT_VALUE, NULL },
	{ "a prefix that the document has not", "a/c/@q:k", "v", XCAP_CANNOT_INSERT, NULL },
	{ "delete", "a/c", NULL, XCAP_OK, "<a xmlns='urn:l'><b n='1'/><b n='2'/></a>" },
	{ "delete by attribute", "a/b[@n='1']", NULL, XCAP_OK, "<a xmlns='urn:l'><b n='2'/><c/></a>" },
	{ "delete the last", "a/b[2]", NULL, XCAP_OK, "<a xmlns='urn:l'><b n='1'/><c/></a>" },
	{ "delete one of which another takes the place", "a/b[1]", NULL, XCAP_CANNOT_DELETE, NULL },
	{ "delete the root", "a", NULL, XCAP_CANNOT_DELETE, NULL },
	{ "delete nothing", "a/d", NULL, XCAP_NOT_FOUND, NULL },
	{ "delete an attribute", "a/b[1]/@n", NULL, XCAP_OK, "<a xmlns='urn:l'><b/><b n='2'/><c/></a>" },
	{ "delete no attribute", "a/c/@n", NULL, XCAP_NOT_FOUND, NULL },
};

static void nodes_are_changed(void **state)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct xcap_node node;
		struct buffer out = { 0 };
		enum xcap_verdict verdict;
		CHECK(parse(&node, changes[i].selector, "xmlns(q=urn:q)") == XCAP_OK, "%s\n", changes[i].what);
		if (changes[i].body) {
			size_t n = strlen(changes[i].body);
			char *body = exact_copy(changes[i].body, n);
			verdict = xcap_node_put(&node, SLICE(DOC), slice_of(body, n), &out);
			free(body);
		} else {
			verdict = xcap_node_delete(&node, SLICE(DOC), &out);
		}
		CHECK(verdict == changes[i].verdict, "%s: verdict %d\n", changes[i].what, verdict);
		CHECK(!!out.p == !!changes[i].want, "%s: text\n", changes[i].what);
		CHECK(!out.p || slice_eq(buffer_slice(&out), slice_str(changes[i].want)), "%s: got \"%.*s\"\n", changes[i].what,
			SLICE_ARG(buffer_slice(&out)));
		CHECK(!out.overflow, "%s: too little room\n", changes[i].what);
		free(out.p);
	}
}

static void an_ancestor_is_known(void **state)
{
	struct xcap_node node;

	assert_int_equal(parse(&node, "a/c/d/e", NULL), XCAP_OK);
	assert_int_equal(xcap_node_depth(&node, SLICE(DOC)), 2);
	assert_int_equal(node.steps[1].end, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_are_read),
		cmocka_unit_test(what_is_no_selector),
		cmocka_unit_test(nodes_are_changed),
		cmocka_unit_test(an_ancestor_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
