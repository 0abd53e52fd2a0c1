/*
 * MSRP chunk parser: see chunk.h.
 *
 * A head is skimmed line by line until its end is there (that place is kept between calls, so a
 * head that trickles in is not skimmed again and again) and then parsed in one go.  Content is
 * scanned for runs of seven hyphens, which an end-line of any transaction id begins with: looking
 * at every seventh octet finds each such run, whatever the content is made of.
 */
#include <assert.h>

#include "msrp/head.h"

enum { HYPHENS = 7, FLAG_AND_CRLF = 3, CRLF_AND_HYPHENS = 2 + HYPHENS };
enum { NEAR_OCTETS = 64, NEAR_HYPHENS_MAX = 16 }; /* see next_seventh() */

void msrp_parser_init(struct msrp_parser *p, const struct msrp_limits *limits)
{
	*p = (struct msrp_parser){ .limits = *limits, .state = MSRP_IN_HEAD };
}

void msrp_parser_usual(struct msrp_parser *p, struct slice to_path, struct slice from_path)
{
	p->usual_to = to_path;
	p->usual_from = from_path;
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
	size_t start_n, head_n, taken = 0;
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
	reason = msrp_head_parse_start_line(slice_of(in.p, start_n - 2), &p->head);
	if (reason != MSRP_REASON_NONE)
		return lost(p, reason);

	if (p->usual_to.n)
		taken = msrp_head_take_paths(slice_skip(window, start_n), p->usual_to, p->usual_from, &p->head);
	p->head.has_usual_paths = taken > 0;
	if (p->line_at < start_n + taken)
		p->line_at = start_n + taken;
	whole = skim(p, window, &has_body);
	if (p->state == MSRP_LOST)
		return MSRP_BAD;
	head_n = p->line_at + (has_body ? 2 : 0);
	if (whole ? head_n > p->limits.head_bytes : too_long)
		return lost(p, MSRP_REASON_HEAD_TOO_LONG);
	if (!whole)
		return MSRP_MORE;
	reason = msrp_head_parse_lines(slice_of(in.p + start_n, p->line_at - start_n), taken, &p->head);
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
