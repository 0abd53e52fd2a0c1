/*
 * A leg that ends here, sending: messages of our own to its peer, one after the
 * other, several of them waiting for their answer at a time.  Their content is
 * asked for when there is room for it and copied at once, so nothing of a message
 * is kept here; what was asked for in one piece goes out as one chunk.  Chunks
 * above 2048 octets say '*' for their end and are never longer than a piece, so
 * that the sessions of others on the same connection wait for no more than that.
 *
 * Silence of the peer for timers.msrp_transaction, counted from the end-line of a
 * chunk or from his last answer, is the status 408.
 *
 * Thread: owning worker only.  Owner: the leg, which frees it when it is closed.
 */
#ifndef MSRP_SENDER_H
#define MSRP_SENDER_H

#include <sys/queue.h>

#include "msrp/leg.h"

enum {
	MSRP_ASKED_MAX = 64 * 1024,     /* octets asked for at a time */
	MSRP_OUTGOING_ID_CHARS = 32,
	MSRP_STATUS_LOST = 0,           /* no status: the connection was lost before the answer came */
};

/* One message.  Owner: the actor; it may be part of something larger.  It stays until on_end() or msrp_sender_drop(). */
struct msrp_outgoing {
	/* ---- written by the owner, zero what is not said; what they point to stays, too ---- */
	struct slice content_type; /* of the whole message                         */
	struct slice lines;        /* more header lines, each with its CRLF        */
	uint64_t size;             /* octets of content, known before              */
	struct slice given_id;     /* its Message-ID, of a message that came from elsewhere; empty: one is made */
	/* ---- the sender's ---- */
	TAILQ_ENTRY(msrp_outgoing) link;
	uint64_t sent;             /* octets written: may be read                  */
	uint64_t unanswered_octets;
	unsigned unanswered;       /* chunks                                       */
	unsigned status;
	bool is_asked, has_begun, is_written, has_ended;
	char message_id[MSRP_OUTGOING_ID_CHARS]; /* made for it: may be read after msrp_sender_send() */
};

/* From the worker's loop, never from inside a call of the functions below; the leg may be closed in them. */
struct msrp_sender_events {
	/* The content from octet `offset` (from 0) on is wanted: by msrp_sender_give(), at once or later, or
	 * msrp_sender_drop().  One at a time, in the order of msrp_sender_send(). */
	void (*on_want)(struct msrp_leg *, struct msrp_outgoing *, uint64_t offset, void *arg);
	/* It is over, and the sender's no more.  Below 300: every chunk was answered so; else the first error, 408, or
	 * MSRP_STATUS_LOST.  After an error nothing more of it is sent.  A lost leg ends all of them, before on_lost(). */
	void (*on_end)(struct msrp_leg *, struct msrp_outgoing *, unsigned status, void *arg);
};

/* For a leg that will not be paired; before anything is read of it, so in the turn that sets its peer.  At most `window`
 * messages wait for answers.  0 or ENOMEM. */
int msrp_sender_attach(struct msrp_leg *leg, unsigned window, const struct msrp_sender_events *events, void *arg);

/* Queues it: on_want() comes when the leg is bound and there is room. */
void msrp_sender_send(struct msrp_leg *leg, struct msrp_outgoing *message);

/*
 * The answer to on_want(): the next octets of its content, in `count` parts, 1 to MSRP_ASKED_MAX in all unless the message has
 * none, and not more than are missing.  Copied.  They go out as one chunk; where they complete the message, as its last.
 */
void msrp_sender_give(struct msrp_leg *leg, struct msrp_outgoing *message, const struct slice *parts, unsigned count);

/* It is not to be sent, or not to its end: its peer is told so if he has a part of it ('#').  No on_end(). */
void msrp_sender_drop(struct msrp_leg *leg, struct msrp_outgoing *message);

/* Messages that have begun and have no answer yet. */
unsigned msrp_sender_outstanding(const struct msrp_leg *leg);

#endif
