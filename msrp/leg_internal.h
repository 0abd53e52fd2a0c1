/*
 * What the other files of the run-time ask of a leg; actors see leg.h.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_LEG_INTERNAL_H
#define MSRP_LEG_INTERNAL_H

#include "msrp/endpoint.h"

/* Sets listener, port, host and URI; `local` as for msrp_leg_open().  EADDRNOTAVAIL: no such listener.  ENOMEM. */
int msrp_leg_make_uri(struct msrp_leg *leg, const struct sockaddr_storage *local);

/* It has its connection: chunks may go, the actor is told at the end of the turn. */
void msrp_leg_on_bound(struct msrp_leg *leg);

/* Its connection is gone or it is given up: the other leg's chunks are answered 408, what is open
 * is ended, the actor is told. */
void msrp_leg_lose(struct msrp_leg *leg, enum reason why);

/* CEMA: what the peer calls himself, where his SDP came with another host.  The memory of the path of before goes.
 * ENOMEM: nothing has changed. */
int msrp_leg_learn_path(struct msrp_leg *leg, struct slice path);

/* What the active side says first, so that the other can bind (RFC 4975 5.4). */
void msrp_leg_write_empty_send(struct msrp_leg *leg);

/* What became of that: a status, or 408 where nobody answered. */
void msrp_leg_on_first_answer(struct msrp_leg *leg, unsigned status);

/* End-of-turn: the events. */
void msrp_leg_tell(struct msrp_leg *leg);

#endif
