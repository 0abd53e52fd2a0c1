/* actors/uri_list.c: the list in a request, wherever its body has it. */
#include "actors/uri_list.h"

#include "core/options.h"
#include "tests/unit/test.h"

#define ENTRIES(text) "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">" \
	text "</resource-lists>\r\n"
#define TWO  ENTRIES("<list><entry uri=\"sip:a@x\"/><entry uri=\"sip:b&amp;c@x\"><display-name>B</display-name></entry></list>")
#define SDP  "--b7\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
#define PART "--b7\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n"

static const struct limits_options limits = { .uri_list = 3, .mime_depth = 2, .xml_bytes = 4096 };

static const struct {
	const char *what, *type, *body;
	enum uri_list_verdict verdict;
	const char *uris; /* a blank behind each one */
} cases[] = {
	{ "alone", "application/resource-lists+xml", TWO, URI_LIST_OK, "sip:a@x sip:b&c@x " },
	{ "with a description", "multipart/mixed;boundary=\"b7\"", SDP PART TWO "\r\n--b7--\r\n", URI_LIST_OK, "sip:a@x sip:b&c@x " },
	{ "before it", "multipart/mixed;boundary=b7", PART TWO "\r\n" SDP "\r\n--b7--\r\n", URI_LIST_OK, "sip:a@x sip:b&c@x " },
	{ "lists within lists", "application/resource-lists+xml",
		ENTRIES("<list><list><entry uri=' sip:a@x '/></list></list><list name='o'><entry uri='sip:b@x'/></list>"), URI_LIST_OK,
		"sip:a@x sip:b@x " },
	{ "elsewhere defined", "application/resource-lists+xml",
		ENTRIES("<list><entry uri='sip:a@x'/><external anchor='http://x'/></list>"), URI_LIST_MALFORMED, "" },
	{ "a reference", "application/resource-lists+xml",
		ENTRIES("<list><list><entry-ref ref='x'/></list><entry uri='sip:a@x'/></list>"), URI_LIST_MALFORMED, "" },
	{ "as many as are allowed", "application/resource-lists+xml",
		ENTRIES("<list><entry uri='a'/><entry uri='b'/><entry uri='c'/></list>"), URI_LIST_OK, "a b c " },
	{ "one more", "application/resource-lists+xml",
		ENTRIES("<list><entry uri='a'/><entry uri='b'/><entry uri='c'/><entry uri='d'/></list>"), URI_LIST_TOO_MANY, "" },
	{ "none", "application/sdp", "v=0\r\n", URI_LIST_NONE, "" },
	{ "no body", "application/sdp", "", URI_LIST_NONE, "" },
	{ "a multipart without", "multipart/mixed;boundary=b7", SDP "\r\n--b7--\r\n", URI_LIST_NONE, "" },
	{ "another purpose", "multipart/mixed;boundary=b7",
		"--b7\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: x\r\n\r\n" TWO "\r\n--b7--\r\n", URI_LIST_NONE, "" },
	{ "no entry", "application/resource-lists+xml", ENTRIES("<list/>"), URI_LIST_MALFORMED, "" },
	{ "an entry without URI", "application/resource-lists+xml", ENTRIES("<list><entry/></list>"), URI_LIST_MALFORMED, "" },
	{ "an empty URI", "application/resource-lists+xml", ENTRIES("<list><entry uri=' '/></list>"), URI_LIST_MALFORMED, "" },
	{ "another namespace", "application/resource-lists+xml", "<resource-lists><list><entry uri='a'/></list></resource-lists>",
		URI_LIST_MALFORMED, "" },
	{ "another document", "application/resource-lists+xml", "<a/>", URI_LIST_MALFORMED, "" },
	{ "no XML", "application/resource-lists+xml", "a, b", URI_LIST_MALFORMED, "" },
	{ "a document type", "application/resource-lists+xml", "<!DOCTYPE x [<!ENTITY e \"e\">]>" TWO, URI_LIST_MALFORMED, "" },
	{ "a boundary that is not there", "multipart/mixed;boundary=b8", SDP PART TWO "\r\n--b7--\r\n", URI_LIST_MALFORMED, "" },
	{ "no end", "multipart/mixed;boundary=b7", SDP, URI_LIST_MALFORMED, "" },
};

static const char *cid; /* NULL: any list */

static void message_of(struct sip_message *m, const char *type, const char *body)
{
	static char text[8192];
	struct sip_limits bounds = { sizeof(text), sizeof(text), 0 };
	size_t used;

	snprintf(text, sizeof(text), "INVITE sip:a@b SIP/2.0\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", type, strlen(body), body);
	assert_int_equal(sip_message_parse(m, slice_str(text), &bounds, SIP_DATAGRAM, &used), SIP_PARSE_OK);
}

static enum uri_list_verdict read_case(struct uri_list *list, const char *type, const char *body)
{
	struct sip_message m;

	message_of(&m, type, body);
	return cid ? uri_list_read_named(list, &m, slice_str(cid), &limits) : uri_list_read(list, &m, &limits);
}

static void lists(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct uri_list list;
		char got[256] = "";
		enum uri_list_verdict verdict = read_case(&list, cases[i].type, cases[i].body);
		CHECK(verdict == cases[i].verdict, "%s: %d\n", cases[i].what, verdict);
		for (unsigned j = 0; j < list.count; j++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%.*s ", SLICE_ARG(list.uris[j]));
		CHECK(!strcmp(got, cases[i].uris), "%s: %s\n", cases[i].what, got);
		uri_list_free(&list);
	}
}

static void by_its_name(void **state)
{
	static const char body[] = PART ENTRIES("<list><entry uri='sip:other@x'/></list>") "\r\n--b7\r\n"
		"Content-Type: application/resource-lists+xml\r\nContent-ID: <a%b@x>\r\nContent-Disposition: mine\r\n\r\n" TWO
		"\r\n--b7\r\nContent-Type: text/plain\r\nContent-ID: <text@x>\r\n\r\nhello\r\n--b7--\r\n";
	static const struct {
		const char *cid;
		enum uri_list_verdict verdict;
	} names[] = { { "a%25b@x", URI_LIST_OK }, { "a%b@x", URI_LIST_OK }, { "A%25b@x", URI_LIST_NONE }, { "b@x", URI_LIST_NONE },
		{ "text@x", URI_LIST_NONE } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct uri_list list;
		cid = names[i].cid;
		enum uri_list_verdict verdict = read_case(&list, "multipart/mixed;boundary=b7", body);
		CHECK(verdict == names[i].verdict, "%s: %d\n", cid, verdict);
		CHECK(list.count == (verdict == URI_LIST_OK ? 2 : 0), "%s: %u entries\n", cid, list.count);
		uri_list_free(&list);
	}
	cid = "alone@x";
	struct uri_list list;
	assert_int_equal(read_case(&list, "application/resource-lists+xml\r\nContent-Id: <alone@x>", TWO), URI_LIST_OK);
	assert_int_equal(list.count, 2);
	uri_list_free(&list);
	assert_int_equal(read_case(&list, "application/resource-lists+xml", TWO), URI_LIST_NONE);
	cid = NULL;
}

static void more_than_is_read(void **state)
{
	char body[6000];
	struct uri_list list;

	memset(body, ' ', sizeof(body));
	memcpy(body, TWO, sizeof(TWO) - 1);
	body[sizeof(body) - 1] = 0;
	assert_int_equal(read_case(&list, "application/resource-lists+xml", body), URI_LIST_TOO_LARGE);
	uri_list_free(&list);
}

/* What is for its recipients and what is only sent; not deeper than may be looked. */
static void that_calls_itself_one(void **state)
{
	static const struct {
		const char *type, *body;
		bool is_there;
	} bodies[] = {
		{ "multipart/mixed;boundary=b7", SDP PART TWO "\r\n--b7--\r\n", true },
		{ "multipart/mixed;boundary=b7", PART "no XML\r\n--b7--\r\n", true },
		{ "multipart/mixed;boundary=b7", "--b7\r\nContent-Type: multipart/mixed;boundary=b8\r\n\r\n--b8\r\nContent-Type: "
			"application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\nx\r\n--b8--\r\n\r\n--b7--\r\n", true },
		{ "application/resource-lists+xml", TWO, false },
		{ "multipart/mixed;boundary=b7", SDP "--b7\r\nContent-Type: application/resource-lists+xml\r\n\r\n" TWO "\r\n--b7--\r\n",
			false },
		{ "multipart/mixed", PART TWO "\r\n--b7--\r\n", false },
		{ "text/plain", PART, false },
		{ "text/plain", "", false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct sip_message m;
		message_of(&m, bodies[i].type, bodies[i].body);
		assert_int_equal(uri_list_is_there(&m, 2), bodies[i].is_there);
		if (i == 2)
			assert_false(uri_list_is_there(&m, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lists), cmocka_unit_test(by_its_name),
		cmocka_unit_test(more_than_is_read),
		cmocka_unit_test(that_calls_itself_one) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
