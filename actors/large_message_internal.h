/* What the files of the large messages share.  Private to actors/large_message*.c; owning worker only. */
#ifndef ACTORS_LARGE_MESSAGE_INTERNAL_H
#define ACTORS_LARGE_MESSAGE_INTERNAL_H

#include "actors/large_message.h"
#include "actors/large_upload.h"
#include "actors/virtual_user_agent.h"
#include "msrp/receiver.h"

enum {
	LARGE_MESSAGE_CHECK_MS = 10000,  /* the store says whether there is room */
	LARGE_MESSAGE_IDLE_MS = 180000,  /* nothing came: we hang up */
	LARGE_MESSAGE_LINGER_MS = 2000,  /* a BYE has overtaken a message that wants no answers: it may still come */
	LARGE_MESSAGE_FIRST_MS = 500,    /* the same where none has begun */
};

struct large_message {
	struct actor actor;
	struct im *im;
	struct sip_server *invite;          /* NULL: answered */
	struct virtual_user_agent *agent;   /* NULL: not yet, or no more */
	struct large_upload *upload;        /* of the message that comes in; NULL: none, or its first piece is not there */
	struct timer timer;                 /* one of the above */
	char *request;
	size_t request_n;
	struct identity *sender;
	char *recipient;
	size_t recipient_n;
	uint64_t registration;
	uint64_t size;                      /* announced; 0 with has_size false */
	uint64_t max_octets;                /* of each message; 0: any */
	uint64_t room;                      /* in the mailbox, when the INVITE came */
	bool has_size;
	/* ---- the message that comes in ---- */
	char *msrp;                         /* its lines of struct store_deferred; heap */
	size_t msrp_n;
	uint64_t octets;                    /* of it so far */
	unsigned pieces;                    /* that the leg waits for: with the store, or lost with an upload */
	bool is_multimedia;
	bool is_whole;                      /* its last piece is with the store */
	/* ---- the session ---- */
	bool is_leaving;                    /* the peer said BYE and waits for its 200 */
	bool is_silent;                     /* Failure-Report: no: nobody hears what becomes of it */
	bool has_failed;                    /* such a one was not stored, for a cause of ours */
	uint64_t stored_messages, stored_octets, start_us;
	unsigned seen;                      /* messages that began */
};

static inline struct slice large_message_recipient(const struct large_message *l)
{
	return slice_of(l->recipient, l->recipient_n);
}

/* The INVITE again. */
bool large_message_read(const struct large_message *l, struct sip_message *invite);

/* ---- large_message_receive.c ---- */

extern const struct msrp_receiver_events large_message_receiver_events;
/* Whatever has begun to come will not be complete. */
void large_message_abandon(struct large_message *l);

/* ---- large_message.c ---- */

/* Something came, or was stored: the time of waiting begins again. */
void large_message_wait(struct large_message *l);
/* Nothing is open any more: is there anything left to wait for? */
void large_message_settle(struct large_message *l);

#endif
