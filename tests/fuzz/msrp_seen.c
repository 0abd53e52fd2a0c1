/* A chunk as the other side sees it: see msrp_seen.h. */
#include "tests/fuzz/msrp_seen.h"

#include <stdio.h>

static bool is_one_of(char c, const char *more)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(more, c));
}

static bool are_all(struct slice s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_one_of(s.p[i], more))
			return false;
	}
	return s.n > 0;
}

/* A line without its CRLF; false: it has no end yet. */
static bool cut_line(struct slice *in, struct slice *line)
{
	const char *at = in->n ? memmem(in->p, in->n, "\r\n", 2) : NULL;

	if (!at)
		return false;
	*line = slice_of(in->p, (size_t)(at - in->p));
	*in = slice_skip(*in, line->n + 2);
	return true;
}

bool seen_next_line(struct slice *lines, struct slice *line, struct slice *name, struct slice *value)
{
	if (!cut_line(lines, line))
		return false;
	*name = slice_cut(*line, ':', value);
	*value = slice_trim(*value);
	return true;
}

bool seen_range(struct slice text, uint64_t *start, uint64_t *end, uint64_t *total)
{
	struct slice last, all, first = slice_cut(text, '-', &last);

	last = slice_cut(last, '/', &all);
	*end = *total = UINT64_MAX;
	return slice_u64(first, INT64_MAX, start) && (slice_eq(last, SLICE("*")) || slice_u64(last, INT64_MAX, end)) &&
	       (slice_eq(all, SLICE("*")) || slice_u64(all, INT64_MAX, total));
}

static bool read_start(struct slice line, struct seen *out)
{
	struct slice rest, purpose;
	uint64_t status;

	if (!slice_starts(line, SLICE("MSRP ")))
		return false;
	out->id = slice_cut(slice_skip(line, 5), ' ', &rest);
	if (out->id.n < 4 || out->id.n > 32 || !are_all(out->id, ".-+%=") || !is_one_of(out->id.p[0], ""))
		return false;
	purpose = slice_cut(rest, ' ', NULL);
	if (purpose.n == 3 && slice_u64(purpose, 999, &status) && status >= 100) {
		out->status = (unsigned)status;
		return true;
	}
	out->method = rest;
	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] < 'A' || rest.p[i] > 'Z')
			return false;
	}
	return rest.n > 0;
}

static void keep(struct seen *out, struct slice *where, struct slice value)
{
	out->has_repeated |= where->p != NULL;
	*where = value;
}

static bool read_header(struct slice line, struct seen *out)
{
	struct slice value, name = slice_cut(line, ':', &value);
	uint64_t number;

	if (!value.p || !are_all(name, "-.!%*_+`'~") || memchr(line.p, '\r', line.n) || memchr(line.p, '\n', line.n) ||
		memchr(line.p, 0, line.n))
		return false;
	value = slice_trim(value);
	if (slice_case_eq(name, SLICE("To-Path")))
		keep(out, &out->to_path, value);
	else if (slice_case_eq(name, SLICE("From-Path")))
		keep(out, &out->from_path, value);
	else if (slice_case_eq(name, SLICE("Message-ID")))
		keep(out, &out->message_id, value);
	else if (slice_case_eq(name, SLICE("Byte-Range")))
		keep(out, &out->range, value);
	else if (slice_case_eq(name, SLICE("Failure-Report")))
		keep(out, &out->failure_report, value);
	else if (slice_case_eq(name, SLICE("Content-Type")))
		keep(out, &out->content_type, value);
	else if (slice_eq(name, SLICE("X-N"))) {
		out->has_repeated |= out->number != SEEN_NO_NUMBER;
		out->number = slice_u64(value, 10000, &number) ? (int)number : SEEN_NO_NUMBER;
	}
	return true;
}

static bool is_flag(char c)
{
	return c == '$' || c == '+' || c == '#';
}

/* Where the end-line begins that is behind `in`, which begins with the CRLF before any content. */
static const char *find_end(struct slice in, struct slice id)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "\r\n-------%.*s", SLICE_ARG(id));

	for (;;) {
		const char *at = in.n ? memmem(in.p, in.n, line, (size_t)n) : NULL;
		if (!at)
			return NULL;
		struct slice rest = slice_skip(in, (size_t)(at - in.p) + (size_t)n);
		if ((rest.n < 1 || is_flag(rest.p[0])) && (rest.n < 2 || rest.p[1] == '\r') &&
			(rest.n < 3 || rest.p[2] == '\n'))
			return at; /* or it may become one */
		in = slice_skip(in, (size_t)(at - in.p) + 1);
	}
}

static enum seen_verdict whole(struct slice in, const char *end_line, struct seen *out)
{
	size_t n = (size_t)(end_line - in.p) + 7 + out->id.n + 3;

	if (in.n < n)
		return SEEN_PARTIAL;
	out->flag = in.p[n - 3];
	out->n = n;
	return SEEN_WHOLE;
}

/* Without what may become an end-line. */
static struct slice sure_of(struct slice body, struct slice id)
{
	char line[64];
	size_t n = (size_t)snprintf(line, sizeof(line), "\r\n-------%.*s", SLICE_ARG(id));

	for (size_t i = n < body.n ? n : body.n; i > 0; i--) {
		if (memcmp(body.p + body.n - i, line, i) == 0)
			return slice_of(body.p, body.n - i);
	}
	return body;
}

static enum seen_verdict read_body(struct slice in, struct slice rest, struct seen *out)
{
	/* the CRLF of the empty line may be that of the end-line */
	const char *at = find_end(slice_of(rest.p - 2, rest.n + 2), out->id);

	out->has_body = true;
	if (!at) {
		out->body = sure_of(rest, out->id);
		return SEEN_PARTIAL;
	}
	out->body = at > rest.p ? slice_of(rest.p, (size_t)(at - rest.p)) : SLICE_EMPTY;
	return whole(in, at + 2, out);
}

enum seen_verdict seen_read(struct slice in, struct seen *out)
{
	const struct slice magic = SLICE("MSRP ");
	struct slice rest = in, line;
	char end_line[48];

	*out = (struct seen){ .number = SEEN_NO_NUMBER };
	if (memcmp(in.p, magic.p, in.n < magic.n ? in.n : magic.n) != 0)
		return SEEN_BAD;
	if (!cut_line(&rest, &line))
		return SEEN_PARTIAL;
	if (memchr(line.p, '\n', line.n) || memchr(line.p, '\r', line.n) || memchr(line.p, 0, line.n) ||
		!read_start(line, out))
		return SEEN_BAD;
	out->lines = rest;
	while (rest.n && rest.p[0] != '-') {
		const char *begin = rest.p;
		if (!cut_line(&rest, &line))
			return SEEN_PARTIAL;
		if (line.n == 0) {
			out->lines.n = (size_t)(begin - out->lines.p);
			out->has_head = true;
			return read_body(in, rest, out);
		}
		if (!read_header(line, out))
			return SEEN_BAD;
	}
	if (!rest.n)
		return SEEN_PARTIAL;
	out->lines.n = (size_t)(rest.p - out->lines.p);
	out->has_head = true;
	int n = snprintf(end_line, sizeof(end_line), "-------%.*s", SLICE_ARG(out->id));
	if (memcmp(rest.p, end_line, rest.n < (size_t)n ? rest.n : (size_t)n) != 0)
		return SEEN_BAD;
	if (rest.n < (size_t)n + 3)
		return SEEN_PARTIAL;
	if (!is_flag(rest.p[n]) || rest.p[n + 1] != '\r' || rest.p[n + 2] != '\n')
		return SEEN_BAD;
	return whole(in, rest.p, out);
}
