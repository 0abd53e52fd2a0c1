#include "core/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/stream.h"
#include "core/tls.h"

int worker_init(struct worker *worker, unsigned index, struct worker_group *group)
{
	memset(worker, 0, sizeof(*worker));
	worker->index = index;
	worker->group = group;
	worker->tasks_end = &worker->tasks;
	mailbox_init(&worker->mailbox);
	group->workers[index] = worker;
	return 0;
}

void worker_use_ring(struct worker *worker, struct ring *ring)
{
	worker->ring = ring;
	worker->now_us = ring->ops->now_us(ring);
	ring->ops->random(ring, worker->random_state, sizeof(worker->random_state));
	worker->random_state[0] |= 1; /* the all-zero state would stay zero */
	timer_wheel_init(&worker->timers, worker_now_ms(worker));
	load_init(&worker->load, worker->now_us);
}

static void drop_block(struct msg *msg)
{
	free(msg);
}

void worker_free(struct worker *worker)
{
	struct msg *msg;

	/* on their way when the others stopped; MSG_WORKER_STOP and MSG_WORKER_PING are not from the heap */
	while ((msg = mailbox_take(&worker->mailbox))) {
		if (msg->kind != MSG_WORKER_STOP && msg->kind != MSG_WORKER_PING)
			(worker->drop ? worker->drop : drop_block)(msg);
	}
	tls_set_drop(worker->tls);
	worker->tls = NULL;
	if (worker->ring)
		worker->ring->ops->destroy(worker->ring);
	worker->ring = NULL;
	actor_table_free(&worker->actors);
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

uint64_t worker_random_fast(struct worker *worker) /* xoshiro256++ (Blackman, Vigna) */
{
	uint64_t *s = worker->random_state;
	uint64_t result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

void worker_random(struct worker *worker, void *p, size_t n)
{
	char *to = p;

	while (n > 0) {
		if (worker->random_left == 0) {
			worker->ring->ops->random(worker->ring, worker->random_pool, sizeof(worker->random_pool));
			worker->random_left = sizeof(worker->random_pool);
		}
		size_t part = n < worker->random_left ? n : worker->random_left;
		uint8_t *from = worker->random_pool + worker->random_left - part;
		memcpy(to, from, part);
		memset(from, 0, part); /* a name already given out must not be readable here */
		worker->random_left -= (unsigned)part;
		to += part;
		n -= part;
	}
}

/* True: the doorbell had to be rung. */
static bool post(struct worker_group *group, unsigned to, struct msg *msg)
{
	struct worker *worker = group->workers[to];

	if (!mailbox_post(&worker->mailbox, msg))
		return false;
	worker->ring->ops->wake(worker->ring);
	return true;
}

void worker_post_from_outside(struct worker_group *group, unsigned to, struct msg *msg)
{
	(void)post(group, to, msg); /* only workers count */
}

void worker_post(struct worker *from, unsigned to, struct msg *msg)
{
	msg->from = (uint16_t)from->index;
	if (post(from->group, to, msg))
		COUNT(&from->counters, worker_doorbells);
}

void worker_answer(struct worker *worker, struct msg *msg, uint16_t kind, int err)
{
	unsigned home = msg->from;

	msg->kind = kind;
	msg->err = err;
	worker_post(worker, home, msg);
}

void worker_at_turn_end(struct worker *worker, struct worker_task *task)
{
	if (task->is_queued)
		return;
	task->is_queued = true;
	task->next = NULL;
	*worker->tasks_end = task;
	worker->tasks_end = &task->next;
}

void worker_in_next_turn(struct worker *worker, struct worker_task *task)
{
	if (task->is_queued)
		return;
	task->is_queued = true;
	task->next = worker->next_tasks;
	worker->next_tasks = task;
}

static void queue_next_tasks(struct worker *worker)
{
	struct worker_task *task;

	while ((task = worker->next_tasks)) {
		worker->next_tasks = task->next;
		task->is_queued = false;
		worker_at_turn_end(worker, task);
	}
}

static bool take_out(struct worker_task **link, const struct worker_task *task)
{
	while (*link && *link != task)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = task->next;
	return true;
}

void worker_forget_task(struct worker *worker, struct worker_task *task)
{
	if (!task->is_queued)
		return;
	if (!take_out(&worker->next_tasks, task))
		take_out(&worker->tasks, task);
	worker->tasks_end = &worker->tasks;
	while (*worker->tasks_end)
		worker->tasks_end = &(*worker->tasks_end)->next;
	task->is_queued = false;
}

static void run_tasks(struct worker *worker)
{
	struct worker_task *task;

	while ((task = worker->tasks)) {
		worker->tasks = task->next;
		if (!worker->tasks)
			worker->tasks_end = &worker->tasks;
		task->is_queued = false;
		task->run(worker, task);
	}
}

static void dispatch(struct worker *worker, struct msg *msg)
{
	struct actor *actor;

	if (msg->kind == MSG_WORKER_STOP) {
		worker->must_stop = true;
		return;
	}
	if (msg->kind == MSG_WORKER_PING) {
		atomic_store(&((struct worker_ping *)msg)->is_back, true);
		return;
	}
	if (msg->actor && (actor = actor_find(worker, msg->actor))) {
		actor->type->on_message(actor, msg);
		return;
	}
	/* to a layer, or to an actor that is gone: the kind's handler frees it or sends it home */
	msg->err = msg->actor ? ENOENT : msg->err;
	assert(msg->kind < MSG_KINDS && worker->on_message[msg->kind]);
	worker->on_message[msg->kind](worker, msg);
}

static unsigned take_messages(struct worker *worker)
{
	unsigned taken = 0;
	struct msg *msg;

	while (taken < MESSAGES_MAX && (msg = mailbox_take(&worker->mailbox))) {
		dispatch(worker, msg);
		taken++;
	}
	COUNT_N(&worker->counters, mailbox_messages, taken);
	return taken;
}

static uint64_t time_to_wait_us(const struct worker *worker)
{
	uint64_t next_ms = timer_wheel_next_ms(&worker->timers);

	if (next_ms == UINT64_MAX)
		return UINT64_MAX;
	return next_ms * 1000 > worker->now_us ? next_ms * 1000 - worker->now_us : 0;
}

static void set_now(struct worker *worker)
{
	uint64_t now_us = worker->ring->ops->now_us(worker->ring);

	if (now_us > worker->now_us)
		worker->now_us = now_us;
}

static void measure(struct worker *worker, uint64_t began_us, uint64_t waited_us)
{
	uint64_t now_us = worker->ring->ops->now_us(worker->ring);

	if (!load_turn(&worker->load, began_us, waited_us, now_us))
		return;
	ratio_set(&worker->counters, RATIO_worker_busy_ratio, worker->load.thousandths);
	if (worker->on_load)
		worker->on_load(worker);
}

void worker_turn(struct worker *worker, bool may_wait)
{
	struct ring_completion completions[COMPLETIONS_MAX];
	uint64_t began_us = worker->ring->ops->now_us(worker->ring), waited_us = worker->ring->waited_us, wait_us = 0;

	if (may_wait && !worker->next_tasks && mailbox_sleep(&worker->mailbox))
		wait_us = load_wait_us(&worker->load, time_to_wait_us(worker));
	unsigned n = worker->ring->ops->turn(worker->ring, completions, COMPLETIONS_MAX, wait_us);
	mailbox_awake(&worker->mailbox);
	set_now(worker);
	queue_next_tasks(worker);
	for (unsigned i = 0; i < n; i++) {
		unsigned kind = ring_token_kind(completions[i].token);
		assert(kind < TOKEN_KINDS && worker->on_completion[kind]);
		worker->on_completion[kind](worker, &completions[i]);
	}
	take_messages(worker);
	timer_wheel_advance(&worker->timers, worker_now_ms(worker));
	run_tasks(worker);
	gauge_set(&worker->counters, GAUGE_timers, (int64_t)worker->timers.armed);
	COUNTERS_STORE(worker->counters.values[COUNTER_timers_fired], worker->timers.fired);
	COUNT(&worker->counters, worker_turns);
	measure(worker, began_us, worker->ring->waited_us - waited_us);
}
