/* actors/group_advertisement.c: the documents of E.1.6 to E.1.8. */
#include "actors/group_advertisement.h"
#include "tests/unit/test.h"

#define NS      "urn:oma:params:xml:ns:IM:group-advertisement"
#define IN(ns, text) "<?xml version=\"1.0\" encoding=\"UTF-8\"?><group-advertisement xmlns=\"" ns "\">" text "</group-advertisement>"
#define DOC(text) IN(NS, text)
#define URI     "<uri>sip:group1@example.com</uri>"
#define GROUP   "<group>" URI "</group>"

static const struct {
	bool is_valid;
	const char *document;
} cases[] = {
	{ true, "<?xml version=\"1.0\"?><group-advertisement xmlns=\"" NS "\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
		" xsi:schemaLocation=\"" NS "\"><note>Hi</note><group type=\"dialed-in\"><display-name>Teleworkers</display-name>" URI
		"</group></group-advertisement>" },
	{ true, DOC(GROUP) },
	{ true, DOC(GROUP GROUP) },
	{ true, DOC("<group type='dialed-out'>" URI URI "<x xmlns='urn:x'/></group>") },
	{ true, DOC("<group type='other' xmlns:y='urn:y' y:z='1'>" URI "</group>") },
	{ true, IN("urn:oma:params:xml:ns:IM:groupadvertisement", GROUP) },
	{ true, IN("urn:oma:params:xml:ns:im:group-advertisement", GROUP) },
	{ false, IN("urn:oma:params:xml:ns:poc:group-advertisement", GROUP) },
	{ false, DOC("") },
	{ false, DOC("<note>no group</note>") },
	{ false, DOC("<note/><note/>" GROUP) },
	{ false, DOC(GROUP "<note>late</note>") },
	{ false, DOC("<group/>") },
	{ false, DOC("<group><uri> </uri></group>") },
	{ false, DOC("<group><display-name/><display-name/>" URI "</group>") },
	{ false, DOC("<group type='chat'>" URI "</group>") },
	{ false, DOC("<group>" URI "<strange/></group>") },
	{ false, DOC("<strange/>" GROUP) },
	{ false, "<group-advertisement>" GROUP "</group-advertisement>" },
	{ false, "<!DOCTYPE x>" DOC(GROUP) },
	{ false, "no XML" },
	{ false, "" },
};

static void documents(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK(group_advertisement_is_valid(slice_str(cases[i].document), 4096) == cases[i].is_valid, "%s\n", cases[i].document);
	REQ("IM-E.1.6-3", "IM-E.1.8-1");
	assert_false(group_advertisement_is_valid(SLICE(DOC(GROUP)), 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(documents) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
