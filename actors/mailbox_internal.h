/* Mailboxes as the files about them share them.  Private to actors/mailbox*.c; the user's worker only. */
#ifndef ACTORS_MAILBOX_INTERNAL_H
#define ACTORS_MAILBOX_INTERNAL_H

#include "actors/mailbox.h"
#include "core/siphash.h"

#define MAILBOX_CHAINS 4096
#define MAILBOX_ROOM   (128 * 1024) /* of a lease: the head of one message and a piece of its content, or many small ones */

/* MSG_MAILBOX_LEAVE; until it is sent it is the visit. */
struct mailbox_leave {
	struct msg msg;
	actor_id visitor;
	char canonical[IM_CANONICAL_MAX];
	uint16_t canonical_n;
};

/* MSG_MAILBOX_CHANGED */
struct mailbox_change {
	struct msg msg;
	bool is_stored;
	uint64_t registration;
	char canonical[IM_CANONICAL_MAX];
	uint16_t canonical_n;
};

/* One message that somebody delivers, or that is about to go.  While it is here nobody else gets it. */
struct held_message {
	struct held_message *next;
	uint64_t position;
	actor_id visitor;
	bool is_doomed; /* goes when this lease ends, however it ends */
	bool is_going;  /* the store was asked to remove it: no visitor's any more */
};

/* Exists as long as something is held, or asked of the store. */
struct user_mailbox {
	struct user_mailbox *chain_next;
	struct im *im;
	struct held_message *held;
	unsigned held_count, removals; /* removals: asked of the store */
	struct mailbox_lease *asked;   /* that wait for the store */
	struct mailbox_end *ending;    /* likewise */
	uint16_t canonical_n;
	char canonical[];
};

struct mailbox_table {
	struct siphash_key key;
	struct user_mailbox *chains[MAILBOX_CHAINS];
	unsigned held; /* of all of them */
	mailbox_change_handler on_change;
	/* ---- mailbox_sweep.c ---- */
	struct worker *worker;
	struct timer sweep_timer;
	struct store_deferred_sweep *sweep; /* NULL: it is at the store */
};

void mailbox_register_answers(struct worker *worker);
void mailbox_sweep_init(struct im *im);
void mailbox_sweep_free(struct im *im);

#endif
