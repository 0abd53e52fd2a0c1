/*
 * Following one user (imservctl trace): every SIP message that names him, and
 * every refusal with its reason, as lines of text for a reader that may be slow.
 *
 * Costs one look at a flag while nobody traces.  A reader has a queue of its own of
 * at most SIP_TRACE_QUEUE_OCTETS; what does not fit is left out, counted (trace_left_out), and a line says how much.
 * Bodies are left out except descriptions (application/sdp), credentials always.
 *
 * Thread: sip_trace_open, _read, _stop, _close: any thread that is no worker.  The rest: workers, which
 * never wait here.
 */
#ifndef SIP_TRACE_H
#define SIP_TRACE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "sip/hep.h"
#include "sip/transaction.h"

#define SIP_TRACE_READERS_MAX  8
#define SIP_TRACE_NAME_MAX     320
#define SIP_TRACE_QUEUE_OCTETS (1024 * 1024)

struct sip_trace_reader;

struct sip_trace_options {
	bool is_pcap;       /* what is read is a capture file (sip/pcap.h) instead of lines; refusals are not in it */
	int file;           /* gets the same as a capture file, whatever is read; -1: none */
	uint64_t file_max;  /* octets: then it ends, and the trace goes on without */
};

/* `canonical` as sip_uri_canonical() writes it; `home` must live until sip_trace_close().  Takes the file over on
 * success.  0, EBUSY (too many readers), EINVAL (no such name can be), or the system's errno. */
int sip_trace_open(struct sip_trace_reader **out, struct slice canonical, const struct sip_home *home,
	const struct sip_trace_options *options);

/*
 * Waits for lines and gives as many octets of them as there are and fit.  0: it is over, because the socket
 * `peer` was closed at the other end or sip_trace_stop() was called; `peer` -1: nobody to watch.
 */
size_t sip_trace_read(struct sip_trace_reader *reader, char *to, size_t size, int peer);

/* All that are open end soon, and no new one begins. */
void sip_trace_stop(void);
void sip_trace_close(struct sip_trace_reader *reader);

/* ---- the workers' side ---- */

extern atomic_bool sip_trace_is_on;

enum sip_trace_way { SIP_TRACE_IN, SIP_TRACE_OUT };

void sip_trace_message_now(struct worker *worker, enum sip_trace_way way, const struct sip_flow *flow,
	const struct sip_message *m);
void sip_trace_wire_now(struct worker *worker, const struct sip_flow *flow, struct slice wire);

/* Why a request gets the answer that follows.  Values of its headers; what is not known is empty. */
struct sip_trace_refusal {
	const char *method;
	unsigned status;
	enum reason why;
	struct slice from, to, call_id;
};
void sip_trace_refusal_now(struct worker *worker, const struct sip_trace_refusal *refusal);

static inline bool sip_trace_on(void)
{
	return atomic_load_explicit(&sip_trace_is_on, memory_order_relaxed);
}

/* Received, on the worker that owns it. */
static inline void sip_trace_received(struct worker *worker, const struct sip_flow *flow, const struct sip_message *m)
{
	if (sip_trace_on())
		sip_trace_message_now(worker, SIP_TRACE_IN, flow, m);
	if (sip_hep_on())
		sip_hep_message_now(worker, true, flow, m);
}

/* About to be sent. */
static inline void sip_trace_sent(struct worker *worker, const struct sip_flow *flow, struct slice wire)
{
	if (sip_trace_on())
		sip_trace_wire_now(worker, flow, wire);
	if (sip_hep_on())
		sip_hep_wire_now(worker, flow, wire);
}

#endif
