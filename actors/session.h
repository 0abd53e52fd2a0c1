/*
 * One IM session at the participating function: the B2BUA of an INVITE
 * (6.2.3.2, 6.2.6.1, 6.2.7.1) with the SIP dialogs of both sides and the two
 * MSRP legs whose chunks are switched between them.
 *
 * Thread: owning worker only; whoever else wants something of a session posts
 * it a message.  Owner: the worker's session pool.
 */
#ifndef ACTORS_SESSION_H
#define ACTORS_SESSION_H

#include "actors/identity.h"
#include "sip/dialog.h"

#define SESSION_SECONDS(s) ((s) * 1000)

enum { SESSION_LIMIT_NONE = -1, SESSION_LIMIT_UNBOUND = -2, SESSION_LIMIT_REATTACH = -3 };

#define SESSION_STATES(X) /* name, how long it may last in ms (or which limit), what that is */               \
	X(LOOKUP, SESSION_SECONDS(5), "asking the called user's worker where he is")                          \
	X(INVITED, SESSION_SECONDS(185), "INVITE relayed, waiting for the answer")                            \
	X(CANCELLED, SESSION_SECONDS(64), "487 sent, waiting for the end of the other INVITE")                \
	X(BINDING, SESSION_LIMIT_UNBOUND, "200 relayed, waiting for both MSRP legs")                          \
	X(ACTIVE, SESSION_LIMIT_NONE, "chunks flow; the SIP session timer guards")                            \
	X(DETACHED, SESSION_LIMIT_REATTACH, "a leg is lost; without a new one the session ends")              \
	X(CLOSING, SESSION_SECONDS(40), "BYE sent, waiting for its answer (timer F) and for the ACK of a 2xx") \
	X(SUBSCRIBED, SESSION_SECONDS(300), "the session is over; subscriptions in its dialogs are not")        \
	X(CLOSED, SESSION_LIMIT_NONE, "nothing left but to be freed")

enum session_state {
#define X(name, ms, what) SESSION_##name,
	SESSION_STATES(X)
#undef X
};

enum session_route {
	SESSION_TO_USER,     /* a user served here: ask where he is (standalone: his contact; ims: the core) */
	SESSION_TO_NEXT_HOP, /* to core.next_hop with the Request-URI as it is                              */
	SESSION_TO_CONTACT,  /* the Request-URI is a Contact that the B2BUA gave out for a conference (D1-15)  */
};

struct session_contact_view;

struct session_start {
	const struct identity *caller;
	enum session_route route;
	struct slice callee; /* canonical; SESSION_TO_USER only */
	const struct session_contact_view *contact; /* SESSION_TO_CONTACT only: the other side's */
};

/* Takes the INVITE over: it is answered in any case, at once or later. */
void session_start(struct im *im, struct sip_server *server, const struct sip_message *invite,
	const struct session_start *start);

/* Replaces (RFC 3891): the caller takes the place of one side of a session.  `hides`: identity_hides_sender().  False:
 * the INVITE names no dialog that leads through us, and is like any other; else it is answered, now or later. */
bool session_replaces(struct im *im, struct sip_server *server, const struct sip_message *invite, bool hides);

/* BYE to every session of this worker that is left, with a Reason.  The second time also where the ACK that it
 * should wait for (RFC 3261 15) has not come: better too early than never. */
void sessions_drain(struct im *im);

struct admin_question;
/* Fills a page for the admin API: sessions of this worker from a slot on. */
void sessions_list(struct im *im, struct admin_question *page);

/* ---- what dialogs that end here need too (actors/virtual_user_agent.h) ---- */

/* One request in the dialog, with a description or without; the events come with `arg`.  0 or ENOMEM. */
int session_send_in(struct sip_dialog *dialog, const char *method, struct slice headers, struct slice sdp,
	const struct sip_client_events *events, void *arg, struct sip_client **client);
/* The ACK of a 2xx that `client`, an INVITE in the dialog with that CSeq, got. */
void session_acknowledge_in(struct sip_dialog *dialog, struct sip_client *client, const struct sip_message *response,
	uint32_t cseq);
/* 500 with Retry-After: something before it has no answer yet (RFC 3261 14.2, RFC 3311 5.2). */
void session_answer_busy(struct im *im, struct sip_server *server);
/* Our address for a peer who reached us by `flow` and has this path (empty: not known), as msrp_leg_open() wants it. */
void session_leg_address(struct worker *worker, const struct sip_flow *flow, bool is_secure, struct slice path,
	struct sockaddr_storage *local);
/* Checks the offer's direction, size, session timer and path; false: answered.  An INVITE without one is acceptable.
 * `is_judged_later`: not whether the operator permits size and types. */
bool session_invite_is_acceptable(struct im *im, struct sip_server *server, const struct sip_message *invite,
	bool is_judged_later);
/* A copy in *to, whose old content is freed.  False: no memory, nothing changed. */
bool session_keep(char **to, uint32_t *to_n, struct slice text);

int sessions_init(struct im *im);
void sessions_free(struct im *im);

#endif
