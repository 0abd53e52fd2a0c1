/*
 * A conference (RFC 4353; 003 chapter 7.2, F24 to F34): the focus with a dialog to each participant, and the MSRP room
 * in which their legs are members.  Ad-hoc and 1-1 ones are made by an INVITE to the factory, those of a group by the
 * first INVITE to the group; an ad-hoc one lives where its INVITE came, a group's where the group's URI hashes to.
 *
 * Its identity S is `sip:<minted>@<domain.home>`; in Contact stands the same user part with a listener's address.
 *
 * Thread: owning worker only.  Owner: the worker's pool; nobody keeps a pointer beyond the handler that
 * found it, except the hooks named here.
 */
#ifndef ACTORS_CONFERENCE_H
#define ACTORS_CONFERENCE_H

#include <sys/queue.h>

#include "actors/conference_event.h"
#include "actors/controlling.h"
#include "core/actor.h"
#include "core/minted.h"
#include "core/timer.h"

struct group;
struct msrp_room;
struct virtual_user_agent;
struct conference_setup;

enum conference_kind { CONFERENCE_ADHOC, CONFERENCE_ONE_TO_ONE, CONFERENCE_GROUP };

#define PARTICIPANT_STATES(X) /* name, what that is */                                                       \
	X(INVITED, "our INVITE to him has no final answer, or his contacts are looked up")                     \
	X(ALERTING, "the same, and he rings")                                                                 \
	X(JOINING, "he is the originator, whose INVITE waits for the first 200")                                 \
	X(CONNECTED, "there is a dialog; his leg may still wait for its connection")                             \
	X(LEFT, "he was there, or was invited, and may come back (ad-hoc)")

enum participant_state {
#define X(name, what) PARTICIPANT_##name,
	PARTICIPANT_STATES(X)
#undef X
};

/* Why one left: disconnection of RFC 4575, log and CDR. */
struct participant {
	struct conference *conference;
	TAILQ_ENTRY(participant) link;
	struct virtual_user_agent *agent; /* NULL: none yet, or none any more */
	struct conference_user seen;      /* as those who watch see him */
	enum participant_state state;
	unsigned number;          /* unique in the conference, never given twice: anonymousN */
	uint64_t hash;            /* of canonical */
	bool is_originator;
	bool is_anonymous;        /* nobody may hear who he is */
	bool is_recorder;         /* the history function: does not count (D1-20) */
	bool in_room;             /* his leg is a member */
	bool is_chatroom;         /* he knows RFC 7701 */
	bool has_referred;        /* actors/refer*.c alone */
	struct conference_invited_one *invitation; /* NULL: he was not invited, or it is over */
	char *nickname;           /* RFC 7701; heap, NULL: none */
	char *pseudonym;          /* sip:anonymousN@anonymous.invalid; heap, NULL: not anonymous */
	char *text;               /* heap: the three below */
	uint16_t canonical_n, uri_n, display_n;
};

TAILQ_HEAD(participants, participant);

struct conference {
	struct actor actor;
	struct im *im;
	enum conference_kind kind;
	char user[MINTED_CHARS];  /* the user part of S */
	char *canonical;          /* of the group; NULL: ad-hoc and 1-1 */
	size_t canonical_n;
	struct group *group;      /* held; NULL: ad-hoc and 1-1 */
	struct participants participants; /* those that are LEFT too */
	unsigned present;         /* CONNECTED, JOINING, INVITED or ALERTING, without recorders */
	unsigned connected;       /* CONNECTED or JOINING, without recorders */
	unsigned kept;            /* LEFT */
	unsigned next_number;
	struct participant *originator; /* NULL: he has left */
	struct msrp_room *room;
	struct conference_state *state; /* who watches */
	char *offered_types;      /* what the originator takes and policy.content_types permits; heap */
	char *accept_types;       /* what may be said here; heap; NULL: nobody has answered yet */
	char *attributes;         /* the originator's description, for our offers: whole lines; heap */
	char *answered;           /* of the first who answered, for the originator's answer: whole lines; heap, may be NULL */
	struct conference_setup *setup; /* the INVITE that made it, until its answer; NULL: none */
	bool is_armed;            /* two were connected: number-of-remaining-participants counts */
	bool is_releasing;
	struct timer max_length;
	uint64_t start_us;
	unsigned messages;
	LIST_HEAD(, referral) referrals; /* actors/refer*.c alone */
	struct conference *next_by_user, *next_by_canonical;
};

struct admin_question;
/* A page for the admin API, from slot page->from_slot on. */
void conferences_list(struct im *im, struct admin_question *page);

int conferences_init(struct im *im); /* 0 or ENOMEM */
/* The drain is over: BYE to everybody. */
void conferences_drain(struct im *im);
void conferences_free(struct im *im);

/* The conference of this worker whose identity has that user part; NULL: none. */
struct conference *conference_find(struct im *im, struct slice user);
/* The running one of a group, by the group's canonical URI; NULL: none. */
struct conference *conference_find_group(struct im *im, struct slice canonical);

/* INVITE to factory, group or session identity: takes it over. */
void conference_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start);

/* ---- participants ---- */

static inline struct slice participant_canonical(const struct participant *p)
{
	return slice_of(p->text, p->canonical_n);
}
/* As he is written: his own identity, or the entry of the list or group (7.2.2.11). */
static inline struct slice participant_uri(const struct participant *p)
{
	return slice_of(p->text + p->canonical_n, p->uri_n);
}
/* D1-38; may be empty. */
static inline struct slice participant_display(const struct participant *p)
{
	return slice_of(p->text + p->canonical_n + p->uri_n, p->display_n);
}

/* The one of that canonical identity, LEFT ones too; NULL: none. */
struct participant *conference_participant(const struct conference *conference, struct slice canonical);
/* Is he connected (JOINING counts)? */
bool conference_is_participant(const struct conference *conference, struct slice canonical);

/* May he hide who he is here: policy.allow_anonymity, and the group's allow-anonymity? */
bool conference_permits_anonymity(const struct conference *conference, const struct identity *who);
/* How many may be present; limits.max_adhoc_group or the group's max-participant-count; UINT_MAX: any number. */
unsigned conference_places(const struct conference *conference);

/* S: `sip:<minted>@<domain.home>`; entity: the group's URI, else S.  False: `out` is full. */
bool conference_write_identity(const struct conference *conference, struct buffer *out);
bool conference_write_entity(const struct conference *conference, struct buffer *out);



/* ---- invitations ---- */

struct conference_invitation {
	struct slice uri;         /* as written; may have ?Replaces=.. */
	struct slice display;     /* of the group's document; may be empty */
	const struct identity *inviter;
	const struct sip_message *request; /* the inviter's INVITE or REFER: From, P-Asserted-Identity, Privacy, Subject */
	bool may_leave;           /* see struct controlling_start */
	/* How it goes on: 180 and the like as they come, then once the final status (200 to 699); `warning` is the
	 * value of the answer's Warning or empty.  Never from inside conference_invite().  NULL: nobody wants to know. */
	void (*on_result)(void *arg, unsigned status, struct slice warning);
	void *arg;                /* stays valid until the final status or conference_forget() */
};

/* 0: on_result will come.  Else it will not, and the status is that of the invitation: 200 (he is there, or is being
 * invited already), 404 (nobody can be called by that URI), 503 (memory, pools, limits.sessions).
 * Whether the inviter may, and whether there are places, was checked by the caller. */
unsigned conference_invite(struct conference *conference, const struct conference_invitation *invitation);
/* Whoever waits with that `arg` does so no more. */
void conference_forget(struct conference *conference, void *arg);

/* BYE to him (or CANCEL), those who watch are told, release policy.  `reason` goes into his BYE's Reason and the log; NULL:
 * an ordinary BYE, he wanted it (REFER BYE).  True: the conference is gone too. */
bool conference_remove(struct participant *participant, const char *reason);

/* BYE to everybody, subscriptions end with noresource; the pointer is dead.  `why` is for log and CDR. */
void conference_release(struct conference *conference, const char *why);

#endif
