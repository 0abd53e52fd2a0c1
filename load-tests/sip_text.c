#include "load-tests/sip_text.h"

/* The position after the blank line, or 0. */
static size_t head_end(struct slice in)
{
	const char *blank = in.n >= 4 ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;

	return blank ? (size_t)(blank - in.p) + 4 : 0;
}

/* Start line and headers of head[0..n); false when a line is none. */
static bool parse_head(struct sip_text *m, struct slice head)
{
	struct slice rest, version, line = slice_trim(slice_cut(head, '\n', &head));

	*m = (struct sip_text){ .headers_n = 0 };
	if (slice_starts(line, SLICE("SIP/2.0 "))) {
		uint64_t status;
		if (!slice_u64(slice_cut(slice_skip(line, 8), ' ', NULL), 699, &status) ||
		    status < 100)
			return false;
		m->status = (unsigned)status;
	} else {
		m->method = slice_cut(line, ' ', &rest);
		m->uri = slice_cut(rest, ' ', &version);
		if (!slice_eq(version, SLICE("SIP/2.0")))
			return false;
	}
	while (head.n) {
		line = slice_trim(slice_cut(head, '\n', &head));
		if (line.n == 0)
			break;
		struct slice name = slice_trim(slice_cut(line, ':', &rest));
		if (!rest.p || m->headers_n == SIP_TEXT_HEADERS_MAX)
			return false;
		m->names[m->headers_n] = name;
		m->values[m->headers_n++] = slice_trim(rest);
	}
	return true;
}

size_t sip_text_frame(struct slice in)
{
	struct sip_text m;
	uint64_t length = 0;
	size_t end = head_end(in);

	if (!end)
		return in.n >= SIP_TEXT_MAX ? SIZE_MAX : 0;
	struct slice value;
	if (!parse_head(&m, slice_of(in.p, end)) ||
	    !(value = sip_text_header(&m, "Content-Length", 'l', 0)).n ||
	    !slice_u64(value, SIP_TEXT_MAX, &length))
		return SIZE_MAX;
	return in.n - end >= length ? end + length : end + length > SIP_TEXT_MAX ? SIZE_MAX : 0;
}

bool sip_text_parse(struct sip_text *m, struct slice in)
{
	size_t end = head_end(in);
	uint64_t length;

	if (!end || !parse_head(m, slice_of(in.p, end)))
		return false;
	m->body = slice_skip(in, end);
	if (slice_u64(sip_text_header(m, "Content-Length", 'l', 0), m->body.n, &length))
		m->body.n = length;
	return sip_text_header(m, "Call-ID", 'i', 0).n && sip_text_header(m, "CSeq", 0, 0).n;
}

struct slice sip_text_header(const struct sip_text *m, const char *name, char compact, unsigned n)
{
	struct slice want = slice_str(name), letter = slice_of(&compact, compact ? 1 : 0);

	for (unsigned i = 0; i < m->headers_n; i++)
		if (slice_case_eq(m->names[i], want) ||
		    (compact && slice_case_eq(m->names[i], letter)))
			if (n-- == 0)
				return m->values[i];
	return SLICE_EMPTY;
}

struct slice sip_text_uri(struct slice value)
{
	struct slice rest;

	(void)slice_cut(value, '<', &rest);
	return rest.p ? slice_cut(rest, '>', NULL) : slice_trim(slice_cut(value, ';', NULL));
}

struct slice sip_text_tag(struct slice value)
{
	struct slice rest, parameter;

	(void)slice_cut(value, '>',
			&rest); /* what stands in brackets may have parameters of its own */
	if (!rest.p)
		rest = value;
	while (rest.p) {
		parameter = slice_trim(slice_cut(rest, ';', &rest));
		if (slice_case_starts(parameter, SLICE("tag=")))
			return slice_skip(parameter, 4);
	}
	return SLICE_EMPTY;
}

uint32_t sip_text_cseq(const struct sip_text *m)
{
	uint64_t cseq;

	return slice_u64(slice_cut(sip_text_header(m, "CSeq", 0, 0), ' ', NULL), UINT32_MAX, &cseq) ? (uint32_t)cseq : 0;
}

long sip_text_retry_after(const struct sip_text *m)
{
	struct slice value = sip_text_header(m, "Retry-After", 0, 0);
	uint64_t seconds;
	size_t n = 0;

	while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9') /* a comment or parameters may follow */
		n++;
	return slice_u64(slice_of(value.p, n), UINT32_MAX, &seconds) && n ? (long)seconds : -1;
}

struct slice sip_text_sdp(struct slice sdp, const char *prefix)
{
	struct slice want = slice_str(prefix);

	while (sdp.n) {
		struct slice line = slice_trim(slice_cut(sdp, '\n', &sdp));
		if (slice_starts(line, want))
			return slice_skip(line, want.n);
	}
	return SLICE_EMPTY;
}

static void copy_all(struct buffer *b, const struct sip_text *request, const char *name,
		     char compact)
{
	struct slice value;

	for (unsigned i = 0; (value = sip_text_header(request, name, compact, i)).n; i++)
		buffer_printf(b, "%s: %.*s\r\n", name, SLICE_ARG(value));
}

void sip_text_response(struct buffer *b, const struct sip_text *request, const char *status,
		       struct slice tag)
{
	struct slice to = sip_text_header(request, "To", 't', 0);

	buffer_printf(b, "SIP/2.0 %s\r\n", status);
	copy_all(b, request, "Via", 'v');
	copy_all(b, request, "Record-Route", 0);
	copy_all(b, request, "From", 'f');
	buffer_printf(b, "To: %.*s", SLICE_ARG(to));
	if (!sip_text_tag(to).n)
		buffer_printf(b, ";tag=%.*s", SLICE_ARG(tag));
	buffer_lit(b, "\r\n");
	copy_all(b, request, "Call-ID", 'i');
	copy_all(b, request, "CSeq", 0);
}
