/* A store in a folder of its own, for the tests of core/store*.c. */
#ifndef TESTS_UNIT_STORE_FILE_H
#define TESTS_UNIT_STORE_FILE_H

#include <limits.h>
#include <unistd.h>

#include "core/log.h"
#include "core/store_deferred.h"
#include "tests/unit/test.h"

static const struct store_options options = { .synchronous = STORE_NORMAL, .wal_limit = 64 << 20 };
static char directory[PATH_MAX], path[PATH_MAX + 16];
static struct store *store;

static inline int make_directory(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/imserv-store-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/test.db", directory);
	log_reopen_level(LOG_ERROR);
	return 0;
}

static inline int setup(void **state)
{
	return make_directory(state) || store_open(&store, path, &options);
}

static inline int teardown(void **state)
{
	static const char *const names[] = { "", "-wal", "-shm", ".lock" };
	char name[PATH_MAX + 32];

	if (store)
		store_close(store);
	store = NULL;
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, names[i]);
		unlink(name);
	}
	return rmdir(directory);
}

static inline void close_store(void)
{
	store_close(store);
	store = NULL;
}

static inline void reopen(void)
{
	close_store();
	assert_int_equal(store_open(&store, path, &options), 0);
}

/* A group of one. */
static inline int ask(void *request)
{
	store_begin(store);
	store_execute(store, request);
	assert_ptr_equal(store_commit(store), request);
	return ((struct store_request *)request)->msg.err;
}

static inline int ask_and_free(void *request)
{
	int err = ask(request);

	free(request);
	return err;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
