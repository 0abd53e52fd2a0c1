#include "load-tests/stored_message.h"

#define BOUNDARY_MAX 70 /* RFC 2046 5.1.1 */

static struct slice unquoted(struct slice value)
{
	if (value.n < 2 || value.p[0] != '"' || value.p[value.n - 1] != '"')
		return value;
	return slice_of(value.p + 1, value.n - 2);
}

/* Of multipart/mixed, as it stands after the equals sign; no boundary has a semicolon.  Empty: it is none. */
static struct slice boundary_of(struct slice type)
{
	struct slice rest, value;

	if (!slice_case_eq(slice_trim(slice_cut(type, ';', &rest)), SLICE("multipart/mixed")))
		return SLICE_EMPTY;
	while (rest.p) {
		struct slice name = slice_trim(slice_cut(slice_cut(rest, ';', &rest), '=', &value));
		if (slice_case_eq(name, SLICE("boundary")))
			return unquoted(slice_trim(value));
	}
	return SLICE_EMPTY;
}

/* The octets before `text`; *rest: behind it, or rest->p is NULL. */
static struct slice cut_at(struct slice in, struct slice text, struct slice *rest)
{
	const char *at = in.n ? memmem(in.p, in.n, text.p, text.n) : NULL;

	*rest = at ? slice_skip(in, (size_t)(at - in.p) + text.n) : SLICE_EMPTY;
	return at ? slice_of(in.p, (size_t)(at - in.p)) : in;
}

/* The Content-Type of a part, without parameters.  `head` begins with the end of the delimiter's line. */
static struct slice part_type(struct slice head)
{
	while (head.n) {
		struct slice value, line = slice_trim(slice_cut(head, '\n', &head));
		if (slice_case_eq(slice_trim(slice_cut(line, ':', &value)), SLICE("Content-Type")))
			return slice_trim(slice_cut(value, ';', NULL));
	}
	return SLICE_EMPTY;
}

/* Of the one part; NULL, or what is wrong. */
static const char *only_part(struct slice boundary, struct slice content, struct slice *type, struct slice *part)
{
	char text[4 + BOUNDARY_MAX];
	struct buffer b = buffer_over(text, sizeof(text));
	struct slice rest, after;

	buffer_lit(&b, "\r\n--");
	buffer_put(&b, boundary);
	if (!boundary.n || b.overflow)
		return "multipart/mixed without a boundary";
	struct slice delimiter = buffer_slice(&b), first = slice_skip(delimiter, 2);
	if (slice_starts(content, first))
		rest = slice_skip(content, first.n);
	else
		(void)cut_at(content, delimiter, &rest); /* what stands before it is a preamble */
	bool is_line = slice_starts(rest, SLICE("\r\n"));
	struct slice head = cut_at(rest, SLICE("\r\n\r\n"), &after);
	if (!after.p || !is_line)
		return "multipart/mixed without a part";
	*type = part_type(head);
	*part = cut_at(after, delimiter, &rest);
	if (!rest.p)
		return "multipart/mixed without an end";
	return slice_starts(rest, SLICE("--")) ? NULL : "multipart/mixed of several parts";
}

const char *stored_message_parse(struct slice type, struct slice content, struct sip_text *m)
{
	struct slice inner_type, part, boundary = boundary_of(type);

	if (!boundary.n)
		return "content that is not multipart/mixed with a boundary";
	const char *wrong = only_part(boundary, content, &inner_type, &part);
	if (wrong)
		return wrong;
	if (!slice_case_eq(inner_type, SLICE("message/sip")) && !slice_case_eq(inner_type, SLICE("message/sipfrag")))
		return "a part that is neither message/sip nor message/sipfrag";
	if (!sip_text_parse(m, part) || !slice_eq(m->method, SLICE("MESSAGE")))
		return "a part that is no MESSAGE";
	if (m->body.p + m->body.n != part.p + part.n)
		return "a MESSAGE whose part goes on after its Content-Length";
	return NULL;
}
