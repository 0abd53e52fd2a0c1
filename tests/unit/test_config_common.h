/* Loads a configuration from texts and gives back what an operator would see. */
#ifndef TESTS_UNIT_TEST_CONFIG_COMMON_H
#define TESTS_UNIT_TEST_CONFIG_COMMON_H

#include "tests/unit/test.h"
#include "tests/unit/tls_pem.h"

#include <errno.h>
#include <unistd.h>

#include "config/config.h"

/* The tests work in a directory of their own, so that errors say `test.yaml` and nothing else. */
static char config_directory[] = "/tmp/imserv-config-XXXXXX";

static inline int config_enter(void **state)
{
	if (!mkdtemp(config_directory) || chdir(config_directory) != 0)
		return -1;
	tls_pems_write();
	return 0;
}

static inline int config_leave(void **state)
{
	unlink("test.yaml");
	tls_pems_remove();
	return chdir("/") == 0 && rmdir(config_directory) == 0 ? 0 : -1;
}

static inline void config_write_file(const char *text, size_t n)
{
	FILE *out = fopen("test.yaml", "we");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
}

/* Loads `yaml` (NULL: the embedded default) with up to `count` --set options; what was printed, which
 * the caller frees.  *config is NULL after an error. */
static inline char *config_try(const char *yaml, const char *const *set, unsigned count,
			       bool insecure, struct config **config)
{
	struct config_source source = { yaml ? "test.yaml" : NULL, set, count, insecure };
	struct config_errors errors = { 0 };
	char *text = NULL;
	size_t n;
	FILE *out;
	int err;

	*config = NULL;
	if (yaml)
		config_write_file(yaml, strlen(yaml));
	err = config_load(config, &source, &errors);
	assert_false(errors.out_of_memory);
	assert_int_equal(err, errors.errors ? EINVAL : 0);
	assert_int_equal(*config == NULL, err != 0);
	out = open_memstream(&text, &n);
	assert_non_null(out);
	config_errors_print(&errors, out);
	assert_int_equal(fclose(out), 0);
	config_errors_free(&errors);
	return text;
}

/* Not inlined: gcc 12 takes what open_memstream() leaves in `text` for a pointer to it. */
__attribute__((noinline, unused)) static char *config_text(const struct config *config)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	config_print(config, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

#endif
