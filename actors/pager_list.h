/*
 * Pager mode to many (8.3.1.1, 8.3.2.1; RFC 5365; F23, D2-41 to D2-43): a
 * MESSAGE to the factory with a list of recipients, to a group, or to the
 * identity of a running session.  It is checked and answered 202 at once; then
 * each recipient gets a pager message of his own, a few at a time, stored for
 * him if he is away.  What happens to one copy is not told to the sender and
 * does not touch the others.
 *
 * Thread: owning worker only.  Owner: the worker's pool of them.
 */
#ifndef ACTORS_PAGER_LIST_H
#define ACTORS_PAGER_LIST_H

#include "actors/identity.h"

struct pager_list_start {
	const struct identity *sender;
	struct slice target; /* canonical: the factory, a group of ours, or minted@domain.home of a session */
	bool may_leave;      /* standalone: recipients elsewhere get it by core.next_hop (design.md 4, "Identity") */
};

/* Takes the MESSAGE over: it is answered in any case, at once or later. */
void pager_list_start(struct im *im, struct sip_server *server, const struct sip_message *message,
	const struct pager_list_start *start);

int pager_lists_init(struct im *im); /* 0 or ENOMEM */
void pager_lists_free(struct im *im);

#endif
