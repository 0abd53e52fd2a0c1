/*
 * core/mailbox.c with a semaphore where a worker has its ring: order per
 * producer, nothing lost, no wake-up lost.  Also run under ThreadSanitizer.
 */
#include "core/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "tests/unit/test.h"

#define PRODUCERS  3
#define MESSAGES   60000
#define PATIENCE_S 20

struct numbered {
	struct msg msg;
	unsigned producer, number;
};

static struct mailbox mailbox;
static sem_t bell;
static _Atomic unsigned rung;

static void post(struct numbered *n)
{
	if (mailbox_post(&mailbox, &n->msg)) {
		atomic_fetch_add(&rung, 1);
		sem_post(&bell);
	}
}

static void *produce(void *arg)
{
	struct numbered *messages = arg;
	unsigned seed = messages[0].producer;

	for (unsigned i = 0; i < MESSAGES; i++) {
		post(&messages[i]);
		if (rand_r(&seed) % 64 == 0) /* so that the consumer falls asleep now and then */
			sched_yield();
	}
	return NULL;
}

/* A wake-up that is lost shows as a wait that ends by its time-out. */
static void sleep_until_rung(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	while (sem_timedwait(&bell, &until) != 0)
		CHECK(errno == EINTR, "a wake-up was lost\n");
}

static void start(void)
{
	mailbox_init(&mailbox);
	sem_init(&bell, 0, 0);
	atomic_store(&rung, 0);
}

static void every_producer_in_order_and_no_wake_up_lost(void **state)
{
	static struct numbered messages[PRODUCERS][MESSAGES];
	unsigned next[PRODUCERS] = { 0 }, declared = 0, sleeps = 0;
	pthread_t threads[PRODUCERS];

	start();
	for (unsigned p = 0; p < PRODUCERS; p++) {
		for (unsigned i = 0; i < MESSAGES; i++)
			messages[p][i] = (struct numbered){ .producer = p, .number = i };
		assert_int_equal(pthread_create(&threads[p], NULL, produce, messages[p]), 0);
	}
	for (unsigned taken = 0; taken < PRODUCERS * MESSAGES;) {
		struct numbered *n = (struct numbered *)mailbox_take(&mailbox);
		if (n) {
			CHECK(n->number == next[n->producer], "%u of producer %u, wanted %u\n", n->number,
				n->producer, next[n->producer]);
			next[n->producer]++;
			taken++;
			continue;
		}
		declared++;
		if (mailbox_sleep(&mailbox)) {
			sleeps++;
			sleep_until_rung();
		}
		mailbox_awake(&mailbox);
	}
	for (unsigned p = 0; p < PRODUCERS; p++)
		assert_int_equal(pthread_join(threads[p], NULL), 0);
	assert_null(mailbox_take(&mailbox));
	assert_true(sleeps > 0);
	/* only a consumer that declared itself idle is rung for, even if it then found something to do */
	CHECK(atomic_load(&rung) <= declared, "%u rings, %u times idle\n", atomic_load(&rung), declared);
	print_message("%u messages, %u times asleep\n", PRODUCERS * MESSAGES, sleeps);
}

static void only_the_first_post_rings(void **state)
{
	struct numbered n[3] = { { .number = 0 } }; /* clang 14 takes no { 0 } for an _Atomic pointer */

	start();
	assert_false(mailbox_post(&mailbox, &n[0].msg)); /* awake: looks by itself */
	assert_false(mailbox_sleep(&mailbox));            /* something is there */
	assert_ptr_equal(mailbox_take(&mailbox), &n[0].msg);
	assert_null(mailbox_take(&mailbox));
	assert_true(mailbox_sleep(&mailbox));
	assert_true(mailbox_post(&mailbox, &n[1].msg));
	assert_false(mailbox_post(&mailbox, &n[2].msg));
	mailbox_awake(&mailbox);
	assert_ptr_equal(mailbox_take(&mailbox), &n[1].msg);
	assert_false(mailbox_sleep(&mailbox));
	assert_ptr_equal(mailbox_take(&mailbox), &n[2].msg);
	assert_true(mailbox_sleep(&mailbox));
	mailbox_awake(&mailbox);
	assert_false(mailbox_post(&mailbox, &n[0].msg));
	assert_ptr_equal(mailbox_take(&mailbox), &n[0].msg);
}

/* A message may be posted again, also to the same mailbox, as soon as it was taken. */
static void a_message_travels_again(void **state)
{
	struct numbered n[2] = { { .number = 0 }, { .number = 1 } };

	start();
	mailbox_post(&mailbox, &n[0].msg);
	mailbox_post(&mailbox, &n[1].msg);
	for (unsigned i = 0; i < 1000; i++) {
		struct numbered *got = (struct numbered *)mailbox_take(&mailbox);
		assert_non_null(got);
		assert_int_equal(got->number, i % 2);
		mailbox_post(&mailbox, &got->msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_first_post_rings),
		cmocka_unit_test(a_message_travels_again),
		cmocka_unit_test(every_producer_in_order_and_no_wake_up_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
