/* actors/group*.c: what a group's document says, and what its rules permit to whom. */
#include <errno.h>

#include "actors/group_documents.h"
#include "actors/group_internal.h"

#include "tests/unit/test.h"

static const struct slice aliases[] = { { "example.net", 11 } };
static const struct sip_home home = { .home = { "example.com", 11 }, .aliases = aliases, .alias_count = 1 };

#define DOCUMENT(services)                                                                                            \
	"<group xmlns='urn:oma:xml:poc:list-service' xmlns:rl='urn:ietf:params:xml:ns:resource-lists' "                \
	"xmlns:cp='urn:ietf:params:xml:ns:common-policy'>" services "</group>"
#define SERVICE(uri, content) "<list-service uri='" uri "'>" content "</list-service>"
#define LIST(entries) "<list>" entries "</list>"
#define ENTRY(uri) "<entry uri='" uri "'/>"
#define MEMBERS LIST(ENTRY("sip:alice@example.com") ENTRY("sip:bob@example.com"))
#define RULES(rules) "<cp:ruleset>" rules "</cp:ruleset>"
#define RULE(conditions, actions) \
	"<cp:rule id='r'><cp:conditions>" conditions "</cp:conditions><cp:actions>" actions "</cp:actions></cp:rule>"
#define WHO(list) "<cp:identity>" list "</cp:identity>"
#define ONE(uri) WHO("<cp:one id='" uri "'/>")
#define JOIN(value) "<join-handling>" value "</join-handling>"

#define ALICE "alice@example.com"
#define EVE   "eve@example.org"

static int compile(struct group **out, const char *document)
{
	struct xml *xml;
	char *text = exact_copy(document, strlen(document));
	enum xml_verdict verdict = xml_parse(&xml, slice_of(text, strlen(document)), &(struct xml_limits){ SIZE_MAX, 32 });

	free(text);
	assert_int_equal(verdict, XML_OK);
	int err = group_compile(out, xml_first(xml_root(xml)), &home, 7);
	xml_free(xml); /* it keeps nothing of it */
	return err;
}

static struct group *group_of(const char *document)
{
	struct group *group = NULL;

	assert_int_equal(compile(&group, document), 0);
	return group;
}

#define SAME(got, want) CHECK(slice_eq((got), slice_str(want)), "\"%.*s\" is not \"%s\"\n", SLICE_ARG(got), want)

static void what_it_says(void **state)
{
	struct group *g = group_of(DOCUMENT(SERVICE(" sip:Group1@EXAMPLE.net;x=y ",
		"<display-name xml:lang='en'> The\r\nus </display-name>" LIST("<rl:entry uri=' sip:Bob@example.com?Subject=x '>"
		"<rl:display-name>Bob&#13;B</rl:display-name></rl:entry><list>" ENTRY("tel:+1-23") "</list>" ENTRY("bob")
		ENTRY("sip:Bob@example.net:5060") ENTRY("sips:a@example.org:5070") "<external anchor='x'/>" ENTRY("sip:c@example.org?"))
		"<invite-members> 1 </invite-members><max-participant-count> 12 </max-participant-count>")));

	SAME(g->canonical, "Group1@example.com");
	SAME(g->uri, "sip:Group1@EXAMPLE.net;x=y");
	SAME(g->display_name, "The us");
	assert_int_equal(g->etag, 7);
	assert_true(g->invite_members);
	assert_int_equal(g->max_participants, 12);
	assert_int_equal(g->member_count, 4);
	SAME(g->members[0].uri, "sip:Bob@example.com");
	SAME(g->members[0].canonical, "Bob@example.com");
	SAME(g->members[0].display_name, "Bob B");
	SAME(g->members[1].uri, "tel:+1-23");
	SAME(g->members[1].canonical, "+123@example.com");
	SAME(g->members[2].canonical, "a@example.org:5070");
	SAME(g->members[2].display_name, "");
	SAME(g->members[3].uri, "sip:c@example.org");
	for (unsigned i = 0; i < g->member_count; i++)
		assert_ptr_equal(group_find_member(g, g->members[i].canonical), &g->members[i]);
	assert_null(group_find_member(g, SLICE("Bob@example.co")));
	assert_null(group_find_member(g, SLICE("")));
	group_drop(group_hold(g));
	group_drop(g);
	group_drop(NULL);
}

static void what_it_does_not_say(void **state)
{
	struct group *g = group_of(DOCUMENT(SERVICE("sip:group1@example.com", ""))), *none = NULL;

	assert_false(g->invite_members);
	assert_int_equal(g->max_participants, UINT32_MAX);
	assert_int_equal(g->member_count, 0);
	assert_null(group_find_member(g, SLICE(ALICE)));
	assert_false(group_permits_user(g, GROUP_JOIN, SLICE(ALICE)));
	group_drop(g);
	assert_int_equal(compile(&none, DOCUMENT("<list-service/>")), EINVAL);
	assert_int_equal(compile(&none, DOCUMENT(SERVICE("group1", ""))), EINVAL);
	assert_null(none);
}

#define GROUP(rules) DOCUMENT(SERVICE("sip:group1@example.com", MEMBERS rules))

/* Who may join. */
static const struct {
	const char *what, *document, *who;
	bool is_anonymous, may;
} cases[] = {
	{ "no ruleset: a member", GROUP(""), ALICE, false, true },
	{ "no ruleset: another", GROUP(""), EVE, false, false },
	{ "a ruleset without rules", GROUP(RULES("")), ALICE, false, false },
	{ "a rule that says nothing", GROUP(RULES(RULE("", ""))), ALICE, false, false },
	{ "a rule about something else", GROUP(RULES(RULE("", "<allow-anonymity>true</allow-anonymity>"))), ALICE, false, false },
	{ "everybody: a member", GROUP(RULES(RULE("", JOIN("true")))), ALICE, false, true },
	{ "everybody: another", GROUP(RULES(RULE("", JOIN(" 1 ")))), EVE, false, true },
	{ "everybody: who hides", GROUP(RULES(RULE("", JOIN("true")))), EVE, true, true },
	{ "nobody", GROUP(RULES(RULE("", JOIN("false")))), ALICE, false, false },
	{ "a value that is none", GROUP(RULES(RULE("", JOIN("allow")))), ALICE, false, false },
	{ "one", GROUP(RULES(RULE(ONE("sip:eve@example.org"), JOIN("true")))), EVE, false, true },
	{ "another one", GROUP(RULES(RULE(ONE("sip:eve@example.org"), JOIN("true")))), ALICE, false, false },
	{ "one by another name", GROUP(RULES(RULE(ONE("sips:alice@example.NET;x"), JOIN("true")))), ALICE, false, true },
	{ "one who hides", GROUP(RULES(RULE(ONE("sip:eve@example.org"), JOIN("true")))), EVE, true, true },
	{ "a domain", GROUP(RULES(RULE(WHO("<cp:many domain='example.org'/>"), JOIN("true")))), EVE, false, true },
	{ "all but one", GROUP(RULES(RULE(WHO("<cp:many><cp:except id='sip:eve@example.org'/></cp:many>"), JOIN("true")))), EVE, false, false },
	{ "members: a member", GROUP(RULES(RULE("<is-list-member/>", JOIN("true")))), ALICE, false, true },
	{ "members: another", GROUP(RULES(RULE("<is-list-member/>", JOIN("true")))), EVE, false, false },
	{ "members, in words", GROUP(RULES(RULE("<x:is-list-member xmlns:x='urn:x'>true</x:is-list-member>", JOIN("true")))), ALICE, false, true },
	{ "no members: a member", GROUP(RULES(RULE("<is-list-member>false</is-list-member>", JOIN("true")))), ALICE, false, false },
	{ "no members: another", GROUP(RULES(RULE("<is-list-member>0</is-list-member>", JOIN("true")))), EVE, false, true },
	{ "both conditions: one of them", GROUP(RULES(RULE("<is-list-member/>" ONE("sip:eve@example.org"), JOIN("true")))), EVE, false, false },
	{ "both conditions: both", GROUP(RULES(RULE("<is-list-member/>" ONE("sip:alice@example.com"), JOIN("true")))), ALICE, false, true },
	{ "a condition nobody knows", GROUP(RULES(RULE("<is-list-member/><external-list/>", JOIN("true")))), ALICE, false, false },
	{ "who hides: he does", GROUP(RULES(RULE("<anonymous-request/>", JOIN("true")))), EVE, true, true },
	{ "who hides: he does not", GROUP(RULES(RULE("<anonymous-request/>", JOIN("true")))), EVE, false, false },
	{ "others: he is named", GROUP(RULES(RULE(ONE("sip:eve@example.org"), "") RULE("<other-identity/>", JOIN("true")))), EVE, false, false },
	{ "others: he is not", GROUP(RULES(RULE(ONE("sip:bob@example.com"), "") RULE("<other-identity/>", JOIN("true")))), EVE, false, true },
	{ "others: a member, of whom no rule is", GROUP(RULES(RULE("<other-identity/>", JOIN("true")))), ALICE, false, true },
	{ "others: a member", GROUP(RULES(RULE("<is-list-member/>", "") RULE("<other-identity/>", JOIN("true")))), ALICE, false, false },
	/* which of two counts */
	{ "the generous one", GROUP(RULES(RULE("", JOIN("false")) RULE(ONE("sip:eve@example.org"), JOIN("true")))), EVE, false, true },
	{ "the generous one, the other way around", GROUP(RULES(RULE(ONE("sip:eve@example.org"), JOIN("false")) RULE("", JOIN("true")))), EVE, false, true },
	{ "nobody but members", GROUP(RULES(RULE("", JOIN("false")) RULE("<is-list-member/>", JOIN("true")))), ALICE, false, true },
	{ "nobody, all named, but members", GROUP(RULES(RULE(WHO("<cp:many/>"), JOIN("false")) RULE("<is-list-member/>", JOIN("true")))), ALICE, false, true },
	{ "all members but one", GROUP(RULES(RULE("<is-list-member/>", JOIN("true")) RULE(ONE("sip:alice@example.com"), JOIN("false")))), ALICE, false, false },
	{ "all members but another", GROUP(RULES(RULE("<is-list-member/>", JOIN("true")) RULE(ONE("sip:bob@example.com"), JOIN("false")))), ALICE, false, true },
	{ "a member who is named for something else", GROUP(RULES(RULE("<is-list-member/>", JOIN("true"))
		RULE(ONE("sip:alice@example.com"), "<allow-anonymity>true</allow-anonymity>"))), ALICE, false, true },
	{ "a member who is named in two ways", GROUP(RULES(RULE("<is-list-member/>", JOIN("true"))
		RULE(ONE("sip:alice@example.com"), JOIN("false")) RULE(ONE("sip:alice@example.com"), JOIN("true")))), ALICE, false, true },
};

static void who_may_join(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct group *g = group_of(cases[i].document);
		struct identity who = { .canonical_n = strlen(cases[i].who), .is_anonymous = cases[i].is_anonymous };
		memcpy(who.canonical, cases[i].who, who.canonical_n);
		CHECK(group_permits(g, GROUP_JOIN, &who) == cases[i].may, "%s\n", cases[i].what);
		if (!cases[i].is_anonymous)
			assert_int_equal(group_permits_user(g, GROUP_JOIN, slice_str(cases[i].who)), cases[i].may);
		group_drop(g);
	}
}

static void each_action_is_its_own(void **state)
{
	static const char *const actions[GROUP_ACTIONS] = { "allow-initiate-conference", "join-handling",
		"allow-invite-users-dynamically", "allow-conference-state", "allow-anonymity" };
	struct group *g = group_of(GROUP(""));

	for (int i = 0; i < GROUP_ACTIONS; i++)
		assert_int_equal(group_permits_user(g, (enum group_action)i, SLICE(ALICE)), i != GROUP_BE_ANONYMOUS);
	group_drop(g);
	for (int said = 0; said < GROUP_ACTIONS; said++) {
		char text[1024];
		snprintf(text, sizeof(text), GROUP(RULES(RULE("", "<%s>true</%s>"))), actions[said], actions[said]);
		g = group_of(text);
		for (int i = 0; i < GROUP_ACTIONS; i++)
			assert_int_equal(group_permits_user(g, (enum group_action)i, SLICE(ALICE)), i == said);
		group_drop(g);
	}
}

/* Repeats of each, in an order that is none. */
static void ten_thousand_members(void **state)
{
	enum { COUNT = 10000 };
	size_t size = 4 * COUNT * 40 + 1024;
	char *text = malloc(size);
	struct buffer out = buffer_over(text, size);

	buffer_str(&out, "<group xmlns='urn:oma:xml:poc:list-service'><list-service uri='sip:group1@example.com'><list>");
	for (unsigned i = 0; i < 2 * COUNT; i++)
		buffer_printf(&out, "<entry uri='sip:u%u@example.%s'/>", i * 7919 % COUNT, i % 2 ? "com" : "net");
	buffer_str(&out, "</list></list-service></group>");
	assert_false(out.overflow);
	text[out.n] = 0;
	struct group *g = group_of(text);
	free(text);
	assert_int_equal(g->member_count, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		char name[64];
		snprintf(name, sizeof(name), "u%u@example.com", i * 7919 % COUNT);
		SAME(g->members[i].canonical, name);
		assert_ptr_equal(group_find_member(g, slice_str(name)), &g->members[i]);
	}
	assert_true(g->octets < COUNT * 128);
	group_drop(g);
}

/* ---- what a change means ---- */

static struct group_change *change(const char *before, const char *now)
{
	struct group_change *c = NULL;

	assert_int_equal(group_change_make(&c, &home, slice_str(before), slice_str(now)), 0);
	return c;
}

static void a_change_tells_what_is_gone(void **state)
{
	struct group_change *c = change(DOCUMENT(SERVICE("sip:group1@example.com", "") SERVICE("sip:group2@example.com", "")),
		DOCUMENT(SERVICE("sip:group2@example.net", MEMBERS) SERVICE("sip:group3@example.com", "")));

	assert_int_equal(c->uri_count, 2);
	SAME(c->uris[0], "group2@example.com");
	SAME(c->uris[1], "group3@example.com");
	assert_int_equal(c->news_count, 3);
	assert_int_equal(c->news[0]->now->member_count, 2);
	assert_non_null(c->news[1]->now);
	SAME(slice_of(c->news[2]->canonical, c->news[2]->canonical_n), "group1@example.com");
	assert_null(c->news[2]->now);
	group_change_free(c);
	c = change(DOCUMENT(SERVICE("sip:group1@example.com", "")), NULL);
	assert_int_equal(c->uri_count, 0);
	assert_int_equal(c->news_count, 1);
	group_change_free(c);
	group_change_free(NULL);
}

static void names_of_one_document_differ(void **state)
{
	struct group_change *c = NULL;
	char text[8192];
	struct buffer out;

	assert_int_equal(group_change_make(&c, &home, SLICE_EMPTY,
		SLICE(DOCUMENT(SERVICE("sip:group1@example.com", "") SERVICE("sip:group1@example.net", "")))), EEXIST);
	for (unsigned count = GROUPS_OF_DOCUMENT_MAX; count <= GROUPS_OF_DOCUMENT_MAX + 1; count++) {
		out = buffer_over(text, sizeof(text));
		buffer_str(&out, "<group>");
		for (unsigned i = 0; i < count; i++)
			buffer_printf(&out, "<list-service uri='sip:group%u@example.com'/>", i);
		buffer_str(&out, "</group>");
		assert_int_equal(group_change_make(&c, &home, SLICE_EMPTY, buffer_slice(&out)),
			count > GROUPS_OF_DOCUMENT_MAX ? E2BIG : 0);
	}
	group_change_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_says),
		cmocka_unit_test(what_it_does_not_say),
		cmocka_unit_test(who_may_join),
		cmocka_unit_test(each_action_is_its_own),
		cmocka_unit_test(ten_thousand_members),
		cmocka_unit_test(a_change_tells_what_is_gone),
		cmocka_unit_test(names_of_one_document_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
