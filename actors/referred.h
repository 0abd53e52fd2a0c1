/*
 * What a REFER asks for, as far as its text says it: the targets of RFC 3515 (one) and RFC 5368 (several, in a body
 * that Refer-To names by a cid: URL), and whether it wants a subscription (RFC 4488, D1-02).
 *
 * Any thread; slices are into the message unless it says otherwise.
 */
#ifndef ACTORS_REFERRED_H
#define ACTORS_REFERRED_H

#include "sip/message.h"
#include "sip/uri.h"

struct limits_options;

enum referred_verdict {
	REFERRED_OK,
	REFERRED_MALFORMED, /* 400: no Refer-To or several, nothing that could be called, a body without such a list */
	REFERRED_FORBIDDEN, /* 403 (D1-25): a method other than INVITE or BYE; in a list, other than INVITE */
	REFERRED_TOO_MANY,  /* 400: more entries than limits.uri_list */
	REFERRED_TOO_LARGE, /* 413: more octets than limits.xml_bytes */
	REFERRED_NO_MEMORY, /* 503 */
};

struct referred {
	struct slice uri;     /* of Refer-To, without brackets */
	struct slice cid;     /* it is a cid: URL: what follows the colon; else empty */
	struct sip_uri parts; /* of a sip, sips or tel URI */
	bool is_bye;          /* ;method=BYE */
	bool is_silent;       /* Refer-Sub: false */
};

/* OK, MALFORMED or FORBIDDEN. */
enum referred_verdict referred_read(struct referred *out, const struct sip_message *m);

struct referred_target {
	struct slice uri; /* as written, without the method */
	struct slice canonical;
};

struct referred_targets {
	unsigned count;
	struct referred_target *all; /* heap, one block with their text; each canonical name once, in the order of the list */
};

/* Whom `what`, which is no BYE, names.  OK: *out is the caller's, to be freed by referred_targets_free(). */
enum referred_verdict referred_targets_read(struct referred_targets *out, const struct referred *what,
	const struct sip_message *m, const struct sip_home *home, const struct limits_options *limits);
void referred_targets_free(struct referred_targets *targets); /* of one that was read, or is all zero */

#endif
