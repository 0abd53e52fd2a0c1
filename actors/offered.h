/*
 * The credentials that a request brings (RFC 3261 22.4): which of its headers
 * is for us, whom it names, and whether it was made for this request.
 *
 * Pure functions over their arguments; what they find points into the message.
 */
#ifndef ACTORS_OFFERED_H
#define ACTORS_OFFERED_H

#include "actors/im.h"
#include "sip/digest.h"

struct offered {
	struct digest_credentials credentials;
	struct slice header;
	enum digest_name name;
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
};

enum offer {
	OFFER_NONE,
	OFFER_GOOD,
	OFFER_BAD,     /* against the grammar, or too many: 400     */
	OFFER_USELESS, /* nothing that was asked for: challenge again */
};

/* The first for our realm that can be used: a client that knows several algorithms may send several.  `for_us`:
 * Authorization, else Proxy-Authorization. */
enum offer offered_find(const struct im *im, const struct sip_message *m, bool for_us, struct offered *o);

/* Its uri and the Request-URI must mean the same (RFC 7616 3.4.6): else credentials could be moved to another
 * request. */
bool offered_uri_is(const struct im *im, struct slice given, const struct sip_message *m);

/* Whom it names: `name` or `name@domain` with the domain as in the realm; for other spellings nothing is stored. */
bool offered_name(const struct im *im, struct offered *o);

#endif
