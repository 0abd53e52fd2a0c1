/*
 * SUBSCRIBE and REFER outside dialogs for URIs that are not owned here
 * (6.2.3.4, 6.2.3.5, D1-03), and the requests of the dialogs that they make:
 * passed on by a transaction-stateful proxy (RFC 3261 16) that stays in the
 * path by Record-Route.  No state is kept between requests: what is needed is
 * in our Record-Route URI (sip/record_route.h).
 *
 * Thread: owning worker only.  Owner: the worker's pool of them.
 */
#ifndef ACTORS_FORWARD_H
#define ACTORS_FORWARD_H

#include "actors/identity.h"
#include "sip/record_route.h"

enum forward_route {
	FORWARD_TO_USER,     /* a user served here: his contacts one after the other (ims: the core) */
	FORWARD_TO_NEXT_HOP, /* with the Request-URI as it is                                        */
	FORWARD_TO_CONTACT,  /* the Request-URI is a Contact that the B2BUA gave out (D1-15)         */
	FORWARD_IN_DIALOG,   /* where our Record-Route URI says                                      */
};

struct forward_start {
	enum forward_route route;
	const struct identity *sender;   /* not inside dialogs */
	struct slice recipient;          /* canonical; FORWARD_TO_USER only */
	const struct sip_record *record; /* FORWARD_IN_DIALOG only */
};

/* Takes the request over, which is no INVITE: it is answered in any case, at once or later. */
void forward_start(struct im *im, struct sip_server *server, const struct sip_message *request,
	const struct forward_start *start);

int forwards_init(struct im *im);
void forwards_free(struct im *im);

#endif
