/*
 * A user agent that is the server itself (D2-59): a SIP dialog and an MSRP leg
 * that end here, for whoever takes a message on a user's behalf (10.3.2.2), hands
 * kept ones out (10.3.2.3, 10.3.2.5) or is the focus of a conference (7.2).  It
 * does what any such dialog needs - ACK, BYE of either side, the session timer,
 * refreshes and new paths, the limits of waiting - and knows nothing of what goes
 * over the leg.
 *
 * Thread: owning worker only.  Owner: the worker's pool; the function that made
 * it holds a pointer until an event says that it is dead or virtual_user_agent_end(),
 * and afterwards the agent says its BYE alone.
 */
#ifndef ACTORS_VIRTUAL_USER_AGENT_H
#define ACTORS_VIRTUAL_USER_AGENT_H

#include "actors/im.h"
#include "sip/sdp.h"

struct virtual_user_agent;
struct session_peer;
struct sip_dialog;
struct user_find;

#define VIRTUAL_USER_AGENT_STATES(X) /* name, how long it may last in ms (or which limit), what that is */          \
	X(RINGING, SESSION_SECONDS(200), "the peer's INVITE has no final answer; the owner gives it earlier")       \
	X(INVITING, SESSION_SECONDS(185), "our INVITE has no final answer; the owner cancels it earlier")           \
	X(BINDING, SESSION_LIMIT_UNBOUND, "answered; the MSRP connection is missing")                               \
	X(ACTIVE, SESSION_LIMIT_NONE, "the leg is bound; the session timer guards, and the owner")                  \
	X(DETACHED, SESSION_LIMIT_REATTACH, "the connection is lost; without a new one the session ends")           \
	X(LEAVING, SESSION_SECONDS(20), "the peer said BYE; its 200 waits for virtual_user_agent_end()")            \
	X(CLOSING, SESSION_SECONDS(40), "the owner has gone; our BYE or the ACK of our 2xx is missing")

/* What our descriptions say.  The strings live as long as the agent. */
struct virtual_user_agent_media {
	enum sdp_direction direction;     /* ours: RECVONLY takes, SENDONLY hands out, SENDRECV both; an answer to who
	                                   * goes one way mirrors that */
	const char *accept_types;         /* NULL (answers only): of the offered ones those that policy.content_types permits */
	const char *accept_wrapped_types; /* NULL: likewise, or none */
	uint64_t max_size;                /* a=max-size; 0: none */
	/* What comes is switched on to others (D1-22): our answer takes of accept_types what was offered too (nothing:
	 * 488 with Warning 305), and repeats the offer's other attributes with the smaller max-size. */
	bool is_switched;
	const char *lines;                /* whole lines that each of ours has besides (a=chatroom:nickname); NULL: none */
};

/* The best failure of those that were called (RFC 3261 16.7), its status as D1-19 maps it. */
struct virtual_user_agent_refusal {
	unsigned status;       /* 408: none answered; 503: it could not be sent */
	unsigned received;     /* the same, not mapped */
	struct slice phrase;   /* empty: ours, or the status was mapped */
	struct slice warning;  /* the value of its first Warning; empty: it has none */
};

/* None comes from inside a call of the functions below. */
struct virtual_user_agent_events {
	/* The leg has its connection: the first time, or again after on_lost().  NULL: it need not be known. */
	void (*on_bound)(struct virtual_user_agent *, void *arg);
	/* The connection is gone.  The peer may bring another one (on_bound), else on_ended() comes after
	 * limits.reattach.  NULL: it need not be known. */
	void (*on_lost)(struct virtual_user_agent *, enum reason why, void *arg);
	/* The peer said BYE, and its 200 goes out by virtual_user_agent_end(), which must come within 20 s: an
	 * upload may still have to be committed (design.md 5, Failure-Report: no).  The leg still works.  NULL: the
	 * 200 goes out at once and on_ended() comes with REASON_PEER_CLOSED. */
	void (*on_bye)(struct virtual_user_agent *, void *arg);
	/* The session is over: BYE of the peer, no ACK, no MSRP connection in time, session timer, drain.  The leg and
	 * the dialog are there until this returns, then the pointer is dead. */
	void (*on_ended)(struct virtual_user_agent *, enum reason why, void *arg);
	/* Another description of his, understood, in this dialog; `ours` is what our answer will be made of: the owner
	 * may change what it says (and so what it says from now on, if the answer goes out).  False: 488 with Warning,
	 * all stays as it was.  NULL: answered by `ours`. */
	bool (*on_offer)(struct virtual_user_agent *, const struct session_peer *said,
		struct virtual_user_agent_media *ours, void *arg);
	/* MESSAGE, SUBSCRIBE, NOTIFY, REFER, INFO or what nobody knows, in the dialog, CSeq checked: the owner answers it,
	 * now or later.  Also before the final answer to his INVITE (RINGING).  NULL: 405. */
	void (*on_request)(struct virtual_user_agent *, struct sip_server *, const struct sip_message *, void *arg);
	/* ---- server side, after virtual_user_agent_ring() ---- */
	/* He took his INVITE back, or cannot be rung at: it was answered (487, 504).  The pointer is dead when this
	 * returns.  NULL: on_ended(REASON_PEER_CLOSED). */
	void (*on_cancelled)(struct virtual_user_agent *, void *arg);
	/* ---- client side ---- */
	/* 101 to 199 but 199 itself, of any of those called; acknowledged where that was asked for (RFC 3262).  NULL: it
	 * need not be known. */
	void (*on_ringing)(struct virtual_user_agent *, unsigned status, void *arg);
	/* He answered, his 2xx is acknowledged and the leg has its peer: a sender is attached now or never.  `said` is
	 * his description.  virtual_user_agent_end() is allowed inside. */
	void (*on_answered)(struct virtual_user_agent *, const struct session_peer *said, void *arg);
	/* He did not, nor anybody else who was called; 488, 480: by a 2xx that is none, which has its ACK and BYE.  The
	 * pointer is dead when this returns. */
	void (*on_refused)(struct virtual_user_agent *, const struct virtual_user_agent_refusal *, void *arg);
};

/* As whom it stands in its dialog.  The string lives as long as the agent. */
struct virtual_user_agent_face {
	struct slice user;   /* of our Contact, MINTED_CHARS long: the session identity; empty: one is minted for it.
	                      * Many dialogs may have the same; requests outside a dialog to it are not the agent's. */
	bool is_focus;       /* ;isfocus, else ;automata */
	const char *methods; /* what on_request() takes, for Allow: "REFER, SUBSCRIBE, MESSAGE"; NULL: nothing */
};

/* ---- server side: the answer to an INVITE ---- */

struct virtual_user_agent_answer {
	struct sip_server *server;          /* nobody else watches it from here on */
	const struct sip_message *invite;   /* with an offer that session_sdp_read() accepts; its session timer is not too brief */
	struct slice user;                  /* who asks, canonical: connects in vain count for him */
	struct slice asserted;              /* P-Asserted-Identity of our 200: a URI, or a name-addr (D1-38); empty: none */
	bool is_judged;                     /* virtual_user_agent_ring(): the owner judges announced size and types himself */
	struct virtual_user_agent_face face;
	struct virtual_user_agent_media media;
	const struct virtual_user_agent_events *events;
	void *arg;
};

/*
 * Answers 200: Contact, Date, Allow, P-Asserted-Identity, session timer, the description with our path (the attributes
 * that describe a file or size are repeated, D2-45).  False: it could not be, the INVITE was refused (503 no room, 488
 * the peer's description, 400 or 513 what cannot begin a dialog) with counter and log line; `*why` (may be NULL) says
 * why for the CDR.
 * limits.sessions counts it.  On true *out is set before any event; the leg waits for its receiver or sender:
 * nothing is read from it before the end of this turn.
 */
bool virtual_user_agent_answer(struct virtual_user_agent **out, struct im *im,
	const struct virtual_user_agent_answer *answer, enum reason *why);

/*
 * The same in two steps.  The first checks the INVITE itself (session timer 422, description: session_sdp_refuse(),
 * policy 403, where we may connect 488; without one ours goes into the 200) and opens the dialog; answer->media does not
 * count.  False: it was refused, with counter and log line.  100 goes out by itself.
 */
bool virtual_user_agent_ring(struct virtual_user_agent **out, struct im *im,
	const struct virtual_user_agent_answer *answer, enum reason *why);
/* 180 or 183, each the first time only; reliable where he asked for that (D1-34). */
void virtual_user_agent_progress(struct virtual_user_agent *agent, unsigned status);
/* His INVITE, as received: until accept or refuse.  False: no longer there. */
bool virtual_user_agent_reread(const struct virtual_user_agent *agent, struct sip_message *invite);
/* 200, see virtual_user_agent_answer(); `headers`: whole lines of the owner besides.  False: it could not be, he was
 * refused; the pointer is dead.  On true virtual_user_agent_leg() is there. */
bool virtual_user_agent_accept(struct virtual_user_agent *agent, const struct virtual_user_agent_media *media,
	struct slice headers, enum reason *why);
/* Final answer other than 2xx, with counter and log line; `headers`: whole lines (a Warning) or empty.  The pointer is
 * dead. */
void virtual_user_agent_refuse(struct virtual_user_agent *agent, unsigned status, enum reason why, struct slice headers);

/* ---- client side: an INVITE of ours ---- */

/* What stands around the description where the body has other parts (FT-5: an icon). */
struct virtual_user_agent_parts {
	struct slice content_type;  /* of the whole */
	struct slice before, after; /* the description */
};

/* All slices are copied; `parts` is not and lives as long as the agent calls. */
struct virtual_user_agent_call {
	struct slice uri;           /* Request-URI: the public identity, or the contact that is called */
	struct slice path;          /* Route to that contact (RFC 3327); may be empty */
	struct slice local, remote; /* From and To, name-addr without tag */
	struct slice asserted;      /* P-Asserted-Identity: a URI, or a name-addr; empty: none */
	struct slice user;          /* who is called, canonical: connects in vain count for him */
	struct sip_target target;
	/* His contacts, in place of uri, path and target: called by q (session_fork.h), the first 2xx counts.  Taken over
	 * in any case.  NULL: there is one target. */
	struct user_find *found;
	const char *accept_contact; /* value; NULL: `*;+g.oma.sip-im;require;explicit` */
	bool peer_refreshes;        /* refresher=uas (D1-04: a client of a focus); else we do */
	struct slice headers;       /* whole lines besides: Referred-By, Subject, Replaces */
	struct slice attributes;    /* whole lines for the m= section besides: virtual_user_agent_copy_attributes() */
	const struct virtual_user_agent_parts *parts; /* NULL: the description alone */
	struct virtual_user_agent_face face;
	struct virtual_user_agent_media media;
	bool is_secure;             /* offers msrps where there is a listener for it; else that is the second choice */
	const struct virtual_user_agent_events *events;
	void *arg;
};

/*
 * Calls (D2-26): Accept-Contact, Contact, Allow, Supported: timer, 100rel, Session-Expires.  A 422 is answered by
 * another INVITE; of several 2xx the first counts, the others are acknowledged and ended.  False: no room in
 * limits.sessions or a pool, or no memory; nothing was sent.
 * virtual_user_agent_end() before on_answered() takes the INVITE back.
 */
bool virtual_user_agent_call(struct virtual_user_agent **out, struct im *im, const struct virtual_user_agent_call *call);
/* What the description of an inviter says that those whom we invite are told too (D1-22, D2-45), as whole lines: not
 * path, setup, connection, direction, fingerprint, crypto, chatroom, accept-types.  max-size: the smaller one of his and
 * `most` (0: any). */
void virtual_user_agent_copy_attributes(struct buffer *out, const struct sdp_media *said, uint64_t most);
/* Of an m= section the lines, as above without accept-wrapped-types and max-size, whose attribute `known` does not have. */
void virtual_user_agent_copy_new_attributes(struct buffer *out, struct slice said, struct slice known);

/* ---- both sides ---- */

/* What goes over it is the owner's; never closed by him.  NULL while nobody has answered. */
struct msrp_leg *virtual_user_agent_leg(const struct virtual_user_agent *agent);
/* For log lines: a number that names it among those of its worker. */
uint64_t virtual_user_agent_id(const struct virtual_user_agent *agent);
bool virtual_user_agent_is_bound(const struct virtual_user_agent *agent);
/* His answer to our INVITE asked for privacy (RFC 3323). */
bool virtual_user_agent_is_anonymous(const struct virtual_user_agent *agent);
/* Answered and not over. */
bool virtual_user_agent_is_established(const struct virtual_user_agent *agent);
/* For requests of the owner inside it (NOTIFY); never closed by him.  NULL: our INVITE has no answer. */
struct sip_dialog *virtual_user_agent_dialog(const struct virtual_user_agent *agent);
/* The description that we sent last: what was agreed.  Empty before. */
struct slice virtual_user_agent_said(const struct virtual_user_agent *agent);
/* `Contact: <...>;..` and Allow as they stand in all that it sends, for what goes out on `flow`. */
void virtual_user_agent_write_contact(const struct virtual_user_agent *agent, struct buffer *out,
	const struct sip_flow *flow);

/*
 * The owner is done, and hears nothing more; the pointer is dead.  Whatever state it is in: the leg is closed (what was
 * queued is still written), a BYE of the peer gets its 200 (with a `reason`, which is trouble of ours, 500: no other word
 * may reach him), an INVITE of his without an answer 480, else BYE goes out, after the ACK of our 2xx, with
 * `Reason: SIP;cause=480;text="REASON"` unless it is NULL.  Never from inside on_ended().
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
