/*
 * A configuration file of any octets: it loads, or all that is wrong is said and nothing is made; what
 * loads is printed as a file that loads again.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

static struct config *load(int fd)
{
	char name[64];
	struct config_source source = { .file = name, .insecure = true };
	struct config_errors errors = { 0 };
	struct config *config = NULL;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	int err = config_load(&config, &source, &errors);
	assert(err == 0 ? config && !errors.errors : err == EINVAL && !config && errors.errors);
	config_errors_free(&errors);
	return config;
}

/* The text as a file without a name. */
static int file_of(const void *text, size_t n)
{
	int fd = memfd_create("config", 0);

	assert(fd >= 0 && (n == 0 || write(fd, text, n) == (ssize_t)n));
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	int fd = file_of(octets, n);
	struct config *config = load(fd);

	close(fd);
	if (!config)
		return 0;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	assert(out);
	config_print(config, out);
	fclose(out);
	config_free(config);
	fd = file_of(text, size);
	config = load(fd);
	assert(config);
	config_free(config);
	close(fd);
	free(text);
	return 0;
}
