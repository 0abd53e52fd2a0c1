/*
 * Deferred messages that their user fetches (10.1, 10.3.1; 11.3.1 of CR000; CR004; D2-04 to D2-10, F6 to F11): an
 * INVITE to Deferred@, to his account at the store host or to one message is answered by a user agent of ours,
 * which sends them and says BYE.
 *
 * The refusals, in their order: 403 not a user with an account here; 404 a name at the store host that is neither an
 * account nor a message of his; 403 a direction that is not recvonly; 403 somebody else's account; then 422, what the
 * description or the URI list lack (400, 413, 415, 488), and 404 when no entry of the list is a message of his.
 *
 * Thread: owning worker only.  Owner: the worker's pool.
 */
#ifndef ACTORS_RETRIEVAL_H
#define ACTORS_RETRIEVAL_H

#include "actors/identity.h"
#include "sip/uri.h"

/* Is an INVITE with that Request-URI one? */
bool retrieval_is_for(const struct im *im, const struct sip_uri *target);

struct retrieval_start {
	const struct identity *who; /* copied as far as it is needed */
	bool target_is_known;       /* provisioned: the Request-URI names a user */
};

/* Takes the INVITE over: answers it now or later. */
void retrieval_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct retrieval_start *start);

int retrievals_init(struct im *im); /* 0 or ENOMEM */
/* Before virtual_user_agents_free() and deliveries_free(). */
void retrievals_free(struct im *im);

#endif
