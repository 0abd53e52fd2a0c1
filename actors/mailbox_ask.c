/* The asking worker's side of a mailbox: messages to the user's worker, and those that come home to nobody. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/group.h"
#include "actors/mailbox_internal.h"
#include "sip/owner.h"

static void post(struct im *im, struct msg *msg, uint16_t kind, struct slice canonical)
{
	msg->kind = kind;
	worker_post(im->worker, sip_owner_of_name(canonical, im->worker->group->count), msg);
}

/* ---- visiting ---- */

struct mailbox_visit *mailbox_enter(struct im *im, struct slice canonical, actor_id visitor)
{
	struct mailbox_leave *leave = calloc(1, sizeof(*leave));

	(void)im;
	assert(canonical.n <= IM_CANONICAL_MAX);
	if (!leave)
		return NULL;
	leave->visitor = visitor;
	memcpy(leave->canonical, canonical.p, canonical.n);
	leave->canonical_n = (uint16_t)canonical.n;
	return (struct mailbox_visit *)leave;
}

static const struct mailbox_leave *leave_of(const struct mailbox_visit *visit)
{
	return (const struct mailbox_leave *)visit;
}

static struct slice name_of(const struct mailbox_visit *visit)
{
	return slice_of(leave_of(visit)->canonical, leave_of(visit)->canonical_n);
}

void mailbox_leave(struct im *im, struct mailbox_visit *visit)
{
	if (visit)
		post(im, &((struct mailbox_leave *)visit)->msg, MSG_MAILBOX_LEAVE, name_of(visit));
}

static struct mailbox_lease *lease_new(const struct mailbox_visit *visit)
{
	struct mailbox_lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return NULL;
	lease->visitor = leave_of(visit)->visitor;
	memcpy(lease->canonical, name_of(visit).p, name_of(visit).n);
	lease->canonical_n = (uint16_t)name_of(visit).n;
	return lease;
}

int mailbox_lease(struct im *im, const struct mailbox_visit *visit, uint64_t after, unsigned most)
{
	struct mailbox_lease *lease = lease_new(visit);

	if (!lease)
		return ENOMEM;
	lease->after = after;
	lease->most = most && most < MAILBOX_LEASE_MAX ? most : MAILBOX_LEASE_MAX;
	post(im, &lease->msg, MSG_MAILBOX_LEASE, name_of(visit));
	return 0;
}

int mailbox_lease_one(struct im *im, const struct mailbox_visit *visit, uint64_t position)
{
	struct mailbox_lease *lease = lease_new(visit);

	assert(position > 0);
	if (!lease)
		return ENOMEM;
	lease->only = position;
	lease->most = 1;
	post(im, &lease->msg, MSG_MAILBOX_LEASE, name_of(visit));
	return 0;
}

void mailbox_lease_free(struct mailbox_lease *lease)
{
	if (lease)
		free(lease->page);
	free(lease);
}

int mailbox_end(struct im *im, const struct mailbox_visit *visit, const uint64_t *positions, unsigned count,
	bool is_delivered)
{
	struct mailbox_end *end = calloc(1, sizeof(*end));

	assert(count <= MAILBOX_LEASE_MAX);
	if (!end)
		return ENOMEM;
	end->asker = leave_of(visit)->visitor;
	memcpy(end->canonical, name_of(visit).p, name_of(visit).n);
	end->canonical_n = (uint16_t)name_of(visit).n;
	memcpy(end->positions, positions, count * sizeof(*positions));
	end->count = count;
	end->is_delivered = is_delivered;
	post(im, &end->msg, MSG_MAILBOX_END, name_of(visit));
	return 0;
}

/* ---- without a visit ---- */

int mailbox_remove(struct im *im, struct slice canonical, const uint64_t *positions, unsigned count, actor_id asker)
{
	struct mailbox_end *remove = calloc(1, sizeof(*remove));

	assert(count <= MAILBOX_LEASE_MAX && canonical.n <= IM_CANONICAL_MAX);
	if (!remove)
		return ENOMEM;
	remove->asker = asker;
	memcpy(remove->canonical, canonical.p, canonical.n);
	remove->canonical_n = (uint16_t)canonical.n;
	memcpy(remove->positions, positions, count * sizeof(*positions));
	remove->count = count;
	post(im, &remove->msg, MSG_MAILBOX_REMOVE, canonical);
	return 0;
}

static void tell(struct im *im, struct slice canonical, bool is_stored, uint64_t registration)
{
	struct mailbox_change *change = canonical.n <= IM_CANONICAL_MAX ? calloc(1, sizeof(*change)) : NULL;

	if (!change) {
		REFUSED(&im->worker->counters, REASON_NO_MEMORY);
		return;
	}
	change->is_stored = is_stored;
	change->registration = registration;
	memcpy(change->canonical, canonical.p, canonical.n);
	change->canonical_n = (uint16_t)canonical.n;
	post(im, &change->msg, MSG_MAILBOX_CHANGED, canonical);
}

void mailbox_stored(struct im *im, struct slice canonical, uint64_t registration)
{
	tell(im, canonical, true, registration);
}

void mailbox_tell_change(struct im *im, struct slice canonical)
{
	tell(im, canonical, false, 0);
}

/* ---- answers to actors that are gone: they left, so that nothing of it is held any more ---- */

static void on_leased(struct worker *worker, struct msg *msg)
{
	(void)worker;
	mailbox_lease_free((struct mailbox_lease *)msg);
}

static void on_plain_answer(struct worker *worker, struct msg *msg)
{
	(void)worker;
	free(msg);
}

/* The process ends. */
static void drop(struct msg *msg)
{
	if (msg->kind == MSG_MAILBOX_LEASED)
		mailbox_lease_free((struct mailbox_lease *)msg);
	else if (msg->kind >= MSG_GROUP_FIND && msg->kind <= MSG_GROUP_CHANGED)
		group_message_free(msg);
	else
		free(msg);
}

void mailbox_register_answers(struct worker *worker)
{
	worker->drop = drop;
	worker->on_message[MSG_MAILBOX_LEASED] = on_leased;
	worker->on_message[MSG_MAILBOX_ENDED] = on_plain_answer;
	worker->on_message[MSG_MAILBOX_REMOVED] = on_plain_answer;
}
