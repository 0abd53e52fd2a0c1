/*
 * What the run-time tells legs that end here (receiver.h, sender.h), and nobody
 * else calls.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_ENDING_H
#define MSRP_ENDING_H

#include "msrp/endpoint.h"

/* ---- both ---- */

/* Its connection is gone, or with a status its path has changed: that is what becomes of messages without answer. */
void msrp_ending_lost(struct msrp_leg *leg, unsigned status);

/* The leg is closed. */
void msrp_ending_free(struct msrp_leg *leg);

/* ---- receiver: a chunk for a leg that ends here; those of other methods, too ---- */

/* The head, found good; sets c->in. */
void msrp_receiver_on_head(struct msrp_connection *c, struct msrp_leg *leg);
/* c->parser->body. */
void msrp_receiver_on_body(struct msrp_connection *c);
void msrp_receiver_on_end(struct msrp_connection *c);

void msrp_receiver_lost(struct msrp_leg *leg);
void msrp_receiver_free(struct msrp_leg *leg);

/* ---- sender ---- */

/* The peer answered a chunk, or was silent for too long: 408. */
void msrp_sender_on_answer(struct msrp_leg *leg, struct msrp_outgoing *message, uint32_t octets, unsigned status);

/* The peer answers that (an error is counted); when he last did, 0: never. */
void msrp_sender_heard(struct msrp_leg *leg, unsigned status);
uint64_t msrp_sender_heard_ms(const struct msrp_leg *leg);

/* A REPORT came.  False: about nothing that waits for one. */
bool msrp_sender_on_report(struct msrp_leg *leg, const struct msrp_head *head);

/* End-of-turn: one event each; the leg may be gone afterwards.  False: there was none. */
bool msrp_sender_tell_end(struct msrp_leg *leg);
bool msrp_sender_tell_want(struct msrp_leg *leg);

void msrp_sender_lost(struct msrp_leg *leg, unsigned status);
void msrp_sender_free(struct msrp_leg *leg);

#endif
