/*
 * A leg that ends here, receiving: what its peer sends is answered by us and its
 * content handed on, in order, in pieces (design.md 5, row "store").
 *
 * One message at a time.  Its first chunk begins at octet 1 and is shown to the
 * owner, who takes the message or refuses it; then every chunk has to begin
 * behind the octets that came before, for what is handed on is written away as
 * it comes.  A chunk that is not the last gets its 200 when it is complete and
 * within the bounds of what may wait here; the last one waits for the owner's
 * word (the store's commit).  What is refused, with which status:
 *
 *	400  the range does not make sense or contradicts the content; a gap, a repetition, an overlap; content
 *	     without Content-Type; a total that changes; the last chunk of a message that is shorter than announced
 *	408  a shared connection brings more than may wait while the owner is busy
 *	413  larger than agreed, announced or not; a message that begins before the one before it has ended
 *	415  a Content-Type that is not taken
 *	     what the owner says
 *
 * Either ends the message: the owner hears on_aborted(), what follows of it is
 * refused too, and it may begin again at octet 1.  Failure-Report is obeyed; with
 * Success-Report a REPORT follows the 200 of the last chunk.  A SEND without
 * content that belongs to no message is answered and goes no further.
 *
 * Thread: owning worker only.  Owner: the leg, which frees it when it is closed.
 */
#ifndef MSRP_RECEIVER_H
#define MSRP_RECEIVER_H

#include "msrp/chunk.h"
#include "msrp/leg.h"

enum {
	MSRP_PIECE_MAX = 64 * 1024, /* octets handed on at a time                             */
	MSRP_PIECES_IN_FLIGHT = 2,  /* not taken yet by the owner: then the leg is not read   */
};

/*
 * Called in the middle of reading: the functions of this file may be called in them, the leg may not be closed.
 * Slices live until the function returns.
 */
struct msrp_receiver_events {
	/* A message begins: `head` is that of its first chunk.  0: it is taken; or the status it is refused with (413, 415,
	 * 403, 408), and *why, under which that is counted and logged here.  NULL: every one is taken. */
	unsigned (*on_message)(struct msrp_leg *, const struct msrp_head *head, enum reason *why, void *arg);
	/* The next octets, exactly MSRP_PIECE_MAX; octet `offset` of the message, from 0, is the first.  Each is followed
	 * by msrp_receiver_taken(), at once or later. */
	void (*on_piece)(struct msrp_leg *, uint64_t offset, struct slice octets, void *arg);
	/* The message is complete with these octets: MSRP_PIECE_MAX or fewer, perhaps none.  Nobody has an answer yet:
	 * the owner says it by msrp_receiver_conclude(), at once or later.  All pieces before were told, but maybe not
	 * all taken. */
	void (*on_whole)(struct msrp_leg *, uint64_t offset, struct slice octets, void *arg);
	/* The message that began will not be completed: '#', a refusal, a lost connection.  Not said when the owner has
	 * ended it himself. */
	void (*on_aborted)(struct msrp_leg *, enum reason why, void *arg);
};

struct msrp_receiver_options {
	uint64_t size;       /* octets that a message must have, as its offer said; 0: any number */
	uint64_t max_octets; /* more is 413; 0: any number                                        */
	/* Content-Types that are taken, as in struct msrp_accept: lower case, a blank behind each one; copied.  Empty: all. */
	struct slice types;
};

/* For a leg that will not be paired; before anything is read of it, so in the turn that sets its peer.  The events come
 * with `arg`.  0 or ENOMEM. */
int msrp_receiver_attach(struct msrp_leg *leg, const struct msrp_receiver_options *options,
	const struct msrp_receiver_events *events, void *arg);

/* One piece was taken. */
void msrp_receiver_taken(struct msrp_leg *leg);

/* What becomes of the message that on_whole() told: 200, and the REPORT if one is wanted; or an error.  Without
 * connection there is nobody to be told.  The next message may begin. */
void msrp_receiver_conclude(struct msrp_leg *leg, unsigned status);

/* The owner gives up the message that is coming in, if there is one, or the one that is whole: its chunk gets that
 * status; counted as `why`. */
void msrp_receiver_refuse(struct msrp_leg *leg, unsigned status, enum reason why);

/* A message has begun, and neither ended nor been concluded. */
bool msrp_receiver_is_open(const struct msrp_leg *leg);

#endif
