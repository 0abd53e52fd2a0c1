/*
 * What a trace shows as text: no content, no credentials, nothing that moves the cursor of a terminal.
 *
 * Thread: owning worker only.
 */
#ifndef SIP_TRACE_LINES_H
#define SIP_TRACE_LINES_H

#include "sip/trace.h"

/* `2026-01-02T03:04:05.000006Z in udp 192.0.2.1:5060 INVITE sip:bob@example.com`, then the headers, each behind a
 * tab, and an empty line. */
void sip_trace_write_message(struct buffer *out, struct worker *worker, enum sip_trace_way way,
	const struct sip_flow *flow, const struct sip_message *m);

/* One line: `TIME refused method=MESSAGE status=403 reason=identity why="..." call_id=...`. */
void sip_trace_write_refusal(struct buffer *out, struct worker *worker, const struct sip_trace_refusal *refusal);

#endif
