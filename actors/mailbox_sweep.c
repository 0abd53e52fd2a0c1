/* Expired messages leave the store in batches (design.md 6, D2-19).  One worker does it for all: they were invisible
 * already, and whoever watches their mailboxes hears of it. */
#include <stdlib.h>

#include "actors/mailbox_internal.h"
#include "actors/store_actor.h"
#include "core/log.h"

#define SWEEP_MS       5000 /* a look at an index when there is nothing to do */
#define SWEEPING_WORKER 0

static void on_time(struct timer *timer);

static void on_swept(struct worker *worker, struct store_request *request)
{
	struct im *im = im_of(worker);
	struct mailbox_table *table = im->mailboxes;
	struct store_deferred_sweep *sweep = (struct store_deferred_sweep *)request;
	bool is_done = request->msg.err || sweep->is_last;

	table->sweep = sweep;
	if (!request->msg.err && sweep->removed) {
		LOG(INFO, worker, "deferred", 0, "expired messages=%u mailboxes=%u", sweep->removed, sweep->count);
		for (unsigned i = 0; i < sweep->count; i++)
			mailbox_tell_change(im, sweep->mailboxes[i]);
	}
	worker_arm(worker, &table->sweep_timer, is_done ? SWEEP_MS : 1, on_time);
}

static void on_time(struct timer *timer)
{
	struct mailbox_table *table = (struct mailbox_table *)((char *)timer - offsetof(struct mailbox_table, sweep_timer));
	struct worker *worker = table->worker;
	struct store_deferred_sweep *sweep = table->sweep;

	if (!sweep && !(sweep = store_deferred_sweep_new(0))) { /* no memory now */
		worker_arm(worker, timer, SWEEP_MS, on_time);
		return;
	}
	table->sweep = NULL;
	sweep->now_s = worker->ring->ops->wall_us(worker->ring) / 1000000;
	sweep->request.on_answer = on_swept;
	(void)store_ask(worker, &sweep->request); /* removals are never refused */
}

void mailbox_sweep_init(struct im *im)
{
	im->mailboxes->worker = im->worker;
	if (im->worker->index == SWEEPING_WORKER)
		worker_arm(im->worker, &im->mailboxes->sweep_timer, SWEEP_MS, on_time);
}

void mailbox_sweep_free(struct im *im)
{
	worker_disarm(im->worker, &im->mailboxes->sweep_timer);
	free(im->mailboxes->sweep);
}
