/*
 * Chunks that were forwarded and wait for the answer of the far side.  The slot
 * of a transaction is in the id that goes out, so a response finds it without a
 * table; the rest of the id is random and compared whole.
 *
 * Thread: owning worker only.  Owner: the endpoint's pool; the list of the leg
 * whose peer sent the chunk.
 */
#ifndef MSRP_TRANSACTION_H
#define MSRP_TRANSACTION_H

#include "msrp/endpoint.h"

/* A chunk came for `from` and goes out at `to`; without `incoming_id` it is a request of our own to the peer of both,
 * and msrp_leg_on_first_answer() hears of its end.  NULL: the pool is exhausted. */
struct msrp_transaction *msrp_transaction_open(struct msrp_leg *from, struct msrp_leg *to,
	struct slice incoming_id, enum msrp_failure_report wish);

/* A chunk of so many octets of a message of our own, and its id; msrp_sender_on_answer() hears of it.  NULL: as above. */
struct msrp_transaction *msrp_transaction_open_own(struct msrp_leg *leg, struct msrp_outgoing *message, uint32_t octets,
	char id[MSRP_ID_CHARS]);

/* The name of what a room sends to several; there is no leg to it.  NULL: as above. */
struct msrp_transaction *msrp_transaction_open_room(struct msrp_endpoint *endpoint, struct room_chunk *chunk,
	char id[MSRP_ID_CHARS]);
void msrp_transaction_close_room(struct msrp_endpoint *endpoint, struct msrp_transaction *t);

/* Another id for a part that was not sent yet. */
void msrp_transaction_rename(struct msrp_transaction *part, char id[MSRP_ID_CHARS]);

/* Nobody waits any more for answers to that message of our own. */
void msrp_transactions_forget(struct msrp_leg *leg, const struct msrp_outgoing *message);

/* One more outgoing part of it, and its transaction id; the first call uses `chunk` itself.  False: as above,
 * or the leg has MSRP_TRANSACTIONS_PER_LEG out. */
bool msrp_transaction_add_part(struct msrp_transaction *chunk, char id[MSRP_ID_CHARS]);

/* An id that no transaction has: for a chunk that wants no answer. */
void msrp_transaction_make_id(struct msrp_endpoint *endpoint, uint32_t slot,
	char id[MSRP_ID_CHARS]);

/* It looks like one that was made with UINT32_MAX: whatever it is answered is of no interest. */
bool msrp_transaction_is_unanswered(struct slice id);

/* NULL: no chunk of ours, or answered already. */
struct msrp_transaction *msrp_transaction_find(struct msrp_endpoint *endpoint, struct slice id);

/* The far side answered a part. */
void msrp_transaction_on_response(struct msrp_transaction *part, unsigned status,
	struct slice comment);

/* The incoming end-line came: the far side has 0.8 x msrp_transaction from now on. */
void msrp_transaction_end(struct msrp_transaction *chunk);

/* So many a leg may have: few when those of the worker come to an end, so that no session has none for others. */
unsigned msrp_transactions_most(const struct msrp_endpoint *endpoint);

/* Gives up: with a status the sender is told, 0: not. */
void msrp_transaction_fail(struct msrp_transaction *chunk, unsigned status, struct slice comment);
void msrp_transactions_fail(struct msrp_leg *from, unsigned status);

#endif
