/* The way to a group's worker and back; what that worker has read of groups. */
#include <errno.h>
#include <stdlib.h>

#include "actors/group.h"
#include "sip/owner.h"

void group_find_free(struct group_find *find)
{
	if (find)
		group_drop(find->group);
	free(find);
}

void group_message_free(struct msg *msg)
{
	group_find_free((struct group_find *)msg);
}

int group_find(struct im *im, struct slice canonical, actor_id asker)
{
	struct group_find *find = calloc(1, sizeof(*find));

	if (!find)
		return ENOMEM;
	find->msg.kind = MSG_GROUP_FIND;
	find->asker = asker;
	find->canonical_n = canonical.n;
	memcpy(find->canonical, canonical.p, canonical.n);
	worker_post(im->worker, sip_owner_of_name(canonical, im->worker->group->count), &find->msg);
	return 0;
}

static void on_find(struct worker *worker, struct msg *msg)
{
	struct group_find *find = (struct group_find *)msg;

	find->verdict = GROUP_UNREADABLE;
	msg->actor = find->asker;
	worker_answer(worker, msg, MSG_GROUP_FOUND, 0);
}

static void on_found_without_asker(struct worker *worker, struct msg *msg)
{
	(void)worker;
	group_find_free((struct group_find *)msg);
}

void groups_on_change(struct im *im, group_changed on_change)
{
	(void)im;
	(void)on_change;
}

int groups_init(struct im *im)
{
	(void)im;
	return 0;
}

void groups_free(struct im *im)
{
	(void)im;
}

void group_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_GROUP_FIND] = on_find;
	worker->on_message[MSG_GROUP_FOUND] = on_found_without_asker;
}
