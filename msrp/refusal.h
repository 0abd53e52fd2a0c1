/*
 * What an incoming chunk is refused for before any octet of it goes on: what it is (400, 501), and what its message
 * is (413, 415).
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_REFUSAL_H
#define MSRP_REFUSAL_H

#include "msrp/endpoint.h"

/* The status; 0: it is switched. */
unsigned msrp_refusal_of_head(const struct msrp_head *head);

/* Of a SEND: its message is too large, of a type that is not taken, or was refused before.  `kept`: the head. */
void msrp_refusal_look_at_head(struct msrp_connection *c, struct slice kept);

/* WAY_PENDING: what the content shows so far is no reason to refuse it.  False when it was, or while it does not
 * show enough; that is at most MSRP_INSIDE_MAX octets. */
bool msrp_refusal_is_none(struct msrp_connection *c, struct slice kept);

#endif
