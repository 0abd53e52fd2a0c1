/* core/store_schema.c, store_check.c: a database of an older version is brought up as it is, also when that is
 * interrupted; of a later version, damaged or of something else it is refused. */
#include <errno.h>
#include <fcntl.h>

#include "core/store_internal.h"
#include "tests/unit/disk.h"
#include "tests/unit/store_file.h"

#define NEWEST 4

/* As version 1 made it: never to be changed. */
static const char version_1[] =
	"CREATE TABLE user (name TEXT PRIMARY KEY, ha1_md5 BLOB, ha1_sha256 BLOB) WITHOUT ROWID;"
	"CREATE TABLE registration (id INTEGER PRIMARY KEY, aor TEXT NOT NULL, contact TEXT NOT NULL,"
	"	params TEXT NOT NULL, path TEXT NOT NULL, instance TEXT NOT NULL, reg_id INTEGER NOT NULL,"
	"	call_id TEXT NOT NULL, cseq INTEGER NOT NULL, q INTEGER NOT NULL, listener TEXT NOT NULL,"
	"	peer TEXT NOT NULL, updated INTEGER NOT NULL, expires_at INTEGER NOT NULL);"
	"CREATE INDEX registration_of_aor ON registration(aor);"
	"CREATE INDEX registration_by_expiry ON registration(expires_at);"
	"PRAGMA application_id = 1768780662; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;"
	"INSERT INTO user VALUES ('alice@example.com', zeroblob(32), zeroblob(64)), ('bob@example.com', NULL, NULL);"
	"INSERT INTO registration VALUES (7, 'alice@example.com', 'sip:alice@192.0.2.1', '', '', '', 0, 'c', 1, 0,"
	"	'udp:127.0.0.1:5060', 'udp:192.0.2.1:5060', 5, 5000);";

static int no_store(void **state)
{
	return make_directory(state);
}

static uint64_t number(const char *sql)
{
	uint64_t value = 0;

	assert_int_equal(store_ask_number(store, sql, &value), 0);
	return value;
}

static int put(void)
{
	struct store_deferred m = { .id = SLICE("id"), .expires_at_s = 5000, .head = SLICE("MESSAGE") };

	return ask_and_free(store_deferred_put_new(STORE_DEFERRED_PUT, SLICE("bob@example.com"), &m));
}

static void assert_newest(void)
{
	assert_int_equal(number("PRAGMA user_version"), NEWEST);
	assert_int_equal(number("SELECT count(*) FROM user"), 2);
	assert_int_equal(number("SELECT length(ha1_sha256) FROM user WHERE name = 'alice@example.com'"), 64);
	assert_int_equal(number("SELECT expires_at FROM registration WHERE aor = 'alice@example.com'"), 5000);
	assert_int_equal(put(), 0);
}

static void version_1_is_brought_up(void **state)
{
	disk_run_sql(path, version_1);
	assert_int_equal(store_open(&store, path, &options), 0);
	assert_newest();
	reopen();
	assert_int_equal(number("SELECT count(*) FROM deferred"), 1);
}

static void an_upgrade_has_the_schema_of_a_new_one(void **state)
{
	static const char tables[] = "SELECT count(*) FROM sqlite_master";

	assert_int_equal(store_open(&store, path, &options), 0);
	uint64_t count = number(tables);
	close_store();
	unlink(path);
	disk_run_sql(path, version_1);
	assert_int_equal(store_open(&store, path, &options), 0);
	assert_int_equal(number(tables), count);
	assert_int_equal(number("SELECT count(*) FROM deferred_total"), 1);
}

/* Each write of it fails once: the next start finds version 1, or the newest, whole. */
static void an_interrupted_upgrade_begins_anew(void **state)
{
	bool came_to_it = true;

	for (unsigned nth = 1; came_to_it; nth++) {
		assert_true(nth < 200);
		disk_run_sql(path, version_1);
		disk_fail(DISK_LOG, DISK_WRITE, DISK_FULL, nth);
		int err = store_open(&store, path, &options);
		came_to_it = disk_has_failed();
		disk_heal();
		assert_int_equal(err, came_to_it ? ENOSPC : 0);
		if (err)
			assert_int_equal(store_open(&store, path, &options), 0);
		assert_newest();
		close_store();
		unlink(path);
	}
}

static void the_next_version_is_refused(void **state)
{
	assert_int_equal(store_open(&store, path, &options), 0);
	close_store();
	disk_run_sql(path, "PRAGMA user_version = 5");
	assert_int_equal(store_open(&store, path, &options), EINVAL);
	disk_run_sql(path, "PRAGMA user_version = 0"); /* tables, and no version: nobody's */
	assert_int_equal(store_open(&store, path, &options), EINVAL);
	disk_run_sql(path, "PRAGMA user_version = 4");
	assert_int_equal(store_open(&store, path, &options), 0);
}

static void a_table_that_is_missing_is_refused(void **state)
{
	assert_int_equal(store_open(&store, path, &options), 0);
	close_store();
	disk_run_sql(path, "DROP TABLE content");
	assert_true(store_open(&store, path, &options) != 0);
	assert_null(store);
}

static void totals_that_are_missing_are_damage(void **state)
{
	assert_int_equal(store_open(&store, path, &options), 0);
	close_store();
	disk_run_sql(path, "DELETE FROM deferred_total");
	assert_int_equal(store_open(&store, path, &options), EUCLEAN);
}

static void damage_page(uint64_t page)
{
	static const char nonsense[64] = { 0x7f, 0x7f };
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, nonsense, sizeof(nonsense), (off_t)(page - 1) * 4096), sizeof(nonsense));
	close(fd);
}

/* The check ends after a second: damage behind that is met by the request that needs the page, and
 * told; the store is closed then as after any failure, checked, and refuses all when that finds it too. */
static void the_check_of_a_large_store_is_bounded(void **state)
{
	char user[STORE_NAME_MAX + 64];

	assert_int_equal(store_open(&store, path, &options), 0);
	uint64_t page = number("SELECT rootpage FROM sqlite_master WHERE name = 'deferred'");
	for (unsigned i = 0; i < 500; i++) { /* fifty pages before it */
		snprintf(user, sizeof(user), "INSERT INTO user VALUES ('%0320u', NULL, NULL)", i);
		assert_int_equal(store_run_sql(store, user), 0);
	}
	close_store();
	damage_page(page);
	assert_int_equal(store_open(&store, path, &options), EUCLEAN);
	disk_slow_reads(40);
	assert_int_equal(store_open(&store, path, &options), 0);
	disk_slow_reads(0);
	assert_int_equal(put(), EUCLEAN);
	struct store_user_request user_get = { .request.kind = STORE_USER_GET };
	assert_int_equal(ask(&user_get), EIO); /* closed, and not opened again: the check came to it this time */
}

/* What makes the cost of a request the same in a large mailbox and a large store: no table is read through. */
static void every_statement_finds_its_rows_by_an_index(void **state)
{
	static const char *const big[] = { "SCAN deferred ", "SCAN deferred;", "SCAN deferred_key", "SCAN content", "SCAN mailbox",
		"SCAN d;", "SCAN k;", "SCAN upload", "SCAN d ", "SCAN k ", "TEMP B-TREE" };
	char plan[1024];
	unsigned with_plan = 0;

	assert_int_equal(store_open(&store, path, &options), 0);
	for (unsigned i = 0; i < STATEMENT_COUNT; i++) {
		disk_explain(store->db, store->statements[i], plan, sizeof(plan));
		with_plan += plan[0] != '\0';
		for (unsigned k = 0; k < sizeof(big) / sizeof(big[0]); k++)
			CHECK(!strstr(plan, big[k]), "statement %u: %s\n", i, plan);
	}
	assert_true(with_plan > 20);
}

#undef CASE
#define CASE(name) cmocka_unit_test_setup_teardown(name, no_store, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(version_1_is_brought_up),
		CASE(an_upgrade_has_the_schema_of_a_new_one),
		CASE(an_interrupted_upgrade_begins_anew),
		CASE(the_next_version_is_refused),
		CASE(a_table_that_is_missing_is_refused),
		CASE(totals_that_are_missing_are_damage),
		CASE(the_check_of_a_large_store_is_bounded),
		CASE(every_statement_finds_its_rows_by_an_index),
	};

	disk_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
