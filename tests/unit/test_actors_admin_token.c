#include "actors/admin_token.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char folder[] = "/tmp/imserv-token-XXXXXX";

static int set_up(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	return rmdir(folder); /* nothing temporary may be left in it */
}

static char *path_of(const char *name)
{
	static _Thread_local char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static const struct {
	const char *what, *text;
	mode_t mode;
	int err;
	const char *token;
} cases[] = {
	{ "as it is", "abc", 0600, 0, "abc" },
	{ "blanks around it", " abc\r\n", 0600, 0, "abc" },
	{ "read-only", "abc\n", 0400, 0, "abc" },
	{ "the group can read it", "abc\n", 0640, EPERM, NULL },
	{ "others can read it", "abc\n", 0604, EPERM, NULL },
	{ "empty", "", 0600, EINVAL, NULL },
	{ "only blanks", " \n", 0600, EINVAL, NULL },
	{ "a blank in it", "a c\n", 0600, EINVAL, NULL },
	{ "two lines", "a\nc\n", 0600, EINVAL, NULL },
	{ "a control character", "a\001", 0600, EINVAL, NULL },
};

static void files_are_used_or_refused(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char token[ADMIN_TOKEN_MAX] = "";
		char *path = path_of("token");

		put(path, cases[i].text, cases[i].mode);
		CHECK(admin_token_load(path, token) == cases[i].err, "%s\n", cases[i].what);
		CHECK(!cases[i].token || !strcmp(token, cases[i].token), "%s: \"%s\"\n", cases[i].what, token);
		unlink(path);
	}
}

static void one_octet_too_many(void **state)
{
	char text[ADMIN_TOKEN_MAX + 1], token[ADMIN_TOKEN_MAX];
	char *path = path_of("token");

	memset(text, 'x', sizeof(text));
	text[ADMIN_TOKEN_MAX] = 0;
	put(path, text, 0600);
	assert_int_equal(admin_token_load(path, token), EINVAL);
	text[ADMIN_TOKEN_MAX - 1] = 0;
	put(path, text, 0600);
	assert_int_equal(admin_token_load(path, token), 0);
	assert_string_equal(token, text);
	unlink(path);
}

static void no_plain_file(void **state)
{
	char token[ADMIN_TOKEN_MAX];
	char *path = path_of("token");

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(admin_token_load(path, token), EINVAL); /* and does not wait for a writer */
	unlink(path);
	assert_int_equal(admin_token_load(path_of("no/such/folder"), token), ENOENT);
}

static void *load(void *arg)
{
	return (void *)(intptr_t)admin_token_load(path_of("shared"), arg);
}

/* Servers that start at the same time agree on one. */
static void it_is_made_once(void **state)
{
	enum { MANY = 16 };
	static char tokens[MANY][ADMIN_TOKEN_MAX];
	pthread_t threads[MANY];
	struct stat status;
	char again[ADMIN_TOKEN_MAX];

	for (int i = 0; i < MANY; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load, tokens[i]), 0);
	for (int i = 0; i < MANY; i++) {
		void *err;
		pthread_join(threads[i], &err);
		assert_null(err);
		assert_string_equal(tokens[i], tokens[0]);
	}
	assert_int_equal(strlen(tokens[0]), 64);
	assert_int_equal(stat(path_of("shared"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(admin_token_load(path_of("shared"), again), 0);
	assert_string_equal(again, tokens[0]);
	unlink(path_of("shared"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_used_or_refused),
		cmocka_unit_test(one_octet_too_many),
		cmocka_unit_test(no_plain_file),
		cmocka_unit_test(it_is_made_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
