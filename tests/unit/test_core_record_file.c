#include "core/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/test.h"

#define WAIT_STEPS 6000 /* times 10 ms */

static char directory[64];

static char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static int set_up(void **state)
{
	signal(SIGXFSZ, SIG_IGN);
	snprintf(directory, sizeof(directory), "/tmp/test_record_file.XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "a", "b", "pipe" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(directory);
}

static char *content_of(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	if (file) {
		assert_true(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
		fclose(file);
	}
	return text;
}

static void assert_content(const char *path, const char *want)
{
	char *text = content_of(path);

	assert_string_equal(text, want);
	free(text);
}

static struct record_file *open_at(const char *path, size_t octets)
{
	struct record_file *f;
	struct record_target *target;

	assert_int_equal(record_file_make(&f, octets), 0);
	assert_false(record_file_is_on(f));
	assert_int_equal(record_file_prepare(f, path, &target), 0);
	record_file_turn_to(f, target);
	assert_true(record_file_is_on(f) == (path != NULL));
	return f;
}

static void turn(struct record_file *f, const char *path)
{
	struct record_target *target;

	assert_int_equal(record_file_prepare(f, path, &target), 0);
	record_file_turn_to(f, target);
}

static uint64_t value_of(struct record_file *f, enum counter which)
{
	return __atomic_load_n(&record_file_counters(f)->values[which], __ATOMIC_RELAXED);
}

static void wait_for(struct record_file *f, enum counter which, uint64_t value)
{
	struct timespec step = { 0, 10000000 };

	for (unsigned i = 0; i < WAIT_STEPS && value_of(f, which) < value; i++)
		nanosleep(&step, NULL);
	assert_int_equal(value_of(f, which), value);
}

static void lines_come_in_order(void **state)
{
	struct record_file *f = open_at(path_of("a"), RECORD_QUEUE_OCTETS);
	char want[1 << 14] = "";
	size_t n = 0;

	for (unsigned i = 0; i < 1000; i++) {
		char line[16];
		int size = snprintf(line, sizeof(line), "line %u\n", i);
		assert_true(record_file_put(f, slice_of(line, (size_t)size)));
		memcpy(want + n, line, (size_t)size + 1);
		n += (size_t)size;
	}
	record_file_free(f); /* writes what is queued */
	assert_content(path_of("a"), want);
	f = open_at(path_of("a"), 100); /* again: behind what is there */
	assert_true(record_file_put(f, SLICE("more\n")));
	wait_for(f, COUNTER_cdr_records, 1);
	record_file_free(f);
	memcpy(want + n, "more\n", 6);
	assert_content(path_of("a"), want);
}

static void what_does_not_fit_is_refused(void **state)
{
	struct record_file *f = open_at("/dev/full", 100);
	char line[50];

	memset(line, 'x', sizeof(line));
	assert_true(record_file_put(f, slice_of(line, sizeof(line))));
	assert_true(record_file_put(f, slice_of(line, sizeof(line))));
	assert_false(record_file_put(f, SLICE("x")));
	assert_true(record_file_put(f, SLICE_EMPTY)); /* at the limit */
	turn(f, path_of("a")); /* where there is room, nothing of it is lost */
	wait_for(f, COUNTER_cdr_records, 3);
	assert_true(record_file_put(f, SLICE("x")));
	record_file_free(f);
}

static void a_full_disk_at_the_end_is_a_loss(void **state)
{
	struct record_file *f = open_at("/dev/full", 1000);

	assert_true(record_file_put(f, SLICE("a\n")));
	turn(f, NULL);
	assert_false(record_file_is_on(f));
	wait_for(f, COUNTER_cdr_lost, 1);
	assert_int_equal(value_of(f, COUNTER_cdr_records), 0);
	record_file_free(f);
}

static void set_limit(rlim_t octets)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = octets;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void wait_for_size(const char *path, off_t size)
{
	struct timespec step = { 0, 10000000 };
	struct stat info = { 0 };

	for (unsigned i = 0; i < WAIT_STEPS && (stat(path, &info) != 0 || info.st_size < size); i++)
		nanosleep(&step, NULL);
	assert_int_equal(info.st_size, size);
}

static void a_line_that_was_cut_off_is_completed(void **state)
{
	struct record_file *f = open_at(path_of("a"), 1000);

	set_limit(8);
	assert_true(record_file_put(f, SLICE("first\n")));
	assert_true(record_file_put(f, SLICE("second\n")));
	wait_for_size(path_of("a"), 8);
	set_limit(RLIM_INFINITY);
	wait_for(f, COUNTER_cdr_records, 2);
	assert_content(path_of("a"), "first\nsecond\n");
	record_file_free(f);
}

static void a_line_that_was_cut_off_goes_to_the_next_file_whole(void **state)
{
	struct record_file *f = open_at(path_of("a"), 1000);

	set_limit(8);
	assert_true(record_file_put(f, SLICE("first\n")));
	assert_true(record_file_put(f, SLICE("second\n")));
	wait_for_size(path_of("a"), 8);
	turn(f, path_of("b"));
	wait_for(f, COUNTER_cdr_records, 2);
	set_limit(RLIM_INFINITY);
	assert_content(path_of("a"), "first\n");
	assert_content(path_of("b"), "second\n");
	record_file_free(f);
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void **state)
{
	static char block[4096];

	assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
	struct record_file *f = open_at(path_of("pipe"), 1 << 20);
	for (unsigned i = 0; i < 64; i++)
		assert_true(record_file_put(f, slice_of(block, sizeof(block))));
	wait_for(f, COUNTER_cdr_records, 16); /* the kernel's 64 KiB */
	record_file_free(f);
}

static void an_unfinished_line_is_ended(void **state)
{
	int fd = open(path_of("a"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	struct record_file *f = open_at(path_of("a"), 100);
	assert_true(record_file_put(f, SLICE("whole\n")));
	record_file_free(f);
	assert_content(path_of("a"), "half\nwhole\n");
}

static void what_cannot_be_opened_changes_nothing(void **state)
{
	struct record_file *f = open_at(path_of("a"), 100);
	struct record_target *target;

	assert_int_equal(record_file_prepare(f, directory, &target), EISDIR);
	assert_int_equal(record_file_prepare(f, path_of("b"), &target), 0);
	record_file_forget(target);
	assert_true(record_file_put(f, SLICE("here\n")));
	record_file_free(f);
	assert_content(path_of("a"), "here\n");
	assert_content(path_of("b"), "");
}

static void off_needs_no_thread(void **state)
{
	struct record_file *f = open_at(NULL, 100);

	turn(f, NULL);
	record_file_free(f);
}

/* ---- several threads put, another turns ---- */

#define THREADS 4
#define LINES   2000

static void *put_lines(void *arg)
{
	for (unsigned i = 0; i < LINES; i++)
		assert_true(record_file_put(arg, SLICE("0123456789abcde\n")));
	return NULL;
}

static void turning_loses_nothing(void **state)
{
	struct record_file *f = open_at(path_of("a"), RECORD_QUEUE_OCTETS);
	pthread_t threads[THREADS];
	struct stat a, b;

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_lines, f), 0);
	for (unsigned i = 0; i < 50; i++)
		turn(f, path_of(i % 2 ? "a" : "b"));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	record_file_free(f);
	assert_int_equal(stat(path_of("a"), &a), 0);
	assert_int_equal(stat(path_of("b"), &b), 0);
	assert_int_equal(a.st_size + b.st_size, THREADS * LINES * 16);
}

/* Whoever was told that the new file is in use will look for it there. */
static void what_is_put_after_a_turn_is_in_no_older_file(void **state)
{
	struct record_file *f = open_at(path_of("a"), RECORD_QUEUE_OCTETS);
	char name[16], line[16];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "t%02u", i);
		turn(f, path_of(name));
		snprintf(line, sizeof(line), "%u\n", i);
		assert_true(record_file_put(f, slice_str(line)));
	}
	record_file_free(f);
	for (unsigned i = 0, next = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "t%02u", i);
		char *text = content_of(path_of(name));
		for (char *at = text; *at; at = strchr(at, '\n') + 1) {
			assert_int_equal(atoi(at), next);
			assert_true(next++ <= i);
		}
		free(text);
		unlink(path_of(name));
		assert_true(i < 19 || next == 20);
	}
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		EACH(lines_come_in_order),
		EACH(what_does_not_fit_is_refused),
		EACH(a_full_disk_at_the_end_is_a_loss),
		EACH(a_line_that_was_cut_off_is_completed),
		EACH(a_line_that_was_cut_off_goes_to_the_next_file_whole),
		EACH(a_pipe_that_nobody_reads_holds_nobody_up),
		EACH(an_unfinished_line_is_ended),
		EACH(what_cannot_be_opened_changes_nothing),
		EACH(off_needs_no_thread),
		EACH(turning_loses_nothing),
		EACH(what_is_put_after_a_turn_is_in_no_older_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
