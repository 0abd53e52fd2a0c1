#include "sip/trace_lines.h"

#include <time.h>

#include "sip/header.h"
#include "sip/layer.h"

static void put_time(struct buffer *out, struct worker *worker)
{
	uint64_t us = worker->ring->ops->wall_us(worker->ring);
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	gmtime_r(&s, &tm);
	buffer_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(us % 1000000));
}

/* Is the octet there within a character of UTF-8 that began with no C2? */
static bool is_inside(struct slice text, size_t at)
{
	for (size_t back = 1; back <= 3 && back <= at; back++) {
		unsigned char c = (unsigned char)text.p[at - back];
		if ((c & 0xc0) != 0x80)
			return c > 0xc2 && back < (c < 0xe0 ? 2u : c < 0xf0 ? 3u : 4u);
	}
	return false;
}

/* ISO 6429: 80 to 9F too, which terminals obey alone (8-bit) and as U+0080 to U+009F (C2 80 to C2 9F). */
static bool is_control(struct slice text, size_t at)
{
	unsigned char c = (unsigned char)text.p[at];

	if (c < ' ' || c == 0x7f)
		return true;
	return (c & 0xe0) == 0x80 && !is_inside(text, at);
}

/* A peer's octets on somebody's terminal: nothing of them may end the line or move the cursor. */
static void put_clean(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		buffer_char(out, is_control(text, i) ? ' ' : text.p[i]);
}

static void put_start_line(struct buffer *out, const struct sip_message *m)
{
	if (m->is_request) {
		put_clean(out, m->method_name);
		buffer_char(out, ' ');
		put_clean(out, m->uri);
	} else {
		buffer_printf(out, "%u ", m->status);
		put_clean(out, m->reason);
	}
}

static void put_headers(struct buffer *out, const struct sip_message *m)
{
	for (unsigned i = 0; i < m->header_count; i++) {
		const struct sip_header *h = &m->headers[i];
		buffer_char(out, '\t');
		put_clean(out, h->name);
		buffer_lit(out, ": ");
		/* whoever reads a response to a challenge can try passwords at home */
		if (h->id == SIP_HDR_AUTHORIZATION || h->id == SIP_HDR_PROXY_AUTHORIZATION)
			buffer_lit(out, "(left out)");
		else
			put_clean(out, h->value);
		buffer_char(out, '\n');
	}
}

static void put_body(struct buffer *out, const struct sip_message *m)
{
	struct slice rest = m->body, line;

	if (m->body.n == 0)
		return;
	if (!sip_content_type_is(sip_header_value(m, SIP_HDR_CONTENT_TYPE), "application/sdp")) {
		buffer_printf(out, "\t(%zu octets of content)\n", m->body.n);
		return;
	}
	while (rest.n) {
		line = slice_trim(slice_cut(rest, '\n', &rest));
		buffer_lit(out, "\t| ");
		put_clean(out, line);
		buffer_char(out, '\n');
	}
}

void sip_trace_write_message(struct buffer *out, struct worker *worker, enum sip_trace_way way,
	const struct sip_flow *flow, const struct sip_message *m)
{
	char host_text[INET6_ADDRSTRLEN];
	struct slice host;
	uint16_t port;

	sip_flow_source(flow, host_text, sizeof(host_text), &host, &port);
	put_time(out, worker);
	buffer_printf(out, " %s %s ", way == SIP_TRACE_IN ? "in" : "out",
		flow->protocol == SIP_UDP ? "udp" : flow->protocol == SIP_TCP ? "tcp" : "tls");
	buffer_printf(out, memchr(host.p, ':', host.n) ? "[%.*s]:%u " : "%.*s:%u ", SLICE_ARG(host), port);
	put_start_line(out, m);
	buffer_char(out, '\n');
	put_headers(out, m);
	put_body(out, m);
	buffer_char(out, '\n'); /* whoever reads on sees that it is whole, and what a person reads is in paragraphs */
}

void sip_trace_write_refusal(struct buffer *out, struct worker *worker, const struct sip_trace_refusal *refusal)
{
	put_time(out, worker);
	buffer_printf(out, " refused method=%s status=%u reason=%s why=\"%s\" call_id=", refusal->method,
		refusal->status, reason_label(refusal->why), reason_text(refusal->why));
	put_clean(out, slice_of(refusal->call_id.p, refusal->call_id.n < 200 ? refusal->call_id.n : 200));
	buffer_char(out, '\n');
}
