/* actors/poc_settings.c: what a document says of each setting, what the schema does not permit, and each cut. */
#include "actors/poc_settings.h"

#include "tests/unit/test.h"

#define OPEN  "<poc-settings xmlns=\"urn:oma:params:xml:ns:poc:poc-settings\" "                      \
	      "xmlns:ss=\"urn:oma:params:xml:ns:service-settings\"><entity id=\"a\">"
#define CLOSE "</entity></poc-settings>"
#define ISB(active)  "<isb-settings><incoming-session-barring active=\"" active "\"/></isb-settings>"
#define IPAB(active) "<ipab-settings><incoming-personal-alert-barring active=\"" active "\"/></ipab-settings>"
#define SS(element, child, active) "<ss:" element "><ss:" child " active=\"" active "\"/></ss:" element ">"

static const struct xml_limits limits = { 65536, XML_DEPTH_MAX };

static const struct {
	const char *what, *text, *want; /* of each setting: 1 on, 0 off, - not there; NULL: refused */
} cases[] = {
	{ "nothing", OPEN CLOSE, "-----" },
	{ "no entity", "<poc-settings xmlns=\"urn:oma:params:xml:ns:poc:poc-settings\"/>", "-----" },
	{ "all on", OPEN ISB("true") IPAB("1") SS("deferred-settings", "offline-delivery", "true")
		SS("vis-settings", "vis-status", "1") SS("hist-settings", "hist-activation", "true") CLOSE, "11111" },
	{ "all off", OPEN ISB("false") IPAB("0") SS("deferred-settings", "offline-delivery", "0")
		SS("vis-settings", "vis-status", "false") SS("hist-settings", "hist-activation", "0") CLOSE, "00000" },
	{ "another order", OPEN SS("vis-settings", "visibility-status", "0") ISB("1") CLOSE, "1--0-" },
	{ "vis-status wins", OPEN "<ss:vis-settings><ss:visibility-status active='0'/><ss:vis-status active='1'/>"
		"</ss:vis-settings>" CLOSE, "---1-" },
	{ "the wrong one of two is not looked at", OPEN "<ss:vis-settings><ss:vis-status active='1'/>"
		"<ss:visibility-status/></ss:vis-settings>" CLOSE, "---1-" },
	{ "the last of two entities", OPEN ISB("1") "</entity><entity id='b'>" ISB("0") CLOSE, "0----" },
	{ "the last of two elements", OPEN ISB("0") ISB("1") CLOSE, "1----" },
	{ "vis-settings of the wrong namespace", OPEN "<vis-settings><vis-status active='0'/></vis-settings>" CLOSE, "-----" },
	{ "isb-settings of the wrong namespace", OPEN SS("isb-settings", "incoming-session-barring", "1") CLOSE, "-----" },
	{ "settings outside the entity", "<poc-settings xmlns=\"urn:oma:params:xml:ns:poc:poc-settings\">" ISB("1")
		"</poc-settings>", "-----" },
	{ "a child of another namespace only", OPEN "<isb-settings><x xmlns='urn:x'/></isb-settings>" CLOSE, "-----" },
	{ "answer mode, which is of PoC", OPEN "<am-settings><answer-mode>manual</answer-mode></am-settings>" CLOSE, "-----" },
	{ "another root", "<x/>", NULL },
	{ "no child", OPEN "<ipab-settings> text </ipab-settings>" CLOSE, NULL },
	{ "no active", OPEN "<isb-settings><incoming-session-barring/></isb-settings>" CLOSE, NULL },
	{ "an empty active", OPEN ISB("") CLOSE, NULL },
	{ "active TRUE", OPEN ISB("TRUE") CLOSE, NULL },
	{ "bad after good", OPEN ISB("1") IPAB("2") CLOSE, NULL },
};

static void documents(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct poc_settings settings = { 77, 77 };
		char got[6] = "-----", *copy = exact_copy(cases[i].text, strlen(cases[i].text));
		const char *why;
		enum xml_verdict verdict = poc_settings_read(&settings, slice_of(copy, strlen(cases[i].text)), &limits, &why);
		free(copy);
		for (unsigned k = 0; k < 5; k++)
			if (settings.known >> k & 1)
				got[k] = settings.on >> k & 1 ? '1' : '0';
		if (!cases[i].want)
			CHECK(verdict == XML_MALFORMED && settings.known == 77, "%s: not refused\n", cases[i].what);
		else
			CHECK(verdict == XML_OK && strcmp(got, cases[i].want) == 0, "%s: %s (%s)\n", cases[i].what, got, why);
	}
	REQ("IM-E.1.1-1");
}

static void each_cut_is_refused(void **state)
{
	const char *text = cases[2].text;

	for (size_t n = 0; n < strlen(text); n++) {
		struct poc_settings settings;
		char *copy = exact_copy(text, n);
		const char *why;
		CHECK(poc_settings_read(&settings, slice_of(copy, n), &limits, &why) == XML_MALFORMED, "cut at %zu\n", n);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(each_cut_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
