#include "actors/store_actor.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "actors/im.h"
#include "core/store_deferred.h"

#define FROM_OUTSIDE UINT16_MAX

/* A worker's side. */
struct store_client {
	struct store_door *door;
	unsigned puts_out;
};

struct store_actor {
	struct store_door door; /* first: it is what the others see */
	/* ---- any thread ---- */
	struct mailbox mailbox;
	sem_t doorbell;
	atomic_bool must_stop;
	_Atomic uint64_t group_commit_us;
	/* ---- the store thread ---- */
	struct worker_group *group;
	struct store *store;
	struct counters counters;
	uint64_t last_commit_us; /* how long the disk took */
	pthread_t thread;
};

/* ---- asking ---- */

int store_ask(struct worker *worker, struct store_request *request)
{
	struct store_client *client = worker->store;
	bool is_put = store_kind_is_put(request->kind);

	if (is_put && (client->puts_out >= STORE_PUTS_MAX ||
			      atomic_load_explicit(&client->door->is_full, memory_order_relaxed)))
		return EAGAIN;
	client->puts_out += is_put;
	request->waiting = NULL;
	request->msg.actor = 0;
	request->msg.kind = MSG_STORE_ANSWERED;
	request->msg.from = (uint16_t)worker->index;
	client->door->submit(client->door, worker, request);
	return 0;
}

static void on_answered(struct worker *worker, struct msg *msg)
{
	struct store_request *request = (struct store_request *)msg;
	struct store_client *client = worker->store;

	client->puts_out -= store_kind_is_put(request->kind);
	request->on_answer(worker, request);
}

int store_ask_and_wait(struct store_door *door, struct store_request *request)
{
	sem_t waiting;

	if (store_kind_is_put(request->kind) && atomic_load(&door->is_full))
		return request->msg.err = EAGAIN;
	sem_init(&waiting, 0, 0);
	request->waiting = &waiting;
	request->msg.from = FROM_OUTSIDE;
	door->submit(door, NULL, request);
	while (sem_wait(&waiting) != 0)
		; /* a signal */
	sem_destroy(&waiting);
	return request->msg.err;
}

void store_send_home(struct worker_group *group, struct store_request *request)
{
	if (request->waiting)
		sem_post(request->waiting);
	else
		worker_post_from_outside(group, request->msg.from, &request->msg);
}

int store_worker_init(struct worker *worker, struct store_door *door)
{
	struct store_client *client = calloc(1, sizeof(*client));

	if (!client)
		return ENOMEM;
	client->door = door;
	worker->store = client;
	worker->on_message[MSG_STORE_ANSWERED] = on_answered;
	return 0;
}

void store_worker_free(struct worker *worker)
{
	free(worker->store);
	worker->store = NULL;
}

/* ---- the thread ---- */

static void submit(struct store_door *door, struct worker *from, struct store_request *request)
{
	struct store_actor *actor = (struct store_actor *)door;

	(void)from;
	if (mailbox_post(&actor->mailbox, &request->msg))
		sem_post(&actor->doorbell);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct store_request *take(struct store_actor *actor)
{
	return (struct store_request *)mailbox_take(&actor->mailbox);
}

static void tell_totals(struct store_actor *actor)
{
	uint64_t messages, octets;

	store_deferred_totals(actor->store, &messages, &octets);
	gauge_set(&actor->counters, GAUGE_deferred_messages, (int64_t)messages);
	gauge_set(&actor->counters, GAUGE_deferred_bytes, (int64_t)octets);
	COUNT_N(&actor->counters, deferred_expired, store_deferred_take_expired(actor->store));
}

/* What a healthy store answers too. */
static bool is_failure(int err)
{
	return err && err != ENOENT && err != EDQUOT && err != EINVAL && err != EFBIG && err != EEXIST && err != EMSGSIZE && err != EADDRINUSE;
}

/*
 * How long requests may be added to a group: store.group_commit, or as long as the last commit took, whichever
 * is more.  On a slow disk the time of a commit is what everybody waits for: with 5 ms each, groups of 0.5 ms
 * of work would keep it busy for a tenth of what is asked.
 */
static uint64_t group_us(const struct store_actor *actor)
{
	uint64_t most_us = atomic_load_explicit(&actor->group_commit_us, memory_order_relaxed);

	return most_us && most_us < actor->last_commit_us ? actor->last_commit_us : most_us;
}

/* Requests that are there share one commit; nobody is waited for.  Without any: it deletes garbage. */
static void run_group(struct store_actor *actor, struct store_request *request)
{
	uint64_t began_us = now_us(), most_us = group_us(actor);
	struct counters *counters = &actor->counters;

	store_begin(actor->store);
	while (request) {
		store_execute(actor->store, request);
		COUNT(counters, store_requests);
		request = store_group_has_room(actor->store) && now_us() - began_us < most_us ? take(actor) : NULL;
	}
	uint64_t commit_us = now_us();
	struct store_request *done = store_commit(actor->store);
	actor->last_commit_us = now_us() - commit_us;
	atomic_store_explicit(&actor->door.is_full, store_is_full(actor->store), memory_order_relaxed);
	COUNT(counters, store_commits);
	histogram_add(counters, HISTOGRAM_store_commit, now_us() - began_us);
	tell_totals(actor);
	while ((request = done)) {
		done = request->next;
		if (is_failure(request->msg.err))
			COUNT(counters, store_failures);
		store_send_home(actor->group, request);
	}
}

static void wait_for_work(struct store_actor *actor)
{
	struct timespec until;

	if (!store_is_full(actor->store)) {
		while (sem_wait(&actor->doorbell) != 0)
			; /* a signal */
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	(void)sem_timedwait(&actor->doorbell, &until); /* time-out or not: look again */
}

static void *run_store(void *arg)
{
	struct store_actor *actor = arg;
	struct store_request *request;

	for (;;) {
		while ((request = take(actor)) || (store_has_garbage(actor->store) && !atomic_load(&actor->must_stop)))
			run_group(actor, request);
		if (store_is_full(actor->store)) {
			/* puts are refused at the door: nobody else would come to see that it is over */
			store_relieve(actor->store);
			atomic_store_explicit(&actor->door.is_full, store_is_full(actor->store), memory_order_relaxed);
		}
		if (mailbox_sleep(&actor->mailbox)) {
			if (atomic_load(&actor->must_stop))
				return NULL;
			wait_for_work(actor);
		}
		mailbox_awake(&actor->mailbox);
	}
}

int store_actor_start(struct store_door **out, const char *path, const struct store_options *options,
	struct worker_group *group)
{
	/* counters keep a cache line of their own */
	struct store_actor *actor = aligned_alloc(64, (sizeof(*actor) + 63) & ~(size_t)63);

	if (!actor)
		return ENOMEM;
	memset(actor, 0, sizeof(*actor));
	actor->door.submit = submit;
	atomic_store(&actor->group_commit_us, options->group_commit_us);
	actor->group = group;
	mailbox_init(&actor->mailbox);
	int err = store_open(&actor->store, path, options);
	if (err) {
		free(actor);
		return err;
	}
	tell_totals(actor);
	sem_init(&actor->doorbell, 0, 0);
	if ((err = pthread_create(&actor->thread, NULL, run_store, actor))) {
		store_close(actor->store);
		free(actor);
		return err;
	}
	*out = &actor->door;
	return 0;
}

void store_actor_set_options(struct store_door *door, const struct store_options *options)
{
	struct store_actor *actor = (struct store_actor *)door;

	atomic_store_explicit(&actor->group_commit_us, options->group_commit_us, memory_order_relaxed);
	store_set_wal_limit(actor->store, options->wal_limit);
}

void store_actor_stop(struct store_door *door)
{
	struct store_actor *actor = (struct store_actor *)door;

	atomic_store(&actor->must_stop, true);
	sem_post(&actor->doorbell);
	pthread_join(actor->thread, NULL);
	store_close(actor->store);
	sem_destroy(&actor->doorbell);
	free(actor);
}

struct counters *store_actor_counters(struct store_door *door)
{
	return &((struct store_actor *)door)->counters;
}
