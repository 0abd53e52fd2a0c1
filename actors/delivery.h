/*
 * Deferred messages on their way to their receiver over a leg (10.3.2.5; 12.2.2.5 of CR001; D2-24): leased from the
 * mailbox, sent oldest first with up to deferred.push_window unanswered, removed when the 200 to the last chunk is
 * there.  413 and 415 leave that message and go on; whatever else goes wrong ends the delivery and leaves the rest.
 * Of push and retrieval.
 *
 * Thread: owning worker only, which is the leg's, not necessarily the mailbox's.
 * Owner: who started it, until on_done() or delivery_stop().
 */
#ifndef ACTORS_DELIVERY_H
#define ACTORS_DELIVERY_H

#include "actors/im.h"
#include "sip/sdp.h"

struct delivery;

struct delivery_outcome {
	unsigned delivered; /* and removed */
	unsigned skipped;   /* the receiver does not take them: they stay */
	bool is_complete;   /* every message was answered */
	enum reason why;    /* else */
};

struct delivery_events {
	/* Everything was answered and what was delivered is removed, or no more can be delivered; nothing is held any
	 * more.  The pointer is dead.  Never from inside a call of the functions below. */
	void (*on_done)(const struct delivery_outcome *, void *arg);
};

struct delivery_start {
	struct slice canonical;    /* whose mailbox */
	struct msrp_leg *leg;      /* its peer was set in this turn; it stays until on_done() or delivery_stop() */
	uint64_t max_octets;       /* a=max-size of the receiver: what is larger is skipped; 0: any */
	const uint64_t *positions; /* these, in this order; NULL: all, oldest first */
	unsigned count;
	bool is_paced;             /* deferred.push_rate holds, but for the first message, of which the start was */
	const struct delivery_events *events;
	void *arg;
};

/* Does he who describes himself so take our messages (D2-23): multipart/mixed, one way or the other?  Who says nothing
 * of types does. */
bool delivery_is_acceptable(const struct sdp_media *media);

/* False: no memory.  Nothing is sent, and nothing leased, before delivery_go(). */
bool delivery_start(struct delivery **out, struct im *im, const struct delivery_start *start);

/* The leg has its connection: begin.  Once. */
void delivery_go(struct delivery *delivery);

/* The session is over, or its connection: what was not answered stays stored.  The pointer is dead. */
void delivery_stop(struct delivery *delivery);

/* So far: its receiver has acknowledged so many. */
unsigned delivery_delivered(const struct delivery *delivery);

/* The process ends: what is left goes without a word. */
void deliveries_free(struct im *im);

#endif
