/* What the files of large messages to many share.  Private to actors/large_list*.c; owning worker only. */
#ifndef ACTORS_LARGE_LIST_INTERNAL_H
#define ACTORS_LARGE_LIST_INTERNAL_H

#include "actors/controlling.h"
#include "actors/group.h"
#include "actors/large_list.h"
#include "actors/large_spool.h"
#include "actors/large_upload.h"
#include "actors/outgoing.h"
#include "actors/pager_content.h"
#include "actors/recipients.h"
#include "actors/session_sdp.h"
#include "actors/user.h"
#include "actors/virtual_user_agent.h"
#include "core/log.h"
#include "core/minted.h"
#include "msrp/room.h"
#include "msrp/sender.h"

enum {
	LARGE_LIST_CHECK_MS = 10000,   /* groups are asked for                                             */
	LARGE_LIST_IDLE_MS = 180000,   /* nothing came: we hang up                                         */
	LARGE_LIST_LINGER_MS = 2000,   /* his BYE has overtaken the end of a message                       */
	LARGE_LIST_FIRST_MS = 500,     /* the same where none has begun                                    */
	LARGE_LIST_STORING_MS = 15000, /* his BYE waits for commits: less than a user agent waits for us   */
	LARGE_LIST_LOOK_MS = 250,      /* the sender has gone: whether the others have all             */
	LARGE_LIST_LOOKING = 32,       /* users that are asked for at a time                               */
	LARGE_LIST_STORING = 8,        /* mailboxes that are written at a time                             */
	LARGE_LIST_COPIES_MAX = 16,    /* messages that are kept for those who come late                   */
};

#define LARGE_LEG_STATES(X) /* name, what that is */                                                         \
	X(WAITING, "not looked for yet")                                                                     \
	X(LOOKING, "where he is, or whether his mailbox has room, is being asked")                             \
	X(CALLED, "our INVITE has no final answer")                                                            \
	X(MEMBER, "his leg is in the room: what is sent goes to him as it comes")                               \
	X(LATE, "he answered when a message had begun: he gets each whole, from the spool")                     \
	X(DEFERRED, "he is away: each is stored for him")                                                      \
	X(FAILED, "he was not reached")                                                                      \
	X(GONE, "he has what he gets, or left")

enum large_leg_state {
#define X(name, what) LARGE_LEG_##name,
	LARGE_LEG_STATES(X)
#undef X
};

struct large_list;

/* One recipient. */
struct large_leg {
	struct large_list *list;
	enum large_leg_state state;
	unsigned status;                  /* FAILED: why, a SIP status */
	struct virtual_user_agent *agent; /* CALLED, MEMBER, LATE */
	unsigned next;                    /* WAITING to CALLED, LATE, DEFERRED: the copy that he gets next */
	/* ---- LATE ---- */
	struct msrp_outgoing outgoing;
	struct deferred_reader reader;
	bool is_sending;
	/* ---- DEFERRED ---- */
	struct large_upload *upload;      /* of the copy `next`, on its way */
	uint64_t registration;            /* struct user_find */
};

enum large_copy_state { LARGE_COPY_COMING, LARGE_COPY_ENDED, LARGE_COPY_WHOLE, LARGE_COPY_DEAD };

/* A message as those get it who are no members of the room. */
struct large_copy {
	TAILQ_ENTRY(large_copy) link;
	struct large_list *list;
	struct msrp_room_message *message; /* NULL: nobody has to confirm it any more */
	unsigned number, expected;         /* expected: who has not confirmed yet */
	enum large_copy_state state;
	struct large_spool *spool;
	bool is_multimedia;
	struct slice id, content_type, lines, msrp; /* in text; msrp: as struct store_deferred has it */
	char text[];
};

struct large_list {
	struct actor actor;
	struct im *im;
	enum controlling_kind kind;
	char user[MINTED_CHARS];           /* the session identity */
	struct identity who;
	bool may_leave;
	char target[IM_CANONICAL_MAX];
	size_t target_n;
	char *request;                     /* the INVITE as received */
	size_t request_n;
	struct timer timer;                /* one of the above */
	struct timer settling;             /* something has changed: what follows of it is done outside of all calls */
	uint64_t start_us;
	/* ---- until it is known whom it is for ---- */
	struct sip_server *server;         /* NULL: the sender's agent has it, or it was answered */
	struct recipients groups;          /* of the list: to ask for */
	unsigned next_group;
	/* ---- the sender ---- */
	struct virtual_user_agent *sender; /* NULL: not yet, or no more */
	bool is_accepted, is_leaving;
	bool is_settling;                  /* `settling` runs */
	uint64_t storing_until_ms;         /* since he is leaving */
	/* ---- the recipients ---- */
	struct recipients recipients;
	struct large_leg *legs;            /* as many as recipients.count */
	unsigned begun, looking, pending;  /* pending: neither reached nor failed */
	char *types;                       /* a=accept-types of our offers; heap */
	char *answer_types;                /* of the first who answered; heap, NULL: nobody did */
	char *attributes;                  /* other lines of our offers; heap */
	struct pager_content *content;     /* of the INVITE: all but the list; NULL: the description alone */
	struct virtual_user_agent_parts parts; /* of that, around the description */
	bool is_secure;
	/* ---- what is sent ---- */
	uint64_t size, max_octets;         /* announced; of each message, 0: any */
	bool has_size;
	struct msrp_room *room;
	TAILQ_HEAD(, large_copy) copies;
	unsigned copy_count, copies_kept;  /* given numbers; in the list */
	unsigned open, storing;            /* messages that come in; mailboxes being written */
	bool has_begun;
	uint64_t messages, octets;
};

static inline struct slice large_leg_canonical(const struct large_leg *leg)
{
	return recipients_canonical(&leg->list->recipients, (unsigned)(leg - leg->list->legs));
}
static inline struct slice large_leg_uri(const struct large_leg *leg)
{
	return recipients_uri(&leg->list->recipients, (unsigned)(leg - leg->list->legs));
}

/* ---- large_list.c: beginning and end ---- */

/* The INVITE again. */
bool large_list_read(const struct large_list *l, struct sip_message *invite);
/* Its INVITE is refused, and all of it ends.  `warning`: text of one, or NULL. */
void large_list_refuse(struct large_list *l, unsigned status, enum reason why, const char *warning);
/* Something has changed: looks after the end of this turn what is to be done. */
void large_list_settle(struct large_list *l);
/* The sender has sent something: he is not idle. */
void large_list_heard(struct large_list *l);

/* ---- large_list_recipients.c: whom it is for ---- */

/* Finds them; the list is refused, waits for a group, or goes on with large_list_begin(). */
void large_list_find_recipients(struct large_list *l, const struct sip_message *invite);
void large_list_on_group(struct large_list *l, struct group_find *find);
/* Answers begin: the sender's INVITE is checked and rings, the recipients are called. */
void large_list_begin(struct large_list *l, const struct sip_message *invite);

/* ---- large_list_call.c: the recipients ---- */

/* As many as may be looked for at a time. */
void large_list_call(struct large_list *l);
/* All have an outcome and nobody answered: the sender's answer.  May free it. */
void large_list_conclude(struct large_list *l);
void large_list_on_found(struct large_list *l, struct user_find *found);
void large_leg_enter(struct large_leg *leg, enum large_leg_state next, const char *why);
/* He was not reached, with that status. */
void large_leg_fail(struct large_leg *leg, unsigned status, enum reason why);
/* Takes his agent from him: BYE or CANCEL. */
void large_leg_hang_up(struct large_leg *leg, const char *reason);

/* ---- large_list_message.c: what is sent ---- */

/* 0 or ENOMEM. */
int large_list_open_room(struct large_list *l);

/* ---- large_list_copies.c: those who get it later ---- */

/* 0 or errno: into the room, or where a message has begun, to be served from the spool. */
int large_leg_join(struct large_leg *leg);
/* He gets messages by another way than the room. */
bool large_leg_waits_for_copies(const struct large_leg *leg);
/* There is something that he has not got yet. */
bool large_leg_is_owed(const struct large_leg *leg);
/* He will get nothing of what is kept or comes: each message is confirmed with that SIP status for him. */
void large_leg_give_up(struct large_leg *leg, unsigned status);
/* MSRP's word for why an invitation failed (RFC 4975 10). */
unsigned large_list_msrp_status(unsigned sip);
/* Messages go on to those who are not in the room; what nobody needs any more goes. */
void large_list_advance(struct large_list *l);
/* It will not be whole: nobody gets it, and nobody waits for it. */
void large_copy_kill(struct large_copy *copy, unsigned status);
/* Of what has begun and not ended. */
void large_list_end_coming(struct large_list *l);
void large_list_free_copies(struct large_list *l);
/* The process ends. */
void large_list_abandon_copies(struct large_list *l);

#endif
