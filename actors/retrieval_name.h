/*
 * What the URIs of a message store name (D2-04 to D2-06): its function, Deferred@; a user's account; or
 * a message, by its Message-ID or the Call-ID it came with.
 *
 * Any thread; pure functions.
 */
#ifndef ACTORS_RETRIEVAL_NAME_H
#define ACTORS_RETRIEVAL_NAME_H

#include "actors/im.h"
#include "sip/uri.h"

enum retrieval_form {
	RETRIEVAL_NONE,     /* the store has nothing to do with it                    */
	RETRIEVAL_FUNCTION, /* Deferred@ a home domain or the store host              */
	RETRIEVAL_NAMED,    /* an account or a message at the store host              */
};

/* Of a Request-URI.  The history function and the conference factory are others. */
enum retrieval_form retrieval_form_of(const struct im *im, const struct sip_uri *uri);

/* The account that a RETRIEVAL_NAMED would be: canonical.  False: it cannot be one. */
bool retrieval_account(const struct im *im, const struct sip_uri *uri, struct buffer *out);

/* What the store is to look for, at most IM_CANONICAL_MAX octets: the String of a Message-ID, or a Call-ID.  `uri`:
 * at the store host, written with or without escapes (D2-06).  False: it names no message. */
bool retrieval_key(const struct im *im, const struct sip_uri *uri, struct buffer *out);

#endif
