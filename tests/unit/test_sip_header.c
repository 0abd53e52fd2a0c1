#include "tests/unit/test.h"

#include "sip/header.h"

static const struct sip_limits limits = { 8192, 8192, 0 };

/* The message lives as long as the text; a literal lives for ever. */
static const struct sip_message *message_of(const char *headers)
{
	static struct sip_message m;
	static char wire[8192];
	size_t used;

	snprintf(wire, sizeof(wire), "MESSAGE sip:b@h SIP/2.0\r\n%s\r\n", headers);
	enum sip_verdict verdict =
		sip_message_parse(&m, slice_str(wire), &limits, SIP_DATAGRAM, &used);
	CHECK(verdict == SIP_PARSE_OK, "%s: verdict %d\n", headers, verdict);
	return &m;
}

/* ---- Via ---- */

static const struct {
	const char *value, *want; /* transport|host|port|branch|received|rport|rest */
} vias[] = {
	{ "SIP/2.0/UDP h.example;branch=z9hG4bK1", "UDP|h.example|0|z9hG4bK1||-|" },
	{ "SIP/2.0/TLS 10.0.0.1:5061;rport;branch=b", "TLS|10.0.0.1|5061|b||0|" },
	{ "SIP/2.0/UDP [2001:db8::9:1]:5060;received=2001:db8::1;rport=9;branch=x",
	  "UDP|[2001:db8::9:1]|5060|x|2001:db8::1|9|" },
	{ "SIP  / 2.0\r\n /TCP     spindle.example.com : 5070  ;\r\n  branch  =   a  ,\r\n SIP/2.0/UDP h",
	  "TCP|spindle.example.com|5070|a||-|\r\n SIP/2.0/UDP h" },
	{ "SIP/2.0/UDP h", "UDP|h|0|||-|" },
	{ "SIP/2.0/UDP h;x=\"a,;b\";branch=c, d", "UDP|h|0|c||-| d" },
	{ "SIP/2.0/UDP", "bad" },
	{ "SIP/2.0/UDP ", "bad" },
	{ "SIP/2.0/UDPh", "bad" },
	{ "SIP/3.0/UDP h", "bad" },
	{ "SIP/2.0 UDP h", "bad" },
	{ "SIP/2.0/UDP h:0", "bad" },
	{ "SIP/2.0/UDP h:65536", "bad" },
	{ "SIP/2.0/UDP h:", "bad" },
	{ "SIP/2.0/UDP [::1", "bad" },
	{ "SIP/2.0/UDP [::\r\n 1]", "bad" },
	{ "SIP/2.0/UDP [x]", "bad" },
	{ "SIP/2.0/UDP h;;branch=x", "bad" },
	{ "SIP/2.0/UDP h;branch=", "bad" },
	{ "SIP/2.0/UDP h;rport=65536", "bad" },
	{ "SIP/2.0/UDP h;rport=x", "bad" },
	{ "SIP/2.0/UDP h;branch=x y", "bad" },
	{ "SIP/2.0/UDP h x", "bad" },
	{ ",", "bad" },
	{ "", "bad" },
};

static void test_via(void **state)
{
	for (size_t i = 0; i < sizeof(vias) / sizeof(vias[0]); i++) {
		size_t n = strlen(vias[i].value);
		char *copy = exact_copy(vias[i].value, n), got[256] = "bad", rport[8] = "-";
		struct sip_via v;
		struct slice rest;

		if (sip_via_decode(slice_of(copy, n), &v, &rest)) {
			if (v.has_rport)
				sprintf(rport, "%u", v.rport);
			snprintf(got, sizeof(got), "%.*s|%.*s|%u|%.*s|%.*s|%s|%.*s",
				 SLICE_ARG(v.transport), SLICE_ARG(v.host), v.port,
				 SLICE_ARG(v.branch), SLICE_ARG(v.received), rport, SLICE_ARG(rest));
		}
		CHECK(!strcmp(got, vias[i].want), "%s: got %s\n", vias[i].value, got);
		free(copy);
	}
}

/* ---- addresses ---- */

static const struct {
	const char *value, *want; /* display|uri|params|tag */
} addresses[] = {
	{ "<sip:a@h>", "|sip:a@h||" },
	{ "sip:a@h", "|sip:a@h||" },
	{ "sip:a@h;tag=1", "|sip:a@h|;tag=1|1" },
	{ "<sip:a@h;tag=no>;tag=1", "|sip:a@h;tag=no|;tag=1|1" },
	{ "Alice <sip:a@h>;TAG=1;x", "Alice|sip:a@h|;TAG=1;x|1" },
	{ "Alice van der B <sip:a@h>", "Alice van der B|sip:a@h||" },
	{ "J\xc3\xb6rg <sip:a@h>", "J\xc3\xb6rg|sip:a@h||" },
	{ "\"A <sip:evil@h>;tag=x\\\" \" <sip:a@h>\r\n ; tag = 2", "\"A <sip:evil@h>;tag=x\\\" \"|sip:a@h|; tag = 2|2" },
	{ "\"\"<sip:a@h>", "\"\"|sip:a@h||" },
	{ "<tel:+1-201>;x=\"a>b\"", "|tel:+1-201|;x=\"a>b\"|" },
	{ "<sip:a@h?Replaces=x%3Bto-tag%3D1>", "|sip:a@h?Replaces=x%3Bto-tag%3D1||" },
	{ "sip:a@h;x=\"<y>\";tag=3", "|sip:a@h|;x=\"<y>\";tag=3|3" },
	{ "\"A <sip:a@h>", "bad" },
	{ "\"A\" sip:a@h", "bad" },
	{ "\"A\\\" <sip:a@h>", "bad" },
	{ "Bell, Alexander <sip:a@h>", "bad" },
	{ "A \"B\" <sip:a@h>", "bad" },
	{ "<sip:a@h", "bad" },
	{ "< sip:a@h >", "bad" },
	{ "<sip:a@h>x", "bad" },
	{ "<sip:a@h>;", "bad" },
	{ "<sip:a@h>;;tag=1", "bad" },
	{ "<sip:a@h>;tag=", "bad" },
	{ "<sip:a@h>;x=\"y", "bad" },
	{ "<sip:a@h>;tag", "bad" },
	{ "<sip:a@h>;tag=\"x\r\n y\"", "bad" },
	{ "<sip:a@h>;tag=a;tag=b", "|sip:a@h|;tag=a;tag=b|a" },
	{ "<>", "bad" },
	{ "<a@h>", "bad" },
	{ "<sip:>", "bad" },
	{ "sip:a@h?Route=x", "bad" },
	{ "sip:a@h,sip:b@h", "bad" },
	{ "*", "bad" },
	{ "", "bad" },
};

static void test_address(void **state)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		size_t n = strlen(addresses[i].value);
		char *copy = exact_copy(addresses[i].value, n), got[256] = "bad";
		struct sip_address a;

		if (sip_address_decode(slice_of(copy, n), &a))
			snprintf(got, sizeof(got), "%.*s|%.*s|%.*s|%.*s", SLICE_ARG(a.display),
				 SLICE_ARG(a.uri), SLICE_ARG(a.params), SLICE_ARG(a.tag));
		CHECK(!strcmp(got, addresses[i].want), "%s: got %s\n", addresses[i].value, got);
		free(copy);
	}
}

static const struct {
	const char *headers, *want; /* uri:expires:q of each, * or bad */
} contacts[] = {
	{ "", "" },
	{ "m: <sip:a@h>\r\n", "sip:a@h:-:1000 " },
	{ "m: <sip:a@h>;expires=60;q=0.5, <sip:b@h>;q=0.07\r\nContact: sip:c@h;expires=x;q=0\r\n",
	  "sip:a@h:60:500 sip:b@h:-:70 sip:c@h:3600:0 " },
	{ "m: \"x,y\" <sip:a,b@h>;expires=4294967297\r\n", "sip:a,b@h:4294967295:1000 " },
	{ "m: <sip:a@h>;q=1.000\r\n", "sip:a@h:-:1000 " },
	{ "m: <sip:a@h>;q=1.001\r\n", "bad " },
	{ "m: <sip:a@h>;q=0.1234\r\n", "bad " },
	{ "m: <sip:a@h>;q=x\r\n", "bad " },
	{ "m: *\r\n", "* " },
	{ "m: *, <sip:a@h>\r\n", "bad sip:a@h:-:1000 " },
	{ "m: <sip:a@h>\r\nm: *\r\n", "sip:a@h:-:1000 bad " },
	{ "m: *;expires=0\r\n", "bad " },
};

static void test_contacts(void **state)
{
	for (size_t i = 0; i < sizeof(contacts) / sizeof(contacts[0]); i++) {
		struct sip_items items =
			sip_items_of(message_of(contacts[i].headers), SIP_HDR_CONTACT);
		struct sip_contact c;
		char got[256] = "", expires[16], *at = got;
		enum sip_item item;

		while ((item = sip_contact_next(&items, &c)) != SIP_ITEM_END) {
			sprintf(expires, c.has_expires ? "%u" : "-", c.expires);
			if (item == SIP_ITEM_BAD)
				at += sprintf(at, "bad ");
			else if (c.star)
				at += sprintf(at, "* ");
			else
				at += sprintf(at, "%.*s:%s:%u ", SLICE_ARG(c.address.uri), expires, c.q);
		}
		CHECK(!strcmp(got, contacts[i].want), "%s: got %s\n", contacts[i].headers, got);
	}
}

static void test_lists(void **state)
{
	const struct sip_message *m = message_of("Supported: timer,  Replaces ,,\r\nk: norefersub\r\n"
						 "Route: <sip:a;x=\"\",b>, \"q\\\",\" <sip:c>\r\n");
	struct sip_items items = sip_items_of(m, SIP_HDR_ROUTE);
	struct sip_address a;
	struct slice element;

	assert_true(sip_items_have(m, SIP_HDR_SUPPORTED, "timer"));
	assert_true(sip_items_have(m, SIP_HDR_SUPPORTED, "replaces"));
	assert_true(sip_items_have(m, SIP_HDR_SUPPORTED, "norefersub"));
	assert_false(sip_items_have(m, SIP_HDR_SUPPORTED, "time"));
	assert_false(sip_items_have(m, SIP_HDR_REQUIRE, "timer"));
	assert_true(sip_items_next(&items, &element));
	assert_true(slice_eq(element, SLICE("<sip:a;x=\"\",b>")));
	assert_int_equal(sip_address_next(&items, &a), SIP_ITEM_OK);
	assert_true(slice_eq(a.uri, SLICE("sip:c")));
	assert_int_equal(sip_address_next(&items, &a), SIP_ITEM_END);
}

static void test_params(void **state)
{
	struct slice params = SLICE(" ; a = 1;B ;\r\n c=\"x;y\\\"\" "), value;
	struct sip_param p;

	assert_true(sip_param_find(params, "A", &value) && slice_eq(value, SLICE("1")));
	assert_true(sip_param_find(params, "b", &value) && value.n == 0);
	assert_true(sip_param_find(params, "c", &value));
	assert_true(slice_eq(sip_unquote(value), SLICE("x;y\\\"")));
	assert_false(sip_param_find(params, "y", NULL));
	while (sip_param_next(&params, &p))
		;
	assert_int_equal(params.n, 0);
	params = SLICE(";a=1 b");
	assert_false(sip_param_next(&params, &p));
	assert_true(params.n > 0);
}

/* ---- single values ---- */

static void test_cseq(void **state)
{
	static const struct {
		const char *value;
		bool good;
		uint32_t number;
	} rows[] = {
		{ "1 INVITE", true, 1 },
		{ "0009\r\n  INVITE", true, 9 },
		{ "2147483647 INVITE", true, 2147483647 },
		{ "2147483648 INVITE", false, 0 },
		{ "4294967297 INVITE", false, 0 },
		{ "-1 INVITE", false, 0 },
		{ "1INVITE", false, 0 },
		{ "1", false, 0 },
		{ "1 INVITE x", false, 0 },
		{ " INVITE", false, 0 },
		{ "", false, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t number = 0;
		struct slice method = SLICE("INVITE");
		CHECK(sip_cseq_decode(slice_str(rows[i].value), &number, &method) == rows[i].good,
		      "%s\n", rows[i].value);
		assert_int_equal(number, rows[i].number);
		assert_true(slice_eq(method, SLICE("INVITE")));
	}
}

static void test_numbers(void **state)
{
	uint64_t number = 0;
	uint32_t seconds = 0;
	struct sip_session_expires se;

	assert_true(sip_number_decode(SLICE("120 (busy);duration=3"), 1000, &number));
	assert_int_equal(number, 120);
	assert_true(sip_number_decode(SLICE("90;x=1"), 90, &number));
	assert_false(sip_number_decode(SLICE("91"), 90, &number));
	assert_false(sip_number_decode(SLICE("18446744073709551617"), UINT64_MAX, &number));
	assert_false(sip_number_decode(SLICE("9x"), 90, &number));
	assert_false(sip_number_decode(SLICE(""), 90, &number));
	assert_true(sip_seconds_of(message_of("Expires: 10\r\n"), SIP_HDR_EXPIRES, &seconds));
	assert_int_equal(seconds, 10);
	assert_true(sip_seconds_of(message_of("Expires: 4294967297\r\n"), SIP_HDR_EXPIRES, &seconds));
	assert_int_equal(seconds, UINT32_MAX);
	assert_false(sip_seconds_of(message_of("Expires: -1\r\n"), SIP_HDR_EXPIRES, &seconds));
	assert_false(sip_seconds_of(message_of(""), SIP_HDR_EXPIRES, &seconds));

	assert_int_equal(sip_max_forwards(message_of("")), -1);
	assert_int_equal(sip_max_forwards(message_of("Max-Forwards: 0\r\n")), 0);
	assert_int_equal(sip_max_forwards(message_of("Max-Forwards: 255\r\n")), 255);
	assert_int_equal(sip_max_forwards(message_of("Max-Forwards: 256\r\n")), -2);
	assert_int_equal(sip_max_forwards(message_of("Max-Forwards: x\r\n")), -2);

	assert_true(sip_session_expires_decode(SLICE("1800;refresher=UAS"), &se));
	assert_int_equal(se.seconds, 1800);
	assert_int_equal(se.refresher, SIP_REFRESHER_UAS);
	assert_true(sip_session_expires_decode(SLICE("90 ;refresher = uac"), &se));
	assert_int_equal(se.refresher, SIP_REFRESHER_UAC);
	assert_true(sip_session_expires_decode(SLICE("90"), &se));
	assert_int_equal(se.refresher, SIP_REFRESHER_NONE);
	assert_false(sip_session_expires_decode(SLICE("x"), &se));
	assert_false(sip_session_expires_decode(SLICE("90 x"), &se));
}

static void test_content_type(void **state)
{
	struct sip_content_type type;
	struct slice boundary;

	assert_true(sip_content_type_is(SLICE("Message/CPIM"), "message/cpim"));
	assert_true(sip_content_type_is(SLICE("text / plain ;\r\n charset=UTF-8"), "text/plain"));
	assert_false(sip_content_type_is(SLICE("text/plain2"), "text/plain"));
	assert_false(sip_content_type_is(SLICE("text"), "text/plain"));
	assert_false(sip_content_type_is(SLICE("text/plain x"), "text/plain"));
	assert_false(sip_content_type_is(SLICE_EMPTY, "text/plain"));
	assert_true(sip_content_type_decode(SLICE("multipart/mixed;boundary=\"a b\""), &type));
	assert_true(sip_param_find(type.params, "boundary", &boundary));
	assert_true(slice_eq(sip_unquote(boundary), SLICE("a b")));
}

static void test_feature_tag(void **state)
{
	static const struct {
		const char *headers;
		bool has;
	} rows[] = {
		{ "Accept-Contact: *;+g.oma.sip-im;explicit\r\n", true },
		{ "a: * ; +G.OMA.SIP-IM\r\n", true },
		{ "a: *;+g.oma.sip-im=\"TRUE\";require;explicit\r\n", true },
		{ "a: *;+g.oma.sip-im.\r\n", true },
		{ "a: *;+g.oma.sip-im .;explicit\r\n", true },
		{ "a: *;methods=\"INVITE\", *;+g.oma.sip-im\r\n", true },
		{ "a: *;audio\r\na: *;+g.oma.sip-im\r\n", true },
		{ "a: *;+g.oma.sip-im=\"FALSE\"\r\n", false },
		{ "a: *;+g.oma.sip-im2\r\n", false },
		{ "a: *;x=\";+g.oma.sip-im\"\r\n", false },
		{ "a: *\r\n", false },
		{ "", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(sip_accept_contact_has(message_of(rows[i].headers), "+g.oma.sip-im") ==
			      rows[i].has,
		      "%s\n", rows[i].headers);
	assert_true(sip_params_have_feature(SLICE(";expires=1;+g.oma.sip-im"), "+g.oma.sip-im"));
}

static void test_privacy(void **state)
{
	assert_true(sip_privacy_has(message_of("Privacy: user; ID ;critical\r\n"), "id"));
	assert_true(sip_privacy_has(message_of("Privacy: none\r\n"), "none"));
	assert_false(sip_privacy_has(message_of("Privacy: identity\r\n"), "id"));
	assert_false(sip_privacy_has(message_of(""), "id"));
}

/* ---- mandatory headers ---- */

#define VIA     "Via: SIP/2.0/TCP h;branch=z9hG4bKx\r\n"
#define FROM    "From: <sip:a@h>;tag=1\r\n"
#define TO      "To: <sip:b@h>\r\n"
#define CALL_ID "Call-ID: c\r\n"
#define CSEQ    "CSeq: 7 MESSAGE\r\n"
#define ALL     VIA FROM TO CALL_ID CSEQ

static void test_request_check(void **state)
{
	static const struct {
		const char *headers, *want;
	} rows[] = {
		{ ALL, "fine" },
		{ ALL "Max-Forwards: 70\r\nContact: <sip:a@h>, sip:b@h\r\n", "fine" },
		{ FROM TO CALL_ID CSEQ, "Missing Via" },
		{ VIA TO CALL_ID CSEQ, "Missing From" },
		{ VIA FROM CALL_ID CSEQ, "Missing To" },
		{ VIA FROM TO CSEQ, "Missing Call-ID" },
		{ VIA FROM TO CALL_ID, "Missing CSeq" },
		{ ALL "f: <sip:a@h>\r\n", "Two From Headers" },
		{ ALL "t: <sip:a@h>\r\n", "Two To Headers" },
		{ ALL "i: c\r\n", "Two Call-ID Headers" },
		{ ALL CSEQ, "Two CSeq Headers" },
		{ ALL "Via: nonsense\r\n", "Bad Via" },
		{ ALL "Via: SIP/2.0/TCP h,,\r\n", "Bad Via" },
		{ VIA "From: a\r\n" TO CALL_ID CSEQ, "Bad From" },
		{ VIA FROM "To:\r\n" CALL_ID CSEQ, "Bad To" },
		{ VIA FROM TO "Call-ID:\r\n" CSEQ, "Bad Call-ID" },
		{ VIA FROM TO "Call-ID: a b\r\n" CSEQ, "Bad Call-ID" },
		{ VIA FROM TO CALL_ID "CSeq: x MESSAGE\r\n", "Bad CSeq" },
		{ VIA FROM TO CALL_ID "CSeq: 1 message\r\n", "CSeq Method Mismatch" },
		{ ALL "Max-Forwards: 256\r\n", "Bad Max-Forwards" },
		{ ALL "Contact: <sip:a@h>;;\r\n", "Bad Contact" },
		{ VIA FROM TO "Call-ID: a\x01\r\n" CSEQ, "Bad Call-ID" },
		{ VIA FROM TO CALL_ID "CSeq: 2147483647 MESSAGE\r\n", "fine" },
		{ VIA FROM TO CALL_ID "CSeq: 2147483648 MESSAGE\r\n", "Bad CSeq" },
		{ ALL "Session-Expires: x\r\n", "fine" }, /* of an INVITE or UPDATE it would count */
		{ ALL "Session-Expires: 90\r\nx: 90\r\n", "Two Session-Expires Headers" },
		{ ALL "Min-SE: 90\r\nMin-SE: 90\r\n", "Two Min-SE Headers" },
		{ ALL "Date: x\r\nDate: x\r\n", "Two Date Headers" },
		{ ALL "Content-Disposition: x\r\nContent-Disposition: x\r\n", "Two Content-Disposition Headers" },
		{ ALL "RAck: 1 1 X\r\nRAck: 1 1 X\r\n", "Two RAck Headers" },
		{ ALL "Replaces: x\r\nReplaces: y\r\n", "Two Replaces Headers" },
		{ ALL "Refer-To: <sip:a@h>\r\nr: <sip:a@h>\r\n", "Two Refer-To Headers" },
		{ ALL "Require: a,b, c\r\nRequire: d\r\n", "fine" },
		{ ALL "Require: a\r\nRequire: \"d\"\r\n", "Bad Require" },
		{ ALL "Proxy-Require: a b\r\n", "Bad Require" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = sip_request_check(message_of(rows[i].headers));
		CHECK(!strcmp(got ? got : "fine", rows[i].want), "%s: got %s\n", rows[i].headers, got);
	}
}

static void test_readable_session_timer(void **state)
{
	static const struct {
		const char *headers, *want;
	} rows[] = {
		{ "Session-Expires: 1800;refresher=uas\r\nMin-SE: 90;x=y\r\n", "fine" },
		{ "x: 99999999999999999999\r\n", "fine" }, /* only a very long time */
		{ "x: -1\r\n", "Bad Session-Expires" },
		{ "x: 90;;\r\n", "Bad Session-Expires" },
		{ "x:\r\n", "Bad Session-Expires" },
		{ "Min-SE: x\r\n", "Bad Session-Expires" },
		{ "Min-SE: 90 s\r\n", "Bad Session-Expires" },
	};
	char wire[1024];
	struct sip_message m;
	size_t used;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(wire, sizeof(wire), "UPDATE sip:b@h SIP/2.0\r\n" VIA FROM TO CALL_ID "CSeq: 1 UPDATE\r\n%s\r\n",
			rows[i].headers);
		assert_int_equal(sip_message_parse(&m, slice_str(wire), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
		const char *got = sip_request_check(&m);
		CHECK(!strcmp(got ? got : "fine", rows[i].want), "%s: got %s\n", rows[i].headers, got);
	}
}

/* A header that is not there has no value to point at. */
static void test_absent_values(void **state)
{
	struct sip_via via;
	struct sip_address address;
	struct sip_content_type type;
	struct sip_session_expires expires;
	struct slice method;
	uint64_t number;
	uint32_t sequence;

	assert_false(sip_via_decode(SLICE_EMPTY, &via, NULL));
	assert_false(sip_address_decode(SLICE_EMPTY, &address));
	assert_false(sip_content_type_decode(SLICE_EMPTY, &type));
	assert_false(sip_session_expires_decode(SLICE_EMPTY, &expires));
	assert_false(sip_cseq_decode(SLICE_EMPTY, &sequence, &method));
	assert_false(sip_number_decode(SLICE_EMPTY, 1, &number));
	assert_false(sip_param_find(SLICE_EMPTY, "x", NULL));
}

/* No value cut short is read past its end. */
static void test_cut_values(void **state)
{
	static const char *const values[] = {
		"SIP / 2.0 / UDP [::1] : 5060 ; rport = 1 ; branch = \"a\\\"b\" , SIP/2.0/UDP h",
		"\"A\\\\ \\\"\" <sip:a@h;x=y?z=1> ; z = \"t\" ; tag = t ; q = 0.5 ; expires = 9",
		"multipart / mixed ; boundary = \"a\\\"b\"",
		"1800 ; refresher = uac",
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		for (size_t n = 0; n <= strlen(values[i]); n++) {
			struct sip_via via;
			struct sip_address address;
			struct sip_content_type type;
			struct sip_session_expires expires;
			struct slice method, rest;
			uint64_t number;
			uint32_t sequence;
			char *copy = exact_copy(values[i], n);
			struct slice s = slice_of(copy, n);

			bool whole = n == strlen(values[i]);
			bool via_good = sip_via_decode(s, &via, &rest);
			bool address_good = sip_address_decode(s, &address);
			bool type_good = sip_content_type_decode(s, &type);
			bool expires_good = sip_session_expires_decode(s, &expires);
			assert_false(sip_cseq_decode(s, &sequence, &method));
			assert_true(!sip_number_decode(s, UINT64_MAX, &number) || i == 3);
			assert_false(sip_params_have_feature(s, "x"));
			if (whole) {
				assert_true(via_good == (i == 0) && address_good == (i == 1));
				assert_true(type_good == (i == 2) && expires_good == (i == 3));
			}
			free(copy);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_via),          cmocka_unit_test(test_address),
		cmocka_unit_test(test_contacts),     cmocka_unit_test(test_lists),
		cmocka_unit_test(test_params),       cmocka_unit_test(test_cseq),
		cmocka_unit_test(test_numbers),      cmocka_unit_test(test_content_type),
		cmocka_unit_test(test_feature_tag),  cmocka_unit_test(test_privacy),
		cmocka_unit_test(test_request_check), cmocka_unit_test(test_cut_values),
		cmocka_unit_test(test_absent_values), cmocka_unit_test(test_readable_session_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
