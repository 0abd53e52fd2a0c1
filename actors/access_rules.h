/*
 * Whom a user lets in: his org.openmobilealliance.im-rules documents (common
 * policy, RFC 4745; 6.2.6.1 step 2, D1-07), compiled into what one look at a
 * request needs.  All such documents of a user count together.
 *
 * A rule counts when all of its conditions hold:
 *	identity           one of its `one` and `many` names the caller; `except` inside `many` takes out
 *	anonymous-request  the caller hides who he is (also under the name `anonymous`)
 *	other-identity     no rule names him by `identity`
 * A rule with any other condition never counts.  Of the rules that count the most generous wins, action by action
 * (RFC 4745 10.2): accept, pass, reject; if none has the action the caller is let in.  Elements are known by
 * their local names, in whatever namespace.
 *
 * Somebody who hides may not profit from a permission that names him, for the user could not know that it was he;
 * but a rejection that names him counts, else hiding would be the way around it.
 *
 * Thread: pure functions; a compiled set belongs to one thread at a time.
 */
#ifndef ACTORS_ACCESS_RULES_H
#define ACTORS_ACCESS_RULES_H

#include "actors/user.h"
#include "core/xml.h"

#define ACCESS_RULES_MAX 65536 /* of one user: rules and the names in them, which each message to him may be held against */

/* One malloc block: also the message that brings it to the user's worker. */
struct access_rules {
	struct msg msg;
	size_t owner_n;
	char owner[IM_CANONICAL_MAX]; /* canonical */
	unsigned rule_count; /* 0: everybody is let in */
	/* ---- access_rules.c ---- */
	uint32_t matcher_count;
	char room[];
};

enum user_verdict access_rules_verdict(const struct access_rules *rules, enum user_purpose purpose, struct slice caller,
	bool is_anonymous);

/* Collects the rules of documents, which must be valid (document_usage.h). */
struct access_rules_builder;
struct access_rules_builder *access_rules_begin(const struct sip_home *home); /* NULL: no memory */
void access_rules_add(struct access_rules_builder *builder, const struct xml *document);
/* Frees the builder.  NULL: there was no memory for all of it; the caller frees what he gets. */
struct access_rules *access_rules_finish(struct access_rules_builder *builder, struct slice owner);

/* ---- user_rules.c: the documents in the store, and the user who has them ---- */

struct store_door;

/*
 * Any thread that is no worker: compiles what the store has of the owner, with `content` in place of the document
 * `name` (content.p NULL: without it).  0 and *out, or what the store said, ENOMEM; EDQUOT: with it more than
 * ACCESS_RULES_MAX.
 */
int access_rules_read(struct store_door *door, const struct sip_home *home, struct slice owner, struct slice name,
	struct slice content, struct access_rules **out);
/* Takes them to the owner's worker, which takes them over.  Whoever posts two for one owner keeps the order. */
void access_rules_post(struct worker_group *group, struct access_rules *rules);
/* At the start, while all workers wait: those of all users.  0 or errno, after a line on the log. */
int access_rules_load(struct worker_group *group, struct store_door *door);

void access_rules_register_handlers(struct worker *worker);

#endif
