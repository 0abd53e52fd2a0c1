/*
 * What the files of the session actor share.  Private to actors/session*.c;
 * owning worker only.
 */
#ifndef ACTORS_SESSION_INTERNAL_H
#define ACTORS_SESSION_INTERNAL_H

#include "actors/session.h"
#include "actors/session_sdp.h"
#include "actors/session_timer.h"
#include "core/minted.h"
#include "sip/dialog.h"

/* One side of the B2BUA: a is who called, b who was called. */
struct side {
	struct session *session;
	struct sip_dialog *dialog;
	struct msrp_leg *leg;
	struct session_timer timer;
	char *sdp;          /* what we last sent to this side, for refreshes */
	size_t sdp_n;
	uint64_t peer_sdp;  /* hash of what it last sent, to tell a refresh from a change */
	char contact[MINTED_CHARS];
	uint64_t sdp_id;
	struct sip_client *refresh; /* an UPDATE or re-INVITE of ours that is under way */
	uint32_t invite_cseq; /* of our last INVITE to this side: its ACK has the same */
	bool takes_update;  /* its Allow has UPDATE (IM-6.2.3.1-2); else refreshes are re-INVITEs */
	bool is_bound, bye_is_out, has_left;
	bool bye_waits;     /* a only: for the ACK of our 2xx, session.bye_headers with it */
};

struct session {
	struct actor actor;
	struct im *im;
	enum session_state state;
	struct timer state_timer;
	struct side a, b;
	struct sip_server *invite;   /* A's, until its ACK or refusal */
	struct sip_client *outgoing; /* B's, until it is gone         */
	bool invite_is_answered, outgoing_is_answered; /* finally */
	uint64_t expires_at_ms;      /* A's INVITE says until when B may answer; 0: it does not */
	uint32_t loop;               /* of A's INVITE: what ours must not come back with */
	char *request;               /* A's INVITE as received, until B answered */
	size_t request_n;
	struct identity *caller;     /* until B answered */
	char *callee;                /* canonical; until B answered */
	size_t callee_n;
	struct sip_flow outgoing_flow;
	char *bye_headers;           /* of a BYE that waits */
	size_t bye_headers_n;
	unsigned byes_out;
};

/* ---- session.c: life and end ---- */

/* The only place where a session changes state. */
void session_enter(struct session *s, enum session_state next, const char *why);

struct session *session_make(struct im *im);
/* Closed, and nobody will call back: freed.  Touch nothing of `s` afterwards. */
void session_free_if_done(struct session *s);
/* What only the way to the answer needs: an active session keeps little. */
void session_free_invitation(struct session *s);

/* A final answer to A other than 2xx; nothing when it has one. */
void session_refuse(struct session *s, unsigned status, enum reason why);
void session_refuse_with_warning(struct session *s, unsigned status, enum reason why, const char *text);
/* A's INVITE was refused, or is about to be: its transaction is not ours any more, and A has no dialog. */
void session_forget_invite(struct session *s);
/* A's 2xx was acknowledged, or nobody will: a BYE that waited for that goes out.  May free `s`. */
void session_invite_is_over(struct session *s);
/* Nothing was set up on the other side (or that is over): refused and gone. */
void session_fail(struct session *s, unsigned status, enum reason why);

/* BYE to whoever is still in the session; `headers` are whole lines (a Reason) or empty. */
void session_end_with(struct session *s, struct slice headers, const char *why);
/* We end it; `reason` NULL: it had not begun. */
void session_end(struct session *s, const char *reason);

/* One request in the dialog of a side, with a description or without; its events come with the side.  0 or
 * ENOMEM. */
int session_send(struct side *side, const char *method, struct slice headers, struct slice sdp,
	const struct sip_client_events *events, struct sip_client **client);
/* The ACK of a 2xx that `client`, an INVITE in the dialog of the side with that CSeq, got. */
void session_acknowledge(struct side *side, struct sip_client *client, const struct sip_message *response,
	uint32_t cseq);

/* A copy in *to, whose old content is freed.  False: no memory, nothing changed. */
bool session_keep(char **to, size_t *to_n, struct slice text);

/* ---- session_invite.c: from A's INVITE to B's ---- */

extern const struct sip_server_events session_invite_events;
void session_on_message(struct actor *actor, struct msg *msg);
/* A takes his INVITE back, by CANCEL or by BYE in the early dialog: 487.  May free `s`. */
void session_cancelled(struct session *s);
/* A's INVITE again, which the answers to both sides are built from. */
bool session_reread_invite(const struct session *s, struct sip_message *m);
int session_open_leg(struct side *side, const struct sip_flow *flow);
/* What the other side said as `side` gets it, kept for refreshes.  False: too long, or no memory. */
bool session_write_sdp(struct side *side, const struct session_description *description);
uint64_t session_sdp_hash(const struct sdp *sdp);

/* ---- session_answer.c: from B's answer to A's ---- */

extern const struct sip_client_events session_outgoing_events;

/* ---- session_dialog.c: requests in the dialogs, the legs, the session timers ---- */

extern const struct sip_dialog_events session_dialog_events;
extern const struct msrp_leg_events session_leg_events;
extern const struct session_timer_events session_timer_handlers;

#endif
