/* actors/access_rules.c: which rules count for whom, and which of them wins. */
#include "actors/access_rules.h"

#include "tests/unit/test.h"

static const struct slice aliases[] = { { "example.net", 11 } };
static const struct sip_home home = { .home = { "example.com", 11 }, .aliases = aliases, .alias_count = 1 };

/* Of one or two documents. */
static struct access_rules *compile(const char *rules, const char *more)
{
	struct access_rules_builder *b = access_rules_begin(&home);
	const char *const texts[] = { rules, more };

	assert_non_null(b);
	for (int i = 0; i < 2 && texts[i]; i++) {
		char text[4096];
		struct xml *xml;
		int n = snprintf(text, sizeof(text), "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy' "
			"xmlns:o='urn:oma:xml:xdm:common-policy'>%s</ruleset>", texts[i]);
		assert_int_equal(xml_parse(&xml, slice_of(text, (size_t)n), &(struct xml_limits){ 4096, 16 }), XML_OK);
		access_rules_add(b, xml);
		xml_free(xml);
	}
	struct access_rules *set = access_rules_finish(b, SLICE("alice@example.com"));
	assert_non_null(set);
	return set;
}

#define RULE(conditions, actions) \
	"<rule id='r'><conditions>" conditions "</conditions><actions>" actions "</actions><transformations/></rule>"
#define WHO(list) "<identity>" list "</identity>"
#define BOTH(value) "<allow-session>" value "</allow-session><allow-pager-mode-message>" value "</allow-pager-mode-message>"

#define BOB  "bob@example.com"
#define EVE  "eve@example.org"

static const struct {
	const char *what, *rules, *caller;
	bool is_anonymous, is_rejected;
} cases[] = {
	{ "no rules", "", BOB, false, false },
	{ "named by one", RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("reject")), BOB, false, true },
	{ "somebody else is named", RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("reject")), EVE, false, false },
	{ "by another name of the domain", RULE(WHO("<one id='sip:bob@example.net:5060;x=y'/>"), BOTH("reject")), BOB, false, true },
	{ "one of several", RULE(WHO("<one id='sip:x@y'/><one id=' sips:bob@EXAMPLE.com '/>"), BOTH("reject")), BOB, false, true },
	{ "a name that is none", RULE(WHO("<one id='bob'/><one/>"), BOTH("reject")), BOB, false, false },
	{ "everybody", RULE(WHO("<many/>"), BOTH("reject")), EVE, false, true },
	{ "everybody but him", RULE(WHO("<many><except id='sip:bob@example.com'/></many>"), BOTH("reject")), BOB, false, false },
	{ "everybody but somebody else", RULE(WHO("<many><except id='sip:bob@example.com'/></many>"), BOTH("reject")), EVE, false, true },
	{ "everybody but a domain", RULE(WHO("<many><except domain='example.net'/></many>"), BOTH("reject")), BOB, false, false },
	{ "excepted from one list, named by another", RULE(WHO("<many><except id='sip:bob@example.com'/></many><one id='sip:bob@example.com'/>"),
		BOTH("reject")), BOB, false, true },
	{ "a domain", RULE(WHO("<many domain='example.org'/>"), BOTH("reject")), EVE, false, true },
	{ "another domain", RULE(WHO("<many domain='xexample.org'/>"), BOTH("reject")), EVE, false, false },
	{ "part of a domain", RULE(WHO("<many domain='example.or'/>"), BOTH("reject")), EVE, false, false },
	{ "a domain that is none", RULE(WHO("<many domain='a b'/>"), BOTH("reject")), EVE, false, false },
	{ "an identity without names", RULE(WHO(""), BOTH("reject")), EVE, false, false },
	{ "no conditions", RULE("", BOTH("reject")), EVE, false, true },
	{ "no conditions, not known", RULE("", BOTH("reject")), "", true, true },
	{ "the most generous wins", RULE("", BOTH("reject")) RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("accept")), BOB, false, false },
	{ "also the other way around", RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("pass")) RULE("", BOTH("reject")), BOB, false, false },
	{ "but only if it counts", RULE("", BOTH("reject")) RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("accept")), EVE, false, true },
	{ "a condition nobody knows", RULE("<sphere value='work'/>", BOTH("reject")), BOB, false, false },
	{ "a condition nobody knows besides", RULE(WHO("<many/>") "<o:x/>", BOTH("reject")), BOB, false, false },
	{ "a value that is none", RULE("", BOTH("never")), BOB, false, false },
	{ "anonymous, hidden", RULE("<o:anonymous-request/>", BOTH("reject")), BOB, true, true },
	{ "anonymous, not hidden", RULE("<o:anonymous-request/>", BOTH("reject")), BOB, false, false },
	{ "anonymous and named", RULE("<anonymous/>" WHO("<one id='sip:bob@example.com'/>"), BOTH("reject")), BOB, true, true },
	{ "hiding is no way around", RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("reject")), BOB, true, true },
	{ "hidden friends are not known", RULE("<o:anonymous-request/>", BOTH("reject")) RULE(WHO("<many/>"), BOTH("accept")), BOB, true, true },
	{ "who hides is let in", RULE("<o:anonymous-request/>", BOTH("accept")) RULE("", BOTH("reject")), BOB, true, false },
	{ "others", RULE("<o:other-identity/>", BOTH("reject")) RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("accept")), EVE, false, true },
	{ "no others", RULE("<o:other-identity/>", BOTH("reject")) RULE(WHO("<one id='sip:bob@example.com'/>"), ""), BOB, false, false },
};

static void who_is_let_in(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct access_rules *set = compile(cases[i].rules, NULL);
		for (enum user_purpose p = USER_FOR_SESSION; p <= USER_FOR_LARGE; p++)
			CHECK(access_rules_verdict(set, p, slice_str(cases[i].caller), cases[i].is_anonymous) ==
				(cases[i].is_rejected ? USER_REJECTS : USER_ACCEPTS), "%s, purpose %d\n", cases[i].what, p);
		assert_int_equal(access_rules_verdict(set, USER_FIND_ONLY, slice_str(cases[i].caller), false), USER_ACCEPTS);
		free(set);
	}
	assert_int_equal(access_rules_verdict(NULL, USER_FOR_PAGER, SLICE(BOB), false), USER_ACCEPTS);
}

static void each_action_is_for_its_own(void **state)
{
	struct access_rules *set = compile(RULE("", "<x:allow-session xmlns:x='urn:x'> reject </x:allow-session>"), NULL);

	REQ("IM-6.2.6.1-3");
	assert_int_equal(access_rules_verdict(set, USER_FOR_SESSION, SLICE(BOB), false), USER_REJECTS);
	assert_int_equal(access_rules_verdict(set, USER_FOR_PAGER, SLICE(BOB), false), USER_ACCEPTS);
	free(set);
	set = compile(RULE("", "<allow-pager-mode-message>reject</allow-pager-mode-message>"), NULL);
	REQ("IM-6.2.6.1-4");
	assert_int_equal(access_rules_verdict(set, USER_FOR_SESSION, SLICE(BOB), false), USER_ACCEPTS);
	assert_int_equal(access_rules_verdict(set, USER_FOR_PAGER, SLICE(BOB), false), USER_REJECTS);
	assert_int_equal(access_rules_verdict(set, USER_FOR_LARGE, SLICE(BOB), false), USER_REJECTS);
	free(set);
}

static void all_documents_count_together(void **state)
{
	struct access_rules *set = compile(RULE("", BOTH("reject")), RULE(WHO("<one id='sip:bob@example.com'/>"), BOTH("accept")));

	assert_int_equal(set->rule_count, 2);
	assert_true(slice_eq(slice_of(set->owner, set->owner_n), SLICE("alice@example.com")));
	assert_int_equal(access_rules_verdict(set, USER_FOR_PAGER, SLICE(BOB), false), USER_ACCEPTS);
	assert_int_equal(access_rules_verdict(set, USER_FOR_PAGER, SLICE(EVE), false), USER_REJECTS);
	free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_let_in),
		cmocka_unit_test(each_action_is_for_its_own),
		cmocka_unit_test(all_documents_count_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
