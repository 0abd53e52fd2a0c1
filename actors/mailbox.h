/*
 * A user's mailbox: who may deliver or remove one of his deferred messages now (design.md 6: leases are memory
 * only).  The rows are the store's (core/store_deferred.h) and anybody may read them; but a push and a retrieval
 * never send the same message at a time (D2-24), so whoever wants to send one leases it here.
 *
 * A mailbox lives on the worker that its user's canonical name hashes to, as long as somebody visits it; it is
 * asked from any worker by messages that come home as their own answers:
 *
 *	mailbox_enter()   once; nothing is sent yet
 *	mailbox_lease()   MSG_MAILBOX_LEASED: some messages, the visitor's until he ends them
 *	mailbox_end()     MSG_MAILBOX_ENDED: those delivered are gone from the disk, the others are free again
 *	mailbox_leave()   the visitor's last act, however he ends: what he still holds becomes free
 *
 * Thread: of the asking worker; what is below "the user's worker" on that.
 */
#ifndef ACTORS_MAILBOX_H
#define ACTORS_MAILBOX_H

#include "actors/im.h"
#include "core/store_deferred.h"

#define MAILBOX_LEASE_MAX STORE_NEXT_MAX /* messages of one lease */
#define MAILBOX_HELD_MAX  1024 /* leases of one mailbox: a visitor has few outstanding */

struct user_mailbox;

/* What makes sure that leaving needs no memory.  Owner: the visiting actor, until mailbox_leave(). */
struct mailbox_visit;

/* NULL: no memory. */
struct mailbox_visit *mailbox_enter(struct im *im, struct slice canonical, actor_id visitor);

/* NULL is allowed.  Whatever comes home for this visitor later finds no actor and is freed: the visitor may end
 * at once. */
void mailbox_leave(struct im *im, struct mailbox_visit *visit);

/*
 * Asks for the oldest messages behind `after` that nobody holds, at most `most` of them.  Comes home to the visitor as
 * MSG_MAILBOX_LEASED, who frees it by mailbox_lease_free().
 *   msg.err  0; or what the store said: nothing is leased.  `count` 0 with err 0: there is none (any more).
 * They are in the order of reception.  A lease that was asked for one message by its position (`only`) has that one,
 * or none: it is gone, expired, or another's.  Names of messages are found beforehand, by STORE_DEFERRED_FIND.
 */
struct mailbox_lease {
	struct msg msg;
	/* ---- written by mailbox_lease() ---- */
	actor_id visitor;
	char canonical[IM_CANONICAL_MAX];
	uint16_t canonical_n;
	uint64_t after;
	uint64_t only; /* 0: not one certain */
	unsigned most;
	/* ---- written by the mailbox ---- */
	unsigned count;
	const struct store_deferred *messages[MAILBOX_LEASE_MAX]; /* they point into `page` */
	uint64_t last;  /* position to go on behind, whether those before it were leased or another's */
	bool is_last;   /* none is behind `last` */
	bool has_others; /* some were left out because another visitor holds them */
	struct store_deferred_next *page; /* the store's answer: what it has of each message, see STORE_DEFERRED_NEXT */
	/* ---- the mailbox's own ---- */
	struct user_mailbox *mailbox;
	struct mailbox_lease *next;
	bool has_left;
};

/* ENOMEM: nothing was sent.  One at a time per visitor. */
int mailbox_lease(struct im *im, const struct mailbox_visit *visit, uint64_t after, unsigned most);
int mailbox_lease_one(struct im *im, const struct mailbox_visit *visit, uint64_t position);
void mailbox_lease_free(struct mailbox_lease *lease);

/* Comes home as MSG_MAILBOX_ENDED or MSG_MAILBOX_REMOVED with its msg.err, to be freed with free(). */
struct mailbox_end {
	struct msg msg;
	actor_id asker; /* the visitor; of a removal 0: nothing comes home */
	char canonical[IM_CANONICAL_MAX];
	uint16_t canonical_n;
	bool is_delivered;
	unsigned count;
	uint64_t positions[MAILBOX_LEASE_MAX];
	struct mailbox_end *next; /* the mailbox's own */
};

/*
 * Ends leases of the visitor.  Delivered ones are removed in the store, and only then it comes home, as
 * MSG_MAILBOX_ENDED: err 0, or what the store said: they are there still and will be delivered again.  Not delivered:
 * they are free at once.  Positions that the visitor does not hold are ignored.
 * ENOMEM: nothing was sent; the leases last until the visitor leaves.  `count` <= MAILBOX_LEASE_MAX.
 */
int mailbox_end(struct im *im, const struct mailbox_visit *visit, const uint64_t *positions, unsigned count,
	bool is_delivered);

/*
 * A message was committed for him.  `registration` is user_find.registration of the moment when he was looked for:
 * if he came back since, and the conditions of a push hold, one begins.  Subscribers of
 * message-summary hear of it.  Without memory nothing is told, and it is counted.
 */
void mailbox_stored(struct im *im, struct slice canonical, uint64_t registration);

/*
 * Removes messages whoever holds them: a late 2xx said that this one arrived (design.md 13, "Messages"), or its owner
 * deletes it.  One that is being delivered goes when that delivery ends, however it ends.  `asker` 0: nothing comes
 * home; else MSG_MAILBOX_REMOVED: err 0, also for those that go later; ENOENT: none of them is there; or what the store
 * said.  ENOMEM: nothing was sent.
 */
int mailbox_remove(struct im *im, struct slice canonical, const uint64_t *positions, unsigned count, actor_id asker);

/* What is in a mailbox changed otherwise (expiry): the user's worker is told. */
void mailbox_tell_change(struct im *im, struct slice canonical);

/* ---- the user's worker ---- */

/* Who hears that something was stored, removed or expired; at the start. */
typedef void (*mailbox_change_handler)(struct im *im, struct slice canonical);
void mailbox_on_change(struct im *im, mailbox_change_handler handler);

/* 0 or ENOMEM. */
int mailboxes_init(struct im *im);
void mailboxes_free(struct im *im);
void mailbox_register_handlers(struct worker *worker);

/* Leases of all mailboxes of this worker; 0 when nobody visits one. */
unsigned mailboxes_held(const struct im *im);

#endif
