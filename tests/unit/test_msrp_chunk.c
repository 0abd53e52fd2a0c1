/*
 * msrp/chunk.c: every case whole, cut in two at every octet, and octet by octet; each input once in
 * a heap copy of its exact size and once right before an unreadable page.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/test.h"

#include "core/buffer.h"
#include "msrp/chunk.h"

enum { HEAD_BYTES = 400 };

#define PATHS "To-Path: msrp://b.example:2/s2;tcp\r\nFrom-Path: msrp://a.example:1/s1;tcp\r\n"
#define HEAD(tid) "MSRP " tid " SEND\r\n" PATHS "Message-ID: m1\r\n"
#define RESPONSE(tid, status) "MSRP " tid " " status "\r\n" PATHS
#define TID32 "a1234567890123456789012345678901"

/* The id to avoid; once it was found ('|' in `want`) the next, then none. */
#define AVOID "out1"
#define AVOID_NEXT "out2"

static const struct {
	const char *what, *wire, *want;
} cases[] = {
	{ "one whole message", HEAD("a786") "\r\nhi\r\n-------a786$\r\n", "SEND[hi]$ " },
	{ "more to come", HEAD("a786") "\r\nhi\r\n-------a786+\r\n", "SEND[hi]+ " },
	{ "aborted", HEAD("a786") "\r\nhi\r\n-------a786#\r\n", "SEND[hi]# " },
	{ "no body", HEAD("a786") "-------a786$\r\n", "SEND$ " },
	{ "empty body", HEAD("a786") "\r\n\r\n-------a786$\r\n", "SEND[]$ " },
	{ "empty line, then end-line", HEAD("a786") "\r\n-------a786$\r\n", "SEND[]$ " },
	{ "two in a row", HEAD("a786") "\r\nhi\r\n-------a786$\r\n" HEAD("b999")
		"\r\nho\r\n-------b999$\r\n", "SEND[hi]$ SEND[ho]$ " },
	{ "response behind a request", HEAD("a786") "-------a786$\r\n" RESPONSE("c123", "200 OK")
		"-------c123$\r\n", "SEND$ 200$ " },
	{ "response without comment", RESPONSE("c123", "481") "-------c123$\r\n", "481$ " },
	{ "method nobody knows", "MSRP a786 WAVE\r\n" PATHS "-------a786$\r\n", "WAVE$ " },
	{ "shortest id", HEAD("a123") "\r\nhi\r\n-------a123$\r\n", "SEND[hi]$ " },
	{ "longest id", HEAD(TID32) "\r\nhi\r\n-------" TID32 "$\r\n", "SEND[hi]$ " },
	{ "id with odd characters", HEAD("9.-+%=") "\r\nhi\r\n-------9.-+%=+\r\n", "SEND[hi]+ " },
	{ "other headers", HEAD("a786") "X-Foo:\tbar \r\nEmpty:\r\nContent-Type: a/b\r\n\r\n"
		"hi\r\n-------a786$\r\n", "SEND[hi]$ " },

	{ "end-line of another", HEAD("a786") "\r\n-------b999$\r\n-------a786#\r\n",
		"SEND[-------b999$]# " },
	{ "end-line without flag", HEAD("a786") "\r\nx\r\n-------a786\r\n\r\n-------a786$\r\n",
		"SEND[x\r\n-------a786\r\n]$ " },
	{ "end-line with another flag", HEAD("a786") "\r\nx\r\n-------a786*\r\n-------a786$\r\n",
		"SEND[x\r\n-------a786*]$ " },
	{ "end-line that goes on", HEAD("a786") "\r\nx\r\n-------a786$x\r\n-------a786$\r\n",
		"SEND[x\r\n-------a786$x]$ " },
	{ "end-line with lone CR", HEAD("a786") "\r\nx\r\n-------a786$\r\r\n-------a786$\r\n",
		"SEND[x\r\n-------a786$\r]$ " },
	{ "no CRLF before", HEAD("a786") "\r\nx-------a786$\r\n\r\n-------a786$\r\n",
		"SEND[x-------a786$\r\n]$ " },
	{ "LF before", HEAD("a786") "\r\nx\n-------a786$\r\n\r\n-------a786$\r\n",
		"SEND[x\n-------a786$\r\n]$ " },
	{ "lone LF first", HEAD("a786") "\r\n\n-------a786$\r\n\r\n-------a786$\r\n",
		"SEND[\n-------a786$\r\n]$ " },
	{ "six hyphens", HEAD("a786") "\r\nx\r\n------a786$\r\n\r\n-------a786$\r\n",
		"SEND[x\r\n------a786$\r\n]$ " },
	{ "eight hyphens", HEAD("a786") "\r\nx\r\n--------a786$\r\n\r\n-------a786$\r\n",
		"SEND[x\r\n--------a786$\r\n]$ " },
	{ "eight hyphens first", HEAD("a786") "\r\n--------a786$\r\n\r\n-------a786$\r\n",
		"SEND[--------a786$\r\n]$ " },
	{ "longer id first", HEAD("a786") "\r\nx\r\n-------a7866$\r\n\r\n-------a786$\r\n",
		"SEND[x\r\n-------a7866$\r\n]$ " },
	{ "id in other case", HEAD("a786") "\r\nx\r\n-------A786$\r\n\r\n-------a786$\r\n",
		"SEND[x\r\n-------A786$\r\n]$ " },
	{ "hyphens everywhere", HEAD("a786") "\r\n-- --- ---- ----- ------ ---------------\r\n"
		"-------\r\n-------a78\r\n-------a786$\r\n",
		"SEND[-- --- ---- ----- ------ ---------------\r\n-------\r\n-------a78]$ " },
	{ "CRLFs everywhere", HEAD("a786") "\r\n\r\n\r\r\n\n\r\n\r\n-------a786$\r\n",
		"SEND[\r\n\r\r\n\n\r\n]$ " },
	{ "what looks like a head", HEAD("a786") "\r\n" HEAD("b999") "\r\n-------a786$\r\n",
		"SEND[" HEAD("b999") "]$ " },

	{ "avoided in the middle", HEAD("a786") "\r\nab-------" AVOID "cd\r\n-------a786$\r\n",
		"SEND[ab|-------" AVOID "cd]$ " },
	{ "avoided first", HEAD("a786") "\r\n-------" AVOID "\r\n-------a786$\r\n",
		"SEND[|-------" AVOID "]$ " },
	{ "avoided last", HEAD("a786") "\r\nx\r\n-------" AVOID "$\r\n-------a786$\r\n",
		"SEND[x\r\n|-------" AVOID "$]$ " },
	{ "avoided behind more hyphens", HEAD("a786") "\r\n---------" AVOID "\r\n-------a786$\r\n",
		"SEND[--|-------" AVOID "]$ " },
	{ "avoided twice, then the next", HEAD("a786") "\r\n-------" AVOID "-------" AVOID
		"-------" AVOID_NEXT "\r\n-------a786$\r\n",
		"SEND[|-------" AVOID "-------" AVOID "|-------" AVOID_NEXT "]$ " },
	{ "nearly avoided", HEAD("a786") "\r\n-------out------" AVOID "\r\n-------a786$\r\n",
		"SEND[-------out------" AVOID "]$ " },

	{ "missing Message-ID", "MSRP a786 SEND\r\n" PATHS "\r\nhi\r\n-------a786$\r\n",
		"SEND!SEND or REPORT without Message-ID[hi]$ " },
	{ "NICKNAME needs none", "MSRP a786 NICKNAME\r\n" PATHS "-------a786$\r\n", "NICKNAME$ " },
	{ "empty Message-ID", "MSRP a786 SEND\r\n" PATHS "Message-ID: \r\n-------a786$\r\n",
		"SEND!Message-ID is empty, too long or not visible$ " },
	{ "Message-ID with blank", "MSRP a786 SEND\r\n" PATHS "Message-ID: a b\r\n-------a786$\r\n",
		"SEND!Message-ID is empty, too long or not visible$ " },
	{ "two Message-IDs", HEAD("a786") "message-id: m2\r\n-------a786$\r\n",
		"SEND!a header twice that may be there once$ " },
	{ "two ranges", HEAD("a786") "Byte-Range: 1-2/2\r\nByte-Range: 1-2/2\r\n-------a786$\r\n",
		"SEND!a header twice that may be there once$ " },
	{ "range from 0", HEAD("a786") "Byte-Range: 0-2/2\r\n\r\nhi\r\n-------a786$\r\n",
		"SEND!Byte-Range does not make sense[hi]$ " },
	{ "wish nobody knows", HEAD("a786") "Failure-Report: maybe\r\n-------a786$\r\n",
		"SEND!Success-Report or Failure-Report unknown$ " },
	{ "other wish nobody knows", HEAD("a786") "Success-Report: \r\n-------a786$\r\n",
		"SEND!Success-Report or Failure-Report unknown$ " },
	{ "status without code", "MSRP a786 REPORT\r\n" PATHS "Message-ID: m1\r\nStatus: 000\r\n"
		"-------a786$\r\n", "REPORT!Status is not namespace and code$ " },

	{ "not MSRP", "GET / HTTP/1.1\r\n", "bad:start line is not MSRP" },
	{ "lower-case", "msrp a786 SEND\r\n", "bad:start line is not MSRP" },
	{ "nearly MSRP", "MSRPS", "bad:start line is not MSRP" },
	{ "CRLF between", HEAD("a786") "-------a786$\r\n\r\n", "SEND$ bad:start line is not MSRP" },
	{ "id too long", "MSRP " TID32 "2 SEND\r\n", "bad:transaction id is not an ident" },
	{ "id too short", "MSRP a78 SEND\r\n", "bad:transaction id is not an ident" },
	{ "id begins with a hyphen", "MSRP -a786 SEND\r\n", "bad:transaction id is not an ident" },
	{ "id with a star", "MSRP a786* SEND\r\n", "bad:transaction id is not an ident" },
	{ "two blanks", "MSRP  a786 SEND\r\n", "bad:transaction id is not an ident" },
	{ "no method", "MSRP a786\r\n", "bad:neither method nor status code" },
	{ "empty method", "MSRP a786 \r\n", "bad:neither method nor status code" },
	{ "lower-case method", "MSRP a786 send\r\n", "bad:neither method nor status code" },
	{ "blank behind the method", "MSRP a786 SEND \r\n", "bad:neither method nor status code" },
	{ "two digits", "MSRP a786 20 OK\r\n", "bad:neither method nor status code" },
	{ "four digits", "MSRP a786 2000 OK\r\n", "bad:neither method nor status code" },
	{ "status 099", "MSRP a786 099 No\r\n", "bad:neither method nor status code" },
	{ "LF alone after the start", "MSRP a786 SEND\n", "bad:CR, LF or NUL inside a line" },
	{ "CR in the start line", "MSRP a786 200 O\rK\r\n", "bad:CR, LF or NUL inside a line" },
	{ "LF alone", HEAD("a786") "X: y\n", "bad:CR, LF or NUL inside a line" },
	{ "LF first", HEAD("a786") "\n", "bad:CR, LF or NUL inside a line" },
	{ "CR in a header", HEAD("a786") "X: y\rz\r\n\r\n", "bad:CR, LF or NUL inside a line" },
	{ "two CRs", HEAD("a786") "X: y\r\r\n\r\n", "bad:CR, LF or NUL inside a line" },
	{ "no colon", HEAD("a786") "X y\r\n\r\n", "bad:header without name or colon" },
	{ "no name", HEAD("a786") ": y\r\n\r\n", "bad:header without name or colon" },
	{ "folded", HEAD("a786") "X: y\r\n z: a\r\n\r\n", "bad:header without name or colon" },
	{ "blank before colon", HEAD("a786") "X : y\r\n\r\n", "bad:header without name or colon" },
	{ "no To-Path", "MSRP a786 SEND\r\nFrom-Path: x\r\n-------a786$\r\n",
		"bad:no To-Path or no From-Path" },
	{ "no From-Path", "MSRP a786 SEND\r\nTo-Path: x\r\n-------a786$\r\n",
		"bad:no To-Path or no From-Path" },
	{ "no headers", "MSRP a786 SEND\r\n\r\n", "bad:no To-Path or no From-Path" },
	{ "empty From-Path", "MSRP a786 SEND\r\nTo-Path: x\r\nFrom-Path: \r\n\r\n",
		"bad:no To-Path or no From-Path" },
	{ "two To-Paths", HEAD("a786") "TO-PATH: x\r\n\r\n", "bad:To-Path or From-Path twice" },
	{ "two From-Paths", HEAD("a786") "From-Path: x\r\n\r\n", "bad:To-Path or From-Path twice" },
	{ "end-line of another after the headers", HEAD("a786") "-------b999$\r\n",
		"SENDbad:neither empty line nor end-line after the headers" },
	{ "end-line without flag after the headers", HEAD("a786") "-------a786\r\n",
		"SENDbad:neither empty line nor end-line after the headers" },
	{ "a hyphen after the headers", HEAD("a786") "-x: y\r\n",
		"SENDbad:neither empty line nor end-line after the headers" },
};

/* ---- feeding ---- */

/* What was parsed so far, as text. */
struct seen {
	struct msrp_parser p;
	struct buffer got;
	char text[4000];
	unsigned avoided;
	bool lost;
};

static void start(struct seen *s, size_t head_bytes)
{
	msrp_parser_init(&s->p, &(struct msrp_limits){ .head_bytes = head_bytes });
	s->got = buffer_over(s->text, sizeof(s->text));
	s->avoided = 0;
	s->lost = false;
}

static void on_head(struct seen *s)
{
	const struct msrp_head *head = &s->p.head;

	if (head->is_request)
		buffer_put(&s->got, head->method_name);
	else
		buffer_u64(&s->got, head->status);
	if (head->fault != MSRP_FAULT_NONE) {
		buffer_char(&s->got, '!');
		buffer_str(&s->got, msrp_fault_text(head->fault));
	}
	if (head->has_body) {
		buffer_char(&s->got, '[');
		msrp_parser_avoid(&s->p, SLICE(AVOID));
	}
}

static void on_event(struct seen *s, enum msrp_event event, bool *has_body)
{
	switch (event) {
	case MSRP_MORE:
		break;
	case MSRP_HEAD:
		*has_body = s->p.head.has_body;
		on_head(s);
		break;
	case MSRP_BODY:
		CHECK(s->p.body.n > 0 || s->p.avoid_found, "an empty body\n");
		buffer_put(&s->got, s->p.body);
		if (s->p.avoid_found) {
			buffer_char(&s->got, '|');
			msrp_parser_avoid(&s->p, s->avoided++ ? SLICE_EMPTY : SLICE(AVOID_NEXT));
		}
		break;
	case MSRP_END:
		buffer_str(&s->got, *has_body ? "]" : "");
		buffer_char(&s->got, s->p.flag);
		buffer_char(&s->got, ' ');
		break;
	case MSRP_BAD:
		buffer_str(&s->got, "bad:");
		buffer_str(&s->got, msrp_reason_text(s->p.reason));
		s->lost = true;
		break;
	}
}

/* Feeds `in` until the parser wants more; the octets it has not used are not freed by anybody. */
static size_t feed(struct seen *s, struct slice in)
{
	size_t done = 0;
	bool has_body = s->p.head.has_body;

	while (!s->lost) {
		size_t used = 77;
		enum msrp_event event = msrp_parse(&s->p, slice_skip(in, done), &used);

		assert_true(used <= in.n - done);
		done += used;
		on_event(s, event, &has_body);
		if (event == MSRP_MORE)
			break;
		CHECK(used > 0 || event == MSRP_BAD || s->p.avoid_found, "no progress\n");
	}
	return done;
}

static size_t feed_heap(struct seen *s, struct slice in)
{
	char *copy = exact_copy(in.p, in.n);
	size_t used = feed(s, slice_of(copy, in.n));

	free(copy);
	return used;
}

/* The end of `in` is the end of readable memory. */
static size_t feed_page(struct seen *s, struct slice in)
{
	static char *pages;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!pages) {
		pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(pages != MAP_FAILED);
		assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
	}
	assert_true(in.n <= page);
	if (in.n)
		memcpy(pages + page - in.n, in.p, in.n);
	return feed(s, slice_of(pages + page - in.n, in.n));
}

typedef size_t feeder(struct seen *s, struct slice in);

static void check_every_cut(const char *what, struct slice wire, struct slice want, feeder *with)
{
	struct seen s;

	for (size_t cut = 0; cut <= wire.n; cut++) { /* as TCP might deliver it */
		start(&s, HEAD_BYTES);
		size_t used = with(&s, slice_of(wire.p, cut));
		with(&s, slice_skip(wire, used));
		CHECK(slice_eq(buffer_slice(&s.got), want), "%s, cut at %zu: got \"%.*s\"\n", what,
			cut, SLICE_ARG(buffer_slice(&s.got)));
	}
}

static void check_octet_by_octet(const char *what, struct slice wire, struct slice want,
	feeder *with)
{
	struct seen s;
	size_t used = 0;

	start(&s, HEAD_BYTES);
	for (size_t n = 1; n <= wire.n; n++) {
		used += with(&s, slice_of(wire.p + used, n - used));
		CHECK(s.lost || n - used < MSRP_END_LINE_MAX || s.p.state == MSRP_IN_HEAD,
			"%s: holds back %zu octets\n", what, n - used);
	}
	CHECK(slice_eq(buffer_slice(&s.got), want), "%s, octet by octet: got \"%.*s\"\n", what,
		SLICE_ARG(buffer_slice(&s.got)));
}

static void check(const char *what, struct slice wire, struct slice want)
{
	check_every_cut(what, wire, want, feed_heap);
	check_every_cut(what, wire, want, feed_page);
	check_octet_by_octet(what, wire, want, feed_heap);
	check_octet_by_octet(what, wire, want, feed_page);
}

static void every_case_cut_at_every_octet(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(cases[i].what, slice_str(cases[i].wire), slice_str(cases[i].want));
}

static void nul_is_content_but_not_a_header(void **state)
{
	static const char body[] = HEAD("a786") "\r\na\0b\r\n\0-------a786$\r\n-------a786$\r\n",
		body_want[] = "SEND[a\0b\r\n\0-------a786$]$ ",
		header[] = HEAD("a786") "X: y\0z\r\n\r\n", start_line[] = "MSRP a786 200 O\0K\r\n";

	check("NUL in content", SLICE(body), SLICE(body_want));
	check("NUL in a header", SLICE(header), SLICE("bad:CR, LF or NUL inside a line"));
	check("NUL in a comment", SLICE(start_line), SLICE("bad:CR, LF or NUL inside a line"));
}

/* ---- what is in a head ---- */

static struct msrp_head head_of(struct msrp_parser *p, const char *wire)
{
	size_t used;

	msrp_parser_init(p, &(struct msrp_limits){ .head_bytes = HEAD_BYTES });
	assert_int_equal(msrp_parse(p, slice_str(wire), &used), MSRP_HEAD);
	return p->head;
}

static void is(struct slice got, const char *want)
{
	CHECK(slice_eq(got, slice_str(want)), "got \"%.*s\", not \"%s\"\n", SLICE_ARG(got), want);
}

static void a_send_is_understood(void **state)
{
	struct msrp_parser p;
	struct slice value;
	struct msrp_head head = head_of(&p, "MSRP d93kswow SEND\r\n"
		"to-path: msrp://b.example/2;tcp  msrp://c.example/3;tcp \r\n"
		"X-First: 1\r\n"
		"FROM-PATH:msrp://a.example/1;tcp\r\n"
		"Message-ID: 12339sdqwer\r\n"
		"Byte-Range: 1-16/*\r\n"
		"Success-Report: YES\r\n"
		"Failure-Report: partial\r\n"
		"Content-Type: text/plain;charset=utf-8\r\n\r\nHi");

	assert_true(head.is_request && head.has_body && head.fault == MSRP_FAULT_NONE);
	assert_int_equal(head.method, MSRP_METHOD_SEND);
	is(head.method_name, "SEND");
	is(head.transaction_id, "d93kswow");
	is(p.transaction_id, "d93kswow");
	is(head.to_path, "msrp://b.example/2;tcp  msrp://c.example/3;tcp");
	is(head.from_path, "msrp://a.example/1;tcp");
	assert_true(head.has_message_id);
	is(head.message_id, "12339sdqwer");
	assert_true(head.has_byte_range);
	assert_int_equal(head.byte_range.start, 1);
	assert_int_equal(head.byte_range.end, 16);
	assert_true(head.byte_range.total == MSRP_RANGE_UNKNOWN);
	assert_true(head.success_report);
	assert_int_equal(head.failure_report, MSRP_FAILURE_PARTIAL);
	is(head.content_type, "text/plain;charset=utf-8");
	is(head.byte_range_line, "Byte-Range: 1-16/*\r\n");
	is(head.from_path_line, "FROM-PATH:msrp://a.example/1;tcp\r\n");
	assert_true(slice_starts(head.lines, SLICE("to-path: ")));
	assert_true(head.lines.p + head.lines.n == head.content_type.p + head.content_type.n + 2);
	assert_true(msrp_head_find(&head, SLICE("x-FIRST"), &value));
	is(value, "1");
	assert_false(msrp_head_find(&head, SLICE("X"), &value));
	assert_false(msrp_head_find(&head, SLICE("Hi"), &value));
}

static void what_is_absent_has_its_default(void **state)
{
	struct msrp_parser p;
	struct msrp_head head = head_of(&p, HEAD("a786") "-------a786$\r\n");

	assert_false(head.has_byte_range || head.success_report);
	assert_false(head.has_status || head.has_body);
	assert_int_equal(head.byte_range.start, 1);
	assert_true(head.byte_range.end == MSRP_RANGE_UNKNOWN);
	assert_true(head.byte_range.total == MSRP_RANGE_UNKNOWN);
	assert_int_equal(head.failure_report, MSRP_FAILURE_YES);
	assert_int_equal(head.content_type.n, 0);
	assert_int_equal(head.byte_range_line.n, 0);
	assert_int_equal(head.status, 0);
}

static void report_and_response_carry_a_status(void **state)
{
	struct msrp_parser p;
	struct msrp_head head = head_of(&p, "MSRP dkei38sd REPORT\r\n" PATHS
		"Message-ID: 456s9wlk3\r\nByte-Range: 1-0/0\r\nStatus: 000 413 Stop it\r\n"
		"-------dkei38sd$\r\n");

	assert_int_equal(head.method, MSRP_METHOD_REPORT);
	assert_true(head.has_status && head.has_byte_range);
	assert_int_equal(head.status_namespace, 0);
	assert_int_equal(head.status_code, 413);
	is(head.status_comment, "Stop it");

	head = head_of(&p, RESPONSE("c123", "506 Session Already Bound") "-------c123$\r\n");
	assert_false(head.is_request);
	assert_int_equal(head.method, MSRP_METHOD_NONE);
	assert_int_equal(head.status, 506);
	is(head.comment, "Session Already Bound");
	assert_int_equal(head.fault, MSRP_FAULT_NONE);
}

/* ---- limits ---- */

static enum msrp_event parse_with(struct msrp_parser *p, size_t head_bytes, struct slice wire)
{
	size_t used;
	char *copy = exact_copy(wire.p, wire.n);
	enum msrp_event event;

	msrp_parser_init(p, &(struct msrp_limits){ .head_bytes = head_bytes });
	event = msrp_parse(p, slice_of(copy, wire.n), &used);
	free(copy);
	return event;
}

static void the_head_has_a_limit(void **state)
{
	struct msrp_parser p;
	struct slice body = SLICE(HEAD("a786") "\r\n"), none = SLICE(HEAD("a786") "-");

	assert_int_equal(parse_with(&p, body.n, body), MSRP_HEAD);
	assert_int_equal(parse_with(&p, body.n - 1, body), MSRP_BAD);
	assert_int_equal(p.reason, MSRP_REASON_HEAD_TOO_LONG);
	assert_int_equal(parse_with(&p, none.n - 1, none), MSRP_HEAD);
	assert_int_equal(parse_with(&p, none.n - 2, none), MSRP_BAD);
	assert_int_equal(p.reason, MSRP_REASON_HEAD_TOO_LONG);

	/* Not whole yet, and already as long as it may be; then one more. */
	for (size_t n = 5; n < none.n; n++) {
		assert_int_equal(parse_with(&p, n, slice_of(none.p, n)), MSRP_MORE);
		assert_int_equal(parse_with(&p, n - 1, slice_of(none.p, n)), MSRP_BAD);
		assert_int_equal(p.reason, MSRP_REASON_HEAD_TOO_LONG);
	}
	/* Lost is lost. */
	size_t used = 5;
	assert_int_equal(msrp_parse(&p, body, &used), MSRP_BAD);
	assert_int_equal(used, 0);
}

static void the_message_id_has_a_limit(void **state)
{
	struct msrp_parser p;
	char wire[600];
	struct buffer b = buffer_over(wire, sizeof(wire));

	buffer_str(&b, "MSRP a786 SEND\r\n" PATHS "Message-ID: ");
	for (size_t i = 0; i < MSRP_MESSAGE_ID_MAX; i++)
		buffer_char(&b, 'm');
	struct buffer longer = b;
	buffer_str(&b, "\r\n\r\n");
	assert_int_equal(parse_with(&p, 600, buffer_slice(&b)), MSRP_HEAD);
	assert_true(p.head.has_message_id && p.head.fault == MSRP_FAULT_NONE);
	assert_int_equal(p.head.message_id.n, MSRP_MESSAGE_ID_MAX);
	buffer_str(&longer, "m\r\n\r\n");
	assert_int_equal(parse_with(&p, 600, buffer_slice(&longer)), MSRP_HEAD);
	assert_false(p.head.has_message_id);
	assert_int_equal(p.head.fault, MSRP_FAULT_MESSAGE_ID);
}

static void what_is_an_ident(void **state)
{
	assert_true(msrp_is_ident(SLICE("a786")) && msrp_is_ident(SLICE(TID32)));
	assert_true(msrp_is_ident(SLICE("0.-+%=")));
	assert_false(msrp_is_ident(SLICE("a78")) || msrp_is_ident(SLICE(TID32 "2")));
	assert_false(msrp_is_ident(SLICE("")) || msrp_is_ident(SLICE(".786")));
	assert_false(msrp_is_ident(SLICE("a7 8")) || msrp_is_ident(SLICE("a78\xe4")));
}

/* ---- content of every length, so that the scan meets an end-line at every place ---- */

static void end_line_at_every_place(void **state)
{
	char wire[700], filler[] = { 'x', '-', '\r' };

	for (size_t f = 0; f < sizeof(filler); f++) {
		for (size_t n = 0; n < 200; n++) {
			struct buffer b = buffer_over(wire, sizeof(wire));
			struct seen s;
			size_t head_n = strlen("SEND[");

			buffer_str(&b, HEAD("a786") "\r\n");
			for (size_t i = 0; i < n; i++)
				buffer_char(&b, filler[f]);
			buffer_str(&b, "\r\n-------a786$\r\n");
			start(&s, HEAD_BYTES);
			assert_int_equal(feed_heap(&s, buffer_slice(&b)), b.n);
			CHECK(s.got.n == head_n + n + 3 && s.text[s.got.n - 2] == '$',
				"%zu of '%c': got \"%.*s\"\n", n, filler[f],
				SLICE_ARG(buffer_slice(&s.got)));
			for (size_t i = 0; i < n; i++)
				assert_int_equal(s.text[head_n + i], filler[f]);
		}
	}
}

/* ---- the scan against a search that looks at every place ---- */

/* Pieces that make end-lines, nearly end-lines, and what stands between them. */
static const char *const pieces[] = { "-", "--", "-------", "\r\n", "\r\n-------", "a786", "$", "+",
	"a786$\r\n", AVOID, ("-------" AVOID), "\r", "\n", "x", "xxxxxx",
	"xxxxxxxxxxxxxxxx", "out" };

static bool stands_at(struct slice s, size_t at, const char *text)
{
	return slice_starts(slice_skip(s, at), slice_str(text));
}

/* What a parser that avoids AVOID and then nothing says of this content. */
static void plain_search(struct slice s, struct buffer *want)
{
	bool avoided = false;

	for (size_t at = 0; at < s.n; at++) {
		size_t line = at == 0 && stands_at(s, 0, "-------a786") ? 0 : at + 2;
		char flag = line + 11 < s.n ? s.p[line + 11] : '\0';

		if ((line == 0 || stands_at(s, at, "\r\n-------a786")) && flag &&
			strchr("$+#", flag) && stands_at(s, line + 12, "\r\n")) {
			buffer_char(want, ']');
			buffer_char(want, flag);
			return;
		}
		if (!avoided && stands_at(s, at, "-------" AVOID)) {
			buffer_char(want, '|');
			avoided = true;
		}
		buffer_char(want, s.p[at]);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	return *seed = *seed * 1664525u + 1013904223u;
}

static void as_a_plain_search_finds(void **state)
{
	uint32_t seed = 2;

	for (int round = 0; round < 20000; round++) {
		char wire[700], text[700];
		struct buffer b = buffer_over(wire, sizeof(wire));
		struct buffer want = buffer_over(text, sizeof(text));
		size_t head_n, cut;
		struct seen s;

		buffer_str(&b, HEAD("a786") "\r\n");
		head_n = b.n;
		for (unsigned n = next_random(&seed) >> 28; n > 0; n--)
			buffer_str(&b, pieces[(next_random(&seed) >> 16) %
				(sizeof(pieces) / sizeof(pieces[0]))]);
		buffer_str(&b, "\r\n-------a786#\r\n");
		buffer_str(&want, "SEND[");
		plain_search(slice_skip(buffer_slice(&b), head_n), &want);

		start(&s, HEAD_BYTES);
		s.avoided = 1; /* the first is the last */
		cut = head_n + (next_random(&seed) >> 16) % (b.n - head_n);
		size_t used = feed_heap(&s, slice_of(wire, cut));
		feed_heap(&s, slice_of(wire + used, b.n - used));
		CHECK(s.got.n >= want.n && memcmp(text, s.text, want.n) == 0,
			"round %d, cut at %zu of\n%.*s\ngot \"%.*s\"\nnot \"%.*s\"\n", round, cut,
			(int)b.n, wire, (int)s.got.n, s.text, (int)want.n, text);
	}
}

/* A head with the usual paths says the same as one that is taken apart, and others are not taken for it. */
static void usual_paths(void **state)
{
	static const struct {
		const char *lines;
		bool is_usual;
	} heads[] = {
		{ "To-Path: msrp://a\r\nFrom-Path: msrp://b\r\nMessage-ID: abcd\r\n", true },
		{ "To-Path: msrp://a\r\nFrom-Path: msrp://b\r\n", true },
		{ "To-Path: msrp://a \r\nFrom-Path: msrp://b\r\nMessage-ID: abcd\r\n", false },
		{ "to-path: msrp://a\r\nFrom-Path: msrp://b\r\nMessage-ID: abcd\r\n", false },
		{ "From-Path: msrp://b\r\nTo-Path: msrp://a\r\nMessage-ID: abcd\r\n", false },
		{ "To-Path: msrp://a\r\nFrom-Path: msrp://bb\r\nMessage-ID: abcd\r\n", false },
		{ "To-Path: msrp://a\r\nFrom-Path: msrp://\r\nMessage-ID: abcd\r\n", false },
		{ "To-Path: msrp://a\r\nX: y\r\nFrom-Path: msrp://b\r\nMessage-ID: abcd\r\n", false },
		{ "To-Path: msrp://a\r\nFrom-Path: msrp://b\r\nTo-Path: msrp://c\r\n", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		char wire[400];
		struct buffer b = buffer_over(wire, sizeof(wire));

		buffer_lit(&b, "MSRP a786 SEND\r\n");
		buffer_str(&b, heads[i].lines);
		buffer_lit(&b, "\r\nx\r\n-------a786$\r\n");
		for (size_t cut = 0; cut < b.n; cut++) {
			struct msrp_parser plain, p;
			size_t used, plain_used;

			msrp_parser_init(&plain, &(struct msrp_limits){ .head_bytes = HEAD_BYTES });
			p = plain;
			msrp_parser_usual(&p, SLICE("msrp://a"), SLICE("msrp://b"));
			enum msrp_event event = msrp_parse(&p, slice_of(wire, cut), &used);
			if (event == MSRP_MORE)
				event = msrp_parse(&p, buffer_slice(&b), &used);
			assert_int_equal(event, msrp_parse(&plain, buffer_slice(&b), &plain_used));
			if (event != MSRP_HEAD) {
				assert_int_equal(p.reason, plain.reason);
				continue;
			}
			assert_int_equal(used, plain_used);
			assert_int_equal(p.head.has_usual_paths, heads[i].is_usual);
			p.head.has_usual_paths = false;
			assert_memory_equal(&p.head, &plain.head, sizeof(p.head));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_cut_at_every_octet),
		cmocka_unit_test(nul_is_content_but_not_a_header),
		cmocka_unit_test(a_send_is_understood),
		cmocka_unit_test(what_is_absent_has_its_default),
		cmocka_unit_test(report_and_response_carry_a_status),
		cmocka_unit_test(the_head_has_a_limit),
		cmocka_unit_test(the_message_id_has_a_limit),
		cmocka_unit_test(what_is_an_ident),
		cmocka_unit_test(end_line_at_every_place),
		cmocka_unit_test(as_a_plain_search_finds),
		cmocka_unit_test(usual_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
