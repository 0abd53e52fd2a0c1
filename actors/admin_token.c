#include "actors/admin_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/slice.h"

#define RANDOM_OCTETS 32

static int read_token(int fd, char token[ADMIN_TOKEN_MAX])
{
	char text[ADMIN_TOKEN_MAX];
	ssize_t n = read(fd, text, sizeof(text));
	struct slice trimmed;

	if (n < 0)
		return errno;
	trimmed = slice_trim(slice_of(text, (size_t)n));
	if (trimmed.n == 0 || (size_t)n == sizeof(text))
		return EINVAL;
	for (size_t i = 0; i < trimmed.n; i++)
		if (trimmed.p[i] <= ' ' || trimmed.p[i] > '~')
			return EINVAL; /* could not stand in a header */
	memcpy(token, trimmed.p, trimmed.n);
	token[trimmed.n] = 0;
	return 0;
}

static int load(const char *path, char token[ADMIN_TOKEN_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	int err;

	if (fd < 0)
		return errno;
	if (fstat(fd, &status) != 0)
		err = errno;
	else if (!S_ISREG(status.st_mode))
		err = EINVAL;
	else if (status.st_mode & 077)
		err = EPERM;
	else
		err = read_token(fd, token);
	close(fd); /* nothing was written to it */
	return err;
}

static int write_token(int fd)
{
	uint8_t octets[RANDOM_OCTETS];
	char text[2 * RANDOM_OCTETS + 2];
	size_t n = 0;

	if (getrandom(octets, sizeof(octets), 0) != sizeof(octets))
		return errno;
	for (size_t i = 0; i < sizeof(octets); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x", octets[i]);
	text[n++] = '\n';
	return write(fd, text, n) == (ssize_t)n ? 0 : errno ? errno : EIO;
}

/* Written elsewhere first: under its own name the file is there whole, or not at all. */
static int make(const char *path)
{
	char *temporary;
	int fd, err;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd < 0) {
		err = errno;
		free(temporary);
		return err;
	}
	errno = 0;
	err = write_token(fd);
	if (close(fd) != 0 && !err)
		err = errno;
	if (!err && link(temporary, path) != 0 && errno != EEXIST)
		err = errno;
	(void)unlink(temporary); /* at worst it stays */
	free(temporary);
	return err;
}

int admin_token_load(const char *path, char token[ADMIN_TOKEN_MAX])
{
	int err = load(path, token);

	if (err != ENOENT)
		return err;
	err = make(path);
	return err ? err : load(path, token);
}
