#include "actors/group.h"

#include <stdlib.h>

#include "actors/group_internal.h"

struct group *group_hold(struct group *group)
{
	atomic_fetch_add_explicit(&group->holders, 1, memory_order_relaxed);
	return group;
}

void group_drop(struct group *group)
{
	if (group && atomic_fetch_sub_explicit(&group->holders, 1, memory_order_acq_rel) == 1)
		free(group);
}

int group_name_order(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

const struct group_member *group_find_member(const struct group *group, struct slice canonical)
{
	unsigned low = 0, high = group->member_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		int order = group_name_order(group->by_name[middle]->canonical, canonical);
		if (order == 0)
			return group->by_name[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- what he may do ---- */

/* Who asks.  All rules are gone through at most once for him, however many of them are about everybody else. */
struct asked {
	struct slice name;
	bool is_anonymous, is_member;
	enum { UNSEEN, NAMED, OTHER } seen;
};

static bool is_other(const struct group_rules *rules, struct asked *who)
{
	if (who->seen == UNSEEN) {
		who->seen = who->is_member && rules->are_about_members ? NAMED : OTHER;
		for (unsigned i = 0; i < rules->count && who->seen == OTHER; i++)
			if (rules->rules[i].when.by_identity && policy_names_him(&rules->names, &rules->rules[i].when, who->name))
				who->seen = NAMED;
	}
	return who->seen == OTHER;
}

static bool counts(const struct group_rules *rules, const struct policy_conditions *when, struct asked *who)
{
	if (when->never || (when->when_anonymous && !who->is_anonymous))
		return false;
	if (when->membership != POLICY_ANYBODY && (when->membership == POLICY_MEMBERS) != who->is_member)
		return false;
	if (when->by_identity && !policy_names_him(&rules->names, when, who->name))
		return false;
	return !when->when_other || is_other(rules, who);
}

/* All members, or all others. */
static bool is_for_many(const struct policy_conditions *when)
{
	return (when->membership != POLICY_ANYBODY || when->when_other) && !when->by_identity;
}

static bool permits(const struct group *group, enum group_action action, struct asked *who)
{
	const struct group_rules *rules = group->rules;
	bool as_one_of_many = false, is_refused = false;

	who->is_member = group_find_member(group, who->name);
	if (!rules)
		return who->is_member && action != GROUP_BE_ANONYMOUS;
	for (unsigned i = 0; i < rules->count; i++) {
		const struct group_rule *rule = &rules->rules[i];
		if (rule->actions[action] == GROUP_RULE_SILENT || !counts(rules, &rule->when, who))
			continue;
		if (rule->actions[action] == GROUP_RULE_TRUE && !is_for_many(&rule->when))
			return true;
		as_one_of_many = as_one_of_many || rule->actions[action] == GROUP_RULE_TRUE;
		is_refused = is_refused || (rule->actions[action] == GROUP_RULE_FALSE &&
						   policy_names_him_alone(&rules->names, &rule->when, who->name));
	}
	return as_one_of_many && !is_refused;
}

bool group_permits(const struct group *group, enum group_action action, const struct identity *who)
{
	struct asked asked = { .name = slice_of(who->canonical, who->canonical_n), .is_anonymous = who->is_anonymous };

	return permits(group, action, &asked);
}

bool group_permits_user(const struct group *group, enum group_action action, struct slice canonical)
{
	struct asked asked = { .name = canonical };

	return permits(group, action, &asked);
}
