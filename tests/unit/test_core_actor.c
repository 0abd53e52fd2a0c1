/*
 * core/actor.c and the turn of core/worker.c that serves it: ids, messages to
 * actors that are there, gone or elsewhere, and their way home.
 */
#include "core/actor.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "core/worker.h"
#include "tests/unit/test.h"

enum { MSG_ASK = MSG_ACTORS_FIRST, MSG_ANSWER };

struct question {
	struct msg msg;
	unsigned number;
};

struct clerk {
	struct actor actor;
	unsigned asked;
	unsigned last;
};

static struct worker workers[2];
static struct worker_group group;
static unsigned answers, at_home, err_at_home;

static void on_question(struct actor *actor, struct msg *msg)
{
	struct clerk *clerk = (struct clerk *)actor;
	struct question *question = (struct question *)msg;

	clerk->asked++;
	clerk->last = question->number;
	msg->actor = 0;
	worker_answer(actor->worker, msg, MSG_ANSWER, 0);
}

static const struct actor_type clerk_type = { "clerk", on_question };

/* What no actor took: an answer, or a question to somebody who is gone. */
static void on_layer_message(struct worker *worker, struct msg *msg)
{
	if (msg->kind == MSG_ASK) {
		assert_int_equal(msg->err, ENOENT);
		msg->actor = 0;
		worker_answer(worker, msg, MSG_ANSWER, msg->err);
		return;
	}
	answers++;
	at_home = worker->index;
	err_at_home = (unsigned)msg->err;
}

static int setup(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };

	group.count = 2;
	answers = err_at_home = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct ring *ring;
		if (worker_init(&workers[i], i, &group) != 0 || ring_open_epoll(&ring, &options) != 0)
			return -1;
		worker_use_ring(&workers[i], ring);
		workers[i].on_message[MSG_ASK] = workers[i].on_message[MSG_ANSWER] = on_layer_message;
	}
	return 0;
}

static int teardown(void **state)
{
	worker_free(&workers[0]);
	worker_free(&workers[1]);
	return 0;
}

static void ask(unsigned from, actor_id whom, struct question *question, unsigned number)
{
	*question = (struct question){ .msg.kind = MSG_ASK, .number = number };
	actor_post(&workers[from], whom, &question->msg);
}

static void both_turn(void)
{
	for (unsigned i = 0; i < 4; i++)
		worker_turn(&workers[i % 2], false);
}

static void a_question_comes_home_as_its_answer(void **state)
{
	struct clerk clerk = { 0 };
	struct question question;

	for (unsigned lives_on = 0; lives_on < 2; lives_on++) {
		for (unsigned from = 0; from < 2; from++) {
			assert_int_equal(actor_open(&workers[lives_on], &clerk.actor, &clerk_type), 0);
			assert_int_equal(actor_worker(clerk.actor.id), lives_on);
			answers = 0;
			ask(from, clerk.actor.id, &question, 42);
			assert_int_equal(clerk.asked, 0); /* never inside the post */
			both_turn();
			assert_int_equal(clerk.asked, 1);
			assert_int_equal(clerk.last, 42);
			assert_int_equal(answers, 1);
			assert_int_equal(at_home, from);
			assert_int_equal(err_at_home, 0);
			actor_close(&clerk.actor);
			clerk.asked = 0;
		}
	}
}

static void who_is_gone_is_said_with_enoent(void **state)
{
	struct clerk clerk = { 0 }, successor = { 0 };
	struct question question;

	assert_int_equal(actor_open(&workers[1], &clerk.actor, &clerk_type), 0);
	actor_id stale = clerk.actor.id;
	ask(0, stale, &question, 1); /* still there when it is posted */
	actor_close(&clerk.actor);
	assert_int_equal(actor_open(&workers[1], &successor.actor, &clerk_type), 0);
	both_turn();
	assert_int_equal(successor.asked, 0); /* same slot, another generation */
	assert_int_equal(answers, 1);
	assert_int_equal(at_home, 0);
	assert_int_equal(err_at_home, ENOENT);
	assert_null(actor_find(&workers[1], stale));
	assert_ptr_equal(actor_find(&workers[1], successor.actor.id), &successor.actor);
	assert_null(actor_find(&workers[0], successor.actor.id)); /* lives elsewhere */
	assert_null(actor_find(&workers[1], 0));
	assert_null(actor_find(&workers[1], successor.actor.id + (1ull << 28))); /* a slot nobody made */
	actor_close(&successor.actor);
}

static void many_actors_have_many_ids(void **state)
{
	enum { MANY = 1000 }; /* the table grows several times */
	static struct clerk clerks[MANY];
	unsigned seed = 9;

	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(actor_open(&workers[0], &clerks[i].actor, &clerk_type), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct clerk *clerk = &clerks[(unsigned)rand_r(&seed) % MANY];
		actor_id before = clerk->actor.id;
		actor_close(&clerk->actor);
		assert_int_equal(clerk->actor.id, 0);
		assert_null(actor_find(&workers[0], before));
		assert_int_equal(actor_open(&workers[0], &clerk->actor, &clerk_type), 0);
		assert_int_not_equal(clerk->actor.id, before);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_ptr_equal(actor_find(&workers[0], clerks[i].actor.id), &clerks[i].actor);
	assert_int_equal(workers[0].actors.open, MANY);
	for (unsigned i = 0; i < MANY; i++)
		actor_close(&clerks[i].actor);
}

static void a_generation_is_never_zero(void **state)
{
	struct clerk clerk = { 0 };

	assert_int_equal(actor_open(&workers[0], &clerk.actor, &clerk_type), 0);
	actor_close(&clerk.actor);
	workers[0].actors.slots[0].generation = (1u << 28) - 1;
	assert_int_equal(actor_open(&workers[0], &clerk.actor, &clerk_type), 0);
	assert_int_equal(clerk.actor.id & ((1u << 28) - 1), 1);
	assert_ptr_equal(actor_find(&workers[0], clerk.actor.id), &clerk.actor);
	actor_close(&clerk.actor);
}

/* ---- the worker's turn ---- */

static struct worker_task tasks[3];
static unsigned order[8], ran;

static void run_task(struct worker *worker, struct worker_task *task)
{
	order[ran++] = (unsigned)(task - tasks);
	if (task == &tasks[0] && ran == 1) {
		worker_at_turn_end(worker, &tasks[2]);
		worker_at_turn_end(worker, &tasks[0]); /* again, in the same turn */
	}
}

static void tasks_run_once_and_in_order(void **state)
{
	ran = 0;
	for (unsigned i = 0; i < 3; i++)
		tasks[i].run = run_task;
	worker_at_turn_end(&workers[0], &tasks[0]);
	worker_at_turn_end(&workers[0], &tasks[1]);
	worker_at_turn_end(&workers[0], &tasks[0]);
	assert_int_equal(ran, 0);
	worker_turn(&workers[0], false);
	assert_int_equal(ran, 4);
	static const unsigned want[] = { 0, 1, 2, 0 };
	assert_memory_equal(order, want, sizeof(want));
	worker_turn(&workers[0], false);
	assert_int_equal(ran, 4);
}

static void *stop_the_worker(void *arg)
{
	static struct msg stop = { .kind = MSG_WORKER_STOP };
	struct timespec little = { 0, 20 * 1000 * 1000 };

	nanosleep(&little, NULL);
	worker_post_from_outside(&group, 0, &stop);
	return NULL;
}

static void a_sleeping_worker_is_woken(void **state)
{
	pthread_t thread;

	assert_int_equal(workers[0].timers.armed, 0); /* so it would sleep for ever */
	assert_int_equal(pthread_create(&thread, NULL, stop_the_worker, NULL), 0);
	while (!workers[0].must_stop)
		worker_turn(&workers[0], true);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static unsigned fired_after_ms;
static uint64_t armed_at_ms;

static void on_timer(struct timer *timer)
{
	fired_after_ms = (unsigned)(worker_now_ms(&workers[0]) - armed_at_ms);
}

static void a_sleeping_worker_wakes_for_its_timer(void **state)
{
	struct timer timer = { 0 };
	unsigned turns = 0;

	worker_turn(&workers[0], false);
	armed_at_ms = worker_now_ms(&workers[0]);
	fired_after_ms = 0;
	worker_arm(&workers[0], &timer, 30, on_timer);
	while (!fired_after_ms && turns < 100) {
		worker_turn(&workers[0], true);
		turns++;
	}
	CHECK(fired_after_ms >= 30 && fired_after_ms < 1000, "after %u ms\n", fired_after_ms);
	CHECK(turns < 10, "%u turns for one timer\n", turns); /* it slept */
}

#define IN_A_GROUP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_GROUP(a_question_comes_home_as_its_answer),
		IN_A_GROUP(who_is_gone_is_said_with_enoent),
		IN_A_GROUP(many_actors_have_many_ids),
		IN_A_GROUP(a_generation_is_never_zero),
		IN_A_GROUP(tasks_run_once_and_in_order),
		IN_A_GROUP(a_sleeping_worker_is_woken),
		IN_A_GROUP(a_sleeping_worker_wakes_for_its_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
