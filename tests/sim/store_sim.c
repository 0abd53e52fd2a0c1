#include "tests/sim/store_sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define QUEUES	    4
#define DELAY_MS    20

/* Of one asking worker, in the order of asking: from one thread to another messages keep it. */
struct queue {
	struct timer timer;
	struct store_sim *sim;
	struct worker *worker;
	struct store_request *first, **end;
};

struct store_sim {
	struct store_door door;
	struct sim *sim;
	struct worker_group *group;
	struct store *store;
	unsigned fails_in_1000;
	uint64_t stall_ms; /* of the next group */
	struct queue queues[QUEUES];
};

static void on_time(struct timer *timer);

static void arm(struct queue *q)
{
	worker_arm(q->worker, &q->timer, 1 + sim_random_below(q->sim->sim, DELAY_MS) + q->sim->stall_ms, on_time);
	q->sim->stall_ms = 0;
}

static struct store_request *take(struct queue *q)
{
	struct store_request *request = q->first;

	if (request && !(q->first = request->next))
		q->end = &q->first;
	return request;
}

static void on_time(struct timer *timer)
{
	struct queue *q = (struct queue *)((char *)timer - offsetof(struct queue, timer));
	struct store_sim *s = q->sim;
	unsigned n = 1 + sim_random_below(s->sim, 4);
	bool fails = sim_chance(s->sim, s->fails_in_1000);
	struct store_request *request, *done;

	store_begin(s->store);
	while (n-- > 0 && (request = take(q)))
		store_execute(s->store, request);
	if (fails)
		store_fail_group(s->store, EIO);
	done = store_commit(s->store);
	while ((request = done)) {
		done = request->next;
		store_send_home(s->group, request);
	}
	if (q->first)
		arm(q);
}

static void submit(struct store_door *door, struct worker *from, struct store_request *request)
{
	struct store_sim *s = (struct store_sim *)door;
	struct queue *q = &s->queues[from->index];

	assert(from->index < QUEUES);
	request->next = NULL;
	*q->end = request;
	q->end = &request->next;
	q->worker = from;
	if (q->first == request)
		arm(q);
}

struct store_door *store_sim_new(struct sim *sim, struct worker_group *group, const struct store_options *options,
	unsigned fails_in_1000)
{
	struct store_sim *s = calloc(1, sizeof(*s));

	assert(s);
	s->door.submit = submit;
	s->sim = sim;
	s->group = group;
	s->fails_in_1000 = fails_in_1000;
	for (unsigned i = 0; i < QUEUES; i++) {
		s->queues[i].sim = s;
		s->queues[i].end = &s->queues[i].first;
	}
	int err = store_open(&s->store, NULL, options);
	assert(!err);
	(void)err;
	return &s->door;
}

void store_sim_free(struct store_door *door)
{
	struct store_sim *s = (struct store_sim *)door;
	struct store_request *request;

	for (unsigned i = 0; i < QUEUES; i++)
		while ((request = take(&s->queues[i])))
			free(request);
	store_close(s->store);
	free(s);
}

void store_sim_stall(struct store_door *door, uint64_t ms)
{
	((struct store_sim *)door)->stall_ms = ms;
}

struct store *store_sim_database(struct store_door *door)
{
	return ((struct store_sim *)door)->store;
}
