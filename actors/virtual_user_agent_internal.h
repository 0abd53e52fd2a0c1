/*
 * What the files of the virtual user agents share.  Private to
 * actors/virtual_user_agent*.c; owning worker only.
 */
#ifndef ACTORS_VIRTUAL_USER_AGENT_INTERNAL_H
#define ACTORS_VIRTUAL_USER_AGENT_INTERNAL_H

#include "actors/outgoing.h"
#include "actors/sdp_text.h"
#include "actors/session.h"
#include "actors/session_fork.h"
#include "actors/session_sdp.h"
#include "actors/session_timer.h"
#include "actors/virtual_user_agent.h"
#include "core/minted.h"
#include "sip/dialog.h"

/* What it does itself inside a dialog: the rest of the methods needs somebody behind it. */
#define VIRTUAL_USER_AGENT_ALLOW "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK"

enum virtual_user_agent_state {
#define X(name, ms, what) VIRTUAL_USER_AGENT_##name,
	VIRTUAL_USER_AGENT_STATES(X)
#undef X
};

/* What only the way to the final answer needs, of an INVITE of the peer that waits for it.  Heap. */
struct virtual_user_agent_ringing {
	struct sip_server *server; /* NULL: the transactions are gone */
	bool wants_reliable;       /* provisional responses are for PRACK: Require 100rel (D1-34) */
	bool has_180, has_183;     /* were sent */
	uint32_t request_n, asserted_n;
	char text[];               /* the request, then the value of our P-Asserted-Identity */
};

struct virtual_user_agent {
	struct im *im;
	enum virtual_user_agent_state state;
	const struct virtual_user_agent_events *events; /* NULL: the owner has gone */
	void *arg;
	struct timer state_timer;
	struct timer again;        /* a refresh that got 491: until then */
	struct sip_dialog *dialog;
	struct msrp_leg *leg;      /* NULL: closed */
	struct session_timer timer;
	struct virtual_user_agent_media media;
	struct sip_server *invite; /* of the peer, answered with 2xx, until its ACK; NULL: none */
	struct sip_server *bye;    /* of the peer, until its 200; NULL: none */
	struct sip_client *asked;  /* our INVITE or UPDATE under way; NULL: none */
	struct sip_client *bye_out;
	struct session_fork *fork; /* our INVITE, until its transactions are gone; NULL: none */
	struct virtual_user_agent_ringing *ringing; /* the peer's; NULL: none */
	const char *methods;       /* what the owner takes in the dialog, for Allow; NULL: nothing */
	char *sdp;                 /* what we said last; heap */
	uint32_t sdp_n;
	uint32_t asked_cseq;
	uint64_t sdp_id, sdp_version;
	uint64_t identity;         /* of the peer, for connects in vain */
	char contact[MINTED_CHARS];
	bool is_sips;
	bool is_focus;
	bool is_caller;            /* its INVITE was ours */
	bool peer_is_anonymous;    /* his answer to our INVITE has Privacy */
	bool takes_update;         /* the peer's Allow has UPDATE */
	bool connects;             /* we made its MSRP connection, or will */
	bool asked_by_invite;
	bool offered_in_2xx;       /* the peer's INVITE had no offer: the ACK brings the answer */
	bool must_tell_lost;       /* a new path took the place of a bound one: at the end of the handler */
	bool peer_has_left;        /* by BYE, or the dialog is no more for him */
	bool bye_waits;            /* for the ACK of our 2xx (RFC 3261 15) */
	char bye_reason[128];
};

/* ---- virtual_user_agent.c: life and end ---- */

/* A place in limits.sessions and the pool.  NULL: there is none (503). */
struct virtual_user_agent *virtual_user_agent_make(struct im *im, const struct virtual_user_agent_face *face);
/* Before anybody was told anything: everything it has goes, no BYE. */
void virtual_user_agent_unmake(struct virtual_user_agent *agent);
/* The only place where one changes state. */
void virtual_user_agent_enter(struct virtual_user_agent *agent, enum virtual_user_agent_state next, const char *why);
/* Its MSRP leg, for a peer who reached us by `flow` and whose path is this (empty: not known yet).  0 or errno. */
int virtual_user_agent_open_leg(struct virtual_user_agent *agent, const struct sip_flow *flow, bool is_secure,
	struct slice path);
/* The same for an offer of ours: where there is no such listener, the other kind. */
int virtual_user_agent_open_any_leg(struct virtual_user_agent *agent, const struct sip_flow *flow, bool is_secure);
/* It cannot go on: BYE unless the peer has left, then on_ended(why).  May free it. */
void virtual_user_agent_fail(struct virtual_user_agent *agent, enum reason why, const char *text);
/* Our INVITE was answered with what is none, or not at all: on_refused(status), then it leaves by BYE or CANCEL. */
void virtual_user_agent_call_failed(struct virtual_user_agent *agent, unsigned status, const char *text);
/* The ACK of our 2xx came, or nobody waits for it any more. */
void virtual_user_agent_acked(struct virtual_user_agent *agent);
/* CLOSING, and the peer said BYE too: ours need not wait for anything.  May free it. */
void virtual_user_agent_is_left(struct virtual_user_agent *agent);

/* ---- virtual_user_agent_client.c ---- */

/* Takes the INVITE back, where it is under way. */
void virtual_user_agent_stop_calling(struct virtual_user_agent *agent);

static inline struct outgoing_self virtual_user_agent_self(const struct virtual_user_agent *agent)
{
	return (struct outgoing_self){ slice_of(agent->contact, MINTED_CHARS), agent->is_sips };
}

/* ---- virtual_user_agent_server.c ---- */

/* The final answer to who is rung at, and what was kept for it goes; nothing where nobody is. */
void virtual_user_agent_stop_ringing(struct virtual_user_agent *agent, unsigned status, enum reason why,
	struct slice headers);
/* He said BYE in his early dialog (RFC 3261 15), which has its 200.  Frees it. */
void virtual_user_agent_cancelled(struct virtual_user_agent *agent, unsigned status, enum reason why);

/* `P-Asserted-Identity: ..`; nothing for an empty one. */
void virtual_user_agent_write_asserted(struct buffer *out, struct slice asserted);
/* `Allow: ..` */
void virtual_user_agent_write_allow(const struct virtual_user_agent *agent, struct buffer *out);

/* ---- virtual_user_agent_sdp.c: descriptions ---- */

/* Writes ours and keeps it: the answer to an offer.  False: too long, no type is permitted, or no memory. */
bool virtual_user_agent_describe(struct virtual_user_agent *agent, const struct session_peer *offer,
	enum sdp_setup setup);
/* An offer, with whole lines of the owner. */
bool virtual_user_agent_offer(struct virtual_user_agent *agent, struct slice attributes);
/* Does an offer leave anything of what the session takes (D1-22)?  True where that does not matter. */
bool virtual_user_agent_has_common_type(const struct virtual_user_agent *agent, const struct session_peer *offer);
/* What the peer says of its end: the leg may get another path and connection.  False: we may not connect there, or
 * no memory. */
bool virtual_user_agent_attach(struct virtual_user_agent *agent, const struct session_peer *said);
/* The role that our answer takes. */
enum sdp_setup virtual_user_agent_answer_setup(const struct virtual_user_agent *agent, const struct session_peer *offer);

/* ---- virtual_user_agent_dialog.c: requests in the dialog, refreshes ---- */

extern const struct sip_dialog_events virtual_user_agent_dialog_events;
extern const struct session_timer_events virtual_user_agent_timer_events;
/* Watches a 2xx to an INVITE of the peer until its ACK. */
void virtual_user_agent_await_ack(struct virtual_user_agent *agent, struct sip_server *invite);
void virtual_user_agent_stop_asking(struct virtual_user_agent *agent);

#endif
