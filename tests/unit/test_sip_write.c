#include "tests/unit/test.h"

#include "sip/header.h"
#include "sip/write.h"

static const struct sip_limits limits = { 8192, 8192, 0 };

static enum sip_verdict parse(struct sip_message *m, struct slice wire)
{
	size_t used;

	return sip_message_parse(m, wire, &limits, SIP_STREAM, &used);
}

#define EXPECT(b, text)                                                                            \
	CHECK(slice_eq(buffer_slice(b), slice_str(text)), "got:\n%.*s\nwanted:\n%s\n",             \
	      SLICE_ARG(buffer_slice(b)), text)

static void test_reasons(void **state)
{
	assert_string_equal(sip_reason(200), "OK");
	assert_string_equal(sip_reason(481), "Call/Transaction Does Not Exist");
	assert_string_equal(sip_reason(499), "Client Failure");
	assert_string_equal(sip_reason(699), "Global Failure");
	assert_string_equal(sip_reason(700), "Unknown");
	assert_string_equal(sip_reason(0), "Unknown");
	for (unsigned status = 100; status < 700; status++)
		assert_true(strlen(sip_reason(status)) > 0);
}

/* parse(write(x)) == x */
static void test_round_trip(void **state)
{
	static struct sip_message m;
	char memory[1024];
	struct buffer b = buffer_over(memory, sizeof(memory));

	sip_write_request_line(&b, SLICE("MESSAGE"), SLICE("sip:bob@h;x=y"));
	sip_write_header(&b, "Via", SLICE("SIP/2.0/UDP h;branch=z9hG4bKx"));
	sip_write_header_u64(&b, "Max-Forwards", 70);
	sip_write_end(&b, SLICE("text/plain"), SLICE("hi\r\n"));
	EXPECT(&b, "MESSAGE sip:bob@h;x=y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
		   "Max-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nhi\r\n");
	assert_int_equal(parse(&m, buffer_slice(&b)), SIP_PARSE_OK);
	assert_int_equal(m.method, SIP_MESSAGE);
	assert_true(slice_eq(m.uri, SLICE("sip:bob@h;x=y")));
	assert_int_equal(sip_max_forwards(&m), 70);
	assert_true(slice_eq(m.body, SLICE("hi\r\n")));

	b = buffer_over(memory, sizeof(memory));
	sip_write_status_line(&b, 404, SLICE_EMPTY);
	sip_write_end(&b, SLICE_EMPTY, SLICE_EMPTY);
	EXPECT(&b, "SIP/2.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(parse(&m, buffer_slice(&b)), SIP_PARSE_OK);
	assert_int_equal(m.status, 404);
}

/* Nothing that a value holds starts a line. */
static void test_injection(void **state)
{
	static const struct slice evil[] = {
		{ "a\r\nEvil: 1", 10 }, { "a\r\n\r\nEvil: 1", 12 }, { "a\nEvil: 1", 9 },
		{ "a\rEvil: 1", 9 },	{ "a\0Evil: 1", 9 },	    { "\r\nEvil: 1", 9 },
		{ "a\r\n \r\nEvil: 1\r\n", 15 },
	};

	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		static struct sip_message m;
		char memory[1024], name[32];
		struct buffer b = buffer_over(memory, sizeof(memory));

		snprintf(name, sizeof(name), "%.*s", SLICE_ARG(evil[i]));
		sip_write_request_line(&b, SLICE("MESSAGE"), SLICE("sip:bob@h"));
		sip_write_header(&b, "Via", SLICE("SIP/2.0/UDP h"));
		sip_write_header(&b, "Subject", evil[i]);
		sip_write_end(&b, evil[i], SLICE_EMPTY);
		assert_int_equal(parse(&m, buffer_slice(&b)), SIP_PARSE_OK);
		CHECK(m.header_count == 4, "value %zu: %u headers\n", i, m.header_count);

		b = buffer_over(memory, sizeof(memory));
		sip_write_request_line(&b, evil[i], evil[i]);
		sip_write_status_line(&b, 400, evil[i]);
		sip_write_header(&b, name, SLICE("x"));
		sip_write_header_u64(&b, name, 1);
		size_t lines = 0, zeroes = 0, returns = 0;
		for (size_t at = 0; at < b.n; at++) {
			lines += memory[at] == '\n';
			returns += memory[at] == '\r';
			zeroes += memory[at] == 0;
		}
		CHECK(lines == 4 && returns == 4 && !zeroes, "value %zu: %zu lines\n", i, lines);
	}
}

static void test_copies_are_unfolded(void **state)
{
	static struct sip_message m;
	char memory[1024];
	struct buffer b = buffer_over(memory, sizeof(memory));
	const char wire[] = "OPTIONS sip:h SIP/2.0\r\nv: a\r\n , b\r\nX-Own :  c\r\n\t\r\n  d\r\n"
			    "s: e\r\nVIA: f\r\nl: 0\r\n\r\n";

	assert_int_equal(parse(&m, slice_str(wire)), SIP_PARSE_OK);
	sip_copy_headers(&b, &m, SIP_HDR_VIA);
	sip_copy_header(&b, &m.headers[1]);
	sip_copy_headers(&b, &m, SIP_HDR_SUBJECT);
	sip_copy_headers(&b, &m, SIP_HDR_ROUTE);
	EXPECT(&b, "Via: a , b\r\nVia: f\r\nX-Own: c d\r\nSubject: e\r\n");
}

#define FROM "From: A <sip:a@h>;tag=1\r\n"
#define REST "Call-ID: c1\r\nCSeq: 7 MESSAGE\r\n"

static const struct {
	const char *what, *headers;
	struct sip_response response;
	const char *want;
} responses[] = {
	{ "tag, rport and received",
	  "Via: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKx;a=\"b;c\"\r\n" FROM "To: sip:b@h\r\n" REST,
	  { 200, { 0 }, { "t2", 2 }, { { "10.0.0.1", 8 }, 9 } },
	  "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport=9;branch=z9hG4bKx;a=\"b;c\""
	  ";received=10.0.0.1\r\n" FROM "To: sip:b@h;tag=t2\r\n" REST },
	{ "sent-by is the source: as it was",
	  "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx\r\n" FROM "To: <sip:b@h>;tag=t1\r\n" REST,
	  { 200, { "Fine", 4 }, { "t2", 2 }, { { "10.0.0.1", 8 }, 9 } },
	  "SIP/2.0 200 Fine\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx\r\n" FROM
	  "To: <sip:b@h>;tag=t1\r\n" REST },
	{ "what the peer wrote into received and rport goes, other Vias stay",
	  "Via: SIP/2.0/UDP h;received=6.6.6.6;branch=x;rport=6 , SIP/2.0/UDP i;received=5.5.5.5\r\n"
	  "v: SIP/2.0/TCP k\r\n" FROM "To: <sip:b@h>\r\n" REST,
	  { 404, { 0 }, { 0 }, { { "10.0.0.1", 8 }, 65535 } },
	  "SIP/2.0 404 Not Found\r\nVia: SIP/2.0/UDP h;branch=x;rport=65535;received=10.0.0.1"
	  ", SIP/2.0/UDP i;received=5.5.5.5\r\nVia: SIP/2.0/TCP k\r\n" FROM "To: <sip:b@h>\r\n" REST },
	{ "IPv6",
	  "Via: SIP/2.0/UDP [2001:DB8::0:1]:5060;branch=x\r\n" FROM "To: <sip:b@h>\r\n" REST,
	  { 100, { 0 }, { 0 }, { { "2001:db8::1", 11 }, 9 } },
	  "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP [2001:DB8::0:1]:5060;branch=x\r\n" FROM
	  "To: <sip:b@h>\r\n" REST },
	{ "no source: as it was", "Via: SIP/2.0/UDP h;rport\r\n" FROM "To: <sip:b@h>\r\n" REST,
	  { 100, { 0 }, { 0 }, { { 0 }, 9 } },
	  "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP h;rport\r\n" FROM "To: <sip:b@h>\r\n" REST },
	{ "what is broken goes back as it came, what is missing stays missing",
	  "Via: nonsense\r\nTo: \"b <sip:b@h>\r\n",
	  { 400, { 0 }, { "t", 1 }, { { "10.0.0.1", 8 }, 9 } },
	  "SIP/2.0 400 Bad Request\r\nVia: nonsense\r\nTo: \"b <sip:b@h>\r\n" },
	{ "timestamp", "Via: SIP/2.0/UDP h\r\nTimestamp: 54\r\n",
	  { 100, { 0 }, { 0 }, { { "h", 1 }, 1 } },
	  "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP h\r\nTimestamp: 54\r\n" },
	{ "timestamp in a 100 only", "Via: SIP/2.0/UDP h\r\nTimestamp: 54\r\n",
	  { 200, { 0 }, { 0 }, { { "h", 1 }, 1 } },
	  "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\n" },
	{ "a tag with a line end",
	  "Via: SIP/2.0/UDP h\r\nTo: <sip:b@h>\r\n",
	  { 200, { 0 }, { "t\r\nX: 1", 7 }, { { "h", 1 }, 1 } },
	  "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:b@h>;tag=t X: 1\r\n" },
};

static void test_responses(void **state)
{
	for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
		static struct sip_message m;
		char wire[1024], memory[1024];
		size_t n = strlen(responses[i].want);
		struct buffer b = buffer_over(memory, sizeof(memory));

		snprintf(wire, sizeof(wire), "MESSAGE sip:b@h SIP/2.0\r\n%sl: 0\r\n\r\n",
			 responses[i].headers);
		assert_int_equal(parse(&m, slice_str(wire)), SIP_PARSE_OK);
		sip_write_response(&b, &m, &responses[i].response);
		CHECK(slice_eq(buffer_slice(&b), slice_str(responses[i].want)), "%s: got:\n%.*s\n",
		      responses[i].what, SLICE_ARG(buffer_slice(&b)));
		assert_false(b.overflow);
		/* room for all but one octet: said, and nothing written behind it */
		char *tight = malloc(n - 1);
		b = buffer_over(tight, n - 1);
		sip_write_response(&b, &m, &responses[i].response);
		assert_true(b.overflow);
		free(tight);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),	  cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_injection), cmocka_unit_test(test_copies_are_unfolded),
		cmocka_unit_test(test_responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
