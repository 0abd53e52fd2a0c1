#include "tests/unit/test.h"

#include "actors/session_body.h"

#define SDP	"v=0\r\n"
#define PART(headers, content) "--b\r\n" headers "\r\n\r\n" content "\r\n"
#define SDP_PART  PART("Content-Type: application/sdp", SDP)
#define TEXT_PART PART("Content-Type: text/plain", "hello")
#define MAYBE_PART PART("Content-Type: text/x\r\nContent-Disposition: render; handling=optional", "hello")
#define END "--b--\r\n"
#define MIXED "Content-Type: multipart/mixed;boundary=b\r\n"

static const struct {
	const char *what, *headers, *body;
	enum session_body_verdict want;
	bool is_alone;
} cases[] = {
	{ "sdp alone", "Content-Type: application/sdp\r\n", SDP, BODY_HAS_SDP, true },
	{ "compact, parameters, case", "c: Application/SDP;x=y\r\n", SDP, BODY_HAS_SDP, true },
	{ "no body", "", "", BODY_WITHOUT_SDP, false },
	{ "text", "Content-Type: text/plain\r\n", "x", BODY_UNSUPPORTED, false },
	{ "no type", "", "x", BODY_UNSUPPORTED, false },
	{ "text that may be ignored", "Content-Type: text/plain\r\nContent-Disposition: x;handling=optional\r\n", "x",
	  BODY_WITHOUT_SDP, false },
	{ "text that is required", "Content-Type: text/plain\r\nContent-Disposition: x;handling=required\r\n", "x",
	  BODY_UNSUPPORTED, false },
	{ "disposition session", "Content-Type: application/sdp\r\nContent-Disposition: session\r\n", SDP, BODY_HAS_SDP,
	  true },
	{ "early session", "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n", SDP,
	  BODY_UNSUPPORTED, false },
	{ "zipped", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", SDP, BODY_ENCODED, false },
	{ "identity", "Content-Type: application/sdp\r\nContent-Encoding: identity\r\n", SDP, BODY_HAS_SDP, true },
	{ "one part", MIXED, SDP_PART END, BODY_HAS_SDP, true },
	{ "sdp first", MIXED, SDP_PART TEXT_PART END, BODY_HAS_SDP, false },
	{ "sdp last", MIXED, TEXT_PART MAYBE_PART SDP_PART END, BODY_HAS_SDP, false },
	{ "another multipart", "Content-Type: multipart/related;boundary=b\r\n", TEXT_PART SDP_PART END, BODY_HAS_SDP,
	  false },
	{ "no sdp", MIXED, TEXT_PART END, BODY_UNSUPPORTED, false },
	{ "no sdp, may be ignored", MIXED, MAYBE_PART END, BODY_WITHOUT_SDP, false },
	{ "no end", MIXED, TEXT_PART, BODY_MALFORMED, false },
	{ "no boundary", "Content-Type: multipart/mixed\r\n", SDP_PART END, BODY_MALFORMED, false },
	{ "base64", MIXED, PART("Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64", "dj0wDQo=") END,
	  BODY_ENCODED, false },
	{ "binary", MIXED, PART("Content-Type: application/sdp\r\nContent-Transfer-Encoding: binary", SDP) END,
	  BODY_HAS_SDP, true },
	{ "nested", MIXED,
	  PART("Content-Type: multipart/alternative;boundary=c",
		  "--c\r\nContent-Type: text/plain\r\n\r\nx\r\n--c\r\nContent-Type: application/sdp\r\n\r\n" SDP
		  "\r\n--c--\r\n") END,
	  BODY_HAS_SDP, false },
};

static void parse(struct sip_message *m, char *text, const char *headers, const char *body)
{
	struct sip_limits limits = { 65536, 65536, 0 };
	size_t used;

	struct buffer out = buffer_over(text, 8191);

	buffer_lit(&out, "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n");
	buffer_str(&out, headers);
	buffer_lit(&out, "Content-Length: ");
	buffer_u64(&out, strlen(body));
	buffer_lit(&out, "\r\n\r\n");
	buffer_str(&out, body);
	text[out.n] = 0;
	assert_int_equal(sip_message_parse(m, slice_str(text), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
}

static void test_read(void **state)
{
	static struct sip_message m;
	struct session_body body;
	char text[8192];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(&m, text, cases[i].headers, cases[i].body);
		enum session_body_verdict got = session_body_read(&m, &body);
		CHECK(got == cases[i].want, "%s: verdict %d\n", cases[i].what, got);
		if (got != BODY_HAS_SDP)
			continue;
		CHECK(slice_eq(body.sdp, SLICE(SDP)), "%s: read \"%.*s\"\n", cases[i].what, SLICE_ARG(body.sdp));
		CHECK(body.is_alone == cases[i].is_alone, "%s: alone %d\n", cases[i].what, body.is_alone);
	}
}

static void test_depth(void **state)
{
	static struct sip_message m;
	struct session_body body;
	char text[16384], nested[4096], next[8192];

	strcpy(nested, SDP);
	char type[64] = "application/sdp";
	for (unsigned depth = 1; depth <= SESSION_BODY_DEPTH + 1; depth++) {
		char headers[128];
		snprintf(next, sizeof(next), "--d%u\r\nContent-Type: %s\r\n\r\n%s\r\n--d%u--\r\n", depth, type, nested, depth);
		assert_true(strlen(next) < sizeof(nested));
		strcpy(nested, next);
		sprintf(type, "multipart/mixed;boundary=d%u", depth);
		sprintf(headers, "Content-Type: %s\r\n", type);
		parse(&m, text, headers, nested);
		assert_int_equal(session_body_read(&m, &body),
			depth <= SESSION_BODY_DEPTH ? BODY_HAS_SDP : BODY_UNSUPPORTED);
	}
}

static void test_replace(void **state)
{
	static struct sip_message m;
	struct session_body_sent sent;
	char text[8192], memory[1024];
	struct buffer out = buffer_over(memory, sizeof(memory));

	parse(&m, text, MIXED,
		TEXT_PART PART("Content-ID: <1>\r\nContent-Length: 5\r\n ;folded\r\nContent-Type: application/sdp", SDP) MAYBE_PART
		END "epilogue");
	assert_true(session_body_replace(&out, &m, SLICE("v=new\r\n"), false, &sent));
	assert_true(slice_eq(sent.content_type, SLICE("multipart/mixed;boundary=b")));
	CHECK(slice_eq(sent.body,
		      SLICE(TEXT_PART PART("Content-ID: <1>\r\nContent-Type: application/sdp", "v=new\r\n") MAYBE_PART END
			      "epilogue")),
		"got \"%.*s\"\n", SLICE_ARG(sent.body));
	/* asked to be alone */
	assert_true(session_body_replace(&out, &m, SLICE("v=new\r\n"), true, &sent));
	assert_true(slice_eq(sent.content_type, SLICE("application/sdp")) && slice_eq(sent.body, SLICE("v=new\r\n")));
	/* alone as it came, though in a multipart: ordinary clients take that too */
	parse(&m, text, MIXED, SDP_PART END);
	assert_true(session_body_replace(&out, &m, SLICE("v=new\r\n"), false, &sent));
	assert_true(slice_eq(sent.content_type, SLICE("application/sdp")));
	/* no room */
	parse(&m, text, MIXED, TEXT_PART SDP_PART END);
	out = buffer_over(memory, 20);
	assert_false(session_body_replace(&out, &m, SLICE("v=new\r\n"), false, &sent));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_replace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
