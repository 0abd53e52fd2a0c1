/* actors/referred.c: whom a REFER names, and by which method. */
#include "actors/referred.h"

#include "core/options.h"
#include "tests/unit/test.h"

#define LIST(entries) "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">" \
	"<list>" entries "</list></resource-lists>\r\n"
#define BODY(entries) \
	"Content-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\nContent-ID: <cn35@x>\r\n\r\n" \
	LIST(entries)
#define CID "Refer-To: <cid:cn35@x>\r\n"

static const struct limits_options limits = { .uri_list = 4, .mime_depth = 2, .xml_bytes = 4096 };
static const struct slice alias = { "example.org", 11 };
static const struct sip_home home = { .home = { "example.com", 11 }, .aliases = &alias, .alias_count = 1 };

static const struct {
	const char *what, *headers; /* and body */
	enum referred_verdict verdict;
	const char *got; /* "bye", or `uri=canonical` of each target with a blank behind it; '!' before: no subscription */
} cases[] = {
	{ "one", "Refer-To: <sip:c@example.com>\r\n\r\n", REFERRED_OK, "sip:c@example.com=c@example.com " },
	{ "without <>", "Refer-To: sip:c@example.com\r\n\r\n", REFERRED_OK, "sip:c@example.com=c@example.com " },
	{ "short form", "r: \"C\" <sip:c@example.org:5060>;x=y\r\n\r\n", REFERRED_OK, "sip:c@example.org:5060=c@example.com " },
	{ "a number", "Refer-To: <tel:+49-30-1>\r\n\r\n", REFERRED_OK, "tel:+49-30-1=+49301@example.com " },
	{ "INVITE", "Refer-To: <sip:c@example.com;x=1;method=INVITE;y?Replaces=a%3Bb>\r\n\r\n", REFERRED_OK,
		"sip:c@example.com;x=1;y?Replaces=a%3Bb=c@example.com " },
	{ "INVITE, as no method is written", "Refer-To: <sip:c@example.com;Method=invite>\r\n\r\n", REFERRED_OK,
		"sip:c@example.com=c@example.com " },
	{ "BYE", "Refer-To: <sip:s@example.com;method=BYE>\r\n\r\n", REFERRED_OK, "bye" },
	{ "BYE without <>", "Refer-To: sip:s@example.com;method=BYE\r\n\r\n", REFERRED_OK, "bye" },
	{ "another method", "Refer-To: <sip:s@example.com;method=MESSAGE>\r\n\r\n", REFERRED_FORBIDDEN, "" },
	{ "no subscription", "Refer-To: <sip:c@example.com>\r\nRefer-Sub: False;x=y\r\n\r\n", REFERRED_OK,
		"!sip:c@example.com=c@example.com " },
	{ "a subscription", "Refer-To: <sip:c@example.com>\r\nRefer-Sub: true\r\n\r\n", REFERRED_OK,
		"sip:c@example.com=c@example.com " },
	{ "the draft's header", "Refer-To: <sip:c@example.com>\r\nNorefer-Sub: false\r\n\r\n", REFERRED_OK,
		"sip:c@example.com=c@example.com " },
	{ "none", "\r\n", REFERRED_MALFORMED, "" },
	{ "two", "Refer-To: <sip:c@example.com>\r\nRefer-To: <sip:d@example.com>\r\n\r\n", REFERRED_MALFORMED, "" },
	{ "two in one", "Refer-To: <sip:c@example.com>, <sip:d@example.com>\r\n\r\n", REFERRED_MALFORMED, "" },
	{ "no URI", "Refer-To: <>\r\n\r\n", REFERRED_MALFORMED, "" },
	{ "nobody to call", "Refer-To: <http://example.com>\r\n\r\n", REFERRED_MALFORMED, "" },
	{ "half a URI", "Refer-To: <sip:c@>\r\n\r\n", REFERRED_MALFORMED, "" },
	{ "a list", CID BODY("<entry uri='sip:c@example.com'/><entry uri='sip:D@example.net'/>"), REFERRED_OK,
		"sip:c@example.com=c@example.com sip:D@example.net=D@example.net " },
	{ "each once", CID BODY("<entry uri='sip:d@example.com'/><entry uri='sip:c@example.com'/>"
				"<entry uri='sip:%63@example.org;x'/><entry uri='sips:d@EXAMPLE.com'/>"), REFERRED_OK,
		"sip:d@example.com=d@example.com sip:c@example.com=c@example.com " },
	{ "INVITE in a list", CID BODY("<entry uri='sip:c@example.com;method=INVITE'/>"), REFERRED_OK,
		"sip:c@example.com=c@example.com " },
	{ "BYE in a list", CID BODY("<entry uri='sip:c@example.com'/><entry uri='sip:d@example.com;method=BYE'/>"),
		REFERRED_FORBIDDEN, "" },
	{ "a list with nonsense", CID BODY("<entry uri='sip:c@example.com'/><entry uri='c'/>"), REFERRED_MALFORMED, "" },
	{ "a list with a reference", CID BODY("<entry uri='sip:c@example.com'/><entry-ref ref='x'/>"), REFERRED_MALFORMED, "" },
	{ "a list that is too long", CID BODY("<entry uri='sip:a@b'/><entry uri='sip:a@b'/><entry uri='sip:a@b'/><entry uri='sip:a@b'/>"
					      "<entry uri='sip:a@b'/>"), REFERRED_TOO_MANY, "" },
	{ "an empty list", CID BODY(""), REFERRED_MALFORMED, "" },
	{ "another body", "Refer-To: <cid:cn36@x>\r\n" BODY("<entry uri='sip:c@example.com'/>"), REFERRED_MALFORMED, "" },
	{ "no body", CID "\r\n", REFERRED_MALFORMED, "" },
	{ "nothing behind cid:", "Refer-To: <cid:>\r\n\r\n", REFERRED_MALFORMED, "" },
	{ "in a multipart", "Refer-To: <cid:cn35@x>\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n"
			    "\r\nhi\r\n--b\r\n" BODY("<entry uri='sip:c@example.com'/>") "\r\n--b--\r\n", REFERRED_OK,
		"sip:c@example.com=c@example.com " },
};

static void describe(char *got, size_t size, const struct referred *what, const struct referred_targets *targets)
{
	snprintf(got, size, "%s%s", what->is_silent ? "!" : "", what->is_bye ? "bye" : "");
	for (unsigned i = 0; i < targets->count; i++)
		snprintf(got + strlen(got), size - strlen(got), "%.*s=%.*s ", SLICE_ARG(targets->all[i].uri),
			SLICE_ARG(targets->all[i].canonical));
}

static void referrals(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static char text[8192];
		struct sip_limits bounds = { sizeof(text), sizeof(text), 0 };
		struct referred_targets targets = { 0 };
		struct referred what;
		struct sip_message m;
		char got[512] = "";
		size_t used;
		snprintf(text, sizeof(text), "REFER sip:s@example.com SIP/2.0\r\n%s", cases[i].headers);
		assert_int_equal(sip_message_parse(&m, slice_str(text), &bounds, SIP_DATAGRAM, &used), SIP_PARSE_OK);
		enum referred_verdict verdict = referred_read(&what, &m);
		if (verdict == REFERRED_OK && !what.is_bye)
			verdict = referred_targets_read(&targets, &what, &m, &home, &limits);
		CHECK(verdict == cases[i].verdict, "%s: %d\n", cases[i].what, verdict);
		if (verdict == REFERRED_OK)
			describe(got, sizeof(got), &what, &targets);
		CHECK(!strcmp(got, cases[i].got), "%s: %s\n", cases[i].what, got);
		referred_targets_free(&targets);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(referrals) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
