/*
 * A worker: one thread, one ring, one timer wheel, one mailbox, its own pools
 * (design.md 2).  It knows no protocol: the layers above register who handles
 * which kind of completion and of message.
 *
 * Thread: a worker's fields belong to its thread, except the mailbox (any
 * thread posts) and the counters (any thread reads).  The group is made before
 * the workers start and is read-only afterwards.
 */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include <pthread.h>

#include "core/actor.h"
#include "core/counters.h"
#include "core/load.h"
#include "core/mailbox.h"
#include "core/ring.h"
#include "core/timer.h"

#define WORKERS_MAX     256
#define COMPLETIONS_MAX 256 /* taken from the ring in one turn */
#define MESSAGES_MAX    1024 /* taken from the mailbox in one turn: the ring gets its share */

/* Kinds of ring operations (ring_token_kind); each layer has its own range. */
enum {
	TOKEN_STREAM_FIRST = 1,
	TOKEN_SIP_FIRST = 16,
	TOKEN_MSRP_FIRST = 32,
	TOKEN_KINDS = 48,
};

/* Kinds of messages between workers; each layer has its own range. */
enum {
	MSG_WORKER_STOP = 1,
	MSG_CREDIT = 2, /* a message whose only purpose was the credit it brings home */
	MSG_NAME_ANSWERED = 4, /* from the resolver: struct name_question */
	MSG_WORKER_PING = 5, /* main: struct worker_ping, not from the heap */
	MSG_SIP_FIRST = 16,
	MSG_MSRP_FIRST = 48,
	MSG_ACTORS_FIRST = 80,
	MSG_KINDS = 160,
};

struct worker;
struct tls_set;
typedef void (*worker_completion_handler)(struct worker *, const struct ring_completion *);
typedef void (*worker_message_handler)(struct worker *, struct msg *);
/* An interval of worker->load has ended. */
typedef void (*worker_load_handler)(struct worker *);

/* Something to do at the end of this turn, once: a connection with octets to write. */
struct worker_task {
	struct worker_task *next;
	void (*run)(struct worker *, struct worker_task *);
	bool is_queued;
};

/* Whoever posts it learns that the worker takes messages; then it is his again. */
struct worker_ping {
	struct msg msg;
	atomic_bool is_back;
};

struct worker_group {
	unsigned count;
	struct worker *workers[WORKERS_MAX];
};

struct worker {
	unsigned index;
	struct worker_group *group;
	struct ring *ring;
	uint64_t now_us;          /* taken once per turn */
	struct load load;
	struct timer_wheel timers;
	struct mailbox mailbox;
	struct counters counters;
	struct actor_table actors;
	struct worker_task *tasks, **tasks_end;
	struct worker_task *next_tasks; /* of the next turn, newest first */
	uint64_t random_state[4];
	uint8_t random_pool[1024]; /* of the ring's source: a system call per name would cost 200 ns */
	unsigned random_left;
	bool must_stop;

	worker_completion_handler on_completion[TOKEN_KINDS];
	worker_message_handler on_message[MSG_KINDS];
	worker_load_handler on_load; /* NULL: nobody wants to know */
	void (*drop)(struct msg *); /* frees what nobody will read any more; NULL: free() */

	/* each layer's own per-worker state */
	void *names;
	void *streams;
	struct tls_set *tls; /* NULL: no certificates */
	void *sip;
	void *dialogs;
	void *msrp;
	void *store; /* actors/store_actor.c */
	void *im; /* actors/ */
};

/* 0 or ENOMEM.  The ring may be set later, by the thread that runs the worker. */
int worker_init(struct worker *worker, unsigned index, struct worker_group *group);

/* Takes the ring over: clock, first `now`, random seed. */
void worker_use_ring(struct worker *worker, struct ring *ring);
/* Nobody may post any more.  Messages begin with their struct msg and come from malloc(): what is left in
 * the mailbox is freed, by `drop` where a message is more than one block. */
void worker_free(struct worker *worker);

/* One turn: completions, messages, timers, tasks.  Waits only when there is nothing to do and
 * `may_wait`.  Sets must_stop when MSG_WORKER_STOP came. */
void worker_turn(struct worker *worker, bool may_wait);

static inline uint64_t worker_now_ms(const struct worker *worker)
{
	return worker->now_us / 1000;
}

/* Posts to a worker (also to the own one: it is taken in a later round of this turn or the next).
 * Any worker thread; `from` is the poster. */
void worker_post(struct worker *from, unsigned to, struct msg *msg);

/* As worker_post() from a thread that is no worker: such a message cannot come home. */
void worker_post_from_outside(struct worker_group *group, unsigned to, struct msg *msg);

/* Sends a message home with its answer. */
void worker_answer(struct worker *worker, struct msg *msg, uint16_t kind, int err);

void worker_at_turn_end(struct worker *worker, struct worker_task *task);
/* At the end of the next turn, which does not wait: after what the ring and other workers have by then. */
void worker_in_next_turn(struct worker *worker, struct worker_task *task);
/* It is not run any more, for instance because it is about to be freed; one that is not queued is allowed. */
void worker_forget_task(struct worker *worker, struct worker_task *task);

/* Unguessable unless the ring's source is (it is getrandom outside the simulator). */
void worker_random(struct worker *worker, void *p, size_t n);

/* A cheap generator for tie breaks and jitter, not for names. */
uint64_t worker_random_fast(struct worker *worker);

/* From the worker's now, which after a sleep is ahead of the wheel's. */
static inline void worker_arm(struct worker *worker, struct timer *timer, uint64_t after_ms, timer_fire fire)
{
	uint64_t ahead_ms = worker_now_ms(worker) - worker->timers.now_ms;

	timer_arm(&worker->timers, timer, ahead_ms + (after_ms ? after_ms : 1), fire);
}

static inline void worker_disarm(struct worker *worker, struct timer *timer)
{
	timer_cancel(&worker->timers, timer);
}

#endif
