/*
 * What the files of the push share.  Private to actors/push*.c and delivery.c;
 * owning worker only.
 */
#ifndef ACTORS_PUSH_INTERNAL_H
#define ACTORS_PUSH_INTERNAL_H

#include <sys/queue.h>

#include "actors/delivery.h"
#include "actors/mailbox.h"
#include "actors/push.h"
#include "actors/push_pace.h"
#include "actors/user.h"
#include "actors/virtual_user_agent.h"
#include "core/chains.h"

enum push_state {
	PUSH_WAITING,    /* for its turn among those of the worker        */
	PUSH_LOOKUP,     /* where is he, and what does he want?           */
	PUSH_LOOKING,    /* is anything there for him?                    */
	PUSH_PACED,      /* deferred.push_rate says not yet               */
	PUSH_CALLING,    /* INVITE to one of his contacts, or to the core */
	PUSH_DELIVERING, /* he answered                                   */
	PUSH_MESSAGING,  /* MESSAGEs to an ordinary client                */
};

struct push_message;

struct push {
	struct actor actor;
	struct im *im;
	struct push *table_next;
	TAILQ_ENTRY(push) link;  /* of those that wait */
	LIST_ENTRY(push) of_worker;
	enum push_state state;
	enum push_cause cause;
	enum push_cause next_cause; /* is_asked_again: a trigger came when this had begun */
	bool is_asked_again;
	struct timer deadline;
	struct push_turn turn;
	struct user_find *found; /* his contacts; NULL: not asked yet */
	bool has_come_again;     /* another trigger since then: he may have another contact */
	unsigned next_contact;
	unsigned secure_contact; /* the one behind which next_contact stands is offered msrps */
	struct mailbox_visit *visit;     /* only to see whether something is there */
	struct virtual_user_agent *agent;
	struct delivery *delivery;
	struct push_message *message;    /* PUSH_MESSAGING */
	uint16_t canonical_n;
	char canonical[];
};

struct push_table {
	struct chains by_name;
	struct siphash_key key;
	LIST_HEAD(, push) all;
	TAILQ_HEAD(, push) waiting;
	LIST_HEAD(, delivery) deliveries;
	unsigned under_way;
	bool is_draining;
	struct timer next;       /* when another may begin */
	struct push_pace pace;
};

static inline struct slice push_name(const struct push *push)
{
	return slice_of(push->canonical, push->canonical_n);
}

/* ---- push.c ---- */

/* It is over; what of it still waits for an answer is given up.  Frees it. */
void push_end(struct push *push, const char *why);

/* The same after all was done that was to do, as far as this push saw: who was asked again meanwhile looks again. */
void push_over(struct push *push, const char *why);

/* The same after a failure, which is counted. */
void push_fail(struct push *push, enum reason why);

/* To the next of his contacts; when there is none it is over. */
void push_try_next(struct push *push);

/* ---- push_message.c: MESSAGEs to a contact without the feature tag (design.md 7) ---- */

/* False: no memory.  Ends the push by itself otherwise. */
bool push_message_begin(struct push *push, const struct user_contact *contact);
void push_message_on_mailbox(struct push *push, struct msg *msg);
void push_message_free(struct push_message *message); /* NULL is allowed */
/* The process ends: the transactions below were dropped without a word. */
void push_message_forget_client(struct push_message *message);

#endif
