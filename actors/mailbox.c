/* The user's worker: what is leased, and what becomes of it.  The asking side is mailbox_ask.c. */
#include <errno.h>
#include <stdlib.h>

#include "actors/mailbox_internal.h"
#include "actors/push.h"
#include "actors/store_actor.h"
#include "actors/user.h"
#include "core/log.h"

/* ---- the table ---- */

static struct user_mailbox **chain_of(struct mailbox_table *table, struct slice canonical)
{
	return &table->chains[siphash(&table->key, canonical) % MAILBOX_CHAINS];
}

static struct slice name_of(const struct user_mailbox *box)
{
	return slice_of(box->canonical, box->canonical_n);
}

static struct user_mailbox *find(struct im *im, struct slice canonical)
{
	for (struct user_mailbox *box = *chain_of(im->mailboxes, canonical); box; box = box->chain_next)
		if (slice_eq(name_of(box), canonical))
			return box;
	return NULL;
}

static struct user_mailbox *find_or_make(struct im *im, struct slice canonical)
{
	struct user_mailbox *box = find(im, canonical), **chain = chain_of(im->mailboxes, canonical);

	if (box || !(box = calloc(1, sizeof(*box) + canonical.n)))
		return box;
	box->im = im;
	box->canonical_n = (uint16_t)canonical.n;
	memcpy(box->canonical, canonical.p, canonical.n);
	box->chain_next = *chain;
	return *chain = box;
}

static void forget_if_idle(struct user_mailbox *box)
{
	struct user_mailbox **link = chain_of(box->im->mailboxes, name_of(box));

	if (box->held || box->asked || box->removals)
		return;
	while (*link != box)
		link = &(*link)->chain_next;
	*link = box->chain_next;
	free(box);
}

/* ---- what is held ---- */

static struct held_message *held_of(const struct user_mailbox *box, uint64_t position)
{
	struct held_message *held = box->held;

	while (held && held->position != position)
		held = held->next;
	return held;
}

static struct held_message *hold(struct user_mailbox *box, uint64_t position, actor_id visitor)
{
	struct held_message *held = box->held_count < MAILBOX_HELD_MAX ? malloc(sizeof(*held)) : NULL;

	if (!held)
		return NULL;
	*held = (struct held_message){ .next = box->held, .position = position, .visitor = visitor };
	box->held = held;
	box->held_count++;
	box->im->mailboxes->held++;
	return held;
}

static void let_go(struct user_mailbox *box, uint64_t position)
{
	struct held_message **link = &box->held, *held;

	while ((held = *link) && held->position != position)
		link = &held->next;
	if (!held)
		return;
	*link = held->next;
	box->held_count--;
	box->im->mailboxes->held--;
	free(held);
}

static void tell_change(struct im *im, struct slice canonical)
{
	if (im->mailboxes->on_change)
		im->mailboxes->on_change(im, canonical);
}

/* ---- removing ---- */

/* `asked`: who wanted it, or NULL. */
static void send_home(struct worker *worker, struct mailbox_end *asked, int err)
{
	uint16_t kind = asked && asked->msg.kind == MSG_MAILBOX_END ? MSG_MAILBOX_ENDED : MSG_MAILBOX_REMOVED;

	if (asked && asked->asker) {
		asked->msg.actor = asked->asker;
		worker_answer(worker, &asked->msg, kind, err);
	} else {
		free(asked);
	}
}

static void unlink_ending(struct user_mailbox *box, const struct mailbox_end *asked)
{
	struct mailbox_end **link = &box->ending;

	while (*link && *link != asked)
		link = &(*link)->next;
	if (*link)
		*link = asked->next;
}

static void on_removed(struct worker *worker, struct store_request *request)
{
	struct store_deferred_remove *remove = (struct store_deferred_remove *)request;
	struct user_mailbox *box = find(im_of(worker), remove->mailbox); /* it is there: it has a removal */
	struct mailbox_end *asked = request->asker;
	int err = request->msg.err;

	for (unsigned i = 0; i < remove->count; i++)
		let_go(box, remove->positions[i]);
	box->removals--;
	unlink_ending(box, asked);
	if (err)
		LOG(WARN, worker, "deferred", 0, "not-removed user=%.*s messages=%u reason=%s error=\"%s\"",
			SLICE_ARG(remove->mailbox), remove->count, reason_label(REASON_STORE), strerror(err));
	else if (remove->removed)
		tell_change(im_of(worker), remove->mailbox);
	if (!err && !remove->removed && asked && asked->msg.kind == MSG_MAILBOX_REMOVE)
		err = ENOENT;
	send_home(worker, asked, err);
	forget_if_idle(box);
	free(remove);
}

/*
 * Asks the store to remove messages that are marked is_going.  Without memory they stay, and are free: delivered again
 * is better than lost.
 */
static int remove_going(struct user_mailbox *box, const uint64_t *positions, unsigned count, struct mailbox_end *asked)
{
	struct store_deferred_remove *remove = store_deferred_remove_new(name_of(box));

	if (!remove) {
		REFUSED(&box->im->worker->counters, REASON_NO_MEMORY);
		for (unsigned i = 0; i < count; i++)
			let_go(box, positions[i]);
		return ENOMEM;
	}
	memcpy(remove->positions, positions, count * sizeof(*positions));
	remove->count = count;
	remove->request.on_answer = on_removed;
	remove->request.asker = asked;
	if (asked) {
		asked->next = box->ending;
		box->ending = asked;
	}
	box->removals++;
	(void)store_ask(box->im->worker, &remove->request); /* removals are never refused */
	return 0;
}

/* The lease is over without a delivery. */
static void release(struct user_mailbox *box, struct held_message *held)
{
	uint64_t position = held->position;

	if (held->is_doomed) {
		held->visitor = 0;
		held->is_going = true;
		(void)remove_going(box, &position, 1, NULL); /* it says what it could not do */
	} else {
		let_go(box, position);
	}
}

/* ---- leasing ---- */

static void answer_lease(struct mailbox_lease *lease, int err)
{
	struct user_mailbox *box = lease->mailbox;
	struct worker *worker = box->im->worker;
	struct mailbox_lease **link = &box->asked;

	while (*link != lease)
		link = &(*link)->next;
	*link = lease->next;
	lease->next = NULL;
	lease->mailbox = NULL;
	lease->msg.actor = lease->visitor;
	worker_answer(worker, &lease->msg, MSG_MAILBOX_LEASED, err);
	forget_if_idle(box);
}

/* Marks what nobody else has.  False: no room for one more. */
static bool take_page(struct mailbox_lease *lease)
{
	const struct store_deferred_next *page = lease->page;

	lease->is_last = page->is_last;
	for (unsigned i = 0; i < page->count; i++) {
		const struct store_deferred *message = &page->messages[i];
		if (lease->only && message->position != lease->only) {
			lease->is_last = true;
			break;
		}
		if (held_of(lease->mailbox, message->position)) {
			lease->has_others = true;
		} else if (hold(lease->mailbox, message->position, lease->visitor)) {
			lease->messages[lease->count++] = message;
		} else {
			lease->is_last = false;
			return false;
		}
		lease->last = message->position;
	}
	return true;
}

static void ask_page(struct mailbox_lease *lease)
{
	struct store_deferred_next *page = lease->page;
	struct worker *worker = lease->mailbox->im->worker;

	page->after = lease->only ? lease->only - 1 : lease->last;
	page->most = lease->only ? 1 : lease->most;
	page->now_s = worker->ring->ops->wall_us(worker->ring) / 1000000;
	(void)store_ask(worker, &page->request); /* reads are never refused */
}

static void on_page(struct worker *worker, struct store_request *request)
{
	struct mailbox_lease *lease = request->asker;

	if (lease->has_left || request->msg.err) {
		answer_lease(lease, lease->has_left ? ECANCELED : request->msg.err);
		return;
	}
	if (!take_page(lease) && lease->count == 0) {
		REFUSED(&worker->counters, REASON_NO_MEMORY);
		answer_lease(lease, ENOMEM);
		return;
	}
	/* a whole page of others': those behind it may be free */
	if (lease->count == 0 && !lease->is_last && !lease->only)
		ask_page(lease);
	else
		answer_lease(lease, 0);
}

static void on_lease(struct worker *worker, struct msg *msg)
{
	struct mailbox_lease *lease = (struct mailbox_lease *)msg;
	struct slice canonical = slice_of(lease->canonical, lease->canonical_n);
	struct user_mailbox *box = find_or_make(im_of(worker), canonical);
	struct store_deferred_next *page = box ? store_deferred_next_new(canonical, MAILBOX_ROOM) : NULL;

	if (!page) {
		if (box)
			forget_if_idle(box);
		REFUSED(&worker->counters, REASON_NO_MEMORY);
		msg->actor = lease->visitor;
		worker_answer(worker, msg, MSG_MAILBOX_LEASED, ENOMEM);
		return;
	}
	lease->mailbox = box;
	lease->next = box->asked;
	box->asked = lease;
	lease->page = page;
	lease->last = lease->after;
	page->request.on_answer = on_page;
	page->request.asker = lease;
	ask_page(lease);
}

/* ---- ending ---- */

static bool is_his(const struct held_message *held, actor_id visitor)
{
	return held && !held->is_going && held->visitor == visitor;
}

static void on_end(struct worker *worker, struct msg *msg)
{
	struct mailbox_end *end = (struct mailbox_end *)msg;
	struct user_mailbox *box = find(im_of(worker), slice_of(end->canonical, end->canonical_n));
	uint64_t going[MAILBOX_LEASE_MAX];
	unsigned count = 0;
	int err = 0;

	for (unsigned i = 0; box && i < end->count; i++) {
		struct held_message *held = held_of(box, end->positions[i]);
		if (!is_his(held, end->asker))
			continue;
		if (!end->is_delivered) {
			release(box, held);
			continue;
		}
		held->is_going = true;
		going[count++] = held->position;
	}
	COUNT_N(&worker->counters, deferred_delivered, count);
	if (count && !(err = remove_going(box, going, count, end)))
		return;
	send_home(worker, end, err);
	if (box)
		forget_if_idle(box);
}

static void on_leave(struct worker *worker, struct msg *msg)
{
	struct mailbox_leave *leave = (struct mailbox_leave *)msg;
	struct user_mailbox *box = find(im_of(worker), slice_of(leave->canonical, leave->canonical_n));
	struct held_message *held, *next;

	if (box) {
		for (struct mailbox_lease *lease = box->asked; lease; lease = lease->next)
			lease->has_left |= lease->visitor == leave->visitor;
		for (held = box->held; held; held = next) {
			next = held->next;
			if (is_his(held, leave->visitor))
				release(box, held);
		}
		forget_if_idle(box);
	}
	free(msg);
}

static void on_remove(struct worker *worker, struct msg *msg)
{
	struct mailbox_end *remove = (struct mailbox_end *)msg;
	struct user_mailbox *box = find_or_make(im_of(worker), slice_of(remove->canonical, remove->canonical_n));
	uint64_t going[MAILBOX_LEASE_MAX];
	unsigned count = 0;
	int err = box ? 0 : ENOMEM;

	for (unsigned i = 0; box && i < remove->count; i++) {
		struct held_message *held = held_of(box, remove->positions[i]);
		if (held) {
			held->is_doomed = true;
			continue;
		}
		/* without memory for the mark it goes all the same: a lease that crosses delivers it once more */
		if ((held = hold(box, remove->positions[i], 0)))
			held->is_going = true;
		going[count++] = remove->positions[i];
	}
	if (count && !(err = remove_going(box, going, count, remove)))
		return;
	send_home(worker, remove, err);
	if (box)
		forget_if_idle(box);
}

static void on_changed(struct worker *worker, struct msg *msg)
{
	struct mailbox_change *change = (struct mailbox_change *)msg;
	struct im *im = im_of(worker);
	struct slice canonical = slice_of(change->canonical, change->canonical_n);

	tell_change(im, canonical);
	/* he came back while it was being stored, and was told of no message then */
	if (change->is_stored && change->registration != user_registration(im, canonical))
		push_start(im, canonical, PUSH_STORED);
	free(msg);
}

/* ---- all of a worker ---- */

void mailbox_on_change(struct im *im, mailbox_change_handler handler)
{
	im->mailboxes->on_change = handler;
}

unsigned mailboxes_held(const struct im *im)
{
	return im->mailboxes->held;
}

int mailboxes_init(struct im *im)
{
	im->mailboxes = calloc(1, sizeof(*im->mailboxes));
	if (!im->mailboxes)
		return ENOMEM;
	worker_random(im->worker, &im->mailboxes->key, sizeof(im->mailboxes->key));
	mailbox_sweep_init(im);
	return 0;
}

/* The store answers nobody any more. */
static void box_free(struct user_mailbox *box)
{
	while (box->held)
		let_go(box, box->held->position);
	while (box->asked) {
		struct mailbox_lease *lease = box->asked;
		box->asked = lease->next;
		lease->page = NULL; /* the store's, or in the worker's mailbox */
		mailbox_lease_free(lease);
	}
	while (box->ending) {
		struct mailbox_end *asked = box->ending;
		box->ending = asked->next;
		free(asked);
	}
	free(box);
}

void mailboxes_free(struct im *im)
{
	if (!im->mailboxes)
		return;
	for (unsigned i = 0; i < MAILBOX_CHAINS; i++) {
		struct user_mailbox *box;
		while ((box = im->mailboxes->chains[i])) {
			im->mailboxes->chains[i] = box->chain_next;
			box_free(box);
		}
	}
	mailbox_sweep_free(im);
	free(im->mailboxes);
	im->mailboxes = NULL;
}

void mailbox_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_MAILBOX_LEASE] = on_lease;
	worker->on_message[MSG_MAILBOX_END] = on_end;
	worker->on_message[MSG_MAILBOX_LEAVE] = on_leave;
	worker->on_message[MSG_MAILBOX_REMOVE] = on_remove;
	worker->on_message[MSG_MAILBOX_CHANGED] = on_changed;
	mailbox_register_answers(worker);
}
