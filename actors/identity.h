/*
 * Who is asking (design.md 4 "Identity", 5.2 of the specification, D1-14,
 * D2-53), and whether he wants that kept from the called user.
 */
#ifndef ACTORS_IDENTITY_H
#define ACTORS_IDENTITY_H

#include "actors/im.h"

struct identity {
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
	bool is_anonymous; /* Privacy has id, header, user or critical, or From is anonymous */
	bool wants_id_privacy; /* Privacy has id: what chapters 6 and 7 test */
};

/* False: nobody we believe says who is asking: 403. */
bool identity_of_request(struct im *im, const struct sip_flow *flow, const struct sip_message *m,
	struct identity *identity);

/* The identity of a request whose sender proved by digest that he is `user` (canonical). */
void identity_of_user(const struct sip_message *m, struct slice user, struct identity *identity);

/* Does From name that user (canonical), or nobody at all (anonymous)? */
bool identity_from_is(struct im *im, const struct sip_message *m, struct slice user);
/* A REGISTER: does To name him?  Also when it names nobody who could be registered here: 404 is for that. */
bool identity_registers_itself(struct im *im, const struct sip_message *m, struct slice user);

/* From says nobody: anonymous@..., or any user of anonymous.invalid (RFC 3323 4.1.1.3). */
bool identity_from_is_anonymous(const struct sip_message *m);

/* Is that user (canonical) he who asks?  A core may assert two identities of one user (RFC 3325 9.1). */
bool identity_is(struct im *im, const struct sip_message *m, const struct identity *identity, struct slice user);

/* Is the peer one of core.trusted? */
bool identity_peer_is_trusted(const struct im *im, const struct sip_flow *flow);

/* Is it our Deferred or History Function?  What they bring was wanted when it was stored (design.md 7); a core alone
 * may say that it is theirs. */
bool identity_is_function(const struct im *im, struct slice canonical);

/* Must we keep who sent it from the other side?  Only standalone imserv is the privacy service
 * (design.md 13); in ims mode that is the core's business. */
bool identity_hides_sender(const struct im *im, const struct identity *identity);
/* The same of who answered. */
bool identity_hides_answerer(const struct im *im, const struct sip_message *response);

/*
 * The headers of an outgoing request that say who asks: P-Asserted-Identity and Privacy.  ims: copied
 * with Privacy, the core strips them (D1-14).  standalone: ours, and nothing for an anonymous sender.
 */
void identity_write(struct buffer *out, const struct im *im, const struct identity *identity,
	const struct sip_message *m);

/* P-Asserted-Identity and Privacy of a response, passed on (6.2.3.1, 6.2.7.1). */
void identity_write_of_response(struct buffer *out, const struct im *im, const struct sip_message *response,
	struct slice answering);

/* The From value without tag for the other side: as received, or anonymous where standalone imserv is
 * the privacy service (design.md 13). */
void identity_write_from(struct buffer *out, const struct im *im, const struct identity *identity,
	const struct sip_message *m);

#endif
