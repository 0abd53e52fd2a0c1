/*
 * When the messages of an open loop are due: message i of all is due at start + i / rate
 * and belongs to session i mod sessions, so the due time of the k-th message of a session
 * is a formula and needs no queue.  What could not be sent when it was due keeps its due
 * time; latency is counted from there, which keeps the figures free of coordinated omission.
 */
#ifndef LOAD_TESTS_PACER_H
#define LOAD_TESTS_PACER_H

#include <stdint.h>

struct pacer {
	uint64_t start_ns;
	double interval_ns; /* between two messages of all sessions */
	uint32_t sessions;
	uint64_t due; /* messages due so far, all sessions    */
};

void pacer_start(struct pacer *p, uint64_t start_ns, double rate, uint32_t sessions);

/* The time at which message i of all is due. */
uint64_t pacer_due_ns(const struct pacer *p, uint64_t i);

/* The time at which the k-th message (from 0) of a session is due. */
uint64_t pacer_session_due_ns(const struct pacer *p, uint32_t session, uint64_t k);

/* How many messages of that session are among the first `due` of all. */
uint64_t pacer_session_due(const struct pacer *p, uint32_t session);

#endif
