/* core/store.c and a disk that is full or broken: an answer is never better than what is on the disk, a group
 * stands or falls as a whole, and all works again afterwards. */
#include <errno.h>

#include "core/store_internal.h"
#include "tests/unit/disk.h"
#include "tests/unit/store_file.h"

#define BOB SLICE("bob@example.com")
#define GROUP 4

static struct store_deferred_put *put_request(unsigned number)
{
	char id[32];
	struct store_deferred m = { .size = 3000, .expires_at_s = 5000, .head = SLICE("MESSAGE"), .received_us = 1 };
	char content[3000];

	memset(content, (int)('a' + number % 26), sizeof(content));
	m.content = slice_of(content, sizeof(content));
	m.id = slice_of(id, (size_t)snprintf(id, sizeof(id), "message%u", number));
	struct store_deferred_put *r = store_deferred_put_new(STORE_DEFERRED_PUT, BOB, &m);
	assert_non_null(r);
	return r;
}

/* The answers to a group of puts numbered from `first`. */
static void put_group(unsigned first, int err[GROUP])
{
	struct store_request *next;
	unsigned i = 0;

	store_begin(store);
	for (unsigned k = 0; k < GROUP; k++)
		store_execute(store, &put_request(first + k)->request);
	for (struct store_request *r = store_commit(store); r; r = next) {
		next = r->next;
		err[i++] = r->msg.err;
		free(r);
	}
}

static bool is_there(unsigned number)
{
	char id[32];
	struct store_deferred_find *r;

	snprintf(id, sizeof(id), "message%u", number);
	r = store_deferred_find_new(BOB, slice_str(id), 8192);
	r->now_s = 1000;
	int err = ask(r);
	assert_true(err == 0 || err == ENOENT);
	if (!err) {
		assert_int_equal(r->message.content.n, 3000);
		assert_int_equal(r->message.content.p[2999], (char)('a' + number % 26));
	}
	free(r);
	return !err;
}

static uint64_t counted(void)
{
	uint64_t messages, octets;

	store_deferred_totals(store, &messages, &octets);
	return messages;
}

/* All of a group has one answer; what was acknowledged is there, what was refused is there as a whole or not. */
static unsigned check_group(unsigned first, const int err[GROUP])
{
	unsigned there = 0;

	for (unsigned k = 0; k < GROUP; k++) {
		assert_int_equal(err[k], err[0]);
		there += is_there(first + k);
	}
	assert_true(there == 0 || there == GROUP);
	assert_true(err[0] || there == GROUP);
	return there;
}

static void wait_for_the_store(void) /* it tries to open again once a second */
{
	for (unsigned i = 0; i < 3000; i++) {
		struct store_user_request r = { .request.kind = STORE_USER_GET, .user.name_n = 1, .user.name = "x" };
		if (ask(&r) == ENOENT)
			return;
		usleep(10000);
	}
	fail();
}

static void fail_at_each(enum disk_file file, enum disk_call call, enum disk_error error, int expected)
{
	unsigned number = 0, there = 0, refused = 0;
	bool came_to_it = true;
	int err[GROUP];

	for (unsigned nth = 1; came_to_it; nth++) {
		assert_true(nth < 400);
		disk_fail(file, call, error, nth);
		put_group(number, err);
		came_to_it = disk_has_failed();
		disk_heal();
		wait_for_the_store();
		assert_int_equal(err[0], came_to_it && err[0] ? expected : 0);
		refused += err[0] != 0;
		there += check_group(number, err);
		assert_int_equal(counted(), there);
		number += GROUP;
	}
	assert_true(refused > 0);
	reopen();
	assert_int_equal(counted(), there);
	put_group(number, err);
	assert_int_equal(check_group(number, err), GROUP);
}

static void a_full_log_is_refused(void **state)
{
	fail_at_each(DISK_LOG, DISK_WRITE, DISK_FULL, ENOSPC);
}

static void a_write_error_is_refused(void **state)
{
	fail_at_each(DISK_LOG, DISK_WRITE, DISK_IO, EIO);
}

/* Each allocation fails once, of sqlite's for a group of puts and for reading. */
static void no_memory_is_told(void **state)
{
	unsigned number = 0, there = 0, refused = 0;
	bool came_to_it = true;
	int err[GROUP];

	for (unsigned nth = 1; came_to_it; nth++) {
		assert_true(nth < 400);
		disk_fail_memory(nth);
		put_group(number, err);
		came_to_it = disk_has_failed();
		disk_heal();
		wait_for_the_store();
		for (unsigned k = 0; k < GROUP; k++) { /* with a SAVEPOINT each stands for itself */
			bool is_good = is_there(number + k);
			assert_true(err[k] == 0 ? is_good : err[k] == ENOMEM);
			refused += err[k] != 0;
			there += is_good;
		}
		assert_int_equal(counted(), there);
		number += GROUP;
	}
	assert_true(refused > 0);
	came_to_it = true;
	for (unsigned nth = 1; came_to_it; nth++) {
		struct store_deferred_next *r = store_deferred_next_new(BOB, STORE_HEAD_ROOM);
		r->most = 4;
		disk_forget_pages(store->db);
		disk_fail_memory(nth);
		int said = ask_and_free(r);
		came_to_it = disk_has_failed();
		disk_heal();
		assert_true(said == 0 || said == ENOMEM);
		wait_for_the_store();
	}
	assert_int_equal(counted(), there);
}

static int setup_full(void **state)
{
	static const struct store_options full = { .synchronous = STORE_FULL, .wal_limit = 1 << 20 };

	return make_directory(state) || store_open(&store, path, &full);
}

static void a_sync_error_is_refused(void **state)
{
	int err[GROUP];

	put_group(0, err);
	assert_int_equal(err[0], 0);
	disk_fail(DISK_LOG, DISK_SYNC, DISK_IO, 1);
	put_group(GROUP, err);
	assert_true(disk_has_failed());
	disk_heal();
	for (unsigned k = 0; k < GROUP; k++)
		assert_int_equal(err[k], EIO);
	wait_for_the_store();
	check_group(GROUP, err);
	put_group(2 * GROUP, err);
	assert_int_equal(check_group(2 * GROUP, err), GROUP);
	for (unsigned k = 0; k < GROUP; k++)
		assert_true(is_there(k));
}

/* Checkpoints fail: what is acknowledged stays in the log until it is full, then new work is refused. */
static void a_database_that_cannot_be_written_ends_in_refusals(void **state)
{
	int err[GROUP] = { 0 };
	unsigned number = 0;

	disk_fail(DISK_DATABASE, DISK_WRITE, DISK_FULL, 1);
	for (; number < 1000 && !err[0] && !store_is_full(store); number += GROUP)
		put_group(number, err);
	assert_true(disk_has_failed());
	assert_true(err[0] || store_is_full(store));
	disk_heal();
	wait_for_the_store();
	for (unsigned i = 0; i < 3000 && store_is_full(store); i++) {
		store_relieve(store);
		usleep(10000);
	}
	assert_false(store_is_full(store));
	for (unsigned k = 0; k + GROUP < number; k++)
		assert_true(is_there(k));
}

/* The first of a group was executed, the second meets the error: none is done, none after it is tried. */
static void nothing_is_executed_after_the_group_broke(void **state)
{
	struct store_deferred_put *first = put_request(0), *second = put_request(1), *third = put_request(2);

	store_begin(store);
	store_execute(store, &first->request);
	assert_int_equal(first->request.msg.err, 0);
	store_fail_group(store, ENOSPC);
	store_execute(store, &second->request);
	store_execute(store, &third->request);
	assert_false(store_group_has_room(store));
	store_commit(store);
	assert_int_equal(first->request.msg.err, ENOSPC);
	assert_int_equal(second->request.msg.err, ENOSPC);
	assert_int_equal(third->request.msg.err, ENOSPC);
	assert_int_equal(third->message.position, 0);
	free(first);
	free(second);
	free(third);
	assert_false(is_there(0));
	assert_int_equal(counted(), 0);
}

static void a_read_error_is_told(void **state)
{
	int err[GROUP];

	put_group(0, err);
	reopen(); /* nothing in the log */
	disk_forget_pages(store->db);
	disk_fail(DISK_DATABASE, DISK_READ, DISK_IO, 1);
	struct store_deferred_next *r = store_deferred_next_new(BOB, STORE_HEAD_ROOM);
	r->most = 4;
	int said = ask_and_free(r);
	assert_true(disk_has_failed());
	disk_heal();
	assert_int_equal(said, EIO);
	wait_for_the_store();
	assert_int_equal(check_group(0, err), GROUP);
}

static void a_disk_that_fails_at_the_start_is_refused(void **state)
{
	int err[GROUP];

	put_group(0, err);
	close_store();
	disk_fail(DISK_DATABASE, DISK_READ, DISK_IO, 1);
	assert_int_equal(store_open(&store, path, &options), EIO);
	disk_heal();
	assert_null(store);
	assert_int_equal(store_open(&store, path, &options), 0);
	assert_int_equal(check_group(0, err), GROUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_full_log_is_refused),
		CASE(a_write_error_is_refused),
		CASE(no_memory_is_told),
		cmocka_unit_test_setup_teardown(a_sync_error_is_refused, setup_full, teardown),
		cmocka_unit_test_setup_teardown(a_database_that_cannot_be_written_ends_in_refusals, setup_full, teardown),
		CASE(nothing_is_executed_after_the_group_broke),
		CASE(a_read_error_is_told),
		CASE(a_disk_that_fails_at_the_start_is_refused),
	};

	disk_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
