/*
 * Headers that several requests and responses of ours share.  Everything goes
 * into a buffer of the caller, who looks at its overflow once.  Owning worker
 * only.
 */
#ifndef ACTORS_OUTGOING_H
#define ACTORS_OUTGOING_H

#include "actors/identity.h"

#define OUTGOING_HEADERS_MAX 12288 /* all headers of one message of ours but Via and the end */

/* Max-Forwards one less than received (70 when absent). */
void outgoing_max_forwards(struct buffer *out, const struct sip_message *m);

/* The Route values below ours (ims: they lead back into the core; D1-03, design.md 4). */
void outgoing_routes(struct buffer *out, const struct im *im, const struct sip_message *m);

/* The Route to a registered contact (RFC 3327 5.3); nothing when `path` is empty. */
void outgoing_path(struct buffer *out, struct slice path);

/* Who we are in a dialog: the user part of our Contact, and whether it must be a sips URI (RFC 3261 8.1.1.8,
 * 12.1.1); it becomes one only over TLS, where it can be reached. */
struct outgoing_self {
	struct slice user;
	bool is_sips;
};

static inline bool outgoing_is_sips(struct slice uri)
{
	return slice_case_starts(uri, SLICE("sips:"));
}
/* What begins a dialog asks for sips: its Request-URI, its topmost Record-Route or, without one, its Contact. */
bool outgoing_wants_sips(const struct sip_message *request);

/* `Contact: <sip:USER@HOST:PORT;transport=..>;+g.oma.sip-im`, reachable by what goes out on `flow`. */
void outgoing_contact(struct buffer *out, const struct im *im, const struct sip_flow *flow, struct outgoing_self self);

/* Only its URI. */
void outgoing_contact_uri(struct buffer *out, const struct im *im, const struct sip_flow *flow, struct outgoing_self self);

/* Does its Contact say that it is a conference (RFC 3840 10.1: isfocus)? */
bool outgoing_is_of_focus(const struct sip_message *m);

/* The same, with the feature tags of the Contact in `m` that hold through us too: isfocus, automata, media, what
 * begins with +g. (6.2.7.1, D1-15).  Of one who hides only the first two. */
void outgoing_contact_like(struct buffer *out, const struct im *im, const struct sip_flow *flow,
	struct outgoing_self self,
	const struct sip_message *m, bool hides);

/* Our Accept-Contact (D1-13), then the caller's other preferences. */
void outgoing_accept_contact(struct buffer *out, const struct sip_message *m);

/* The fields of a request or response that pass through the B2BUA: header_rules.def.  `sender_hides`:
 * identity_hides_sender() or identity_hides_answerer(). */
void outgoing_copied(struct buffer *out, const struct im *im, const struct sip_message *m, bool sender_hides);
/* The same where our own description takes the place of the body. */
void outgoing_copied_without_body(struct buffer *out, const struct im *im, const struct sip_message *m,
	bool sender_hides);

/* `To: <value without tag>`. */
void outgoing_to(struct buffer *out, const struct sip_message *m);
/* The same value without the header name. */
void outgoing_to_value(struct buffer *out, const struct sip_message *m);
/* That of From. */
void outgoing_from_value(struct buffer *out, const struct sip_message *m);

/* `Call-ID`: minted so that it hashes to this worker (design.md 2). */
void outgoing_call_id(struct buffer *out, struct worker *worker);

/* `Date: ..`, now (RFC 3261 20.17). */
void outgoing_date(struct buffer *out, const struct worker *worker);

/* D1-19: what of a final response is passed on. */
unsigned outgoing_final_status(unsigned status);

/* The flow that a target's request will take, for Contact and own addresses. */
struct sip_flow outgoing_flow(const struct im *im, const struct sip_target *target);

#endif
