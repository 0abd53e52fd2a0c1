/* What the files of the focus share.  Private to actors/conference*.c; owning worker only. */
#ifndef ACTORS_CONFERENCE_INTERNAL_H
#define ACTORS_CONFERENCE_INTERNAL_H

#include "actors/conference.h"
#include "actors/outgoing.h"
#include "actors/recipients.h"
#include "actors/virtual_user_agent.h"
#include "core/log.h"
#include "msrp/room.h"
#include "sip/header.h"
#include "sip/write.h"

#define CONFERENCE_KEPT_MAX     1000 /* who has left an ad-hoc one and may come back: the one who left first goes */
#define CONFERENCE_ALLOW        "REFER, SUBSCRIBE, MESSAGE"
#define CONFERENCE_URI_MAX      512
#define CONFERENCE_DISPLAY_MAX  128

/* The INVITE that makes a conference, from its first check to its answer.  Its INVITE itself is kept by the
 * originator's agent. */
struct conference_setup {
	struct recipients listed; /* whom it wants invited */
	struct identity who;
	unsigned next;            /* entry that is looked at: is it a group of ours? */
	unsigned as_written;      /* entries up to here are the list's own; behind them members of its groups */
	unsigned outstanding;     /* invitations of the beginning without final answer */
	unsigned lowest;          /* status of those who did not come (D1-19); 0: none */
	bool may_leave;
	bool is_inviting;         /* more are about to be called */
	bool has_come;            /* one of them */
	struct conference *conference;
	struct timer deadline;    /* Expires of the INVITE (RFC 3261 13.3.1) */
};

/* ---- conference.c ---- */

/* A new one without anybody in it.  NULL: no memory or pool. */
struct conference *conference_open(struct im *im, enum conference_kind kind, struct group *group);
/* Nobody was told anything: it goes without a word. */
void conference_discard(struct conference *conference);
/* Somebody has left, or an invitation came to nothing: is it over (7.2.2.8)?  True: it is gone. */
bool conference_check_release(struct conference *conference);

/* ---- conference_participant.c ---- */

extern const struct virtual_user_agent_events conference_agent_events;

struct participant_start {
	struct slice canonical, uri, display;
	bool is_anonymous;
	enum participant_state state;
};
/* NULL: no memory. */
struct participant *participant_add(struct conference *conference, const struct participant_start *start);
/* The only place where one changes state; those who watch are told. */
void participant_enter(struct participant *p, enum participant_state next, const char *why);
/* He has no agent any more: LEFT, or forgotten where nobody may come back by it. */
void participant_leave(struct participant *p, const char *why);
/* Only its memory. */
void participant_free(struct participant *p);
/* RFC 7701 7; `nickname` is taken over, NULL: he has none any more. */
void conference_rename(struct participant *p, char *nickname);
/* From now on he is a pseudonym to others.  False: no memory. */
bool participant_hide(struct participant *p);
/* What a description says of its writer; to be read before the answer, for it may go with that. */
struct participant_side {
	bool sends, receives;
	bool is_chatroom; /* knows RFC 7701 */
};
struct participant_side participant_side_of(const struct session_peer *said);
/* He has a dialog: into the room.  False: no memory. */
bool participant_connect(struct participant *p, const struct participant_side *side, const char *why);
struct virtual_user_agent_face conference_face(const struct conference *conference);
struct virtual_user_agent_media conference_media(const struct conference *conference, const struct session_peer *said);
/* For who began it: with what the first one has answered. */
struct virtual_user_agent_media conference_originator_media(const struct conference *conference,
	const struct session_peer *said);
/* What may be said from now on: of what could be said before what this description takes too.  False: nothing. */
bool conference_narrow_types(struct conference *conference, struct slice said);

/* ---- conference_start.c ---- */

void conference_start_adhoc(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start);
void conference_refuse_too_many(struct im *im, struct sip_server *server);
/* The nickname that somebody comes with (D1-38), without quotes; in a group what its document calls him comes first. */
struct slice conference_nickname_of(const struct conference *conference, const struct sip_message *m,
	const struct identity *who);
/* An agent for his INVITE.  False: refused. */
bool conference_ring(struct participant *p, struct virtual_user_agent **out, struct sip_server *server,
	const struct sip_message *m);
/* The INVITE that made the conference waits from here on.  False: refused, and the conference is gone. */
bool conference_ring_originator(struct conference *conference, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start);
/* True, always: the conference is gone. */
bool conference_refuse_originator(struct conference *conference, unsigned status, enum reason why, const char *warning);
/* Somebody answered 200: so is the originator, if he still waits.  False: the conference is gone. */
bool conference_accept_originator(struct conference *conference);
/* One of those of the beginning, `m` is the INVITE.  After the last: conference_invited_all(). */
void conference_invite_first(struct conference *conference, const struct sip_message *m, struct slice uri,
	struct slice display);
void conference_invited_all(struct conference *conference);
/* One of those who were invited at the beginning has his final answer; 0 where it was 2xx.  True: the conference
 * is gone. */
bool conference_setup_result(struct conference *conference, unsigned status);
void conference_setup_free(struct conference *conference);
void conference_setup_on_group(struct conference *conference, struct msg *found);

/* ---- conference_join.c ---- */

/* The process ends. */
void conference_joinings_free(struct im *im);

/* ---- conference_invite.c ---- */

/* An invitation that has no final answer yet. */
struct conference_invited_one {
	bool is_first; /* of those of the beginning: D1-19 */
	bool goes_out; /* to core.next_hop, not to the contacts of a user here */
	bool may_leave;
	void (*on_result)(void *arg, unsigned status, struct slice warning);
	void *arg;
	uint16_t uri_n, local_n, asserted_n, headers_n;
	char text[]; /* heap: of the INVITE */
};

/* 0, or why he cannot be called. */
unsigned conference_call(struct participant *p, const struct identity *inviter);

/* ---- conference_replaces.c ---- */

void conference_replaces_register(struct worker *worker);
/* What the list says of a dialog with him (F33), as he knows that dialog, becomes a line of his INVITE, and he is called.
 * A dialog that nobody knows: he is called without.  0, or why he cannot be called. */
unsigned conference_call_replacing(struct participant *p, const struct identity *inviter, struct slice replaces);
void conference_on_replaces(struct conference *conference, struct msg *answer);

/* ---- conference_invite.c again ---- */

/* As conference_invite(); `is_first`: it counts for the originator's answer. */
unsigned conference_invite_as(struct conference *conference, const struct conference_invitation *invitation, bool is_first);
void conference_on_found(struct conference *conference, struct user_find *found);
void conference_on_provisional(struct participant *p, unsigned status);
/* To who waits, and nobody does any more; nothing where nobody does. */
void conference_tell_result(struct participant *p, unsigned status, struct slice warning);
/* The final status: told to who waits, the originator answered or refused.  `p` that did not come is gone.  True: the
 * conference is gone too. */
bool conference_on_final(struct participant *p, unsigned status, struct slice warning);

/* ---- conference_room.c ---- */

extern const struct msrp_room_events conference_room_events;

/* P-Asserted-Identity of what we answer: the group, else the factory (D1-21): a name-addr. */
void conference_write_asserted(const struct conference *conference, struct buffer *out);

#endif
