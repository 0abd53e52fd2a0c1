#include "actors/group.h"

#include <stdlib.h>

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

bool group_permits_user(const struct group *group, enum group_action action, struct slice canonical)
{
	return !group->rules && action != GROUP_BE_ANONYMOUS && group_find_member(group, canonical);
}

bool group_permits(const struct group *group, enum group_action action, const struct identity *who)
{
	return group_permits_user(group, action, slice_of(who->canonical, who->canonical_n));
}

const struct group_member *group_find_member(const struct group *group, struct slice canonical)
{
	for (unsigned i = 0; i < group->member_count; i++)
		if (slice_eq(group->members[i].canonical, canonical))
			return &group->members[i];
	return NULL;
}
