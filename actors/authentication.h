/*
 * Digest authentication of requests outside dialogs, and who is provisioned
 * (design.md 4 "Order of checks", 13 "Users"; RFC 3261 22).  Standalone mode
 * only: a core authenticates its users itself.
 *
 * A request waits here while the worker of its user looks at its credentials
 * (that worker also counts the uses of a nonce, so that a replay is refused
 * wherever it arrives); then the participating function goes on with it.
 */
#ifndef ACTORS_AUTHENTICATION_H
#define ACTORS_AUTHENTICATION_H

#include "actors/im.h"
#include "sip/digest.h"

/* What was found out about a request; zeroed: nothing was. */
struct authentication {
	char user[IM_CANONICAL_MAX]; /* canonical; user_n 0: no digest user */
	size_t user_n;
	bool is_by_flow;        /* flow_owner.c found him, or (user_n 0) nobody: no digest user */
	bool target_is_unknown; /* users: provisioned, and the Request-URI names none of them */
	bool sender_is_unknown; /* the same of From (REGISTER: To), without digest */
};

int authentications_init(struct im *im);
void authentications_free(struct im *im);

/* Is there something to find out before the participating function may look at it?  Not for what the
 * transaction or dialog layer takes: ACK, CANCEL, and requests with the tag of a dialog. */
bool authentication_is_needed(const struct im *im);

/*
 * Takes the request over: refuses it (401, 407, 400, 503) or goes on with it by im_go_on(), at once or
 * later.  `m` lives until this returns; what is handed on is a copy.
 */
void authentication_start(struct im *im, struct sip_server *server, const struct sip_message *m);

/* On the worker of the user: do the credentials prove that it is he, and were they never used before?  0, ENOENT: no;
 * ESTALE: they were; ENOMEM: nobody can say. */
struct user_facts;
int authentication_judge(struct im *im, const struct user_facts *facts, const struct digest_credentials *credentials,
	enum digest_name name, struct slice method);

/* actors/participating.c: the checks after authentication. */
void im_go_on(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct authentication *found);

#endif
