/*
 * The start line and the headers of one MSRP chunk, of which the end has been found: see head.h.
 * Everything here runs once for each chunk that is switched, so each octet is looked at once.
 */
#include "msrp/head.h"

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

/* Tables, for each octet of each transaction id and of many names passes here.  RFC 4975 section 9. */
static const bool is_ident_char[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
	['.'] = true, ['-'] = true, ['+'] = true, ['%'] = true, ['='] = true,
};

static const bool is_name_char[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
	['-'] = true, ['.'] = true, ['!'] = true, ['%'] = true, ['*'] = true, ['_'] = true,
	['+'] = true, ['`'] = true, ['\''] = true, ['~'] = true,
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

enum msrp_reason msrp_head_parse_start_line(struct slice line, struct msrp_head *head)
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
		if ((name.p[0] | 0x20) == 'm')
			return slice_case_eq(name, SLICE("Message-ID")) ? SEEN_MESSAGE_ID : 0;
		return slice_case_eq(name, SLICE("Byte-Range")) ? SEEN_BYTE_RANGE : 0;
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
	unsigned char invisible = value.n == 0 || value.n > MSRP_MESSAGE_ID_MAX;

	for (size_t i = 0; i < value.n; i++) { /* to the end and without a branch: a loop over vectors */
		unsigned char is_low = value.p[i] <= ' ', is_high = value.p[i] >= 0x7f;
		invisible |= is_low | is_high;
	}
	head->has_message_id = !invisible;
	if (!invisible)
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
	bool good = name.n > 0 && is_alpha(name.p[0]);

	for (size_t i = 1; i < name.n; i++)
		good &= is_name_char[(unsigned char)name.p[i]];
	return good;
}

/* `line` comes with its CRLF. */
static enum msrp_reason parse_header(struct msrp_head *head, struct slice line, unsigned *seen)
{
	struct slice value, name = slice_cut(slice_of(line.p, line.n - 2), ':', &value);
	unsigned which = known_header(name);

	if (!value.p || (!which && !good_name(name)))
		return MSRP_REASON_HEADER;
	value = trim_blanks(value);
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

/* One line of that name and value at the front of *lines, which is moved behind it. */
static bool take_line(struct slice *lines, struct slice name, struct slice value, struct slice *line)
{
	size_t n = name.n + value.n + 2;
	const char *p = lines->p;

	if (lines->n < n || memcmp(p, name.p, name.n) != 0 || memcmp(p + name.n, value.p, value.n) != 0 ||
		p[n - 2] != '\r' || p[n - 1] != '\n')
		return false;
	*line = slice_of(p, n);
	*lines = slice_skip(*lines, n);
	return true;
}

size_t msrp_head_take_paths(struct slice lines, struct slice to_path, struct slice from_path, struct msrp_head *head)
{
	const struct slice to = SLICE("To-Path: "), from = SLICE("From-Path: ");
	struct slice rest = lines, to_line, from_line;

	if (!take_line(&rest, to, to_path, &to_line) || !take_line(&rest, from, from_path, &from_line))
		return 0;
	head->to_path_line = to_line;
	head->to_path = slice_of(to_line.p + to.n, to_path.n);
	head->from_path_line = from_line;
	head->from_path = slice_of(from_line.p + from.n, from_path.n);
	return to_line.n + from_line.n;
}

enum msrp_reason msrp_head_parse_lines(struct slice lines, size_t taken, struct msrp_head *head)
{
	unsigned seen = taken ? SEEN_TO_PATH | SEEN_FROM_PATH : 0;

	head->lines = lines;
	head->byte_range = MSRP_RANGE_DEFAULT;
	lines = slice_skip(lines, taken);
	if (lines.n && memchr(lines.p, '\0', lines.n))
		return MSRP_REASON_LINE;
	while (lines.n) {
		/* Every LF has a CR before it; a CR elsewhere ends here. */
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
