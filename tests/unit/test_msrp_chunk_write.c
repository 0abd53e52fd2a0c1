/* msrp/chunk_write.c: what is written is what was meant, and the parser reads it back. */
#include "tests/unit/test.h"

#include "msrp/chunk_write.h"

#define OURS    "msrp://imserv.example:2855/ours;tcp"
#define BOB     "msrp://relay.example:2855/r;tcp msrp://bob.example:2/s2;tcp"
#define BOB_TOO "msrp://bob.example:2/s2;tcp"

/* A head or whole message of `wire`, which must outlive it. */
static struct msrp_head head_of(struct msrp_parser *p, struct slice wire, size_t *used)
{
	msrp_parser_init(p, &(struct msrp_limits){ .head_bytes = 4000 });
	CHECK(msrp_parse(p, wire, used) == MSRP_HEAD, "%s in\n%.*s\n",
		msrp_reason_text(p->reason), SLICE_ARG(wire));
	CHECK(p->head.fault == MSRP_FAULT_NONE, "%s\n", msrp_fault_text(p->head.fault));
	return p->head;
}

static void is(const struct buffer *b, const char *want)
{
	assert_false(b->overflow);
	CHECK(slice_eq(buffer_slice(b), slice_str(want)), "got\n%.*snot\n%s",
		(int)b->n, b->p, want);
}

/* ---- forwarding ---- */

static const struct {
	const char *what, *in, *want;
	bool with_range;
} forwarded[] = {
	{ "as usual, range kept",
		"MSRP a786 SEND\r\nTo-Path: " OURS "\r\nFrom-Path: msrp://a/1;tcp\r\n"
		"Message-ID: m1\r\n"
		"Byte-Range: 1-2/2\r\nX-Odd:   spaces \t\r\nContent-Disposition: attachment\r\n"
		"content-TYPE:text/plain\r\n\r\nhi\r\n-------a786$\r\n",
		"MSRP out1 SEND\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nMessage-ID: m1\r\n"
		"Byte-Range: 1-2/2\r\nX-Odd:   spaces \t\r\nContent-Disposition: attachment\r\n"
		"content-TYPE:text/plain\r\n\r\n" },
	{ "range in its place",
		"MSRP a786 SEND\r\nTo-Path: " OURS "\r\nFrom-Path: msrp://a/1;tcp\r\n"
		"Message-ID: m1\r\n"
		"byte-range:1-2/2\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------a786$\r\n",
		"MSRP out1 SEND\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nMessage-ID: m1\r\n"
		"Byte-Range: 5-*/9\r\nContent-Type: text/plain\r\n\r\n", true },
	{ "range where none was",
		"MSRP a786 SEND\r\nTo-Path: " OURS "\r\nFrom-Path: msrp://a/1;tcp\r\n"
		"Message-ID: m1\r\n"
		"Content-Type: text/plain\r\n\r\nhi\r\n-------a786$\r\n",
		"MSRP out1 SEND\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nByte-Range: 5-*/9\r\n"
		"Message-ID: m1\r\nContent-Type: text/plain\r\n\r\n", true },
	{ "headers in any order",
		"MSRP a786 SEND\r\nByte-Range: 1-2/2\r\nX: 1\r\nFrom-Path: msrp://a/1;tcp\r\n"
		"Message-ID: m1\r\nY: 2\r\nTo-Path: " OURS "\r\n-------a786$\r\n",
		"MSRP out1 SEND\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nByte-Range: 5-*/9\r\n"
		"X: 1\r\nMessage-ID: m1\r\nY: 2\r\n", true },
	{ "another method, no body",
		"MSRP a786 NICKNAME\r\nTo-Path: " OURS "\r\nFrom-Path: msrp://a/1;tcp\r\n"
		"Use-Nickname: \"Al\"\r\n-------a786$\r\n",
		"MSRP out1 NICKNAME\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\n"
		"Use-Nickname: \"Al\"\r\n" },
	{ "paths and nothing else",
		"MSRP a786 WAVE\r\nTo-Path: " OURS "\r\nFrom-Path: msrp://a/1;tcp\r\n"
		"-------a786$\r\n",
		"MSRP out1 WAVE\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\n" },
};

static void all_other_lines_are_copied(void **state)
{
	const struct msrp_byte_range range = { 5, MSRP_RANGE_UNKNOWN, 9 };

	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
		size_t used, n = strlen(forwarded[i].in);
		char *wire = exact_copy(forwarded[i].in, n), out[1000];
		struct buffer b = buffer_over(out, sizeof(out));
		struct msrp_parser p;
		struct msrp_head head = head_of(&p, slice_of(wire, n), &used);

		msrp_write_forward(&b, &head, &(struct msrp_rewrite){ SLICE("out1"), SLICE(BOB),
			SLICE(OURS), forwarded[i].with_range ? &range : NULL });
		CHECK(slice_eq(buffer_slice(&b), slice_str(forwarded[i].want)), "%s: got\n%.*s",
			forwarded[i].what, (int)b.n, out);
		REQ("IM-7.1.1.17.2-1"); /* Content-Disposition passes unchanged */
		free(wire);
	}
}

static void what_does_not_fit_is_known(void **state)
{
	size_t used, n = strlen(forwarded[1].want);
	struct msrp_parser p;
	struct msrp_head head = head_of(&p, slice_str(forwarded[1].in), &used);
	const struct msrp_byte_range range = { 5, MSRP_RANGE_UNKNOWN, 9 };
	const struct msrp_rewrite r = { SLICE("out1"), SLICE(BOB), SLICE(OURS), &range };

	for (size_t size = 0; size <= n; size++) {
		char *out = malloc(size ? size : 1);
		struct buffer b = buffer_over(out, size);

		msrp_write_forward(&b, &head, &r);
		CHECK(b.overflow == (size < n), "%zu octets of %zu\n", size, n);
		free(out);
	}
}

/* ---- requests of our own ---- */

static void a_request_is_read_back(void **state)
{
	const struct msrp_byte_range range = { 1, 2, 2 };
	char out[1000];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_parser p;
	size_t used, at;

	msrp_write_request(&b, &(struct msrp_request){
		.method = SLICE("SEND"), .transaction_id = SLICE("t123"), .to_path = SLICE(BOB),
		.from_path = SLICE(OURS), .message_id = SLICE("m9"), .byte_range = &range,
		.success_report = true, .failure_report = MSRP_FAILURE_PARTIAL,
		.lines = SLICE("X-One: 1\r\nX-Two: 2\r\n"), .content_type = SLICE("text/plain"),
		.has_body = true });
	buffer_str(&b, "hi");
	msrp_write_end_line(&b, SLICE("t123"), '+', true);
	is(&b, "MSRP t123 SEND\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nMessage-ID: m9\r\n"
		"Byte-Range: 1-2/2\r\nSuccess-Report: yes\r\nFailure-Report: partial\r\n"
		"X-One: 1\r\nX-Two: 2\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------t123+\r\n");

	struct msrp_head head = head_of(&p, buffer_slice(&b), &at);
	assert_int_equal(head.method, MSRP_METHOD_SEND);
	assert_true(slice_eq(head.transaction_id, SLICE("t123")));
	assert_true(slice_eq(head.to_path, SLICE(BOB)));
	assert_true(slice_eq(head.from_path, SLICE(OURS)));
	assert_true(slice_eq(head.message_id, SLICE("m9")));
	assert_true(slice_eq(head.content_type, SLICE("text/plain")));
	assert_memory_equal(&head.byte_range, &range, sizeof(range));
	assert_true(head.success_report && head.has_body && head.has_byte_range);
	assert_int_equal(head.failure_report, MSRP_FAILURE_PARTIAL);
	assert_int_equal(msrp_parse(&p, slice_skip(buffer_slice(&b), at), &used), MSRP_BODY);
	assert_true(slice_eq(p.body, SLICE("hi")));
	at += used;
	assert_int_equal(msrp_parse(&p, slice_skip(buffer_slice(&b), at), &used), MSRP_END);
	assert_int_equal(p.flag, '+');
	assert_int_equal(at + used, b.n);
}

static void the_empty_send_that_binds(void **state)
{
	char out[1000];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_parser p;
	size_t used;

	msrp_write_request(&b, &(struct msrp_request){ .method = SLICE("SEND"),
		.transaction_id = SLICE("t123"), .to_path = SLICE(BOB), .from_path = SLICE(OURS),
		.message_id = SLICE("m9"), .failure_report = MSRP_FAILURE_NO });
	msrp_write_end_line(&b, SLICE("t123"), '$', false);
	is(&b, "MSRP t123 SEND\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nMessage-ID: m9\r\n"
		"Failure-Report: no\r\n-------t123$\r\n");
	struct msrp_head head = head_of(&p, buffer_slice(&b), &used);
	assert_false(head.has_body || head.has_byte_range);
	assert_int_equal(head.failure_report, MSRP_FAILURE_NO);
}

/* ---- answers ---- */

static void an_answer_goes_to_the_first_uri(void **state)
{
	static const char wire[] = "MSRP a786 SEND\r\nTo-Path: " OURS " msrp://x/y;tcp\r\n"
		"From-Path: " BOB "\r\nMessage-ID: m1\r\n-------a786$\r\n";
	char out[1000];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_parser p;
	size_t used;
	struct msrp_head head = head_of(&p, SLICE(wire), &used);

	msrp_write_answer(&b, &head, 481);
	is(&b, "MSRP a786 481 No Such Session\r\nTo-Path: msrp://relay.example:2855/r;tcp\r\n"
		"From-Path: " OURS "\r\n-------a786$\r\n");
	head = head_of(&p, buffer_slice(&b), &used);
	assert_false(head.is_request);
	assert_int_equal(head.status, 481);
	assert_true(slice_eq(head.comment, SLICE("No Such Session")));
	assert_true(slice_eq(head.transaction_id, SLICE("a786")));
}

static void an_answer_to_another_method_goes_the_whole_way(void **state)
{
	static const char wire[] = "MSRP a786 NICE\r\nTo-Path: " OURS "\r\nFrom-Path: " BOB "\r\n-------a786$\r\n";
	char out[1000];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_parser p;
	size_t used;
	struct msrp_head head = head_of(&p, SLICE(wire), &used);

	msrp_write_answer(&b, &head, 501);
	is(&b, "MSRP a786 501 Not Implemented\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\n-------a786$\r\n");
}

static void a_response_may_bring_its_words(void **state)
{
	char out[1000];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_response r = { SLICE("a786"), SLICE(BOB_TOO), SLICE(OURS), 413,
		SLICE("Enough") };

	msrp_write_response(&b, &r);
	is(&b, "MSRP a786 413 Enough\r\nTo-Path: " BOB_TOO "\r\nFrom-Path: " OURS
		"\r\n-------a786$\r\n");
	b.n = 0;
	r.status = 499; /* a code without words, passed on */
	r.comment = SLICE_EMPTY;
	msrp_write_response(&b, &r);
	is(&b, "MSRP a786 499\r\nTo-Path: " BOB_TOO "\r\nFrom-Path: " OURS "\r\n-------a786$\r\n");
	assert_string_equal(msrp_status_text(200), "OK");
	assert_string_equal(msrp_status_text(506), "Session Already Bound");
}

static void a_report_is_read_back(void **state)
{
	char out[1000];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_parser p;
	size_t used;

	msrp_write_report(&b, &(struct msrp_report){ SLICE("r123"), SLICE(BOB), SLICE(OURS),
		SLICE("m1"), { 1, 300, 300 }, 408, SLICE_EMPTY });
	is(&b, "MSRP r123 REPORT\r\nTo-Path: " BOB "\r\nFrom-Path: " OURS "\r\nMessage-ID: m1\r\n"
		"Byte-Range: 1-300/300\r\nStatus: 000 408 Request Timeout\r\n-------r123$\r\n");
	struct msrp_head head = head_of(&p, buffer_slice(&b), &used);
	assert_int_equal(head.method, MSRP_METHOD_REPORT);
	assert_true(head.has_status && head.has_message_id && !head.has_body);
	assert_int_equal(head.status_namespace, 0);
	assert_int_equal(head.status_code, 408);
	assert_int_equal(head.byte_range.end, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_other_lines_are_copied),
		cmocka_unit_test(what_does_not_fit_is_known),
		cmocka_unit_test(a_request_is_read_back),
		cmocka_unit_test(the_empty_send_that_binds),
		cmocka_unit_test(an_answer_goes_to_the_first_uri),
		cmocka_unit_test(an_answer_to_another_method_goes_the_whole_way),
		cmocka_unit_test(a_response_may_bring_its_words),
		cmocka_unit_test(a_report_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
