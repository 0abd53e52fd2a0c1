#include "load-tests/msrp_wire.h"

static enum wire_event bad(struct wire_parser *p, const char *why)
{
	p->bad = why;
	return WIRE_BAD;
}

/* "MSRP tid SEND" or "MSRP tid 200 ..." */
static bool start_line(struct wire_parser *p, struct slice line)
{
	struct slice rest;

	if (!slice_starts(line, SLICE("MSRP ")))
		return false;
	p->tid = slice_cut(slice_skip(line, 5), ' ', &rest);
	if (p->tid.n < 4 || p->tid.n > WIRE_TID_MAX)
		return false;
	memcpy(p->end_line, "\r\n-------", 9);
	memcpy(p->end_line + 9, p->tid.p, p->tid.n);
	p->end_line_n = (uint8_t)(9 + p->tid.n);
	p->status = 0;
	if (slice_eq(rest, SLICE("SEND")))
		return true;
	uint64_t status;
	if (rest.n < 3 || !slice_u64(slice_of(rest.p, 3), 999, &status) || status < 100)
		return false;
	p->status = (uint16_t)status;
	return true;
}

/* "start-end/total"; the end is not needed, the end-line says where it is. */
static bool byte_range(struct wire_parser *p, struct slice value)
{
	struct slice rest, total;

	if (!slice_u64(slice_cut(value, '-', &rest), UINT32_MAX, &p->range_start) ||
	    p->range_start == 0)
		return false;
	(void)slice_cut(rest, '/', &total);
	p->range_total = 0;
	return slice_eq(total, SLICE("*")) || slice_u64(total, UINT32_MAX, &p->range_total);
}

static bool header(struct wire_parser *p, struct slice line)
{
	switch (line.p[0]) {
	case 'T':
		if (slice_starts(line, SLICE("To-Path: ")))
			p->to_path = slice_skip(line, 9);
		break;
	case 'F':
		if (slice_starts(line, SLICE("From-Path: ")))
			p->from_path = slice_skip(line, 11);
		else if (slice_eq(line, SLICE("Failure-Report: no")))
			p->wants_no_answer = true;
		break;
	case 'M':
		if (slice_starts(line, SLICE("Message-ID: ")))
			p->message_id = slice_skip(line, 12);
		break;
	case 'B':
		if (slice_starts(line, SLICE("Byte-Range: ")))
			return byte_range(p, slice_skip(line, 12));
		break;
	case 'C':
		if (slice_starts(line, SLICE("Content-Type: ")))
			p->content_type = slice_skip(line, 14);
		break;
	default: /* headers that nothing here depends on */
		break;
	}
	return true;
}

/* An end-line where a header could stand ends a message without content. */
static bool is_end_line(struct wire_parser *p, struct slice line)
{
	size_t n = p->end_line_n - 2u;

	if (line.n != n + 1 || memcmp(line.p, p->end_line + 2, n) != 0 || !strchr("$+#", line.p[n]))
		return false;
	p->flag = line.p[n];
	return true;
}

static enum wire_event next_head(struct wire_parser *p, struct slice *in)
{
	struct slice left = *in;
	bool first = true;

	p->to_path = p->from_path = p->message_id = p->content_type = SLICE_EMPTY;
	p->range_start = 1;
	p->range_total = 0;
	p->wants_no_answer = false;
	for (;;) {
		const char *end = left.n ? memchr(left.p, '\n', left.n) : NULL;
		if (!end)
			return in->n > WIRE_HEAD_MAX ? bad(p, "head too long") : WIRE_MORE;
		struct slice line = slice_of(left.p, (size_t)(end - left.p));
		left = slice_skip(left, line.n + 1);
		if (line.n == 0 || line.p[line.n - 1] != '\r')
			return bad(p, "line without CR");
		line.n--;
		if (first) {
			if (!start_line(p, line))
				return bad(p, "start line");
			first = false;
		} else if (line.n == 0) {
			if (p->status)
				return bad(p, "response with content");
			*in = left;
			p->in_body = p->has_body = true;
			return WIRE_SEND;
		} else if (line.p[0] == '-' && is_end_line(p, line)) {
			*in = left;
			p->has_body = false;
			return p->status ? WIRE_RESPONSE : WIRE_SEND;
		} else if (!header(p, line)) {
			return bad(p, "Byte-Range");
		}
	}
}

static enum wire_event give_body(struct wire_parser *p, struct slice *in, size_t n)
{
	p->body = slice_of(in->p, n);
	*in = slice_skip(*in, n);
	return WIRE_BODY;
}

/* Our content has no CR, so the search usually stops at the end-line alone. */
static enum wire_event next_body(struct wire_parser *p, struct slice *in)
{
	const char *cr = in->n ? memchr(in->p, '\r', in->n) : NULL;
	size_t before = cr ? (size_t)(cr - in->p) : in->n, fixed = p->end_line_n, whole = fixed + 3;

	if (before)
		return give_body(p, in, before);
	if (in->n < whole)
		return memcmp(in->p, p->end_line, in->n < fixed ? in->n : fixed)
			       ? give_body(p, in, 1)
			       : WIRE_MORE;
	if (memcmp(in->p, p->end_line, fixed) != 0 || !strchr("$+#", in->p[fixed]) ||
	    memcmp(in->p + fixed + 1, "\r\n", 2) != 0)
		return give_body(p, in, 1);
	p->flag = in->p[fixed];
	p->in_body = false;
	*in = slice_skip(*in, whole);
	return WIRE_END;
}

enum wire_event wire_next(struct wire_parser *p, struct slice *in)
{
	if (in->n == 0)
		return WIRE_MORE;
	return p->in_body ? next_body(p, in) : next_head(p, in);
}
