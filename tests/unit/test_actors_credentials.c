#include "actors/credentials.h"

#include <errno.h>

#include "actors/store_actor.h"
#include "tests/unit/test.h"

/* A store that keeps what it is asked until the test lets it answer. */
static struct store_request *asked[16];
static unsigned asked_count, reads;
static bool answers_at_once;
static int answer_err;

static struct worker worker;
static struct worker_group group = { .count = 1 };
static struct im im;

static void answer(struct store_request *request)
{
	struct store_user_request *r = (struct store_user_request *)request;

	request->msg.err = answer_err;
	r->user.has_password = true;
	memset(r->user.ha1_md5, 7, sizeof(r->user.ha1_md5));
	store_send_home(&group, request);
}

static void submit(struct store_door *door, struct worker *from, struct store_request *request)
{
	reads += request->kind == STORE_USER_GET;
	if (answers_at_once)
		answer(request);
	else
		asked[asked_count++] = request;
}

static struct store_door door = { .submit = submit };

static int set_up(void **state)
{
	struct ring_options options = { 64, 16, 2048 };
	struct ring *ring;

	worker_init(&worker, 0, &group);
	if (ring_open_epoll(&ring, &options) != 0)
		return -1;
	worker_use_ring(&worker, ring);
	im.worker = &worker;
	worker.im = &im;
	asked_count = reads = 0;
	answers_at_once = false;
	answer_err = 0;
	return store_worker_init(&worker, &door) || credentials_init(&im);
}

static int tear_down(void **state)
{
	credentials_free(&im);
	store_worker_free(&worker);
	worker_free(&worker);
	return 0;
}

static void let_it_answer(void)
{
	while (asked_count)
		answer(asked[--asked_count]);
	for (int i = 0; i < 4; i++)
		worker_turn(&worker, false);
}

struct asker {
	struct credentials_asker base;
	unsigned told;
	int err;
	bool exists, has_password;
};

static void ready(struct im *i, struct credentials_asker *base, const struct user_facts *facts, int err)
{
	struct asker *asker = (struct asker *)base;

	asker->told++;
	asker->err = err;
	asker->exists = facts && facts->exists;
	asker->has_password = facts && facts->has_password;
}

static struct asker ask(const char *name)
{
	struct asker asker = { .base.ready = ready };

	credentials_ask(&im, slice_str(name), &asker.base);
	return asker;
}

static void the_store_is_asked_once(void **state)
{
	struct asker first = { .base.ready = ready }, second = { .base.ready = ready };

	credentials_ask(&im, SLICE("alice@example.com"), &first.base);
	credentials_ask(&im, SLICE("alice@example.com"), &second.base);
	assert_int_equal(first.told + second.told, 0);
	assert_int_equal(reads, 1);
	let_it_answer();
	assert_int_equal(first.told, 1);
	assert_int_equal(second.told, 1);
	assert_true(first.exists && second.has_password);
	struct asker third = ask("alice@example.com");
	assert_int_equal(third.told, 1);
	assert_true(third.exists);
	assert_int_equal(reads, 1);
}

static void nobody_is_remembered_too(void **state)
{
	struct asker first = { .base.ready = ready };

	answer_err = ENOENT;
	credentials_ask(&im, SLICE("nobody@example.com"), &first.base);
	let_it_answer();
	assert_true(first.told == 1 && first.err == 0 && !first.exists);
	assert_true(ask("nobody@example.com").told == 1);
	assert_int_equal(reads, 1);
}

static void a_failure_is_not_remembered(void **state)
{
	struct asker first = { .base.ready = ready }, second = { .base.ready = ready };

	answer_err = EIO;
	credentials_ask(&im, SLICE("alice@example.com"), &first.base);
	let_it_answer();
	assert_true(first.told == 1 && first.err == EIO);
	assert_int_equal(credentials_count(&im), 0);
	answer_err = 0;
	credentials_ask(&im, SLICE("alice@example.com"), &second.base);
	let_it_answer();
	assert_true(second.told == 1 && second.exists);
}

static void it_is_bounded(void **state)
{
	char name[32];

	answers_at_once = true;
	for (unsigned i = 0; i < CREDENTIALS_MAX + 100; i++) {
		struct asker asker = { .base.ready = ready };
		snprintf(name, sizeof(name), "u%u@example.com", i);
		credentials_ask(&im, slice_str(name), &asker.base);
		while (!asker.told)
			worker_turn(&worker, false);
		assert_true(credentials_count(&im) <= CREDENTIALS_MAX);
		if (i % 1000 == 0) /* whoever is asked for again and again stays */
			assert_int_equal(ask("u0@example.com").told, 1);
	}
	assert_int_equal(reads, CREDENTIALS_MAX + 100);
	assert_int_equal(ask("u0@example.com").told, 1);
	struct asker forgotten = { .base.ready = ready };
	credentials_ask(&im, SLICE("u1@example.com"), &forgotten.base);
	assert_int_equal(reads, CREDENTIALS_MAX + 101);
	while (!forgotten.told)
		worker_turn(&worker, false);
}

static unsigned done_count;
static int done_err;

static void done(struct im *i, struct credentials_change *change, int err)
{
	done_count++;
	done_err = err;
}

static void a_change_holds_once_it_is_written(void **state)
{
	struct credentials_change change = { .facts.has_password = false, .done = done };
	struct credentials_change removal = { .is_delete = true, .done = done };
	struct asker first = { .base.ready = ready };

	done_count = 0;
	credentials_ask(&im, SLICE("alice@example.com"), &first.base);
	let_it_answer();
	assert_int_equal(credentials_change(&im, SLICE("alice@example.com"), &removal), 0);
	assert_true(ask("alice@example.com").exists); /* not yet */
	let_it_answer();
	assert_true(done_count == 1 && done_err == 0);
	assert_false(ask("alice@example.com").exists);
	answer_err = EIO;
	assert_int_equal(credentials_change(&im, SLICE("alice@example.com"), &change), 0);
	let_it_answer();
	assert_true(done_count == 2 && done_err == EIO);
	assert_false(ask("alice@example.com").exists); /* it did not happen */
	answer_err = 0;
	assert_int_equal(credentials_change(&im, SLICE("alice@example.com"), &change), 0);
	let_it_answer();
	assert_true(ask("alice@example.com").exists);
	assert_int_equal(reads, 1);
}

/* The process ends while the store is asked. */
static void askers_hear_of_the_end(void **state)
{
	struct asker asker = { .base.ready = ready };

	credentials_ask(&im, SLICE("alice@example.com"), &asker.base);
	credentials_free(&im);
	assert_true(asker.told == 1 && asker.err == ECANCELED);
	assert_int_equal(credentials_init(&im), 0);
	let_it_answer(); /* to nobody */
	assert_int_equal(asker.told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_store_is_asked_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_remembered_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_not_remembered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_holds_once_it_is_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(askers_hear_of_the_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
