/*
 * deferred.push_rate: how many messages the pushes of the whole server may begin to send in a second.  All workers
 * draw from one clock (the time at which the next message may go), so that the rate is the server's whatever users
 * hash where; who has to wait does so in his worker's queue, one message at a turn, so that a mailbox of a thousand
 * does not hold up those of one.
 *
 * Thread: owning worker only; the clock is an atomic of struct im_server.
 */
#ifndef ACTORS_PUSH_PACE_H
#define ACTORS_PUSH_PACE_H

#include <sys/queue.h>

#include "actors/im.h"

/* Part of whoever waits; zeroed before its first use. */
struct push_turn {
	TAILQ_ENTRY(push_turn) link;
	void (*on_turn)(struct push_turn *); /* his turn has come, and is taken; he is in the queue no more */
	bool is_waiting;
};

struct push_pace {
	struct im *im;
	struct timer timer;
	uint64_t next_us; /* when the first of the queue may go; 0: not drawn yet */
	TAILQ_HEAD(push_turns, push_turn) waiting;
	unsigned count;
};

void push_pace_init(struct push_pace *pace, struct im *im);
void push_pace_free(struct push_pace *pace);

/* True: now.  False: on_turn() comes, never inside this call. */
bool push_pace_take(struct push_pace *pace, struct push_turn *turn);
/* He waits no more; allowed also when he does not. */
void push_pace_leave(struct push_pace *pace, struct push_turn *turn);

#endif
