/* What is said of a refusal, whoever refuses: one count, one line with whom and what it was about, and a line
 * for whoever traces that user. */
#include "core/log.h"
#include "sip/header.h"
#include "sip/server_internal.h"
#include "sip/trace.h"

#define TOLD_MAX 160 /* octets of a header value in the log */

static struct slice told(struct slice value)
{
	return slice_of(value.p ? value.p : "", value.n < TOLD_MAX ? value.n : TOLD_MAX);
}

/* A call site of its own for each reason: many of one must not hide the first of another. */
static void write_line(struct worker *worker, const struct sip_trace_refusal *r, const char *text)
{
	static struct log_site sites[REASON_COUNT];
	struct sip_address from;
	/* without tag and display name: who it was */
	struct slice who = sip_address_decode(r->from, &from) ? from.uri : r->from;

	if ((int)LOG_WARN > atomic_load_explicit(&log_level_now, memory_order_relaxed))
		return;
	log_write(&sites[r->why], LOG_WARN, worker, "sip", 0,
		"refused method=%s status=%u reason=%s user=%.*s call_id=%.*s%s%s%s", r->method, r->status,
		reason_label(r->why), SLICE_ARG(told(who)), SLICE_ARG(told(r->call_id)), text ? " text=\"" : "",
		text ? text : "", text ? "\"" : "");
}

static void count(struct worker *worker, const struct sip_trace_refusal *r)
{
	REFUSED(&worker->counters, r->why);
	if (sip_trace_on())
		sip_trace_refusal_now(worker, r);
}

/* Who asked not to be named is not named where it is kept (D2-17); whoever traces him knows it anyway. */
static void tell(struct worker *worker, const struct sip_trace_refusal *r, bool is_private, const char *text)
{
	struct sip_trace_refusal line = *r;

	if (is_private)
		line.from = SLICE("<sip:anonymous@anonymous.invalid>");
	write_line(worker, &line, text);
	count(worker, r);
}

static struct sip_trace_refusal refusal_of(const struct sip_server *server, unsigned status, enum reason why)
{
	return (struct sip_trace_refusal){ .method = sip_method_name(sip_server_method(server)), .status = status,
		.why = why, .from = sip_server_header(server, "From"), .to = sip_server_header(server, "To"),
		.call_id = sip_server_header(server, "Call-ID") };
}

void sip_server_tell_refusal(struct worker *worker, const struct sip_server *server, unsigned status, enum reason why,
	const char *text)
{
	struct sip_trace_refusal r = refusal_of(server, status, why);

	tell(worker, &r, server->is_private, text);
}

void sip_server_count_refusal(struct worker *worker, const struct sip_server *server, unsigned status, enum reason why)
{
	struct sip_trace_refusal r = refusal_of(server, status, why);

	count(worker, &r);
}

static struct sip_trace_refusal refusal_of_message(const struct sip_message *m, unsigned status, enum reason why)
{
	return (struct sip_trace_refusal){ .method = m->is_request ? sip_method_name(m->method) : "", .status = status,
		.why = why, .from = sip_header_value(m, SIP_HDR_FROM), .to = sip_header_value(m, SIP_HDR_TO),
		.call_id = sip_header_value(m, SIP_HDR_CALL_ID) };
}

void sip_message_tell_refusal(struct worker *worker, const struct sip_message *m, unsigned status, enum reason why)
{
	struct sip_trace_refusal r = refusal_of_message(m, status, why);

	tell(worker, &r, sip_privacy_is_wanted(m), m->error ? m->error : "");
}

void sip_message_count_refusal(struct worker *worker, const struct sip_message *m, unsigned status, enum reason why)
{
	struct sip_trace_refusal r = refusal_of_message(m, status, why);

	count(worker, &r);
}
