/*
 * How often MSRP connects in vain for whom (design.md 5, limits.connect_to):
 * a session description names the address, so who describes addresses where
 * nobody answers must not make a port scanner of us.  After CONNECT_FAILURES_MAX
 * in a minute we connect no more for that identity until the minute is over.
 *
 * A table of fixed size that forgets: of two identities in one place the later
 * takes it over.
 *
 * Thread: owning worker only; each worker counts for itself.
 */
#ifndef ACTORS_CONNECT_LIMIT_H
#define ACTORS_CONNECT_LIMIT_H

#include "core/slice.h"

struct im;

enum {
	CONNECT_FAILURES_MAX = 32,
	CONNECT_FAILURES_MS = 60000,
	CONNECT_IDENTITIES = 256,
};

struct connect_limit {
	struct connect_failures {
		uint64_t identity; /* 0: nobody */
		uint64_t since_ms; /* of the first that counts */
		uint32_t count;
	} entries[CONNECT_IDENTITIES];
};

/* What stands for an identity, by its canonical form; never 0. */
uint64_t connect_limit_identity(const struct im *im, struct slice canonical);

/* May be tried once more.  0 is nobody and is not limited. */
bool connect_limit_permits(struct im *im, uint64_t identity);

/* Nobody answered there. */
void connect_limit_failed(struct im *im, uint64_t identity);

#endif
