/*
 * A large message to a user who is away (10.3.2.2; F3; D2-13, D2-15): the INVITE is accepted on his behalf, what
 * comes over MSRP is stored, each message visible and acknowledged with the commit of its last piece.  An upload
 * that is not completed leaves nothing.
 *
 * Thread: owning worker only.  Owner: the worker's pool.
 */
#ifndef ACTORS_LARGE_MESSAGE_H
#define ACTORS_LARGE_MESSAGE_H

#include "actors/identity.h"

/* What a session knows of an INVITE whose user turned out to be away.  Heap blocks are taken over. */
struct large_message_start {
	struct sip_server *invite;  /* watched by nobody; answered here in any case */
	char *request;              /* as received; session_invite_is_acceptable() */
	size_t request_n;
	struct identity *sender;
	char *recipient;            /* canonical */
	size_t recipient_n;
	uint64_t registration;      /* struct user_find */
};

/* The answer comes at once or later, but a 2xx, which needs the dialog, not before the end of this turn.  False: no room;
 * it was refused, and there is no call detail record of it yet. */
bool large_message_start(struct im *im, const struct large_message_start *start);

int large_messages_init(struct im *im);
/* Before virtual_user_agents_free(). */
void large_messages_free(struct im *im);

#endif
