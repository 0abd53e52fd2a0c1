/*
 * Pager mode to one user (RFC 3428, 6.2.4.1, 6.2.6, 6.2.8): the B2BUA of one
 * MESSAGE transaction.  Checked, sent on with a new Call-ID, and the answer
 * mapped back.
 *
 * Thread: owning worker only.  Owner: the worker's pager pool.
 */
#ifndef ACTORS_PAGER_H
#define ACTORS_PAGER_H

#include "actors/identity.h"

enum pager_route {
	PAGER_TO_USER,     /* a user served here */
	PAGER_TO_NEXT_HOP,
};

struct pager_start {
	const struct identity *sender;
	enum pager_route route;
	struct slice recipient; /* canonical; PAGER_TO_USER only */
};

/* Takes the MESSAGE over: it is answered in any case, at once or later. */
void pager_start(struct im *im, struct sip_server *server, const struct sip_message *message,
	const struct pager_start *start);

int pagers_init(struct im *im);
void pagers_free(struct im *im);

#endif
