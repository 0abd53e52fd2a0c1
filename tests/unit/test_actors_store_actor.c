/* actors/store_actor.c: requests travel to the store's thread and come home; what bounds them. */
#include "actors/store_actor.h"

#include <errno.h>
#include <unistd.h>

#include "actors/im.h"
#include "core/log.h"
#include "core/store_deferred.h"
#include "tests/unit/test.h"

static const struct store_options options = { .synchronous = STORE_NORMAL, .wal_limit = 64 << 20,
	.group_commit_us = 500 };
static struct worker worker;
static struct worker_group group;
static struct store_door *door;
static unsigned answers, wrong;

static int setup(void **state)
{
	struct ring_options ring_options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };
	struct ring *ring;

	group.count = 1;
	log_reopen_level(LOG_ERROR);
	if (ring_open_epoll(&ring, &ring_options) != 0 || worker_init(&worker, 0, &group) != 0)
		return -1;
	worker_use_ring(&worker, ring);
	answers = wrong = 0;
	return store_actor_start(&door, NULL, &options, &group) || store_worker_init(&worker, door);
}

static int teardown(void **state)
{
	store_actor_stop(door);
	store_worker_free(&worker);
	worker_free(&worker);
	return 0;
}

static void on_answer(struct worker *w, struct store_request *request)
{
	answers++;
	wrong += w != &worker || request->msg.err != 0;
	free(request);
}

static struct store_user_request *user_request(enum store_kind kind, unsigned number)
{
	struct store_user_request *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->request.kind = kind;
	r->request.on_answer = on_answer;
	r->user.name_n = (uint16_t)snprintf(r->user.name, sizeof(r->user.name), "user%u@x", number);
	return r;
}

static void turn_until(unsigned wanted)
{
	while (answers < wanted)
		worker_turn(&worker, true); /* the doorbell wakes it */
}

static void requests_come_home_in_order(void **state)
{
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(store_ask(&worker, &user_request(STORE_USER_PUT, i)->request), 0);
		assert_int_equal(store_ask(&worker, &user_request(STORE_USER_GET, i)->request), 0); /* sees it */
	}
	turn_until(2000);
	assert_int_equal(wrong, 0);
	const struct counters *c = store_actor_counters(door);
	assert_int_equal(c->values[COUNTER_store_requests], 2000);
	CHECK(c->values[COUNTER_store_commits] < 1900, "%llu commits: no groups\n",
		(unsigned long long)c->values[COUNTER_store_commits]);
}

static void a_thread_that_is_no_worker_waits(void **state)
{
	struct store_user_request *r = user_request(STORE_USER_GET, 1);

	assert_int_equal(store_ask_and_wait(door, &r->request), ENOENT);
	r->request.kind = STORE_USER_PUT;
	assert_int_equal(store_ask_and_wait(door, &r->request), 0);
	r->request.kind = STORE_USER_GET;
	assert_int_equal(store_ask_and_wait(door, &r->request), 0);
	free(r);
}

/* ---- what bounds them: a door behind which nobody answers yet ---- */

static struct store_request *held[STORE_PUTS_MAX + 8];
static unsigned held_n;

static void hold(struct store_door *to, struct worker *from, struct store_request *request)
{
	held[held_n++] = request;
}

static void puts_are_bounded_reads_and_removals_not(void **state)
{
	struct store_door slow = { .submit = hold };
	struct store_user_request *extra = user_request(STORE_USER_PUT, 0);

	store_worker_free(&worker);
	assert_int_equal(store_worker_init(&worker, &slow), 0);
	held_n = 0;
	for (unsigned i = 0; i < STORE_PUTS_MAX; i++)
		assert_int_equal(store_ask(&worker, &user_request(STORE_USER_PUT, i)->request), 0);
	assert_int_equal(store_ask(&worker, &extra->request), EAGAIN);
	assert_int_equal(store_ask(&worker, &user_request(STORE_USER_GET, 0)->request), 0);
	assert_int_equal(store_ask(&worker, &user_request(STORE_USER_DELETE, 0)->request), 0);
	store_send_home(&group, held[0]);
	turn_until(1);
	assert_int_equal(store_ask(&worker, &extra->request), 0);
	for (unsigned i = 1; i < held_n; i++)
		store_send_home(&group, held[i]);
	turn_until(STORE_PUTS_MAX + 3);
}

static void a_full_store_refuses_puts_alone(void **state)
{
	struct store_user_request *r = user_request(STORE_USER_PUT, 0);

	atomic_store(&door->is_full, true);
	assert_int_equal(store_ask(&worker, &r->request), EAGAIN);
	assert_int_equal(store_ask_and_wait(door, &r->request), EAGAIN);
	r->request.kind = STORE_USER_GET;
	assert_int_equal(store_ask_and_wait(door, &r->request), ENOENT);
	free(r);
}

/* What was asked before the end is answered: the worker frees what it does not read any more. */
static void the_end_loses_no_request(void **state)
{
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(store_ask(&worker, &user_request(STORE_USER_PUT, i)->request), 0);
}

/* ---- deferred messages ---- */

static uint64_t upload_id;

static void on_upload(struct worker *w, struct store_request *request)
{
	upload_id = ((struct store_deferred_put *)request)->upload;
	on_answer(w, request);
}

static void ask_later(struct store_request *request, void (*heard)(struct worker *, struct store_request *))
{
	request->on_answer = heard;
	assert_int_equal(store_ask(&worker, request), 0);
}

static struct store_request *message(enum store_kind kind, uint64_t size, uint64_t expires_at_s)
{
	static char content[64];
	struct store_deferred m = { .id = SLICE("id"), .size = size, .expires_at_s = expires_at_s,
		.content = slice_of(content, kind == STORE_DEFERRED_PUT ? size : 0) };

	return &store_deferred_put_new(kind, SLICE("bob@x"), &m)->request;
}

static void the_totals_are_gauges_and_what_expired_is_counted(void **state)
{
	const struct counters *c = store_actor_counters(door);

	ask_later(message(STORE_DEFERRED_PUT, 60, 50), on_answer);
	ask_later(message(STORE_DEFERRED_PUT, 40, 500), on_answer);
	turn_until(2);
	assert_int_equal(c->gauges[GAUGE_deferred_messages], 2);
	assert_int_equal(c->gauges[GAUGE_deferred_bytes], 100);
	ask_later(&store_deferred_sweep_new(100)->request, on_answer);
	turn_until(3);
	assert_int_equal(c->gauges[GAUGE_deferred_messages], 1);
	assert_int_equal(c->gauges[GAUGE_deferred_bytes], 40);
	assert_int_equal(c->values[COUNTER_deferred_expired], 1);
	assert_int_equal(wrong, 0);
}

/* Nobody asks anything more, and what an upload left is deleted all the same. */
static void an_idle_store_deletes_garbage(void **state)
{
	const struct counters *c = store_actor_counters(door);

	ask_later(message(STORE_DEFERRED_OPEN, 300, 500), on_upload);
	turn_until(1);
	for (unsigned i = 0; i < 100; i++)
		ask_later(&store_content_put_new(upload_id, i, SLICE("x"))->request, on_answer);
	turn_until(101);
	uint64_t commits = __atomic_load_n(&c->values[COUNTER_store_commits], __ATOMIC_RELAXED);
	ask_later(&store_deferred_abort_new(upload_id)->request, on_answer);
	turn_until(102);
	assert_int_equal(wrong, 0);
	for (unsigned i = 0; i < 60000 && __atomic_load_n(&c->values[COUNTER_store_commits], __ATOMIC_RELAXED) < commits + 10;
		i++)
		usleep(1000);
	assert_true(__atomic_load_n(&c->values[COUNTER_store_commits], __ATOMIC_RELAXED) >= commits + 10);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(requests_come_home_in_order),
		CASE(a_thread_that_is_no_worker_waits),
		CASE(puts_are_bounded_reads_and_removals_not),
		CASE(a_full_store_refuses_puts_alone),
		CASE(the_end_loses_no_request),
		CASE(the_totals_are_gauges_and_what_expired_is_counted),
		CASE(an_idle_store_deletes_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
