/* The bodies of F4 and F5, octet by octet: their lengths are those of the flows' Byte-Range. */
#include "actors/delivery_body.h"

#include "core/worker.h"
#include "tests/unit/test.h"

#define MANDATORY \
	"MESSAGE sip:user2@imserver.com SIP/2.0\r\n" \
	"Via: SIP/2.0/TCP user1pc.imserver.com;branch=z9hG4bK776sgdkse\r\n" \
	"Max-Forwards: 70\r\n" \
	"From: <sip:user1@imserver.com>;tag=49583\r\n" \
	"To: <sip:user2@imserver.com>\r\n"
#define PAGER \
	MANDATORY \
	"P-Asserted-Identity: <sip:user1@imserver.com>\r\n" \
	"Call-ID: asd88asd77a@1.2.3.4\r\n" \
	"Date: Thu, 21 Feb 2002 13:02:03 GMT\r\n" \
	"CSeq: 1 MESSAGE\r\n" \
	"Content-Type: text/plain\r\n" \
	"Content-Length: 18\r\n"
#define ANONYMOUS \
	"MESSAGE sip:user2@imserver.com SIP/2.0\r\n" \
	"From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=49583\r\n" \
	"To: <sip:user2@imserver.com>\r\n" \
	"Call-ID: asd88asd77a@1.2.3.4\r\n" \
	"Date: Thu, 21 Feb 2002 13:02:03 GMT\r\n" \
	"CSeq: 1 MESSAGE\r\n" \
	"Content-Type: text/plain\r\n" \
	"Content-Length: 18\r\n"
#define INVITE \
	"INVITE sip:user2@imserver.com SIP/2.0\r\n" \
	"To: <sip:user2@imserver.com>\r\n" \
	"From: <sip:user1@imserver.com>;tag=786\r\n" \
	"P-Asserted-Identity: <sip:user1@imserver.com>\r\n" \
	"Call-ID: 3413an89KU\r\n" \
	"Subject: lunch\r\n" \
	"Priority: normal\r\n" \
	"Date: Mon, 21 Feb 2005 13:02:03 GMT\r\n"
#define FRAGMENT "MSRP dkei38sd SEND\r\nMessage-ID: 4560\r\nContent-Type: text/plain\r\n"
#define OPEN(type) "--boundary42\r\nContent-Type: " type "\r\n\r\n"
#define OPEN_BINARY(type) "--boundary42\r\nContent-Type: " type "\r\nContent-Transfer-Encoding: binary\r\n\r\n"
#define CLOSE "\r\n--boundary42--"

static char whole[4096];

static const char *made(const char *head, const char *msrp, struct slice content, uint64_t size)
{
	char *heads = exact_copy(head, strlen(head)), *fragments = exact_copy(msrp, strlen(msrp)),
	     *contents = exact_copy(content.p, content.n);
	struct delivery_source source = { slice_of(heads, strlen(head)), slice_of(fragments, strlen(msrp)),
		slice_of(contents, content.n), size };
	struct buffer out = buffer_over(whole, sizeof(whole) - 1);
	struct delivery_body body;

	assert_int_equal(delivery_body_make_with(&body, &source, SLICE("boundary42")), 0);
	assert_true(slice_eq(slice_of(body.content_type, body.content_type_n),
		SLICE("multipart/mixed;boundary=\"boundary42\"")));
	assert_int_equal(body.size, body.before.n + size + body.after.n);
	buffer_put(&out, body.before);
	buffer_put(&out, content);
	buffer_put(&out, body.after);
	assert_false(out.overflow);
	whole[out.n] = 0;
	delivery_body_free(&body);
	free(heads);
	free(fragments);
	free(contents);
	return whole;
}

static void test_flows(void **state)
{
	struct slice watson = SLICE("Watson, come here.");

	REQ("CR001-12.2.2.5-5", "CR001-12.2.2.5-6", "CR001-12.2.2.5-4", "CR001-12.2.2.5-7");
	assert_string_equal(made(PAGER, "", watson, watson.n), OPEN("message/sip") PAGER "\r\nWatson, come here." CLOSE);
	assert_int_equal(strlen(whole), 449);
	assert_string_equal(made(ANONYMOUS, "", watson, watson.n),
		OPEN("message/sipfrag") ANONYMOUS "\r\nWatson, come here." CLOSE);
	assert_int_equal(strlen(whole), 346);
	assert_string_equal(made(INVITE, FRAGMENT, SLICE("Hi, Alice!  I'm Bob!"), 20),
		OPEN("message/sipfrag") INVITE "\r\n" OPEN("message/msrpfrag") FRAGMENT
		"\r\nHi, Alice!  I'm Bob!\r\n-------dkei38sd$" CLOSE);
	assert_int_equal(strlen(whole), 465);
}

static void test_binary(void **state)
{
	struct slice content = SLICE("\0\xff\r\n.");

	assert_true(strstr(made(PAGER, "", SLICE("gr\xc3\xbc\xc3\x9f dich"), 11), OPEN_BINARY("message/sip")) == whole);
	made(INVITE, FRAGMENT, content, content.n);
	assert_true(strstr(whole, OPEN("message/sipfrag")) == whole);
	assert_non_null(strstr(whole, OPEN_BINARY("message/msrpfrag")));
	/* what is not at hand may be anything */
	assert_non_null(strstr(made(INVITE, FRAGMENT, SLICE(""), 1000000), OPEN_BINARY("message/msrpfrag")));
	assert_non_null(strstr(made(INVITE, FRAGMENT, SLICE(""), 0), OPEN("message/msrpfrag")));
	/* and the sender's own words in a header too */
	assert_non_null(strstr(made(INVITE "Subject: gr\xc3\xbc\xc3\x9f" "e\r\n", FRAGMENT, SLICE("x"), 1),
		OPEN_BINARY("message/sipfrag")));
}

static void test_7bit(void **state)
{
	static char line[1024];
	static const struct {
		const char *text;
		size_t n;
		bool is;
	} cases[] = { { "", 0, true }, { "a\r\nb", 4, true }, { "a\nb", 3, false }, { "a\rb", 3, false }, { "a\r", 2, false },
		{ "\r\n\r\n", 4, true }, { "a\0b", 3, false }, { "\x7f", 1, true }, { "\x80", 1, false },
		{ line, 998, true }, { line, 999, false } };

	memset(line, 'x', sizeof(line));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *copy = exact_copy(cases[i].text, cases[i].n);
		CHECK(delivery_is_7bit(slice_of(copy, cases[i].n)) == cases[i].is, "case %zu\n", i);
		free(copy);
	}
}

static void test_whole_heads(void **state)
{
	assert_true(delivery_head_is_whole(SLICE(PAGER)));
	assert_false(delivery_head_is_whole(SLICE(ANONYMOUS)));
	assert_true(delivery_head_is_whole(SLICE("MESSAGE sip:b@x SIP/2.0\r\nv: y\r\nmax-forwards: 1\r\nf: <sip:a@x>\r\n"
		"t: <sip:b@x>\r\ni : 1\r\nCSEQ: 1 MESSAGE\r\n")));
	/* a line that goes on is no header of its own */
	assert_false(delivery_head_is_whole(SLICE("MESSAGE sip:b@x SIP/2.0\r\nVia: y\r\nMax-Forwards: 1\r\nFrom: <sip:a@x>\r\n"
		"To: <sip:b@x>\r\nCSeq: 1 MESSAGE\r\nSubject: a\r\n Call-ID: 1\r\n")));
	assert_false(delivery_head_is_whole(SLICE("")));
}

static void fill(struct worker *worker)
{
	for (size_t i = 0; i < sizeof(worker->random_pool); i++)
		worker->random_pool[i] = (uint8_t)(i * 7);
	worker->random_left = sizeof(worker->random_pool);
}

static void test_boundary(void **state)
{
	struct delivery_source source = { SLICE(PAGER), SLICE_EMPTY, SLICE("x"), 1 };
	struct worker worker = { 0 };
	struct delivery_body first, second;

	fill(&worker);
	assert_int_equal(delivery_body_make(&first, &worker, &source), 0);
	assert_int_equal(delivery_body_make(&second, &worker, &source), 0);
	assert_true(slice_starts(slice_of(first.content_type, first.content_type_n),
		SLICE("multipart/mixed;boundary=\"")));
	assert_false(slice_eq(slice_of(first.content_type, first.content_type_n),
		slice_of(second.content_type, second.content_type_n)));
	struct slice closing = slice_skip(first.after, 4);
	assert_int_equal(closing.n, DELIVERY_BOUNDARY_CHARS + 2);
	if (!closing.p) /* cannot be with that length */
		return;
	assert_true(memmem(first.before.p, first.before.n, closing.p, DELIVERY_BOUNDARY_CHARS) == first.before.p + 2);
	/* taken already: another one is drawn */
	char taken[DELIVERY_BOUNDARY_CHARS];
	memcpy(taken, closing.p, sizeof(taken));
	source.content = slice_of(taken, sizeof(taken));
	source.size = sizeof(taken);
	struct delivery_body third;
	fill(&worker);
	assert_int_equal(delivery_body_make(&third, &worker, &source), 0);
	assert_null(memmem(third.before.p, third.before.n, taken, sizeof(taken)));
	delivery_body_free(&first);
	delivery_body_free(&second);
	delivery_body_free(&third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_7bit),
		cmocka_unit_test(test_whole_heads),
		cmocka_unit_test(test_boundary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
