#include "tests/unit/test.h"

#include "actors/header_rules.h"

/* Where a field passes: r request, a answer, f failure; capitals: also when the sender hides.  `ims`: only
 * there, which is tested with and without. */
static const struct {
	const char *line, *passes;
	bool only_ims;
} fields[] = {
	{ "Subject: x", "r", false },
	{ "s: x", "r", false },
	{ "Date: x", "RA", false },
	{ "Priority: urgent", "R", false },
	{ "Expires: 5", "R", false },
	{ "In-Reply-To: x", "r", false },
	{ "Referred-By: <sip:c@h>", "r", false },
	{ "Reply-To: <sip:c@h>", "ra", false },
	{ "Organization: x", "ra", false },
	{ "Call-Info: <http://h/>", "ra", false },
	{ "Alert-Info: <http://h/>", "ra", false },
	{ "History-Info: <sip:c@h>;index=1", "ra", false },
	{ "Accept-Language: de", "RF", false },
	{ "Accept: text/plain", "RF", false },
	{ "Reject-Contact: *;video", "R", false },
	{ "Request-Disposition: no-fork", "R", false },
	{ "Content-Disposition: session", "RA", false },
	{ "MIME-Version: 1.0", "RA", false },
	{ "Warning: 399 h \"x\"", "af", false },
	{ "Reason: Q.850;cause=16", "F", false },
	{ "Retry-After: 5", "F", false },
	{ "Error-Info: <http://h/>", "f", false },
	{ "Unsupported: x", "F", false },
	{ "Info-Package: x", "R", false },
	{ "Recv-Info: x", "RA", false },
	{ "X-Own: x", "raf", false },
	{ "P-Own: x", "raf", false },
	{ "Geolocation: <http://h/>", "raf", false },
	{ "P-Charging-Vector: icid-value=1", "RA", true },
	{ "P-Charging-Function-Addresses: ccf=h", "RA", true },
	{ "P-Access-Network-Info: x", "ra", true },
	{ "p-visited-network-id: x", "r", true },
	{ "P-Asserted-Service: x", "R", true },
	/* ours, or nobody's */
	{ "Via: SIP/2.0/UDP h", "", false },
	{ "Contact: <sip:h>", "", false },
	{ "User-Agent: x", "", false },
	{ "Server: x", "", false },
	{ "Allow: BYE", "", false },
	{ "Supported: x", "", false },
	{ "Require: x", "", false },
	{ "Session-Expires: 90", "", false },
	{ "Accept-Encoding: gzip", "F", false },
	{ "P-Asserted-Identity: <sip:c@h>", "", false },
	{ "P-Preferred-Identity: <sip:c@h>", "", false },
	{ "Privacy: id", "", false },
	{ "P-Served-User: <sip:c@h>", "", false },
	{ "Authorization: Digest x", "", false },
	{ "Proxy-Authorization: Digest x", "", false },
	{ "Proxy-Authenticate: Digest x", "", false },
	{ "Security-Verify: x", "", false },
	{ "Identity: \"x\"", "", false },
	{ "Replaces: x", "", false },
	{ "Join: x", "", false },
	{ "Path: <sip:h>", "", false },
};

static void test_fields(void **state)
{
	static const enum header_place places[] = { HEADER_IN_REQUEST, HEADER_IN_ANSWER, HEADER_IN_FAILURE };
	static const char letters[] = "raf";

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *colon = strchr(fields[i].line, ':');
		struct slice name = slice_of(fields[i].line, (size_t)(colon - fields[i].line));
		struct sip_header header = { name, slice_str(colon + 2), sip_header_id_of(name), 0 };
		for (unsigned k = 0; k < 12; k++) {
			struct header_passage passage = { places[k % 3], k >= 6, k / 3 % 2 == 1, false };
			char small = letters[k % 3], capital = (char)(small - 'a' + 'A');
			bool want = strchr(fields[i].passes, capital) ||
				    (strchr(fields[i].passes, small) && !passage.sender_hides);
			if (fields[i].only_ims && !passage.is_ims)
				want = false;
			CHECK(header_rules_pass(&header, &passage) == want, "%s at %c, ims %d, hides %d: not %d\n",
				fields[i].line, small, passage.is_ims, passage.sender_hides, want);
		}
	}
}

static void test_copy(void **state)
{
	static struct sip_message m;
	struct sip_limits limits = { 4096, 4096, 0 };
	char memory[512];
	struct buffer out = buffer_over(memory, sizeof(memory));
	size_t used;

	assert_int_equal(sip_message_parse(&m, SLICE("INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX-One: 1\r\ns: a\r\n b\r\n"
		"P-Charging-Vector: x\r\nX-one: 2\r\n\r\n"), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
	header_rules_copy(&out, &m, &(struct header_passage){ 0 });
	CHECK(slice_eq(buffer_slice(&out), SLICE("X-One: 1\r\nSubject: a b\r\nX-one: 2\r\n")), "got \"%.*s\"\n",
		SLICE_ARG(buffer_slice(&out)));
	out = buffer_over(memory, sizeof(memory));
	header_rules_copy(&out, &m, &(struct header_passage){ .is_ims = true, .sender_hides = true });
	assert_true(slice_eq(buffer_slice(&out), SLICE("P-Charging-Vector: x\r\n")));
	assert_int_equal(sip_message_parse(&m, SLICE("SIP/2.0 486 Busy\r\nVia: SIP/2.0/UDP h\r\nRetry-After: 5\r\n"
		"Subject: a\r\n\r\n"), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
	out = buffer_over(memory, sizeof(memory));
	header_rules_copy(&out, &m, &(struct header_passage){ 0 });
	assert_true(slice_eq(buffer_slice(&out), SLICE("Retry-After: 5\r\n")));
}

/* What describes the body goes where the body goes. */
static void test_body(void **state)
{
	static const char *const names[] = { "Content-Disposition", "Content-Encoding", "Content-Language", "MIME-Version",
		"Content-ID" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct slice name = slice_str(names[i]);
		struct sip_header header = { name, SLICE("x"), sip_header_id_of(name), 0 };
		struct header_passage passage = { .place = HEADER_IN_REQUEST };
		assert_true(header_rules_pass(&header, &passage));
		passage.without_body = true;
		assert_false(header_rules_pass(&header, &passage));
	}
}

/* Whoever adds a name to sip/message.h decides here too. */
static void test_every_known_field_has_a_row(void **state)
{
	static const char *const rows[] = {
#define HEADER(id, where, of_whom) [SIP_HDR_##id] = #id,
#define NAMED_HEADER(name, where, of_whom)
#include "actors/header_rules.def"
	};

	for (unsigned id = SIP_HDR_OTHER + 1; id < SIP_HDR_COUNT; id++)
		CHECK(id < sizeof(rows) / sizeof(rows[0]) && rows[id], "%s has no row\n",
			sip_header_name((enum sip_header_id)id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_every_known_field_has_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
