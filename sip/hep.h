/*
 * A copy of every SIP message, in and out, for a collector such as Homer (log.hep): HEP version 3 over UDP, one
 * packet a message, written by a thread of its own (core/outlet.h).
 *
 * Streams are copied as the messages in them, TLS in clear.  No content and no credentials: see sip/copy.h.  A message
 * too long for a datagram is cut.  UDP promises nothing: what could not be sent, or was sent to a port where nobody
 * listens, is counted (hep_lost); the rest may be lost on the way.
 *
 * One for the process.  Thread: sip_hep_message_now() and below workers, one look at a flag while it is off; the rest
 * the main thread.
 */
#ifndef SIP_HEP_H
#define SIP_HEP_H

#include <stdatomic.h>

#include "core/options.h"
#include "core/outlet.h"
#include "sip/copy.h"

#define SIP_HEP_PACKET_MAX 65507 /* what a UDP datagram holds */

/* ---- the main thread ---- */

struct sip_hep_target;

/* 0 or ENOMEM.  Before the workers start; off until it has a target. */
int sip_hep_open(void);
/* `collector` NULL or without host: off.  0 or errno; the turn then cannot fail.  A name is looked up by the thread
 * that sends, again and again until it is known. */
int sip_hep_prepare(const struct hep_collector *collector, struct sip_hep_target **target);
void sip_hep_turn_to(struct sip_hep_target *target);
void sip_hep_forget(struct sip_hep_target *target); /* prepared, but not to be used */
struct counters *sip_hep_counters(void); /* of its thread: hep_packets, hep_lost */
/* Once the workers have ended. */
void sip_hep_close(void);

/* ---- workers ---- */

struct sip_hep_packet {
	struct sip_copy_ends ends;
	uint64_t wall_us;
	uint32_t capture_id;
	const struct sip_message *message;
};

/* One packet; what does not fit is cut from the message.  `size` at least 1024; octets used. */
size_t sip_hep_write(char *to, size_t size, const struct sip_hep_packet *packet);

extern atomic_bool sip_hep_is_on;

void sip_hep_message_now(struct worker *worker, bool is_in, const struct sip_flow *flow, const struct sip_message *m);
void sip_hep_wire_now(struct worker *worker, const struct sip_flow *flow, struct slice wire);

static inline bool sip_hep_on(void)
{
	return atomic_load_explicit(&sip_hep_is_on, memory_order_relaxed);
}

#endif
