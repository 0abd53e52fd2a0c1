#include "actors/trace_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char directory[64];

static int set_up(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/test_trace_file.XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int each_file(void (*act)(const char *path, void *arg), void *arg)
{
	char path[512];
	int count = 0;
	DIR *list = opendir(directory);
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		if (entry->d_name[0] == '.' && (!entry->d_name[1] || !strcmp(entry->d_name, "..")))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		act(path, arg);
		count++;
	}
	if (list)
		closedir(list);
	return count;
}

static void remove_it(const char *path, void *arg)
{
	unlink(path);
}

static int tear_down(void **state)
{
	trace_files_turn_to(-1);
	each_file(remove_it, NULL);
	return rmdir(directory);
}

static void begin(const char *path)
{
	int fd;

	assert_int_equal(trace_files_prepare(path, &fd), 0);
	trace_files_turn_to(fd);
}

static void look_at(const char *path, void *arg)
{
	struct stat info;
	const char *name = path + strlen(directory) + 1;

	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	assert_null(strchr(name, '/'));
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@_.+-"), strlen(name));
	assert_true(name[0] != '.' && name[0] != '-');
	assert_true(strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".pcap"));
}

static void names_are_harmless(void **state)
{
	static const char *const users[] = { "alice@example.com", "alice@example.com", "../../etc/passwd", ".hidden@a", "-rf@a",
		"a b$(x)`y`;z", "\xc3\xa4\n\x1b[2J", "+49301@example.com" };
	char longest[320];
	int fd;

	begin(directory);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		assert_int_equal(trace_file_open(slice_str(users[i]), &fd), 0);
		assert_int_equal(write(fd, "x", 1), 1);
		close(fd);
	}
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(trace_file_open(slice_of(longest, sizeof(longest)), &fd), 0);
	close(fd);
	assert_int_equal(each_file(look_at, NULL), sizeof(users) / sizeof(users[0]) + 1);
}

static void files_are_bounded(void **state)
{
	int fd;

	begin(directory);
	for (unsigned i = 0; i < TRACE_FILES_MAX; i++) {
		char name[32];
		snprintf(name, sizeof(name), "u%u", i);
		assert_int_equal(trace_file_open(slice_str(name), &fd), 0);
		close(fd);
	}
	assert_int_equal(trace_file_open(SLICE("alice"), &fd), EMFILE);
	assert_int_equal(fd, -1);
	assert_int_equal(each_file(look_at, NULL), TRACE_FILES_MAX);
}

static void off_means_no_file(void **state)
{
	int fd = 0;

	begin(NULL);
	assert_int_equal(trace_file_open(SLICE("alice"), &fd), 0);
	assert_int_equal(fd, -1);
}

static void a_missing_directory_is_made(void **state)
{
	char path[128];
	struct stat info;
	int fd;

	snprintf(path, sizeof(path), "%s/traces", directory);
	begin(path);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0700);
	begin(directory);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/no/such", directory);
	assert_int_equal(trace_files_prepare(path, &fd), ENOENT);
	snprintf(path, sizeof(path), "%s/file", directory);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(trace_files_prepare(path, &fd), ENOTDIR);
	assert_int_equal(trace_file_open(SLICE("alice"), &fd), 0); /* what was in force still is */
	assert_true(fd >= 0);
	close(fd);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		EACH(names_are_harmless),
		EACH(files_are_bounded),
		EACH(off_means_no_file),
		EACH(a_missing_directory_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
