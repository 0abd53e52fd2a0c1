/*
 * A user agent that is the server itself (D2-59): a SIP dialog and an MSRP leg
 * that end here, for whoever takes a message on a user's behalf (10.3.2.2) or
 * hands kept ones out (10.3.2.3, 10.3.2.5).  It does what any such dialog needs
 * - ACK, BYE of either side, the session timer, refreshes and new paths, the
 * limits of waiting - and knows nothing of what goes over the leg.
 *
 * Thread: owning worker only.  Owner: the worker's pool; the function that made
 * it holds a pointer until on_ended() or virtual_user_agent_end(), and afterwards
 * the agent says its BYE alone.
 */
#ifndef ACTORS_VIRTUAL_USER_AGENT_H
#define ACTORS_VIRTUAL_USER_AGENT_H

#include "actors/im.h"
#include "sip/sdp.h"

struct virtual_user_agent;
struct session_peer;

#define VIRTUAL_USER_AGENT_STATES(X) /* name, how long it may last in ms (or which limit), what that is */          \
	X(INVITING, SESSION_SECONDS(185), "our INVITE has no final answer; the owner cancels it earlier")           \
	X(BINDING, SESSION_LIMIT_UNBOUND, "answered; the MSRP connection is missing")                               \
	X(ACTIVE, SESSION_LIMIT_NONE, "the leg is bound; the session timer guards, and the owner")                  \
	X(DETACHED, SESSION_LIMIT_REATTACH, "the connection is lost; without a new one the session ends")           \
	X(LEAVING, SESSION_SECONDS(20), "the peer said BYE; its 200 waits for virtual_user_agent_end()")            \
	X(CLOSING, SESSION_SECONDS(40), "the owner has gone; our BYE or the ACK of our 2xx is missing")

/* None comes from inside a call of the functions below. */
struct virtual_user_agent_events {
	/* The leg has its connection: the first time, or again after on_lost(). */
	void (*on_bound)(struct virtual_user_agent *, void *arg);
	/* The connection is gone.  The peer may bring another one (on_bound), else on_ended() comes after
	 * limits.reattach.  NULL: it need not be known. */
	void (*on_lost)(struct virtual_user_agent *, enum reason why, void *arg);
	/* The peer said BYE, and its 200 goes out by virtual_user_agent_end(), which must come within 20 s: an
	 * upload may still have to be committed (design.md 5, Failure-Report: no).  The leg still works.  NULL: the
	 * 200 goes out at once and on_ended() comes with REASON_PEER_CLOSED. */
	void (*on_bye)(struct virtual_user_agent *, void *arg);
	/* The session is over: BYE of the peer, no ACK, no MSRP connection in time, session timer, drain.  The leg is
	 * there until this returns, then the pointer is dead. */
	void (*on_ended)(struct virtual_user_agent *, enum reason why, void *arg);
	/* ---- client side ---- */
	/* He answered, his 2xx is acknowledged and the leg has its peer: a sender is attached now or never.  `said` is
	 * his description.  virtual_user_agent_end() is allowed inside. */
	void (*on_answered)(struct virtual_user_agent *, const struct session_peer *said, void *arg);
	/* He did not: with the status of his answer, 408 (none came) or 503 (it could not be sent).  The pointer is
	 * dead when this returns. */
	void (*on_refused)(struct virtual_user_agent *, unsigned status, void *arg);
};

/* What our descriptions say.  The strings live as long as the agent. */
struct virtual_user_agent_media {
	enum sdp_direction direction;     /* ours: RECVONLY takes, SENDONLY hands out */
	const char *accept_types;         /* NULL (answers only): of the offered ones those that policy.content_types permits */
	const char *accept_wrapped_types; /* NULL: likewise, or none */
	uint64_t max_size;                /* a=max-size; 0: none */
};

/* ---- server side: the answer to an INVITE ---- */

struct virtual_user_agent_answer {
	struct sip_server *server;          /* nobody else watches it from here on */
	const struct sip_message *invite;   /* with an offer that session_sdp_read() accepts; its session timer is not too brief */
	struct slice user;                  /* who asks, canonical: connects in vain count for him */
	struct slice asserted;              /* P-Asserted-Identity of our 200: a URI, sip:Deferred@STORE_HOST */
	struct virtual_user_agent_media media;
	const struct virtual_user_agent_events *events;
	void *arg;
};

/*
 * Answers 200: Contact ;automata;+g.oma.sip-im, Date, Allow, P-Asserted-Identity, session timer, the description with
 * our path (the attributes that describe a file or size are repeated, D2-45).  False: it could not be, the INVITE was
 * refused (503 no room, 480 the peer's description, 400 or 513 what cannot begin a dialog) with counter and log line;
 * `*why` (may be NULL) says why for the CDR.
 * limits.sessions counts it.  On true *out is set before any event; the leg waits for its receiver or sender:
 * nothing is read from it before the end of this turn.
 */
bool virtual_user_agent_answer(struct virtual_user_agent **out, struct im *im,
	const struct virtual_user_agent_answer *answer, enum reason *why);

/* ---- client side: an INVITE of ours ---- */

/* All slices are copied. */
struct virtual_user_agent_call {
	struct slice uri;           /* Request-URI: the public identity, or the contact that is called */
	struct slice path;          /* Route to that contact (RFC 3327); may be empty */
	struct slice local, remote; /* From and To, name-addr without tag */
	struct slice asserted;      /* P-Asserted-Identity: a URI */
	struct slice user;          /* who is called, canonical: connects in vain count for him */
	struct sip_target target;
	struct virtual_user_agent_media media;
	bool is_secure;             /* offers msrps where there is a listener for it; else that is the second choice */
	const struct virtual_user_agent_events *events;
	void *arg;
};

/*
 * Calls (D2-26): Accept-Contact *;+g.oma.sip-im;require;explicit, Contact ;automata;+g.oma.sip-im, Allow,
 * Session-Expires;refresher=uac.  A 422 is answered by another INVITE; of several 2xx the first counts, the others are
 * acknowledged and ended.  False: no room in limits.sessions or a pool, or no memory; nothing was sent.
 * virtual_user_agent_end() before on_answered() takes the INVITE back.
 */
bool virtual_user_agent_call(struct virtual_user_agent **out, struct im *im, const struct virtual_user_agent_call *call);
/* The process ends. */
void virtual_user_agent_callings_free(struct im *im);

/* ---- both sides ---- */

/* What goes over it is the owner's; never closed by him. */
struct msrp_leg *virtual_user_agent_leg(const struct virtual_user_agent *agent);
/* For log lines: a number that names it among those of its worker. */
uint64_t virtual_user_agent_id(const struct virtual_user_agent *agent);
bool virtual_user_agent_is_bound(const struct virtual_user_agent *agent);

/*
 * The owner is done, and hears nothing more; the pointer is dead.  Whatever state it is in: the leg is closed (what was
 * queued is still written), a BYE of the peer gets its 200 (with a `reason`, which is trouble of ours, 500: no other word
 * may reach him), else BYE goes out, after the ACK of our 2xx, with `Reason: SIP;cause=480;text="REASON"` unless it is NULL.  Never from inside on_ended().
 */
void virtual_user_agent_end(struct virtual_user_agent *agent, const char *reason);

/* ---- of the worker ---- */

int virtual_user_agents_init(struct im *im);
/* The drain is over: on_ended(REASON_DRAINING) and BYE with a Reason for each; `is_last`: nothing waits any more for an
 * ACK. */
void virtual_user_agents_drain(struct im *im, bool is_last);
/* The process ends: no events, no BYE.  Owners have forgotten theirs. */
void virtual_user_agents_free(struct im *im);

#endif
