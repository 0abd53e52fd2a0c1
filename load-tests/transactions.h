/*
 * Non-INVITE client transactions (RFC 3261 17.1.2) of a tool that has tens of thousands of them under way: repeated
 * over UDP with timer E, given up with timer F.  They are found by their number, which is in their branch.
 *
 * All that wait equally long stand in one list, in the order of their time, so nothing is sorted or scanned.
 */
#ifndef LOAD_TESTS_TRANSACTIONS_H
#define LOAD_TESTS_TRANSACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "load-tests/event_loop.h"

#define TRANSACTION_LEVELS 6

struct transaction {
	uint64_t due_ns, repeat_ns, until_ns;
	uint64_t mark;     /* the caller's */
	uint32_t sequence; /* its number */
	uint32_t subject;  /* the caller's: which user or pair */
	uint32_t next, previous;
	uint16_t status; /* of the final answer, 0: none yet */
	uint8_t level;
	uint8_t attempt; /* of the caller: how often it was challenged */
	bool is_busy, has_arrived;
};

struct transactions {
	struct event_loop *loop;
	bool is_lossy; /* UDP */
	void *user;
	void (*repeat)(void *user, struct transaction *t);
	void (*give_up)(void *user, struct transaction *t); /* to end it is the handler's */
	/* ---- own ---- */
	struct transaction *ring;
	uint32_t size, next_sequence, under_way;
	uint32_t first[TRANSACTION_LEVELS], last[TRANSACTION_LEVELS];
};

/* The members up to give_up are filled in; at least `most` may be under way. 0 or ENOMEM. */
int transactions_open(struct transactions *t, uint64_t most);
void transactions_close(struct transactions *t);

bool transactions_have_room(const struct transactions *t);
/* Begins one; the caller sends it.  Only while there is room. */
struct transaction *transactions_begin(struct transactions *t, uint64_t due_ns, uint32_t subject);
/* The one of that number, unless it has ended. */
struct transaction *transactions_find(struct transactions *t, uint32_t sequence);
/* It is repeated no more, or (a provisional answer) less often. */
void transactions_answered(struct transactions *t, struct transaction *x);
void transactions_proceeding(struct transactions *t, struct transaction *x);
void transactions_end(struct transactions *t, struct transaction *x);

/* Repeats and gives up what it is time for, but not too much at once; some times a second. */
void transactions_tick(struct transactions *t);

#endif
