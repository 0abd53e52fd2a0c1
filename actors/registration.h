/*
 * One REGISTER, read: what it asks for, apart from the message, so that it can
 * wait for the store (RFC 3261 10.3, RFC 3327, RFC 5626; 6.2.1).  Reading it
 * decides what can be decided without knowing the user.
 */
#ifndef ACTORS_REGISTRATION_H
#define ACTORS_REGISTRATION_H

#include "actors/user_internal.h"

/* Why it is refused; status 0: it is not. */
struct registration_refusal {
	unsigned status;
	enum reason why;
	const char *headers; /* whole lines, or NULL */
	const char *warning; /* for a person, or NULL */
};

struct registration {
	struct registration *next; /* of the same user, in the order of arrival */
	struct user *user;
	struct sip_server *server; /* NULL: answered, or nobody waits any more */
	struct registration_refusal refusal; /* holds once the user is known to be one of ours */
	bool is_of_core;  /* third-party REGISTER in ims mode */
	bool is_known;    /* users: provisioned: the store knows him */
	bool is_star;     /* Contact: * */
	bool is_outbound; /* RFC 5626 was used */
	uint64_t call_id_hash;
	uint32_t cseq;
	uint32_t expires_s; /* of a core */
	unsigned count;
	struct binding *contacts[USER_BINDINGS_MAX]; /* not linked; expires_s 0: to be removed */
	char core_contact[512]; /* of a core: whole lines for the 200 */
	size_t core_contact_n;
};

/* NULL: no memory. */
struct registration *registration_read(struct im *im, struct sip_server *server, const struct sip_message *m);
/* And its contacts that were not taken. */
void registration_free(struct registration *r);

#endif
