/*
 * MSRP chunk parser: see chunk.h.
 *
 * A head is skimmed line by line until its end is there (that place is kept between calls, so a
 * head that trickles in is not skimmed again and again) and then parsed in one go.  Content is
 * scanned for runs of seven hyphens, which an end-line of any transaction id begins with: looking
 * at every seventh octet finds each such run, whatever the content is made of.
 */
#include <assert.h>

#include "msrp/chunk.h"

enum { HYPHENS = 7, FLAG_AND_CRLF = 3, CRLF_AND_HYPHENS = 2 + HYPHENS };
enum { NEAR_OCTETS = 64, NEAR_HYPHENS_MAX = 16 }; /* see next_seventh() */

/* The singletons, as bits of what was seen. */
enum {
	SEEN_TO_PATH = 1,
	SEEN_FROM_PATH = 2,
	SEEN_MESSAGE_ID = 4,
	SEEN_BYTE_RANGE = 8,
	SEEN_CONTENT_TYPE = 16,
	SEEN_SUCCESS_REPORT = 32,
	SEEN_FAILURE_REPORT = 64,
	SEEN_STATUS = 128,
};

static const char *const reason_texts[] = {
#define X(name, text) [MSRP_REASON_##name] = text,
	MSRP_REASONS(X)
#undef X
};

static const char *const fault_texts[] = {
#define X(name, text) [MSRP_FAULT_##name] = text,
	MSRP_FAULTS(X)
#undef X
};

const char *msrp_reason_text(enum msrp_reason reason)
{
	return reason_texts[reason];
}

const char *msrp_fault_text(enum msrp_fault fault)
{
	return fault_texts[fault];
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ident-char, RFC 4975 section 9: a table, for each octet of each transaction id passes here. */
static const bool is_ident_char[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
	['.'] = true, ['-'] = true, ['+'] = true, ['%'] = true, ['='] = true,
};

bool msrp_is_ident(struct slice text)
{
	bool good = true;

	if (text.n < MSRP_TRANSACTION_ID_MIN || text.n > MSRP_TRANSACTION_ID_MAX ||
		(!is_alpha(text.p[0]) && !is_digit(text.p[0])))
		return false;
	for (size_t i = 1; i < text.n; i++)
		good &= is_ident_char[(unsigned char)text.p[i]];
	return good;
}

void msrp_parser_init(struct msrp_parser *p, const struct msrp_limits *limits)
{
	*p = (struct msrp_parser){ .limits = *limits, .state = MSRP_IN_HEAD };
}

void msrp_parser_avoid(struct msrp_parser *p, struct slice transaction_id)
{
	p->avoid_n = 0;
	if (transaction_id.n == 0)
		return;
	assert(msrp_is_ident(transaction_id));
	memcpy(p->avoid, "-------", HYPHENS);
	memcpy(p->avoid + HYPHENS, transaction_id.p, transaction_id.n);
	p->avoid_n = HYPHENS + transaction_id.n;
}

static enum msrp_event lost(struct msrp_parser *p, enum msrp_reason reason)
{
	p->state = MSRP_LOST;
	p->reason = reason;
	return MSRP_BAD;
}

/* ---- start line ---- */

static enum msrp_method method_of(struct slice name)
{
	if (slice_eq(name, SLICE("SEND")))
		return MSRP_METHOD_SEND;
	if (slice_eq(name, SLICE("REPORT")))
		return MSRP_METHOD_REPORT;
	if (slice_eq(name, SLICE("NICKNAME")))
		return MSRP_METHOD_NICKNAME;
	if (slice_eq(name, SLICE("AUTH")))
		return MSRP_METHOD_AUTH;
	return MSRP_METHOD_UNKNOWN;
}

/* Three digits; false leaves *value alone. */
static bool three_digits(struct slice s, unsigned *value)
{
	if (s.n != 3 || !is_digit(s.p[0]) || !is_digit(s.p[1]) || !is_digit(s.p[2]))
		return false;
	*value = (unsigned)(s.p[0] - '0') * 100 + (unsigned)(s.p[1] - '0') * 10 +
		(unsigned)(s.p[2] - '0');
	return true;
}

/* What stands behind the transaction id: a method, or a status code and perhaps a comment. */
static bool parse_purpose(struct slice s, struct msrp_head *head)
{
	if (s.n && is_digit(s.p[0])) {
		struct slice code = slice_cut(s, ' ', &head->comment);
		return three_digits(code, &head->status) && head->status >= 100;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 'A' || s.p[i] > 'Z')
			return false;
	}
	head->is_request = true;
	head->method_name = s;
	head->method = method_of(s);
	return s.n > 0;
}

/* `line` begins with "MSRP ". */
static enum msrp_reason parse_start_line(struct slice line, struct msrp_head *head)
{
	struct slice rest;

	head->transaction_id = slice_cut(slice_skip(line, 5), ' ', &rest);
	if (!msrp_is_ident(head->transaction_id))
		return MSRP_REASON_TRANSACTION_ID;
	return parse_purpose(rest, head) ? MSRP_REASON_NONE : MSRP_REASON_METHOD;
}

/* ---- headers ---- */

static void set_fault(struct msrp_head *head, enum msrp_fault fault)
{
	if (head->fault == MSRP_FAULT_NONE)
		head->fault = fault;
}

static struct slice trim_blanks(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static unsigned known_header(struct slice name)
{
	switch (name.n) {
	case 6:
		return slice_case_eq(name, SLICE("Status")) ? SEEN_STATUS : 0;
	case 7:
		return slice_case_eq(name, SLICE("To-Path")) ? SEEN_TO_PATH : 0;
	case 9:
		return slice_case_eq(name, SLICE("From-Path")) ? SEEN_FROM_PATH : 0;
	case 10:
		return slice_case_eq(name, SLICE("Message-ID")) ? SEEN_MESSAGE_ID :
			slice_case_eq(name, SLICE("Byte-Range")) ? SEEN_BYTE_RANGE : 0;
	case 12:
		return slice_case_eq(name, SLICE("Content-Type")) ? SEEN_CONTENT_TYPE : 0;
	case 14:
		return slice_case_eq(name, SLICE("Success-Report")) ? SEEN_SUCCESS_REPORT :
			slice_case_eq(name, SLICE("Failure-Report")) ? SEEN_FAILURE_REPORT : 0;
	default:
		return 0;
	}
}

static void parse_message_id(struct msrp_head *head, struct slice value)
{
	bool visible = value.n > 0 && value.n <= MSRP_MESSAGE_ID_MAX;

	for (size_t i = 0; visible && i < value.n; i++)
		visible = value.p[i] > ' ' && value.p[i] < 0x7f;
	head->has_message_id = visible;
	if (visible)
		head->message_id = value;
	else
		set_fault(head, MSRP_FAULT_MESSAGE_ID);
}

static void parse_byte_range(struct msrp_head *head, struct slice value)
{
	head->has_byte_range = msrp_byte_range_parse(value, &head->byte_range) == MSRP_RANGE_OK;
	if (!head->has_byte_range)
		set_fault(head, MSRP_FAULT_BYTE_RANGE);
}

static void parse_success_report(struct msrp_head *head, struct slice value)
{
	head->success_report = slice_case_eq(value, SLICE("yes"));
	if (!head->success_report && !slice_case_eq(value, SLICE("no")))
		set_fault(head, MSRP_FAULT_REPORT_WISH);
}

static void parse_failure_report(struct msrp_head *head, struct slice value)
{
	if (slice_case_eq(value, SLICE("no")))
		head->failure_report = MSRP_FAILURE_NO;
	else if (slice_case_eq(value, SLICE("partial")))
		head->failure_report = MSRP_FAILURE_PARTIAL;
	else if (!slice_case_eq(value, SLICE("yes")))
		set_fault(head, MSRP_FAULT_REPORT_WISH);
}

/* namespace SP status-code [SP text-reason] */
static void parse_status(struct msrp_head *head, struct slice value)
{
	struct slice rest, comment, name_space = slice_cut(value, ' ', &rest);
	struct slice code = slice_cut(rest, ' ', &comment);

	head->has_status = three_digits(name_space, &head->status_namespace) &&
		three_digits(code, &head->status_code);
	if (head->has_status)
		head->status_comment = comment;
	else
		set_fault(head, MSRP_FAULT_STATUS);
}

/* A name is a token that begins with a letter; `:` follows at once. */
static bool good_name(struct slice name)
{
	if (name.n == 0 || !is_alpha(name.p[0]))
		return false;
	for (size_t i = 1; i < name.n; i++) {
		char c = name.p[i];
		if (!is_alpha(c) && !is_digit(c) && (c == '\0' || !strchr("-.!%*_+`'~", c)))
			return false;
	}
	return true;
}

/* `line` comes with its CRLF. */
static enum msrp_reason parse_header(struct msrp_head *head, struct slice line, unsigned *seen)
{
	struct slice value, name = slice_cut(slice_of(line.p, line.n - 2), ':', &value);
	unsigned which;

	if (!value.p || !good_name(name))
		return MSRP_REASON_HEADER;
	value = trim_blanks(value);
	which = known_header(name);
	if (*seen & which) {
		if (which & (SEEN_TO_PATH | SEEN_FROM_PATH))
			return MSRP_REASON_TWO_PATHS;
		set_fault(head, MSRP_FAULT_TWICE);
		return MSRP_REASON_NONE;
	}
	*seen |= which;
	switch (which) {
	case SEEN_TO_PATH:
		head->to_path = value;
		head->to_path_line = line;
		break;
	case SEEN_FROM_PATH:
		head->from_path = value;
		head->from_path_line = line;
		break;
	case SEEN_MESSAGE_ID:
		parse_message_id(head, value);
		break;
	case SEEN_BYTE_RANGE:
		head->byte_range_line = line;
		parse_byte_range(head, value);
		break;
	case SEEN_CONTENT_TYPE:
		head->content_type = value;
		break;
	case SEEN_SUCCESS_REPORT:
		parse_success_report(head, value);
		break;
	case SEEN_FAILURE_REPORT:
		parse_failure_report(head, value);
		break;
	case SEEN_STATUS:
		parse_status(head, value);
		break;
	default: /* passed on, not looked at */
		break;
	}
	return MSRP_REASON_NONE;
}

static enum msrp_reason parse_headers(struct msrp_head *head, struct slice lines)
{
	unsigned seen = 0;

	head->lines = lines;
	head->byte_range = MSRP_RANGE_DEFAULT;
	if (lines.n && memchr(lines.p, '\0', lines.n))
		return MSRP_REASON_LINE;
	while (lines.n) {
		/* skim() saw that every LF has a CR before it; a CR elsewhere ends here. */
		const char *cr = memchr(lines.p, '\r', lines.n);
		struct slice line = slice_of(lines.p, (size_t)(cr - lines.p) + 2);
		enum msrp_reason reason;

		if (cr[1] != '\n')
			return MSRP_REASON_LINE;
		reason = parse_header(head, line, &seen);
		if (reason != MSRP_REASON_NONE)
			return reason;
		lines = slice_skip(lines, line.n);
	}
	if (head->to_path.n == 0 || head->from_path.n == 0)
		return MSRP_REASON_NO_PATH;
	if ((head->method == MSRP_METHOD_SEND || head->method == MSRP_METHOD_REPORT) &&
		!(seen & SEEN_MESSAGE_ID))
		set_fault(head, MSRP_FAULT_NO_MESSAGE_ID);
	return MSRP_REASON_NONE;
}

bool msrp_head_find(const struct msrp_head *head, struct slice name, struct slice *value)
{
	struct slice rest = head->lines;

	while (rest.n) {
		struct slice content, line = slice_cut(rest, '\n', &rest);

		if (slice_case_eq(slice_cut(line, ':', &content), name)) {
			*value = slice_trim(content);
			return true;
		}
	}
	return false;
}

/* ---- the whole head ---- */

/*
 * Walks over whole lines until the empty line or the line that begins with a hyphen (no header
 * does: names begin with a letter).  True: the head ends at p->line_at, *has_body is set.
 */
static bool skim(struct msrp_parser *p, struct slice in, bool *has_body)
{
	for (;;) {
		const char *line = in.p + p->line_at;
		size_t n = in.n - p->line_at;
		const char *lf = n ? memchr(line, '\n', n) : NULL;

		*has_body = n >= 2 && line[0] == '\r' && line[1] == '\n';
		if (*has_body || (n && line[0] == '-'))
			return true;
		if (!lf)
			return false;
		if (lf == line || lf[-1] != '\r') {
			lost(p, MSRP_REASON_LINE);
			return false;
		}
		p->line_at = (size_t)(lf + 1 - in.p);
	}
}

static void remember_end_line(struct msrp_parser *p, struct slice transaction_id)
{
	memcpy(p->end_line, "\r\n-------", CRLF_AND_HYPHENS);
	memcpy(p->end_line + CRLF_AND_HYPHENS, transaction_id.p, transaction_id.n);
	p->end_line_n = CRLF_AND_HYPHENS + transaction_id.n;
	p->transaction_id = slice_of(p->end_line + CRLF_AND_HYPHENS, transaction_id.n);
	p->avoid_n = 0;
	p->body_begun = false;
}

static enum msrp_event parse_head(struct msrp_parser *p, struct slice in, size_t *used)
{
	const struct slice magic = SLICE("MSRP ");
	/* One octet more than a head may have, to see what follows it. */
	struct slice window = in.n > p->limits.head_bytes ?
		slice_of(in.p, p->limits.head_bytes + 1) : in;
	bool too_long = in.n > p->limits.head_bytes, has_body, whole;
	const char *lf;
	size_t start_n, head_n;
	enum msrp_reason reason;

	if (memcmp(in.p, magic.p, in.n < magic.n ? in.n : magic.n) != 0)
		return lost(p, MSRP_REASON_NOT_MSRP);
	lf = memchr(window.p, '\n', window.n);
	if (!lf)
		return too_long ? lost(p, MSRP_REASON_HEAD_TOO_LONG) : MSRP_MORE;
	start_n = (size_t)(lf + 1 - in.p);
	if (lf[-1] != '\r' || memchr(in.p, '\r', start_n) != lf - 1 || memchr(in.p, '\0', start_n))
		return lost(p, MSRP_REASON_LINE);
	p->head = (struct msrp_head){ .is_request = false };
	reason = parse_start_line(slice_of(in.p, start_n - 2), &p->head);
	if (reason != MSRP_REASON_NONE)
		return lost(p, reason);

	if (p->line_at < start_n)
		p->line_at = start_n;
	whole = skim(p, window, &has_body);
	if (p->state == MSRP_LOST)
		return MSRP_BAD;
	head_n = p->line_at + (has_body ? 2 : 0);
	if (whole ? head_n > p->limits.head_bytes : too_long)
		return lost(p, MSRP_REASON_HEAD_TOO_LONG);
	if (!whole)
		return MSRP_MORE;
	reason = parse_headers(&p->head, slice_of(in.p + start_n, p->line_at - start_n));
	if (reason != MSRP_REASON_NONE)
		return lost(p, reason);
	p->head.has_body = has_body;
	remember_end_line(p, p->head.transaction_id);
	p->state = has_body ? MSRP_IN_BODY : MSRP_AT_END_LINE;
	p->line_at = 0;
	*used = head_n;
	return MSRP_HEAD;
}

/* ---- content ---- */

static bool is_flag(char c)
{
	return c == '$' || c == '+' || c == '#';
}

/*
 * How `s` compares with an end-line of this chunk, of which the first `skip` octets (its CRLF) are
 * not asked for: 0 different, 1 whole, -1 the same as far as it goes.
 */
static int match_end_line(const struct msrp_parser *p, struct slice s, size_t skip)
{
	size_t n = p->end_line_n - skip;

	if (memcmp(s.p, p->end_line + skip, s.n < n ? s.n : n) != 0)
		return 0;
	if (s.n <= n)
		return -1;
	if (!is_flag(s.p[n]) || (s.n > n + 1 && s.p[n + 1] != '\r') ||
		(s.n > n + 2 && s.p[n + 2] != '\n'))
		return 0;
	return s.n >= n + FLAG_AND_CRLF ? 1 : -1;
}

/* Takes the end-line at the front of `in`, known to be whole. */
static enum msrp_event take_end_line(struct msrp_parser *p, struct slice in, size_t skip,
	size_t *used)
{
	size_t n = p->end_line_n - skip;

	p->flag = in.p[n];
	p->state = MSRP_IN_HEAD;
	*used = n + FLAG_AND_CRLF;
	return MSRP_END;
}

struct found {
	enum { FOUND_NOTHING, FOUND_END_LINE, FOUND_AVOID } what;
	size_t content_n; /* octets of content before it */
	size_t skip;      /* of an end-line: 2 when its CRLF is that of the empty line */
};

/* A run of seven hyphens or more ends before in.p[end].  An id does not begin with a hyphen, so
 * only the last seven can belong to it. */
static bool look_at_run(const struct msrp_parser *p, struct slice in, size_t end,
	struct found *found)
{
	size_t at = end - HYPHENS, skip = at == 0 && !p->body_begun ? 2 : 0;
	size_t crlf = skip ? 0 : at - 2;

	if ((skip || at >= 2) && match_end_line(p, slice_skip(in, crlf), skip) == 1) {
		*found = (struct found){ FOUND_END_LINE, crlf, skip };
		return true;
	}
	if (p->avoid_n && in.n - at >= p->avoid_n && memcmp(in.p + at, p->avoid, p->avoid_n) == 0) {
		*found = (struct found){ FOUND_AVOID, at, 0 };
		return true;
	}
	return false;
}

/*
 * in.p[i] is no hyphen: where the seventh of the next run can be at the earliest.  memchr() is four
 * times as fast as steps of seven as long as hyphens are rare, and slower where they are not: after
 * NEAR_HYPHENS_MAX that were near, steps it is.
 */
static size_t next_seventh(struct slice in, size_t i, unsigned *near_hyphens)
{
	if (*near_hyphens == NEAR_HYPHENS_MAX)
		return i + HYPHENS;
	const char *next = memchr(in.p + i + 1, '-', in.n - i - 1);
	if (!next)
		return in.n;
	size_t seventh = (size_t)(next - in.p) + HYPHENS - 1;
	if (seventh - i < NEAR_OCTETS)
		++*near_hyphens;
	return seventh;
}

static struct found scan(const struct msrp_parser *p, struct slice in)
{
	struct found found = { FOUND_NOTHING, 0, 0 };
	unsigned near_hyphens = 0;

	for (size_t i = HYPHENS - 1; i < in.n;) {
		size_t first = i, end = i + 1;

		if (in.p[i] != '-') {
			i = next_seventh(in, i, &near_hyphens);
			continue;
		}
		while (first > 0 && in.p[first - 1] == '-')
			first--;
		while (end < in.n && in.p[end] == '-')
			end++;
		if (end - first >= HYPHENS && look_at_run(p, in, end, &found))
			return found;
		i = end + HYPHENS; /* in.p[end] is no hyphen */
	}
	return found;
}

/* How many octets at the end of `in` could be the beginning of an end-line of either kind. */
static size_t held_back(const struct msrp_parser *p, struct slice in)
{
	size_t at = in.n >= MSRP_END_LINE_MAX ? in.n - (MSRP_END_LINE_MAX - 1) : 0;

	if (at == 0 && !p->body_begun && match_end_line(p, in, 2) == -1)
		return in.n;
	for (; at < in.n; at++) {
		struct slice tail = slice_skip(in, at);

		if (tail.p[0] == '\r' && match_end_line(p, tail, 0) == -1)
			return tail.n;
		if (tail.p[0] == '-' && tail.n < p->avoid_n &&
			memcmp(tail.p, p->avoid, tail.n) == 0)
			return tail.n;
	}
	return 0;
}

static enum msrp_event parse_body(struct msrp_parser *p, struct slice in, size_t *used)
{
	struct found found = scan(p, in);

	switch (found.what) {
	case FOUND_END_LINE:
		if (found.content_n == 0)
			return take_end_line(p, in, found.skip, used);
		break;
	case FOUND_AVOID:
		p->avoid_found = true;
		p->avoid_n = 0;
		break;
	case FOUND_NOTHING:
		found.content_n = in.n - held_back(p, in);
		if (found.content_n == 0)
			return MSRP_MORE;
		break;
	}
	p->body = slice_of(in.p, found.content_n);
	p->body_begun = true;
	*used = found.content_n;
	return MSRP_BODY;
}

/* After headers without an empty line. */
static enum msrp_event parse_end_line(struct msrp_parser *p, struct slice in, size_t *used)
{
	switch (match_end_line(p, in, 2)) {
	case 1:
		return take_end_line(p, in, 2, used);
	case 0:
		return lost(p, MSRP_REASON_NO_END_LINE);
	default:
		return MSRP_MORE;
	}
}

enum msrp_event msrp_parse(struct msrp_parser *p, struct slice in, size_t *used)
{
	*used = 0;
	p->avoid_found = false;
	if (p->state == MSRP_LOST)
		return MSRP_BAD;
	if (in.n == 0)
		return MSRP_MORE;
	switch (p->state) {
	case MSRP_IN_HEAD:
		return parse_head(p, in, used);
	case MSRP_IN_BODY:
		return parse_body(p, in, used);
	case MSRP_AT_END_LINE:
		return parse_end_line(p, in, used);
	case MSRP_LOST:
		break;
	}
	return MSRP_BAD;
}
