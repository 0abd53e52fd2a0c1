/*
 * The Controlling Function's door (003 chapter 7, 8.3, 9.3): what is for the conference factory, for a group or
 * for the identity of a session here, told apart by method.
 *
 * Thread: owning worker only (rules 2 to 4 of design.md 2 bring it to the worker that has the conference).
 */
#ifndef ACTORS_CONTROLLING_H
#define ACTORS_CONTROLLING_H

#include "actors/identity.h"
#include "sip/uri.h"

enum controlling_kind {
	CONTROLLING_FACTORY,
	CONTROLLING_GROUP,   /* a name of domain.groups, whether it exists or not */
	CONTROLLING_SESSION, /* a user part minted here */
};

/* Everything is copied as far as it is needed. */
struct controlling_start {
	enum controlling_kind kind;
	const struct identity *who;
	const struct sip_uri *target; /* the Request-URI */
	struct slice canonical;       /* the target's; of a session: MINTED_CHARS of identity before the @ */
	bool may_leave;               /* who asks may have requests for other domains sent to core.next_hop */
};

/*
 * Feature tag and identity were checked; the anonymity of design.md 9 (policy.allow_anonymity) was not, for it has its
 * place in each list of checks.  Takes the request over and answers it now or later.  False: it is for nothing that is
 * here (a session identity that nobody knows may be a Contact of the B2BUA), or a method that this function has
 * no answer for: untouched, refused by the caller as a target that does not exist.
 */
bool controlling_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start);

#endif
