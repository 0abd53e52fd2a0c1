#include "actors/pager_content.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/uri_list.h"
#include "core/buffer.h"
#include "sip/header.h"
#include "sip/multipart.h"
#include "sip/write.h"

#define LINES_MAX 4096

/* What is left of a multipart: the parts kept, and the last one of them. */
struct left {
	unsigned count;
	struct slice headers;
	size_t at, n; /* its content, in what was written */
};

struct stripping {
	struct buffer out;
	bool is_list, is_malformed, has_cut;
};

static bool is_multipart(struct slice type)
{
	struct sip_content_type decoded;

	return sip_content_type_decode(type, &decoded) && slice_case_eq(decoded.type, SLICE("multipart"));
}

static bool is_left_out(const struct stripping *s, struct slice type, struct slice disposition)
{
	return uri_list_is_one(type, disposition) && (s->is_list || slice_trim(disposition).n);
}

/* All from `from` to `to`; what begins a multipart has no line end before its first delimiter. */
static void put(struct stripping *s, const char *from, const char *to, size_t begin)
{
	struct slice text = slice_of(from, (size_t)(to - from));

	if (s->out.n == begin && slice_starts(text, SLICE("\r\n")))
		text = slice_skip(text, 2);
	buffer_put(&s->out, text);
}

static struct left strip(struct stripping *s, struct slice type, struct slice body, unsigned depth)
{
	const char *done = body.p;
	size_t begin = s->out.n;
	struct left left = { 0 };
	enum sip_part_verdict verdict;
	struct sip_parts parts;
	struct sip_part part;

	s->is_malformed |= !sip_parts_begin(&parts, type, body);
	while (!s->is_malformed && (verdict = sip_parts_next(&parts, &part)) != SIP_PART_END) {
		s->is_malformed = verdict == SIP_PART_BAD;
		if (s->is_malformed)
			break;
		struct slice inner = sip_part_header(&part, "Content-Type");
		const char *end = part.whole.p + part.whole.n;
		size_t before = s->out.n, at = before;
		bool is_kept = !is_left_out(s, inner, sip_part_header(&part, "Content-Disposition"));
		if (is_kept) {
			put(s, done, part.content.p, begin);
			at = s->out.n;
			if (depth && is_multipart(inner))
				is_kept = strip(s, inner, part.content, depth - 1).count > 0;
			else
				buffer_put(&s->out, part.content);
		}
		if (is_kept)
			left = (struct left){ left.count + 1, part.headers, at, s->out.n - at };
		else
			s->out.n = before;
		s->has_cut |= !is_kept;
		done = end;
	}
	put(s, done, body.p + body.n, begin);
	return left;
}

/* ---- the header lines that describe it ---- */

static bool is_content_line(struct slice name)
{
	return slice_case_starts(name, SLICE("Content-")) && !slice_case_eq(name, SLICE("Content-Length")) && sip_is_token(name);
}

static void put_line(struct buffer *out, struct slice name, struct slice value)
{
	sip_write_text(out, name);
	buffer_lit(out, ": ");
	sip_write_text(out, slice_trim(value));
	buffer_lit(out, "\r\n");
}

static void lines_of_message(struct buffer *out, const struct sip_message *m)
{
	for (unsigned i = 0; i < m->header_count; i++) {
		const struct sip_header *header = &m->headers[i];
		struct slice name = header->id == SIP_HDR_OTHER ? header->name : slice_str(sip_header_name(header->id));
		if (is_content_line(name) || header->id == SIP_HDR_MIME_VERSION)
			put_line(out, name, header->value);
	}
}

/* Without a type it is text (RFC 2046 5.1). */
static void lines_of_part(struct buffer *out, struct slice headers)
{
	struct slice rest = headers, value;
	bool has_type = false;

	while (rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t')) {
			struct slice more = slice_cut(rest, '\n', &rest);
			line.n = (size_t)(more.p + more.n - line.p);
		}
		struct slice name = slice_trim(slice_cut(line, ':', &value));
		if (!value.p || !is_content_line(name))
			continue;
		has_type |= slice_case_eq(name, SLICE("Content-Type"));
		put_line(out, name, value);
	}
	if (!has_type)
		buffer_lit(out, "Content-Type: text/plain\r\n");
}

/* ---- together ---- */

static struct slice type_in(struct slice lines)
{
	struct sip_part as_part = { .headers = lines };

	return sip_part_header(&as_part, "Content-Type");
}

static struct pager_content *make(struct slice lines, struct slice body)
{
	struct pager_content *content = malloc(sizeof(*content) + lines.n + body.n);
	char *text = (char *)(content + 1);

	if (!content)
		return NULL;
	if (lines.n)
		memcpy(text, lines.p, lines.n);
	if (body.n)
		memcpy(text + lines.n, body.p, body.n);
	*content = (struct pager_content){ .holders = 1, .lines = slice_of(text, lines.n),
		.body = slice_of(text + lines.n, body.n) };
	content->type = type_in(content->lines);
	return content;
}

static enum pager_content_verdict make_of(struct pager_content **out, struct buffer *lines, struct slice body)
{
	if (lines->overflow)
		return PAGER_CONTENT_MALFORMED;
	*out = make(buffer_slice(lines), body);
	return *out ? PAGER_CONTENT_OK : PAGER_CONTENT_NO_MEMORY;
}

static enum pager_content_verdict make_stripped(struct pager_content **out, const struct sip_message *m, bool is_list,
	unsigned mime_depth)
{
	struct slice type = sip_header_value(m, SIP_HDR_CONTENT_TYPE);
	enum pager_content_verdict verdict;
	char text[LINES_MAX], *room = malloc(m->body.n);
	struct buffer lines = buffer_over(text, sizeof(text));
	struct stripping s = { .out = buffer_over(room, m->body.n), .is_list = is_list };

	if (!room)
		return PAGER_CONTENT_NO_MEMORY;
	struct left left = strip(&s, type, m->body, mime_depth - 1);
	assert(!s.out.overflow); /* it is never longer than what came */
	if (s.is_malformed) {
		verdict = PAGER_CONTENT_MALFORMED;
	} else if (left.count == 0) {
		verdict = PAGER_CONTENT_NONE;
	} else if (left.count == 1 && s.has_cut) {
		lines_of_part(&lines, left.headers);
		verdict = make_of(out, &lines, slice_of(room + left.at, left.n));
	} else {
		lines_of_message(&lines, m);
		verdict = make_of(out, &lines, s.has_cut ? buffer_slice(&s.out) : m->body);
	}
	free(room);
	return verdict;
}

enum pager_content_verdict pager_content_make(struct pager_content **out, const struct sip_message *m, bool is_list,
	unsigned mime_depth)
{
	struct slice type = sip_header_value(m, SIP_HDR_CONTENT_TYPE);
	struct stripping s = { .is_list = is_list };
	char text[LINES_MAX];
	struct buffer lines = buffer_over(text, sizeof(text));

	if (m->body.n && is_left_out(&s, type, sip_header_value(m, SIP_HDR_CONTENT_DISPOSITION)))
		return PAGER_CONTENT_NONE;
	/* what nobody needs to take apart need not be a good multipart */
	if (m->body.n && is_multipart(type) && mime_depth) {
		enum pager_content_verdict verdict = make_stripped(out, m, is_list, mime_depth);
		if (verdict != PAGER_CONTENT_MALFORMED || is_list)
			return verdict;
	}
	if (m->body.n)
		lines_of_message(&lines, m);
	return make_of(out, &lines, m->body);
}

struct pager_content *pager_content_hold(struct pager_content *content)
{
	content->holders++;
	return content;
}

void pager_content_drop(struct pager_content *content)
{
	if (content && --content->holders == 0)
		free(content);
}
