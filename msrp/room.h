/*
 * A room: MSRP legs of one conference or list, on one worker.  What one member
 * sends goes, as it comes, to all others (design.md 5, row "conference, list"):
 * a chunk of at most 2048 octets whole, a longer one in pieces under a head with
 * range-end '*'.  Each member gets his own To-Path and From-Path; everything else,
 * the transaction id too, is the same for all and written once.
 *
 * The sender gets his 200 when the chunk is queued to all.  Afterwards:
 *
 *	a member says 4xx      the message ends for him, he stays
 *	481, a lost connection, silence (30 s, where the copy said Failure-Report: yes),
 *	more waits for him than his bound while others keep up    he is dropped: on_dropped()
 *
 * and with Success-Report the sender gets one REPORT: 200 when success REPORTs of all
 * members cover the message, else the first error; 408 at most 60 s after the last
 * chunk.  An error that comes without Success-Report is reported once too.  Failure-Report:
 * no forbids all but the first.
 *
 * A message that a member does not take by his SDP (a=accept-types, a=max-size) goes to the others and is an
 * error as if he had said 415 or 413; where he is the only one, the sender is told so at once.
 *
 * Who is added while a message is coming in starts with the next one.  What is sent to a
 * member who is not bound yet waits for him, as much as his bound permits.  When most
 * members are slow the senders are not read; a single one is dropped and nobody waits.
 *
 * Thread: owning worker only.  Owner of the room: who opened it.  The legs stay the actor's:
 * their events come as always; msrp_leg_close() removes a leg from its room.
 */
#ifndef MSRP_ROOM_H
#define MSRP_ROOM_H

#include "msrp/chunk.h"
#include "msrp/leg.h"

struct msrp_room;

/* A message that comes in; lives until its on_end() and all who were said to expect it have confirmed. */
struct msrp_room_message;

struct msrp_room_options {
	unsigned members_max; /* more are refused; at most MSRP_ROOM_MEMBERS_MAX */
	bool tells_copies;    /* on_copy() is wanted                             */
};

enum { MSRP_ROOM_MEMBERS_MAX = 16384, MSRP_ROOM_SHOWN_MAX = 2048 };

struct msrp_room_member {
	bool sends, receives; /* who may not send gets 403                            */
	uint64_t high;        /* octets that may wait for him; 0: limits.leg_high     */
	void *arg;            /* of the events that are about him                     */
};

/* A message begins. */
struct msrp_room_begin {
	struct msrp_leg *leg;         /* whose peer sends it                                   */
	void *member_arg;
	const struct msrp_head *head; /* of its first chunk                                    */
	struct slice content;         /* its beginning: as much as there is.  Of a message/cpim that is all
	                               * of the CPIM header block, if that ends within MSRP_ROOM_SHOWN_MAX
	                               * octets of the first chunk                             */
	bool is_cpim, has_cpim_head;  /* Content-Type is message/cpim; and the block is whole  */
};

/* What the owner says of it.  All zero: to all others. */
struct msrp_room_verdict {
	unsigned status;              /* refused with it (403, 404, 413, 415, 428); 0: taken   */
	enum reason why;              /* under which that is counted and logged here           */
	bool is_private;              /* only to these, of the same room; those who are not in it are skipped */
	struct msrp_leg *const *only;
	unsigned only_count;
	struct slice cpim_from;       /* D2-63: in place of the CPIM From of who sends it; empty: as it is.  A
	                               * message/cpim whose block is not whole is then refused (400). Copied */
};

/*
 * on_message, on_nickname and the tap are called in the middle of reading: no leg may be closed and no member
 * removed in them.  The others come from the worker's loop: everything may.  Slices live until the function returns.
 * NULL is allowed for each.
 */
struct msrp_room_events {
	/* He takes part no more: nothing is sent to him, what he sends is refused.  The owner closes the leg (or removes
	 * it).  Once per member; a lost connection is told to the leg's own on_lost() too, before or after this. */
	void (*on_dropped)(struct msrp_room *, struct msrp_leg *, enum reason why, void *member_arg, void *arg);
	void (*on_message)(struct msrp_room *, const struct msrp_room_begin *, struct msrp_room_verdict *, void *arg);
	/* RFC 7701 7: `nickname` without its quotes, escapes as they are; empty: he gives his up.  The status: 200, 403,
	 * 423, 425 ...  Without handler: 501. */
	unsigned (*on_nickname)(struct msrp_room *, struct msrp_leg *, struct slice nickname, void *member_arg, void *arg);
	/* A message of that member went on whole: last chunk queued to all. */
	void (*on_sent)(struct msrp_room *, struct msrp_leg *, void *member_arg, void *arg);
	/* Of the last message that was sent to this member (options.tells_copies): 200: he has answered all of it, and
	 * confirmed it if that was asked for; or with what it ended for him. */
	void (*on_copy)(struct msrp_room *, struct msrp_leg *, unsigned status, void *member_arg, void *arg);
	/* Nothing is known any more to come of a message of that member: with 200 all have it; what was reported to him
	 * or would have been. */
	void (*on_concluded)(struct msrp_room *, struct msrp_leg *, unsigned status, void *member_arg, void *arg);
};

/*
 * Somebody who takes what is sent without being a member: a recorder, a spool, those who get it from the store.
 * `offset` counts from 0.
 */
struct msrp_room_tap {
	void (*on_begin)(struct msrp_room *, struct msrp_room_message *, const struct msrp_room_begin *, void *arg);
	void (*on_octets)(struct msrp_room *, struct msrp_room_message *, uint64_t offset, struct slice octets, void *arg);
	/* '$', or '#': it will not be completed.  The message is gone afterwards unless something is expected. */
	void (*on_end)(struct msrp_room *, struct msrp_room_message *, char flag, void *arg);
};

/* 0 or ENOMEM.  `events` stays; `arg` comes with all of them. */
int msrp_room_open(struct msrp_room **out, struct worker *worker, const struct msrp_room_options *options,
	const struct msrp_room_events *events, void *arg);
/* The legs stay open, without room: what they send is kept as that of a leg without its other. */
void msrp_room_close(struct msrp_room *room);

/* In the turn that sets the leg's peer, before or after; it is neither paired nor ends here (receiver.h, sender.h).
 * ENOMEM; ENOSPC: members_max. */
int msrp_room_add(struct msrp_room *room, struct msrp_leg *leg, const struct msrp_room_member *member);
/* Another direction. */
void msrp_room_set(struct msrp_room *room, struct msrp_leg *leg, bool sends, bool receives);
/* What he has begun ends for the others with '#'.  Not of this room, or not any more: nothing is done. */
void msrp_room_remove(struct msrp_room *room, struct msrp_leg *leg);

unsigned msrp_room_count(const struct msrp_room *room);
/* All that was sent to him is answered and written: he may go without losing anything. */
bool msrp_room_is_quiet(const struct msrp_room *room, const struct msrp_leg *leg);

/* NULL: none.  Before the first message. */
void msrp_room_set_tap(struct msrp_room *room, const struct msrp_room_tap *tap, void *arg);
/* The tap cannot take more for now: those who send are not read, if their connection carries nothing else. */
void msrp_room_hold(struct msrp_room *room, bool is_held);

/* `n` more have to confirm the message before its sender gets a success REPORT, each by one msrp_room_confirm(): 200
 * or an error. The message lives until then. */
void msrp_room_expect(struct msrp_room_message *message, unsigned n);
void msrp_room_confirm(struct msrp_room_message *message, unsigned status);
/* Does it go to this member?  Not to one whose connection is lost, or who is being dropped. */
bool msrp_room_is_for(const struct msrp_room_message *message, const struct msrp_leg *leg);
/* Its sender asked for a success REPORT. */
bool msrp_room_wants_report(const struct msrp_room_message *message);

#endif
