/*
 * Chunks that came before the other leg was bound, or on a shared connection
 * before SIP brought the peer's path.  A connection that carries
 * one session is stopped, so this is what was read already; one that carries
 * several goes on, and leg_high bounds what its leg may keep.  When the pair is
 * ready all of it is parsed again, in front of what the connection holds.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_WAITING_H
#define MSRP_WAITING_H

#include "msrp/endpoint.h"

/* Paired, and the other leg is bound; or in a room. */
bool msrp_leg_is_ready(const struct msrp_leg *leg);

/* The open chunk, from its first octet on, is kept: WAY_WAIT. */
void msrp_waiting_begin(struct msrp_connection *c, struct slice kept);

/* More of it; beyond the bound it is answered 408 and forgotten. */
void msrp_waiting_add(struct msrp_connection *c, struct slice octets);

/* Its peer gets another path: what came by the old one and waits is answered with `status`, not sent. */
void msrp_waiting_refuse(struct msrp_leg *leg, unsigned status, enum reason why);

/* At the end of a turn: what became ready goes in front of what is held.  In the middle of another
 * leg's chunk that has to wait for its end (c->must_replay). */
void msrp_waiting_replay(struct msrp_connection *c);

#endif
