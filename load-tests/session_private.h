/*
 * What session_flood.c (the phases of a run) and session_traffic.c (messages, as the endpoints ask for them and tell
 * of them) share.
 */
#ifndef LOAD_TESTS_SESSION_PRIVATE_H
#define LOAD_TESTS_SESSION_PRIVATE_H

#include "load-tests/deaf_readers.h"
#include "load-tests/pacer.h"
#include "load-tests/pair.h"
#include "load-tests/server_process.h"
#include "load-tests/session_setup.h"

/* New messages are begun in the two phases before PHASE_BACKLOG; in it only those that were due. */
enum phase { PHASE_SETUP, PHASE_WARMUP, PHASE_MEASURE, PHASE_BACKLOG, PHASE_DRAIN, PHASE_RELEASE };

struct flood {
	const struct flood_options *options;
	struct flood_report *report;
	struct event_loop loop;
	struct prng prng;
	struct msrp_network network;
	struct session_setup setup;
	struct pair *pairs;
	struct slot *slots;
	struct pacer pacer;
	struct deaf_readers deaf; /* the last of the pairs */
	enum phase phase;
	uint32_t chunks; /* of one message                                   */
	uint32_t in_setup, up;
	uint64_t in_flight; /* messages begun and not yet arrived and confirmed */
	uint64_t measure_start_ns, measure_end_ns;
	struct server_process server;
	/* ---- progress, since the last line ---- */
	uint64_t progress_ns, progress_arrived;
	uint64_t arrived_ever;
	struct histogram progress;
};

/* Those whose messages are measured. */
static inline uint32_t session_ordinary(const struct flood *f)
{
	return f->options->sessions - f->options->deaf;
}

/* ---- session_traffic.c ---- */

extern const struct msrp_handlers session_msrp_handlers;

void session_on_registered(struct session_setup *s, struct pair *p);
void session_on_setup_failed(struct session_setup *s, struct pair *p);
/* The SDP answer says who connects; the server may have done so before. */
void session_on_setup_progress(struct session_setup *s, struct pair *p);

#endif
