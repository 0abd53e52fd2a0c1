/*
 * Conditions of common policy rules (RFC 4745 7) with those that OMA adds, compiled: whom the rules of
 * actors/access_rules.h and actors/group.h are about.  What the rules then permit is theirs.
 *
 * Elements are known by their local names, in whatever namespace.  A name that nobody can have names nobody.
 *
 * Thread: pure functions; a builder belongs to one thread.
 */
#ifndef ACTORS_COMMON_POLICY_H
#define ACTORS_COMMON_POLICY_H

#include "actors/im.h"
#include "core/xml.h"

enum policy_membership { POLICY_ANYBODY, POLICY_MEMBERS, POLICY_NO_MEMBERS };

/* Of one rule. */
struct policy_conditions {
	bool never;          /* it has a condition that is not known */
	bool by_identity, when_anonymous, when_other;
	enum policy_membership membership; /* is-list-member; its text `false`: POLICY_NO_MEMBERS */
	uint32_t matchers, matcher_count;  /* of its identity */
};

/* EXCEPT_*: of the MANY before it. */
enum policy_matcher_kind { MATCH_ONE, MATCH_MANY, EXCEPT_ONE, EXCEPT_DOMAIN };
struct policy_matcher {
	enum policy_matcher_kind kind;
	uint32_t at, n; /* canonical name or domain, in the text; MATCH_MANY of n 0: everybody */
};

/* What a builder made; where it is kept is the owner's business. */
struct policy_names {
	const struct policy_matcher *matchers;
	const char *text;
};

/* Does the identity of the rule name him?  An empty caller is named by nobody. */
bool policy_names_him(const struct policy_names *names, const struct policy_conditions *rule, struct slice caller);
/* Does a `one` of it? */
bool policy_names_him_alone(const struct policy_names *names, const struct policy_conditions *rule, struct slice caller);

/* ---- compiling ---- */

/* Memory that grows. */
struct policy_list {
	char *p;
	size_t n, size;
};

struct policy_builder {
	const struct sip_home *home;
	struct policy_list matchers, text;
	bool failed; /* no memory: what was built is not all */
};

/* False: no memory, and the builder knows it. */
bool policy_append(struct policy_builder *builder, struct policy_list *list, const void *item, size_t n);
/* `rule` all zero. */
void policy_add_rule(struct policy_builder *builder, struct policy_conditions *rule, const struct xml_node *node);
void policy_builder_free(struct policy_builder *builder);

#endif
