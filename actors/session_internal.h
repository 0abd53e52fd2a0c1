/*
 * What the files of the session actor share.  Private to actors/session*.c;
 * owning worker only.
 */
#ifndef ACTORS_SESSION_INTERNAL_H
#define ACTORS_SESSION_INTERNAL_H

#include "actors/sdp_text.h"
#include "actors/outgoing.h"
#include "actors/session.h"
#include "actors/session_fork.h"
#include "actors/session_sdp.h"
#include "actors/session_timer.h"
#include "core/minted.h"
#include "sip/dialog.h"

/* Why we send an INVITE or UPDATE inside a dialog. */
enum session_asking {
	ASKING_REFRESH, /* the session timer wants it                            */
	ASKING_CHANGE,  /* the other side changed its description                */
	ASKING_BACK,    /* a change that came to nothing after all is taken back */
};

/* One side of the B2BUA: a is who called, b who was called. */
struct side {
	struct session *session;
	struct sip_dialog *dialog;
	struct msrp_leg *leg;
	struct session_files *files; /* of further m= lines; NULL: there are none     */
	struct session_timer timer;
	char *sdp;          /* what we last sent to this side, for refreshes; packed: session_sdp_of() */
	uint64_t identity;  /* of its user, for connects in vain; 0: unknown */
	uint64_t peer_sdp;  /* hash of what it last sent, to tell a refresh from a change */
	uint64_t sdp_id, sdp_version; /* of o=: the highest version that we sent to this side */
	uint32_t sdp_n;
	uint32_t invite_cseq; /* of the INVITE that made the dialog: its ACK has the same */
	struct side *contact_next; /* see session_contact.c                  */
	char contact[MINTED_CHARS];
	bool is_sips;       /* our Contact there is a sips URI                        */
	bool takes_update;  /* its Allow has UPDATE (IM-6.2.3.1-2); else refreshes are re-INVITEs */
	bool hides;         /* nothing that we pass on may name it (design.md 13) */
	bool is_focus;      /* its Contact says isfocus */
	bool connects;      /* we are the one who made its MSRP connection, or will */
	bool is_bound, bye_is_out, has_left;
	uint8_t line;       /* which m= line of its descriptions the leg's is, where there are files */
	bool bye_waits;     /* a only: for the ACK of our 2xx, session.bye_headers with it */
	/* ---- an INVITE of its own that we answered with 2xx, until the ACK ---- */
	bool offered_in_2xx; /* it had no offer, ours is in the 2xx: the answer comes with the ACK */
	struct sip_server *unacked;
	/* ---- an INVITE or UPDATE of ours in its dialog ---- */
	struct sip_client *asked; /* under way; NULL: none */
	struct timer again; /* after a 491: until then */
	uint32_t asked_cseq;
	uint8_t asking;     /* enum session_asking */
	bool asked_by_invite, asked_has_offer;
};

struct relay;
struct subscription;
struct session_record;

/* What one side wants changed and the other has not answered yet.  One at a time. */
struct session_change {
	struct side *by;           /* NULL: none */
	struct sip_server *server; /* its INVITE or UPDATE; NULL: answered, or it came with an ACK */
	char *request;             /* as received */
	uint32_t request_n;
	char *sdp;                 /* as the other side gets it */
	uint32_t sdp_n;
	bool is_held;              /* the other side is not asked yet: its ACK of our 2xx is missing */
	bool is_cancelled;
	bool hides;                /* nothing in `sdp` may name who asks */
	struct sip_dialog *newcomer; /* who asks takes the place of `by` (Replaces); else NULL */
};

struct session {
	struct actor actor;
	struct im *im;
	enum session_state state;
	struct timer state_timer;
	uint64_t started_at_ms;
	struct side a, b;
	struct side *left;           /* whose place was taken, until his BYE is answered: only with a dialog; or NULL */
	struct sip_server *invite;   /* A's, until its ACK or refusal */
	struct session_fork *fork;   /* B's, until it is gone         */
	bool invite_is_answered;     /* finally */
	bool is_offerless;           /* A's INVITE had no description: his answer comes with the ACK of our offer */
	bool wants_reliable;         /* A's provisional responses are for PRACK: Require 100rel (D1-34) */
	uint64_t expires_at_ms;      /* A's INVITE says until when B may answer; 0: it does not */
	uint32_t loop;               /* of A's INVITE: what ours must not come back with */
	char *request;               /* A's INVITE as received, until B answered */
	uint32_t request_n;
	struct identity *caller;     /* until B answered */
	char *callee;                /* canonical; until B answered */
	uint32_t callee_n;
	struct session_change change;
	struct session_record *record; /* NULL: none is wanted, or it is written */
	struct relay *relays;        /* requests of other methods under way */
	struct subscription *subscriptions; /* in its dialogs */
	char *bye_headers;           /* of a BYE that waits */
	uint32_t bye_headers_n;
	unsigned byes_out;
};

static inline struct outgoing_self session_self(const struct side *side)
{
	return (struct outgoing_self){ slice_of(side->contact, MINTED_CHARS), side->is_sips };
}

/* ---- session.c: life and end ---- */

const char *session_state_name(enum session_state state);

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

/* Ended, and nothing is left that anybody waits for: closed.  May free `s`. */
void session_close_if_idle(struct session *s);

/* BYE to whoever is still in the session; `headers` are whole lines (a Reason) or empty. */
void session_end_with(struct session *s, struct slice headers, const char *why);
/* We end it; `reason` NULL: it had not begun. */
void session_end(struct session *s, const char *reason);

/* BYE to who has no part in the session any more; his dialog is closed when it is answered. */
void session_send_away(struct session *s, struct sip_dialog *dialog);

/* One request in the dialog of a side, with a description or without; its events come with the side.  0 or
 * ENOMEM. */
int session_send(struct side *side, const char *method, struct slice headers, struct slice sdp,
	const struct sip_client_events *events, struct sip_client **client);
/* The ACK of a 2xx that `client`, an INVITE in the dialog of the side with that CSeq, got. */
void session_acknowledge(struct side *side, struct sip_client *client, const struct sip_message *response,
	uint32_t cseq);

/* The description that we last sent to this side.  `room`: SDP_TEXT_MAX, the slice may lie there. */
struct slice session_sdp_of(const struct side *side, char *room);
/* That is `text` from now on, which names the path of its leg.  False: no memory, nothing changed. */
bool session_set_sdp(struct side *side, struct slice text);
/* Packs side->sdp, which is a text on the heap. */
void session_pack_sdp(struct side *side);

/* ---- session_invite.c: from A's INVITE to B's ---- */

extern const struct sip_server_events session_invite_events;
void session_on_message(struct actor *actor, struct msg *msg);
/* A takes his INVITE back, by CANCEL or by BYE in the early dialog: 487.  May free `s`. */
void session_cancelled(struct session *s);
/* A's INVITE again, which the answers to both sides are built from. */
bool session_reread_invite(const struct session *s, struct sip_message *m);
/* session_fork_events.send */
int session_send_invite(struct session_branch *branch, const struct sip_client_events *events, void *owner);
/* The offer of that INVITE, or where it has none the one we make in its place (RFC 3261 13.2.1). */
enum sdp_judgement session_offer_of(const struct session *s, const struct sip_message *invite, struct sdp *sdp,
	const struct sdp_media **media);
int session_open_leg(struct side *side, const struct sip_flow *flow, bool is_secure, struct slice path);
/* What the other side said as `side` gets it, kept for refreshes.  False: too long, or no memory. */
bool session_write_sdp(struct side *side, const struct session_description *description);

/* ---- session_offline.c: the called user is away ---- */

/* D2-12: what goes one way only is a large message, or a file. */
bool session_is_large_message(const struct sip_message *invite);
/* Refused, or kept for him; `registration` of struct user_find.  Frees `s`. */
void session_on_offline(struct session *s, uint64_t registration);

/* ---- session_answer.c: from B's answer to A's ---- */

extern const struct session_fork_events session_fork_events;

/* The ACK of an INVITE without an offer.  May free `s`. */
void session_on_late_answer(struct session *s, const struct sip_message *ack, const struct sip_flow *flow);

/* ---- session_dialog.c: requests in the dialogs, the legs ---- */

extern const struct sip_dialog_events session_dialog_events;
extern const struct msrp_leg_events session_leg_events;

/* It was answered with 2xx and has not ended. */
bool session_is_established(const struct session *s);
static inline struct side *session_other(struct side *side)
{
	return side == &side->session->a ? &side->session->b : &side->session->a;
}

/* ---- session_offer.c: our INVITEs and UPDATEs inside the dialogs ---- */

/* Sends one; its outcome goes to the session timer and, of a change, to session_change_*().  The caller has seen
 * that none is under way.  False: no memory, nothing was sent. */
bool session_ask(struct side *side, enum session_asking why, bool by_invite);
/* The other side has a description that came to nothing: it gets the one before. */
void session_take_back(struct side *side);
void session_stop_asking(struct side *side);

/* What the side was told last is `text` from now on; its version counts up where it says something new. */
bool session_keep_sdp(struct side *side, struct slice text);

/* ---- session_change.c: INVITE and UPDATE of either side inside its dialog ---- */

void session_on_offer(struct side *side, struct sip_server *server, const struct sip_message *m);
/* What became of our request to the other side. */
void session_change_accepted(struct side *to, const struct sip_message *response);
/* `response` NULL: none came, or none that could be passed on. */
void session_change_refused(struct side *to, unsigned status, const struct sip_message *response);
/* The newcomer, whose dialog is in session.change, asks the other side of `place`; it is answered in any case. */
void session_change_begin(struct side *place, struct sip_server *server, const struct sip_message *invite,
	const struct session_peer *said, bool hides);
/* In the early dialog of the newcomer: BYE takes his INVITE back (RFC 3261 15), all else has to wait for its answer. */
void session_on_newcomer_request(struct session *s, struct sip_server *server, const struct sip_message *m);
/* May an offer go to that side: nothing is under way there that it would collide with (RFC 3261 14.1). */
bool session_may_go_to(const struct side *to);
/* The ACK of that side came: what was held for it goes out. */
void session_change_go_on(struct side *to);
/* The session ends: who waits for an answer gets 487. */
void session_drop_change(struct session *s);
void session_forget_unacked(struct side *side);

/* Who counts for what we connect to there: the user named by the dialog. */
uint64_t session_identity_of(const struct im *im, const struct sip_dialog *dialog);

/* What the side says from now on of its MSRP end: its leg may get another path and connection.  False: we may
 * not connect there, or no memory. */
bool session_attach(struct side *side, const struct session_peer *said);

/* ---- session_files.c: further m= lines, each an MSRP session of its own (F22) ---- */

struct session_file {
	struct msrp_leg *leg; /* NULL: declined, or over */
	uint8_t line;         /* of the side's descriptions */
	bool is_bound;
};

/* One side's; those of the other with the same index are paired with them. */
struct session_files {
	unsigned count;
	struct session_file at[];
};

/* A leg for each line of an offer to B, whose first line is the session's own; side->files.  0 or errno. */
int session_files_offer(struct side *b, const struct sip_flow *flow, const struct session_further *lines);
/* What `more` of struct session_description says of them, with `media` of the lines; returns how many. */
unsigned session_files_lines(const struct session_files *files, const struct session_further *lines,
	struct session_line *more);
/* Legs whose content counts for nobody. */
void session_files_free(struct session_files *files);

/* B's answer: whoever is not in it is closed, and the first that is becomes the session's own leg.  False: none of ours
 * is, or no memory. */
bool session_files_answered(struct side *b, const struct sdp *answer, const struct sdp_media **media,
	const struct sockaddr_storage *from);
/* A's legs for those that B took, and our answer's lines of them; `offer` is A's, `main` its line of the session's own.
 * Returns how many, or -1: no memory. */
int session_files_accept(struct session *s, const struct sdp *answer, const struct sdp *offer,
	const struct sdp_media *main, struct session_line more[SDP_MEDIA_MAX]);
/* The line of A's offer that B's `side->line` answers. */
const struct sdp_media *session_files_main(const struct session *s, const struct sdp *offer,
	const struct sdp_media *first);
/* Each of A's with B's. */
void session_files_pair(struct session *s);

/* An offer inside the dialog of a session that has files is answered here, the other side is not asked: a file that is
 * over has port 0 (RFC 5547 8.2), a line may have a new path, others are declined. */
bool session_files_take_offer(struct side *side, const struct sdp *offer, const struct sockaddr_storage *from);

/* A leg that is not side->leg. */
void session_file_bound(struct side *side, const struct msrp_leg *leg);
void session_file_lost(struct side *side, const struct msrp_leg *leg, enum reason why);
/* The session's own leg was lost, but a file is under way: it takes that place.  False: none is. */
bool session_files_go_on(struct session *s);

/* ---- session_replaces.c: a newcomer in the place of one side ---- */

/* What the newcomer offered and the other side answered. */
struct session_place {
	const struct session_peer *offered, *answered;
	bool answerer_hides;
	bool is_sips; /* what the newcomer asked for (RFC 3261 12.1.1) */
};
/* False: it cannot be, nothing has changed. */
bool session_take_place(struct side *place, const struct session_place *taking);

/* ---- session_record.c: call detail records ---- */

/* Nothing while log.cdr is off: such a session has no record at its end either. */
void session_record_begin(struct session *s, const struct identity *caller, struct slice callee,
	const struct sip_message *invite);
/* Writes it, the first time. */
void session_record_end(struct session *s, const char *reason);
/* It is none: another record will tell of it. */
void session_record_drop(struct session *s);
/* Of an INVITE that was refused and makes no session. */
void session_record_attempt(struct im *im, const struct identity *caller, struct slice callee,
	const struct sip_message *invite, const char *reason);
/* With what went over it in the record; nothing where there is none. */
void session_close_one_leg(struct session *s, struct msrp_leg **leg);
void session_close_files(struct side *side);
/* The side's own and those of its files. */
void session_close_leg(struct side *side);

/* ---- session_relay.c: requests of all other methods ---- */

void session_relay(struct side *from, struct sip_server *server, const struct sip_message *m);
bool session_has_subscriptions(struct session *s);
/* What waits is answered 481, unless the process ends and the transactions went before. */
void session_drop_relays(struct session *s, bool transactions_are_gone);

#endif
