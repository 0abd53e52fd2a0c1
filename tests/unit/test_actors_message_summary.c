/* actors/message_summary.c: the body of a NOTIFY, word by word. */
#include "actors/message_summary.h"

#include "tests/unit/test.h"

static struct config config;
static struct im im = { .config = &config };

static struct store_deferred_row row(const char *id, const char *summary)
{
	return (struct store_deferred_row){ .id = slice_str(id), .summary = slice_str(summary) };
}

static void check_body(struct store_deferred_summary *summary, const char *want)
{
	size_t room = message_summary_octets(&im, summary);
	char *text = malloc(room);
	struct buffer out = buffer_over(text, room);

	assert_non_null(text);
	message_summary_write(&out, &im, SLICE("charlie@example.com"), summary);
	CHECK(!out.overflow && slice_eq(buffer_slice(&out), slice_str(want)), "got:\n%.*s\n", SLICE_ARG(buffer_slice(&out)));
	free(text);
}

#define ALICE "To: <sip:charlie@example.com>\r\nFrom: \"A. \\\"x\\\" B\" <sip:alice@example.org>\r\nSubject: carpool tomorrow?\r\n" \
	      "Date: Mon, 10 Jul 2000 04:23:01 GMT\r\nPriority: normal\r\n"
/* as it came */
#define ALICE_RECEIVED "From: \"A. \\\"x\\\" B\" <sip:alice@example.org>;tag=1;x=y\r\nDate: Mon, 10 Jul 2000 04:23:01 GMT\r\n" \
	"P-Asserted-Identity: <sip:alice@example.org>\r\nPriority: normal\r\nTo: sip:charlie@example.com\r\n"          \
	"Subject: carpool tomorrow?\r\n"
#define JOE   "To: <sip:charlie@example.com>\r\nFrom: <sip:joe@example.com>\r\n"

static void bodies(void **state)
{
	static struct store_deferred_summary summary;

	config.domain.home = (char *)"example.com";
	config.domain.store_host = (char *)"mailserver.example.com";
	check_body(&summary, "Messages-Waiting: no\r\nMessage-Account: sip:charlie@mailserver.example.com\r\n");
	summary.counts = (struct store_deferred_counts){ .messages = 2, .text = 2, .text_urgent = 1 };
	summary.count = 2;
	summary.rows[0] = row("4f0q7kd2m9x1c8b5t3zr6hy0wa", ALICE_RECEIVED);
	summary.rows[1] = row("9s2nv6ejp0u4gl8d1yk7oa3qxm", JOE);
	check_body(&summary, "Messages-Waiting: yes\r\nMessage-Account: sip:charlie@mailserver.example.com\r\n"
		"Text-Message: 2/0 (1/0)\r\n"
		"\r\n" ALICE "Message-ID: sip:4f0q7kd2m9x1c8b5t3zr6hy0wa@mailserver.example.com\r\n"
		"P-Asserted-Identity: <sip:alice@example.org>\r\n"
		"\r\n" JOE "Message-ID: sip:9s2nv6ejp0u4gl8d1yk7oa3qxm@mailserver.example.com\r\n");
	REQ("IM-10.3.2.6-2", "IM-K-3");
	/* a subject is no header, whatever it says; counts are complete where rows are not */
	summary.counts = (struct store_deferred_counts){ .messages = 1000, .multimedia = 400, .multimedia_urgent = 7, .text = 600 };
	summary.count = 1;
	summary.rows[0] = row("x", "Subject: P-Asserted-Identity: me\r\np-asserted-identity: <sip:a@b>\r\n"
		"P-Asserted-Identity: tel:1\r\n");
	check_body(&summary, "Messages-Waiting: yes\r\nMessage-Account: sip:charlie@mailserver.example.com\r\n"
		"Text-Message: 600/0 (0/0)\r\nMultimedia-Message: 400/0 (7/0)\r\n"
		"\r\nSubject: P-Asserted-Identity: me\r\nMessage-ID: sip:x@mailserver.example.com\r\n"
		"P-Asserted-Identity: <sip:a@b>\r\nP-Asserted-Identity: tel:1\r\n");
	config.domain.store_host = (char *)"";
	summary.count = 0;
	summary.counts = (struct store_deferred_counts){ 0 };
	check_body(&summary, "Messages-Waiting: no\r\nMessage-Account: sip:charlie@example.com\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bodies) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
