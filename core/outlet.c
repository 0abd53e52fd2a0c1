#include "core/outlet.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "core/log.h"
#include "core/mailbox.h"

#define GATHER_MS 5     /* after the first piece: who wakes a thread for each pays more for that than for the piece */
#define RETRY_MS  1000
#define SAY_S     60

#define TURNS_OFF ((uintptr_t)1) /* beside the pointer: nothing is put any more, what is queued is for the target before */

struct piece {
	struct msg msg;
	size_t n;
	char octets[];
};

struct outlet {
	const struct outlet_ops *ops;
	void *arg;
	size_t queue_octets;
	struct mailbox mailbox;
	sem_t bell;
	pthread_t thread;
	bool runs;
	atomic_bool is_on, must_stop;
	atomic_uintptr_t target;     /* not yet turned to, perhaps with TURNS_OFF; 0: none */
	atomic_size_t queued;        /* octets, until they are freed */
	_Atomic uint64_t refused;    /* pieces that did not fit */
	/* ---- the thread's own ---- */
	struct piece *batch[OUTLET_BATCH];
	unsigned count;
	uint64_t unsaid, given_up;
	time_t said_s;               /* 0: never */
};

static void *target_of(uintptr_t target)
{
	return (void *)(target & ~TURNS_OFF);
}

static void drop(struct outlet *o, struct piece *piece)
{
	atomic_fetch_sub(&o->queued, piece->n);
	free(piece);
}

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + 1; /* never 0 */
}

/* ---- the thread ---- */

static void gather(struct outlet *o)
{
	struct msg *msg;

	while (o->count < OUTLET_BATCH && (msg = mailbox_take(&o->mailbox)))
		o->batch[o->count++] = (struct piece *)msg;
}

/* False: the target takes no more for now. */
static bool write_batch(struct outlet *o)
{
	struct slice pieces[OUTLET_BATCH];
	unsigned count = o->count, done;

	for (unsigned i = 0; i < count; i++)
		pieces[i] = slice_of(o->batch[i]->octets, o->batch[i]->n);
	done = o->ops->write(o->arg, pieces, count);
	for (unsigned i = 0; i < done; i++)
		drop(o, o->batch[i]);
	memmove(o->batch, o->batch + done, (count - done) * sizeof(o->batch[0]));
	o->count = count - done;
	return done == count;
}

/* Another target is there, and what is not written yet is for that. */
static bool must_turn(const struct outlet *o)
{
	uintptr_t target = atomic_load(&o->target);

	return target && !(target & TURNS_OFF);
}

/* True: all that was there is written. */
static bool write_all(struct outlet *o)
{
	for (;;) {
		gather(o);
		if (o->count == 0)
			return true;
		if (must_turn(o)) /* after taking it: what was put since the turn is not written before it */
			return false;
		if (!write_batch(o))
			return false;
	}
}

static void give_up(struct outlet *o)
{
	do {
		for (unsigned i = 0; i < o->count; i++)
			drop(o, o->batch[i]);
		o->given_up += o->count;
		o->unsaid += o->count;
		o->ops->lost(o->arg, o->count);
		o->count = 0;
		gather(o);
	} while (o->count);
}

static void say_lost(struct outlet *o, bool at_once)
{
	o->unsaid += atomic_exchange(&o->refused, 0);
	if (o->unsaid == 0 || (!at_once && o->said_s && now_s() < o->said_s + SAY_S))
		return;
	LOG(ERROR, NULL, o->ops->subject, 0, "lost records=%llu cause=\"%s\"", (unsigned long long)o->unsaid,
		o->given_up ? "nowhere to write them" : "more than can be written");
	o->unsaid = o->given_up = 0;
	o->said_s = now_s();
}

static void wait_ms(struct outlet *o, uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (sem_timedwait(&o->bell, &until) != 0 && errno == EINTR)
		;
}

/* Until there is something to do. */
static void rest(struct outlet *o)
{
	struct timespec moment = { 0, GATHER_MS * 1000000 };

	if (mailbox_sleep(&o->mailbox)) {
		if (o->unsaid) /* the minute may be over with nothing more to come */
			wait_ms(o, RETRY_MS);
		else
			while (sem_wait(&o->bell) != 0 && errno == EINTR)
				;
	}
	mailbox_awake(&o->mailbox);
	if (!atomic_load(&o->must_stop))
		nanosleep(&moment, NULL);
}

static void *run(void *arg)
{
	struct outlet *o = arg;

	for (;;) {
		bool must_stop = atomic_load(&o->must_stop);
		uintptr_t target = atomic_exchange(&o->target, 0);
		if (target) {
			/* who was told of the new target finds there what was put since; off: this is the last chance */
			if (target & TURNS_OFF)
				(void)write_all(o); /* what is left is tried again below */
			o->ops->turn_to(o->arg, target_of(target));
		}
		bool is_done = write_all(o);
		if (must_turn(o))
			continue;
		if (!is_done && (must_stop || !atomic_load(&o->is_on)))
			give_up(o);
		say_lost(o, must_stop);
		if (must_stop)
			return NULL;
		if (o->count)
			wait_ms(o, RETRY_MS);
		else
			rest(o);
	}
}

/* ---- the main thread ---- */

int outlet_make(struct outlet **out, const struct outlet_ops *ops, void *arg, size_t queue_octets)
{
	struct outlet *o = calloc(1, sizeof(*o));

	if (!o)
		return ENOMEM;
	o->ops = ops;
	o->arg = arg;
	o->queue_octets = queue_octets;
	mailbox_init(&o->mailbox);
	sem_init(&o->bell, 0, 0);
	*out = o;
	return 0;
}

int outlet_start(struct outlet *o)
{
	if (o->runs)
		return 0;
	int err = pthread_create(&o->thread, NULL, run, o);
	o->runs = !err;
	return err;
}

void outlet_turn_to(struct outlet *o, void *target, bool is_on)
{
	if (!o->runs) { /* it never was on, and stays so */
		o->ops->discard(target);
		return;
	}
	if (!is_on)
		atomic_store(&o->is_on, false);
	uintptr_t before = atomic_exchange(&o->target, (uintptr_t)target | (is_on ? 0 : TURNS_OFF));
	if (before)
		o->ops->discard(target_of(before));
	sem_post(&o->bell);
	if (is_on)
		atomic_store(&o->is_on, true);
}

void outlet_free(struct outlet *o)
{
	if (!o)
		return;
	atomic_store(&o->is_on, false);
	if (o->runs) {
		atomic_store(&o->must_stop, true);
		sem_post(&o->bell);
		pthread_join(o->thread, NULL);
	}
	sem_destroy(&o->bell);
	free(o);
}

/* ---- any thread ---- */

bool outlet_is_on(const struct outlet *o)
{
	return atomic_load_explicit(&o->is_on, memory_order_relaxed);
}

bool outlet_put(struct outlet *o, struct slice text)
{
	struct piece *piece = NULL;

	if (atomic_fetch_add(&o->queued, text.n) + text.n <= o->queue_octets)
		piece = malloc(sizeof(*piece) + text.n);
	if (!piece) {
		atomic_fetch_sub(&o->queued, text.n);
		atomic_fetch_add(&o->refused, 1);
		return false;
	}
	piece->n = text.n;
	if (text.n)
		memcpy(piece->octets, text.p, text.n);
	if (mailbox_post(&o->mailbox, &piece->msg))
		sem_post(&o->bell);
	return true;
}
