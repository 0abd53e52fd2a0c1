/*
 * Pre-defined groups: what an org.openmobilealliance.groups document says (OMA
 * Shared Group XDM as design.md 10 and 13 have it; 7.2.2.3, 7.2.2.7 to 7.2.2.10),
 * compiled.  A group is a list-service of a document; its name is the canonical
 * form of the list-service's uri, which only one document of all may have.
 *
 * Who may do what stands in the ruleset (RFC 4745).  A rule counts when all of its conditions hold:
 *	identity           one of its `one` and `many` names him; `except` inside `many` takes out
 *	is-list-member     he is in the list; with the text `false`: he is not
 *	anonymous-request  he hides who he is (also under the name `anonymous`)
 *	other-identity     no rule names him by identity, and he is not in the list if some rule is about its members
 * A rule with any other condition never counts.  An action is permitted when a rule that counts says true.  Only
 * what is given to all members or to others yields: to a rule whose `one` names him and that says false.
 * What no rule says is not permitted.  A group without a ruleset is its members': they may do everything
 * but be anonymous.
 *
 * Thread: a group never changes and may be looked at by any thread that holds it; a changed document makes
 * another.  Each worker reads and keeps those whose names hash to it (design.md 2, rule 3).
 */
#ifndef ACTORS_GROUP_H
#define ACTORS_GROUP_H

#include "actors/identity.h"

struct group_member {
	struct slice uri;          /* as written: what to send to */
	struct slice canonical;
	struct slice display_name; /* empty: none */
};

struct group {
	struct slice canonical, uri; /* uri as written */
	struct slice display_name;   /* empty: none */
	uint64_t etag;               /* of its document; grows with each change (core/store_documents.h) */
	bool invite_members;
	uint32_t max_participants;   /* UINT32_MAX: the document has no max-participant-count */
	unsigned member_count;
	const struct group_member *members; /* in the order of the list, each canonical name once */
	/* ---- group.c ---- */
	_Atomic unsigned holders;
	size_t octets;
	const struct group_member *const *by_name;
	const struct group_rules *rules; /* NULL: no ruleset */
};

/* Any thread. */
struct group *group_hold(struct group *group); /* one holder more; returns it */
void group_drop(struct group *group);          /* NULL is allowed */

enum group_action {
	GROUP_INITIATE,     /* allow-initiate-conference: begin a session (7.2.2.3) */
	GROUP_JOIN,         /* join-handling (7.2.2.9): also who is already there may stay only while he has it */
	GROUP_ADD_USERS,    /* allow-invite-users-dynamically (7.2.2.7); whom he adds must be permitted GROUP_JOIN */
	GROUP_SEE_STATE,    /* allow-conference-state (7.2.2.10) */
	GROUP_BE_ANONYMOUS, /* allow-anonymity */
	GROUP_ACTIONS
};

bool group_permits(const struct group *group, enum group_action action, const struct identity *who);
/* Of somebody who is only named: a user whom another wants to add. */
bool group_permits_user(const struct group *group, enum group_action action, struct slice canonical);
/* NULL: he is not in the list. */
const struct group_member *group_find_member(const struct group *group, struct slice canonical);

/* ---- asking for one ---- */

enum group_verdict {
	GROUP_FOUND,
	GROUP_NONE,       /* no document has it: 404, Warning "Conference URI does not exist" */
	GROUP_UNREADABLE, /* the store or memory failed: 503 */
};

/*
 * A question that travels, like struct user_find: comes home to the actor `asker` as MSG_GROUP_FOUND (if he is gone
 * by then, the handler of the kind frees it), freed by it with group_find_free(), which drops the group: take it out,
 * or group_hold() it, to keep it.
 */
struct group_find {
	struct msg msg;
	actor_id asker;
	/* ---- written by the group's worker ---- */
	enum group_verdict verdict;
	struct group *group; /* with GROUP_FOUND: held for the asker */
	/* ---- group_find.c ---- */
	struct group_find *next;
	size_t canonical_n;
	char canonical[IM_CANONICAL_MAX];
};

/* On any worker.  `canonical` may be any name, one of no group too.  ENOMEM: nothing was sent. */
int group_find(struct im *im, struct slice canonical, actor_id asker);
/* On the group's worker: nothing else is known of it by now.  An answer may be overtaken on its way by the change of the
 * document: who begins something that lives on with the group asks again then. */
bool group_is_current(const struct im *im, struct slice canonical, const struct group *group);
void group_find_free(struct group_find *find); /* NULL is allowed */
/* Of a message about groups that nobody will read. */
void group_message_free(struct msg *msg);

/* ---- changes, 7.2.2.8 1f and 2a ---- */

/*
 * The document of a group was changed, or the group is no more (`now` NULL): on the worker that the name hashes to,
 * soon after it is on the disk, the last state for certain, those between perhaps not.  `now` is held by the caller only
 * during the call.
 */
typedef void (*group_changed)(struct im *im, struct slice canonical, struct group *now);
#define GROUP_LISTENERS_MAX 4
void groups_on_change(struct im *im, group_changed on_change); /* at the worker's start */

/* ---- the worker's, at its start and end ---- */
int groups_init(struct im *im); /* 0 or ENOMEM */
void groups_free(struct im *im);
void group_register_handlers(struct worker *worker);

/* ---- documents (actors/documents.c) ---- */

#define GROUPS_AUID "org.openmobilealliance.groups"
#define GROUPS_OF_DOCUMENT_MAX 64

struct xml_node;
/* Of a list-service that is valid (document_usage.h).  0 and *out with one holder; ENOMEM; EINVAL: its uri is none. */
int group_compile(struct group **out, const struct xml_node *service, const struct sip_home *home, uint64_t etag);

#endif
