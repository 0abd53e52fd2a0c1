/* core/store.c, store_requests.c: what is committed is there after a restart, what failed is not, and what a
 * disk, another process or another program can do to the file. */
#include "core/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/store_file.h"

/* ---- users ---- */

static struct store_user_request user_request(enum store_kind kind, const char *name)
{
	struct store_user_request r = { .request.kind = kind };

	r.user.name_n = (uint16_t)strlen(name);
	memcpy(r.user.name, name, r.user.name_n);
	return r;
}

static int put_user(const char *name, uint8_t fill)
{
	struct store_user_request r = user_request(STORE_USER_PUT, name);

	r.user.has_password = fill != 0;
	memset(r.user.ha1_md5, fill, sizeof(r.user.ha1_md5));
	memset(r.user.ha1_sha256, fill + 1, sizeof(r.user.ha1_sha256));
	return ask(&r);
}

static int get_user(const char *name, struct store_user *user)
{
	struct store_user_request r = user_request(STORE_USER_GET, name);
	int err = ask(&r);

	*user = r.user;
	return err;
}

static void users_come_and_go(void **state)
{
	struct store_user_request r = user_request(STORE_USER_PUT, "alice@example.com");
	struct store_user user;

	assert_int_equal(get_user("alice@example.com", &user), ENOENT);
	assert_int_equal(ask(&r), 0);
	assert_false(r.existed);
	assert_int_equal(get_user("alice@example.com", &user), 0);
	assert_false(user.has_password);
	assert_int_equal(put_user("alice@example.com", 7), 0);
	reopen();
	assert_int_equal(get_user("alice@example.com", &user), 0);
	assert_true(user.has_password);
	assert_int_equal(user.name_n, 17);
	assert_int_equal(user.ha1_md5[STORE_HA1_MD5 - 1], 7);
	assert_int_equal(user.ha1_sha256[STORE_HA1_SHA256 - 1], 8);
	r = user_request(STORE_USER_PUT, "alice@example.com");
	assert_int_equal(ask(&r), 0);
	assert_true(r.existed);
	r = user_request(STORE_USER_DELETE, "alice@example.com");
	assert_int_equal(ask(&r), 0);
	assert_int_equal(ask(&r), ENOENT);
}

static void users_are_listed_a_page_at_a_time(void **state)
{
	struct store_user_list list = { .request.kind = STORE_USER_LIST };
	char name[32], last[STORE_NAME_MAX + 1] = "";
	unsigned n = 0;

	for (unsigned i = 0; i < 2 * STORE_USERS_PAGE + 3; i++) {
		snprintf(name, sizeof(name), "user%03u@example.com", i * 7 % 100);
		assert_int_equal(put_user(name, 1), 0);
	}
	do {
		assert_int_equal(ask(&list), 0);
		for (unsigned i = 0; i < list.count; i++, n++) {
			snprintf(name, sizeof(name), "%.*s", list.users[i].name_n, list.users[i].name);
			assert_true(strcmp(name, last) > 0);
			strcpy(last, name);
		}
		list.after_n = (uint16_t)strlen(last);
		memcpy(list.after, last, list.after_n);
	} while (list.count == STORE_USERS_PAGE);
	assert_int_equal(n, 2 * STORE_USERS_PAGE + 3);
}

/* ---- registrations ---- */

static struct store_registration_request *registration(const char *aor, unsigned count, uint64_t expires_at_s)
{
	struct store_registration_request *r = calloc(1, sizeof(*r) + 32 * (count + 1));

	assert_non_null(r);
	r->request.kind = count ? STORE_REGISTRATION_PUT : STORE_REGISTRATION_DELETE;
	r->aor = slice_of(r->text, strlen(strcpy(r->text, aor)));
	r->count = count;
	for (unsigned i = 0; i < count; i++) {
		char *text = r->text + 32 * (i + 1);
		snprintf(text, 32, "sip:%s:%u", aor, 5060 + i);
		r->bindings[i] = (struct store_binding){ .contact = slice_str(text), .params = SLICE(";q=0.5"),
			.path = SLICE("<sip:edge;lr>"), .instance = SLICE("<urn:uuid:1>"), .call_id = SLICE("abc"),
			.listener = SLICE("udp:127.0.0.1:5060"), .peer = SLICE("[::1]:7"), .reg_id = 3, .cseq = 4294967295u,
			.q = 500, .updated = 77, .expires_at_s = expires_at_s };
	}
	return r;
}

static void put_registration(const char *aor, unsigned count, uint64_t expires_at_s)
{
	struct store_registration_request *r = registration(aor, count, expires_at_s);

	assert_int_equal(ask(r), 0);
	free(r);
}

/* All bindings not expired at 1000. */
static unsigned load(struct store_registration_load *page)
{
	unsigned n = 0;

	memset(page, 0, sizeof(*page));
	page->request.kind = STORE_REGISTRATION_LOAD;
	page->now_s = 1000;
	while (!page->is_last) {
		assert_int_equal(ask(page), 0);
		n += page->count;
	}
	return n;
}

static void a_registration_is_replaced_as_a_whole(void **state)
{
	struct store_registration_load *page = malloc(sizeof(*page));

	put_registration("alice@x", 3, 2000);
	put_registration("bob@x", 1, 3000);
	assert_int_equal(load(page), 4);
	put_registration("alice@x", 1, 2500);
	reopen();
	assert_int_equal(load(page), 2);
	put_registration("bob@x", 0, 0);
	assert_int_equal(load(page), 1);
	const struct store_binding *b = &page->rows[0].binding;
	assert_true(slice_eq(page->rows[0].aor, SLICE("alice@x")));
	assert_true(slice_eq(b->contact, SLICE("sip:alice@x:5060")));
	assert_true(slice_eq(b->params, SLICE(";q=0.5")));
	assert_true(slice_eq(b->path, SLICE("<sip:edge;lr>")));
	assert_true(slice_eq(b->instance, SLICE("<urn:uuid:1>")));
	assert_true(slice_eq(b->call_id, SLICE("abc")));
	assert_true(slice_eq(b->listener, SLICE("udp:127.0.0.1:5060")));
	assert_true(slice_eq(b->peer, SLICE("[::1]:7")));
	assert_int_equal(b->reg_id, 3);
	assert_int_equal(b->cseq, 4294967295u);
	assert_int_equal(b->q, 500);
	assert_int_equal(b->updated, 77);
	assert_int_equal(b->expires_at_s, 2500);
	free(page);
}

static void many_are_loaded_by_pages_and_the_expired_swept(void **state)
{
	struct store_registration_load *page = malloc(sizeof(*page));
	struct store_registration_sweep sweep = { .request.kind = STORE_REGISTRATION_SWEEP, .now_s = 1000 };
	char name[32];

	store_begin(store);
	for (unsigned i = 0; i < STORE_SWEEP_MAX + 40; i++) {
		snprintf(name, sizeof(name), "old%u@x", i);
		store_execute(store, &registration(name, 1, 900 + i % 101)->request);
	}
	for (struct store_request *r = store_commit(store), *next; r; r = next) {
		next = r->next;
		assert_int_equal(r->msg.err, 0);
		free(r);
	}
	for (unsigned i = 0; i < STORE_REGISTRATIONS_PAGE + 1; i++) {
		snprintf(name, sizeof(name), "new%u@x", i);
		put_registration(name, 1, 1001);
	}
	assert_int_equal(load(page), STORE_REGISTRATIONS_PAGE + 1);
	assert_int_equal(ask(&sweep), 0);
	assert_int_equal(sweep.removed, STORE_SWEEP_MAX);
	assert_int_equal(ask(&sweep), 0);
	assert_int_equal(sweep.removed, 40);
	assert_int_equal(load(page), STORE_REGISTRATIONS_PAGE + 1);
	free(page);
}

/* ---- groups ---- */

static void one_that_fails_harms_no_other(void **state)
{
	struct store_user_request first = user_request(STORE_USER_PUT, "first@x"),
				  wrong = user_request(STORE_KIND_COUNT, "wrong@x"),
				  missing = user_request(STORE_USER_DELETE, "missing@x"),
				  last = user_request(STORE_USER_PUT, "last@x");
	struct store_user user;

	store_begin(store);
	store_execute(store, &first.request);
	store_execute(store, &wrong.request);
	store_execute(store, &missing.request);
	store_execute(store, &last.request);
	assert_true(store_group_has_room(store));
	struct store_request *all = store_commit(store);
	assert_ptr_equal(all, &first.request);
	assert_ptr_equal(all->next, &wrong.request);
	assert_int_equal(first.request.msg.err, 0);
	assert_int_equal(wrong.request.msg.err, EINVAL);
	assert_int_equal(missing.request.msg.err, ENOENT);
	assert_int_equal(last.request.msg.err, 0);
	assert_int_equal(get_user("first@x", &user), 0);
	assert_int_equal(get_user("last@x", &user), 0);
}

static void a_group_has_its_bounds(void **state)
{
	struct store_user_request *many = calloc(STORE_GROUP_REQUESTS, sizeof(*many));

	store_begin(store);
	for (unsigned i = 0; i < STORE_GROUP_REQUESTS; i++) {
		assert_true(store_group_has_room(store));
		many[i] = user_request(STORE_USER_GET, "nobody@x");
		store_execute(store, &many[i].request);
	}
	assert_false(store_group_has_room(store));
	store_commit(store);
	store_begin(store);
	many[0].request.octets = STORE_GROUP_OCTETS;
	store_execute(store, &many[0].request);
	assert_false(store_group_has_room(store));
	store_commit(store);
	free(many);
}

static void a_lost_group_leaves_nothing(void **state)
{
	struct store_user_request first = user_request(STORE_USER_PUT, "first@x"),
				  second = user_request(STORE_USER_PUT, "second@x");
	struct store_user user;

	store_begin(store);
	store_execute(store, &first.request);
	store_fail_group(store, EIO);
	assert_false(store_group_has_room(store));
	store_execute(store, &second.request);
	store_commit(store);
	assert_int_equal(first.request.msg.err, EIO);
	assert_int_equal(second.request.msg.err, EIO);
	assert_int_equal(get_user("first@x", &user), ENOENT);
	assert_int_equal(get_user("second@x", &user), ENOENT);
	assert_int_equal(put_user("third@x", 1), 0);
}

/* ---- disks and neighbours ---- */

static void limit_files(rlim_t octets)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = octets == RLIM_INFINITY ? limit.rlim_max : octets;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A full file is a disk failure: refused, nothing half there, and all works again when there is room. */
static void a_full_disk_loses_nothing_that_was_acknowledged(void **state)
{
	struct store_user user;
	unsigned stored = 0;
	char name[32];
	int err = 0;

	signal(SIGXFSZ, SIG_IGN);
	limit_files(192 * 1024);
	for (; stored < 10000 && !err; stored += !err) {
		snprintf(name, sizeof(name), "user%u@example.com", stored);
		err = put_user(name, 1);
	}
	CHECK(err == EIO || err == ENOSPC, "the file was never full: %d\n", err);
	limit_files(RLIM_INFINITY);
	assert_true(stored > 10);
	for (unsigned i = 0; i <= stored; i++) {
		snprintf(name, sizeof(name), "user%u@example.com", i);
		assert_int_equal(get_user(name, &user), i < stored ? 0 : ENOENT);
	}
	assert_int_equal(put_user("late@example.com", 1), 0);
	reopen();
	assert_int_equal(get_user("late@example.com", &user), 0);
}

static void a_second_server_is_refused(void **state)
{
	struct store *second = NULL;

	assert_int_equal(store_open(&second, path, &options), EBUSY);
	assert_null(second);
	assert_int_equal(put_user("alice@x", 1), 0);
}

/* Another program holds the write lock (byte 120 of the -shm file): the group fails, the next does not. */
static void a_locked_file_fails_the_group(void **state)
{
	char name[PATH_MAX + 32], said;
	struct store_user user;
	int ways[2][2];

	assert_int_equal(put_user("before@x", 1), 0);
	assert_true(pipe(ways[0]) == 0 && pipe(ways[1]) == 0);
	snprintf(name, sizeof(name), "%s-shm", path);
	pid_t child = fork();
	if (child == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1 };
		int fd = open(name, O_RDWR);
		bool has = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0;
		ssize_t n = write(ways[0][1], has ? "y" : "n", 1);
		n = read(ways[1][0], &said, 1);
		_exit(n < 0);
	}
	assert_int_equal(read(ways[0][0], &said, 1), 1);
	assert_int_equal(said, 'y');
	assert_int_equal(put_user("during@x", 1), EBUSY);
	assert_int_equal(write(ways[1][1], "x", 1), 1);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (unsigned i = 0; i < 4; i++)
		close(ways[i / 2][i % 2]);
	assert_int_equal(put_user("after@x", 1), 0);
	assert_int_equal(get_user("during@x", &user), ENOENT);
	assert_int_equal(get_user("before@x", &user), 0);
}

static void poke(off_t at, const char *octets, size_t n)
{
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, octets, n, at), n);
	close(fd);
}

static void close_and_poke(off_t at, const char *octets, size_t n)
{
	assert_int_equal(put_user("alice@x", 1), 0);
	store_close(store);
	store = NULL;
	poke(at, octets, n);
}

static void what_is_no_database_is_refused(void **state)
{
	close_and_poke(0, "This is no database at all", 26);
	assert_int_equal(store_open(&store, path, &options), EUCLEAN);
}

static void a_damaged_page_is_refused(void **state)
{
	char nonsense[64];

	memset(nonsense, 0xa5, sizeof(nonsense));
	close_and_poke(4096, nonsense, sizeof(nonsense)); /* the root page of a table */
	assert_int_equal(store_open(&store, path, &options), EUCLEAN);
}

static void a_later_version_is_refused(void **state)
{
	close_and_poke(60, "\0\0\0\x63", 4); /* user_version, https://www.sqlite.org/fileformat.html 1.3 */
	assert_int_equal(store_open(&store, path, &options), EINVAL);
}

static void a_database_of_something_else_is_refused(void **state)
{
	close_and_poke(68, "\0\0\0\x01", 4); /* application_id */
	assert_int_equal(store_open(&store, path, &options), EINVAL);
}

static void a_folder_that_is_not_there_is_refused(void **state)
{
	struct store *other = NULL;

	assert_int_equal(store_open(&other, "/nowhere/at/all.db", &options), ENOENT);
	assert_null(other);
}

static void files_are_for_the_owner_alone(void **state)
{
	static const char *const names[] = { "", "-wal", "-shm", ".lock" };
	char name[PATH_MAX + 32];
	struct stat about;

	assert_int_equal(put_user("alice@x", 1), 0);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, names[i]);
		assert_int_equal(stat(name, &about), 0);
		CHECK((about.st_mode & 0777) == 0600, "%s has mode %o\n", name, about.st_mode);
	}
}

/* The log is begun anew when a quarter of its limit is in use: it does not grow without bound. */
static void the_log_stays_within_its_limit(void **state)
{
	static const struct store_options small = { .synchronous = STORE_NORMAL, .wal_limit = 1 << 20 };
	char name[PATH_MAX + 32];
	struct stat about;

	store_close(store);
	assert_int_equal(store_open(&store, path, &small), 0);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(put_user("alice@x", (uint8_t)(1 + i % 200)), 0);
	snprintf(name, sizeof(name), "%s-wal", path);
	assert_int_equal(stat(name, &about), 0);
	CHECK(about.st_size < 512 * 1024, "%lld octets\n", (long long)about.st_size);
	assert_false(store_is_full(store));
}

/* Somebody reads an old state and does not end (byte 124 of the -shm file: the second reader's mark). */
static void a_log_that_cannot_be_restarted_is_full(void **state)
{
	static const struct store_options small = { .synchronous = STORE_NORMAL, .wal_limit = 1 << 20 };
	char name[PATH_MAX + 32], said;
	int ways[2][2];

	store_close(store);
	assert_int_equal(store_open(&store, path, &small), 0);
	assert_int_equal(put_user("alice@x", 1), 0);
	assert_true(pipe(ways[0]) == 0 && pipe(ways[1]) == 0);
	snprintf(name, sizeof(name), "%s-shm", path);
	pid_t child = fork();
	if (child == 0) { /* all marks of readers: 123 to 127 */
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 123, .l_len = 5 };
		int fd = open(name, O_RDWR);
		bool has = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0;
		ssize_t n = write(ways[0][1], has ? "y" : "n", 1);
		n = read(ways[1][0], &said, 1);
		_exit(n < 0);
	}
	assert_int_equal(read(ways[0][0], &said, 1), 1);
	assert_int_equal(said, 'y');
	for (unsigned i = 0; i < 2000 && !store_is_full(store); i++)
		assert_int_equal(put_user("alice@x", (uint8_t)(1 + i % 200)), 0);
	assert_true(store_is_full(store));
	assert_int_equal(write(ways[1][1], "x", 1), 1);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (unsigned i = 0; i < 4; i++)
		close(ways[i / 2][i % 2]);
	for (unsigned i = 0; i < 300 && store_is_full(store); i++) {
		store_relieve(store);
		usleep(1000); /* RESTART_AGAIN_MS must go by */
	}
	assert_false(store_is_full(store));
	assert_int_equal(put_user("alice@x", 9), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(users_come_and_go),
		CASE(users_are_listed_a_page_at_a_time),
		CASE(a_registration_is_replaced_as_a_whole),
		CASE(many_are_loaded_by_pages_and_the_expired_swept),
		CASE(one_that_fails_harms_no_other),
		CASE(a_group_has_its_bounds),
		CASE(a_lost_group_leaves_nothing),
		CASE(a_full_disk_loses_nothing_that_was_acknowledged),
		CASE(a_second_server_is_refused),
		CASE(a_locked_file_fails_the_group),
		CASE(what_is_no_database_is_refused),
		CASE(a_damaged_page_is_refused),
		CASE(a_later_version_is_refused),
		CASE(a_database_of_something_else_is_refused),
		CASE(a_folder_that_is_not_there_is_refused),
		CASE(files_are_for_the_owner_alone),
		CASE(the_log_stays_within_its_limit),
		CASE(a_log_that_cannot_be_restarted_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
