/*
 * Refusing at a glance: under overload most of what comes by a stream is refused, and what that takes is missing for
 * the rest.  So such a request is not parsed: its head is walked once, line by line, for the end of the message and
 * for what the response repeats (RFC 3261 8.2.6), which is copied as it stands.
 *
 * Anything that is not plain - a header over two lines, twice where it may stand once, a quoted name in To, a To with
 * parameters, octets that do not belong into a head, a message that is not whole - is not for this file: it is parsed
 * and judged as ever, overload.c included.
 */
#include "sip/connection_internal.h"

#include "sip/trace.h"
#include "sip/write.h"

#define VIAS_MAX  16
#define LINES_MAX 100

struct glance {
	struct slice method;
	struct slice vias[VIAS_MAX];         /* whole lines with their ends, as all of these */
	unsigned vias_n;
	struct slice from, to, call_id, cseq;
	struct slice via, to_value;          /* values of the first Via and of To */
	bool has_length;
	uint64_t length;
};

static struct slice next_line(struct slice *rest)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n = lf ? (size_t)(lf - rest->p) + 1 : 0;
	struct slice line = slice_of(rest->p, n);

	/* the only CR is the one before the LF */
	if (n < 2 || memchr(line.p, '\r', n) != lf - 1)
		return SLICE_EMPTY;
	*rest = slice_skip(*rest, n);
	return line;
}

/* Others that begin something are too rare to be looked at here. */
static bool is_for_us(struct glance *g, struct slice line)
{
	static const struct slice methods[] = { SLICE("MESSAGE "), SLICE("INVITE "), SLICE("REGISTER "),
		SLICE("SUBSCRIBE "), SLICE("OPTIONS "), SLICE("PUBLISH ") };
	static const struct slice end = SLICE(" SIP/2.0\r\n");

	for (unsigned i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (slice_starts(line, methods[i]))
			g->method = slice_of(line.p, methods[i].n - 1);
	return g->method.n && line.n > g->method.n + end.n && slice_eq(slice_skip(line, line.n - end.n), end);
}

/* False: it is there already. */
static bool keep(struct slice *place, struct slice line)
{
	if (place->n)
		return false;
	*place = line;
	return true;
}

static bool keep_via(struct glance *g, struct slice line, struct slice value)
{
	if (g->vias_n == VIAS_MAX)
		return false;
	if (g->vias_n == 0)
		g->via = value;
	g->vias[g->vias_n++] = line;
	return true;
}

static bool keep_length(struct glance *g, struct slice value)
{
	if (g->has_length)
		return false;
	g->has_length = true;
	return slice_u64(slice_trim(value), UINT32_MAX, &g->length);
}

static bool may_be_kept(char first)
{
	return strchr("cfiltvCFILTV", first) && first;
}

static bool keep_header(struct glance *g, struct slice line)
{
	struct slice value, name;

	if (!may_be_kept(line.p[0]))
		return true;
	name = slice_trim(slice_cut(line, ':', &value));
	if (name.n > sizeof("Content-Length") - 1)
		return true;
	switch ((int)sip_header_id_of(name)) {
	case SIP_HDR_VIA:
		return keep_via(g, line, value);
	case SIP_HDR_FROM:
		return keep(&g->from, line);
	case SIP_HDR_TO:
		g->to_value = value;
		return keep(&g->to, line);
	case SIP_HDR_CALL_ID:
		return keep(&g->call_id, line);
	case SIP_HDR_CSEQ:
		return keep(&g->cseq, line);
	case SIP_HDR_CONTENT_LENGTH:
		return keep_length(g, value);
	default:
		return true;
	}
}

/* No tag, nor anything that could hide one. */
static bool is_outside_dialog(struct slice to)
{
	const char *close = to.p ? memrchr(to.p, '>', to.n) : NULL; /* NULL: a To without a colon */
	struct slice params = close ? slice_skip(to, (size_t)(close - to.p)) : to;

	return slice_trim(to).n && !memchr(to.p, '"', to.n) && !memchr(params.p, ';', params.n);
}

/* Octets of the whole request; 0: it is not for us. */
static size_t look(struct glance *g, struct slice in, const struct sip_limits *limits)
{
	struct slice rest = slice_of(in.p, in.n < limits->header_bytes ? in.n : limits->header_bytes);
	struct slice line = next_line(&rest);
	unsigned lines = 0;

	if (!line.n || !is_for_us(g, line))
		return 0;
	while ((line = next_line(&rest)).n > 2)
		if (++lines > LINES_MAX || line.p[0] == ' ' || line.p[0] == '\t' || !keep_header(g, line))
			return 0;
	size_t head = (size_t)(rest.p - in.p);
	if (!line.n || !g->has_length || g->length > limits->body_bytes || g->length > in.n - head ||
	    memchr(in.p, 0, head))
		return 0;
	if (!g->vias_n || !g->from.n || !g->to.n || !g->call_id.n || !g->cseq.n || !is_outside_dialog(g->to_value))
		return 0;
	return head + (size_t)g->length;
}

/* ---- the answer ---- */

/* Where it comes from, in words; remembered, for the next one comes from there, too. */
static const struct sip_source *source_of(struct sip_layer *layer, const struct sip_connection *c)
{
	struct sip_overload *o = &layer->overload;
	struct sip_flow flow;

	if (o->source_slot != pool_slot(c) || o->source_generation != pool_generation(c)) {
		sip_connection_flow(c, &flow);
		sip_flow_source(&flow, o->source_text, sizeof(o->source_text), &o->source.host, &o->source.port);
		o->source_slot = pool_slot(c);
		o->source_generation = pool_generation(c);
	}
	return &o->source;
}

/* The usual one names the address that it comes from, and of the parameters that the response changes it has rport at
 * most: the text as it stands, with what RFC 3581 4 adds.  False: it is another, and nothing was written. */
static bool write_usual_via(struct buffer *out, struct slice via, const struct sip_source *source)
{
	static const struct slice begin = SLICE("SIP/2.0/TCP "), others = SLICE(",\" \t");
	struct slice rest = slice_skip(via, begin.n);
	const char *rport = NULL, *semicolon;

	if (!slice_starts(via, SLICE("SIP/2.0/T")) || !slice_starts(rest, source->host) || via.p[begin.n - 1] != ' ')
		return false;
	rest = slice_skip(rest, source->host.n);
	if (!rest.n || (rest.p[0] != ':' && rest.p[0] != ';'))
		return false;
	for (size_t i = 0; i < others.n; i++)
		if (memchr(rest.p, others.p[i], rest.n))
			return false;
	while ((semicolon = memchr(rest.p, ';', rest.n))) {
		rest = slice_skip(rest, (size_t)(semicolon - rest.p) + 1);
		if (!rest.n || (rest.p[0] | 0x20) != 'r')
			continue;
		if (rport || !slice_starts(rest, SLICE("rport")) || (rest.n > 5 && rest.p[5] != ';'))
			return false;
		rport = rest.p + 5;
	}
	size_t n = rport ? (size_t)(rport - via.p) : via.n;
	buffer_lit(out, "Via: ");
	buffer_put(out, slice_of(via.p, n));
	if (rport) {
		buffer_char(out, '=');
		buffer_u64(out, source->port);
		buffer_put(out, slice_skip(via, n));
		buffer_lit(out, ";received=");
		buffer_put(out, source->host);
	}
	buffer_lit(out, "\r\n");
	return true;
}

static bool write_answer(struct sip_layer *layer, const struct sip_connection *c, const struct glance *g,
	struct buffer *out)
{
	char tag[OVERLOAD_TAG_CHARS];
	struct slice to = slice_of(g->to.p, g->to.n - 2), first = slice_trim(slice_cut(g->via, ',', NULL));
	const struct sip_source *source = source_of(layer, c);

	sip_overload_write_tag(layer, first, tag);
	buffer_lit(out, "SIP/2.0 503 Service Unavailable\r\n");
	if (!write_usual_via(out, slice_trim(g->via), source) && !sip_write_first_via(out, g->via, source))
		return false;
	for (unsigned i = 1; i < g->vias_n; i++)
		buffer_put(out, g->vias[i]);
	buffer_put(out, g->from);
	buffer_put(out, to);
	buffer_lit(out, ";tag=");
	buffer_put(out, slice_of(tag, sizeof(tag)));
	buffer_lit(out, "\r\n");
	buffer_put(out, g->call_id);
	buffer_put(out, g->cseq);
	buffer_str(out, layer->overload.ending);
	return !out->overflow;
}

size_t sip_overload_glance(struct sip_layer *layer, struct sip_connection *c, struct slice in)
{
	struct buffer out = buffer_over(layer->scratch, layer->scratch_n);
	struct counters *counters = &layer->worker->counters;
	struct glance g;

	if (!sip_overload_would_refuse(layer) || sip_trace_on())
		return 0;
	g.method = g.from = g.to = g.call_id = g.cseq = SLICE_EMPTY;
	g.vias_n = 0;
	g.has_length = false;
	size_t used = look(&g, in, &layer->limits);
	if (!used || sip_connection_had_turn(c) || !write_answer(layer, c, &g, &out))
		return 0;
	COUNT(counters, sip_rx_messages);
	COUNT(counters, sip_rx_requests);
	COUNT(counters, sip_refused_at_a_glance);
	sip_overload_count_refusal(layer);
	sip_connection_use_turn(c, true, true);
	c->unanswered++;
	COUNT(counters, sip_tx_messages);
	if (sip_connection_write(c, buffer_slice(&out), (struct sip_client_name){ 0 }) != 0)
		REFUSED(counters, REASON_NO_MEMORY);
	return used;
}
