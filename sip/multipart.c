#include "sip/multipart.h"

#include "sip/header.h"

/* ---- delimiters ---- */

/* A line that is a delimiter: where it starts, with the line end before it, and what follows it. */
struct delimiter {
	const char *start, *behind;
	bool closes;
};

/* RFC 2046 5.1.1: blanks may pad the line.  Another boundary may begin with this one: not ours. */
static bool is_delimiter(struct slice text, const char *at, struct slice boundary, struct delimiter *found)
{
	struct slice line = slice_skip(text, (size_t)(at - text.p)), rest;

	if (!slice_starts(line, SLICE("--")) || !slice_starts(slice_skip(line, 2), boundary))
		return false;
	rest = slice_skip(line, 2 + boundary.n);
	found->closes = slice_starts(rest, SLICE("--"));
	if (found->closes)
		rest = slice_skip(rest, 2);
	while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
		rest = slice_skip(rest, 1);
	if (rest.n && rest.p[0] == '\r')
		rest = slice_skip(rest, 1);
	if (rest.n && rest.p[0] != '\n')
		return false;
	if (!rest.n && !found->closes)
		return false;
	found->behind = rest.n ? rest.p + 1 : rest.p;
	found->start = at;
	if (found->start > text.p)
		found->start--;
	if (found->start > text.p && found->start[-1] == '\r')
		found->start--;
	return true;
}

static bool next_delimiter(struct slice text, struct slice boundary, struct delimiter *found)
{
	const char *at = text.p, *end = text.p + text.n;

	while (at < end) {
		if (is_delimiter(text, at, boundary, found))
			return true;
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		if (!lf)
			return false;
		at = lf + 1;
	}
	return false;
}

/* ---- parts ---- */

bool sip_parts_begin(struct sip_parts *parts, struct slice content_type, struct slice body)
{
	struct sip_content_type type;
	struct delimiter first;
	struct slice boundary;

	*parts = (struct sip_parts){ SLICE_EMPTY, SLICE_EMPTY };
	if (!sip_content_type_decode(content_type, &type) || !slice_case_eq(type.type, SLICE("multipart")) ||
	    !sip_param_find(type.params, "boundary", &boundary))
		return false;
	parts->boundary = sip_unquote(boundary);
	if (parts->boundary.n == 0 || parts->boundary.n > SIP_BOUNDARY_MAX ||
	    !next_delimiter(body, parts->boundary, &first))
		return false;
	if (!first.closes)
		parts->rest = slice_of(first.behind, (size_t)(body.p + body.n - first.behind));
	return true;
}

/* Headers end at the first empty line; a part may begin with that line and have none (RFC 2046 5.1). */
static bool split_headers(struct sip_part *part)
{
	struct slice rest = part->whole;

	while (rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n)
			continue;
		part->headers = slice_of(part->whole.p, (size_t)(line.p - part->whole.p));
		part->content = rest.p ? rest : slice_of(part->whole.p + part->whole.n, 0);
		return true;
	}
	return false;
}

enum sip_part_verdict sip_parts_next(struct sip_parts *parts, struct sip_part *part)
{
	struct delimiter next;

	if (!parts->rest.p)
		return SIP_PART_END;
	if (!next_delimiter(parts->rest, parts->boundary, &next))
		return SIP_PART_BAD;
	part->whole = slice_of(parts->rest.p, (size_t)(next.start - parts->rest.p));
	parts->rest = next.closes ? SLICE_EMPTY :
				    slice_of(next.behind, (size_t)(parts->rest.p + parts->rest.n - next.behind));
	return split_headers(part) ? SIP_PART_OK : SIP_PART_BAD;
}

static bool is_fold(struct slice rest)
{
	return rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t');
}

struct slice sip_part_header(const struct sip_part *part, const char *name)
{
	struct slice rest = part->headers, value;

	while (rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		while (is_fold(rest)) {
			struct slice more = slice_cut(rest, '\n', &rest);
			line.n = (size_t)(more.p + more.n - line.p);
		}
		if (slice_case_eq(slice_trim(slice_cut(line, ':', &value)), slice_str(name)) && value.p)
			return slice_trim(value);
	}
	return SLICE_EMPTY;
}
