/*
 * What becomes of the chunks of a connection (design.md 5): switched to the
 * other leg as they arrive, answered, or kept until the other leg is there.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_SWITCH_H
#define MSRP_SWITCH_H

#include "msrp/endpoint.h"

/*
 * Events of c->parser.  `kept` is the input from the first octet of the chunk (WAY_PENDING), else
 * from the first octet of this event, up to the last octet of this event.
 */
void msrp_switch_on_head(struct msrp_connection *c, struct msrp_leg *leg, struct slice kept);
void msrp_switch_on_body(struct msrp_connection *c, struct slice kept);
void msrp_switch_on_end(struct msrp_connection *c, struct slice kept);

/* A response to something that we forwarded over this connection; false: to nothing. */
bool msrp_switch_on_response(struct msrp_connection *c);

/* The memory of the head goes away while the chunk is open. */
void msrp_switch_keep_head(struct msrp_connection *c);

/* Ends the outgoing chunk that is open on `out` with '+'; it goes on under a new head. */
void msrp_switch_interrupt(struct msrp_connection *writer, struct msrp_connection *out);

/* The head of the open chunk, from `text`; parsed again when its octets have moved since. */
const struct msrp_head *msrp_switch_head(struct msrp_connection *c, struct slice text, struct msrp_parser *scratch);

/* The chunk that is open on `c` will not be completed: '#' to the other leg, the rest is skipped.
 */
void msrp_switch_abort(struct msrp_connection *c);

/* The other leg is gone: what is open on `c` for it is skipped. */
void msrp_switch_far_lost(struct msrp_connection *c);

/* A response to the peer of that leg. */
void msrp_switch_answer(struct msrp_leg *leg, struct slice transaction_id, unsigned status,
	struct slice comment);

/* Gives the open chunk up: answered if it wants that, counted, the rest skipped. */
void msrp_switch_refuse(struct msrp_connection *c, unsigned status, enum reason why);

/* The same of its whole message: more chunks of it are refused too, and a far side that has its beginning is told
 * that nothing follows.  Before the way is known in->head and in->next have to be set. */
void msrp_switch_give_up(struct msrp_connection *c, unsigned status, enum reason why);

#endif
