/*
 * What a proxy changes in the messages that it passes on (RFC 3261 16.4, 16.6,
 * 16.7), and what the IM functions must keep from going further.  All else is
 * passed on as it came.
 *
 * Thread: owning worker only.
 */
#ifndef ACTORS_FORWARD_HEADERS_H
#define ACTORS_FORWARD_HEADERS_H

#include "actors/identity.h"

struct forward_request {
	/* ---- by the caller ---- */
	struct im *im;
	const struct sip_flow *came_by;
	struct sip_target target;
	const struct identity *sender; /* NULL: inside a dialog, where nobody asks */
	bool is_in_dialog;             /* the Routes are followed; outside dialogs only in ims mode */
	struct slice path;             /* value for Route of a registered contact; or empty */
	struct slice routes;           /* whole lines; or empty */
	struct slice record;           /* user part of our Record-Route URI; empty: none */
	struct slice refer_to;         /* in the place of the request's; or empty */
	struct slice uri;              /* the Request-URI; inside dialogs it is found here */
	/* ---- written ---- */
	struct slice headers;
	bool is_too_long; /* more Routes than are followed */
};

/* All headers from the second Via on.  What is returned holds them and is freed by the caller; NULL: no memory,
 * or is_too_long. */
char *forward_write_request(struct forward_request *sent, const struct sip_message *m);

struct forward_answer {
	struct im *im;
	struct slice answering; /* who was asked, canonical; empty: nobody of ours */
	struct slice headers;   /* written */
};

/* All headers of a response but Via, From, To, Call-ID and CSeq.  As above. */
char *forward_write_answer(struct forward_answer *answer, const struct sip_message *m);

#endif
