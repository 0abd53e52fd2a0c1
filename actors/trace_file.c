#include "actors/trace_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX    ".pcap"
#define USER_MAX  100 /* octets of the name in a file's */
#define SAME_MAX  100 /* traces of one user that begin in one second */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int now_in = -1;

int trace_files_prepare(const char *path, int *directory)
{
	int fd, err;

	*directory = -1;
	if (!path)
		return 0;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
		err = errno;
		close(fd);
		return err;
	}
	*directory = fd;
	return 0;
}

void trace_files_turn_to(int directory)
{
	pthread_mutex_lock(&lock);
	int before = now_in;
	now_in = directory;
	pthread_mutex_unlock(&lock);
	if (before >= 0)
		close(before);
}

static bool is_capture(const char *name)
{
	size_t n = strlen(name);

	return n > sizeof(SUFFIX) - 1 && strcmp(name + n - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

/* 0, EMFILE, or errno. */
static int count_files(int directory)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	unsigned count = 0;
	const struct dirent *entry;

	if (!list) {
		int err = errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while ((entry = readdir(list)))
		count += is_capture(entry->d_name);
	closedir(list);
	return count < TRACE_FILES_MAX ? 0 : EMFILE;
}

/* Nothing of a name leads out of the directory, hides the file or surprises a shell. */
static size_t put_user(char *to, struct slice canonical)
{
	size_t n = canonical.n < USER_MAX ? canonical.n : USER_MAX;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)canonical.p[i];
		to[i] = isalnum(c) || c == '@' || c == '_' || (i && (c == '.' || c == '-' || c == '+')) ? (char)c : '_';
	}
	return n;
}

static int create(int directory, struct slice canonical, int *file)
{
	char name[USER_MAX + 64];
	size_t n = put_user(name, canonical);
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	n += strftime(name + n, sizeof(name) - n, "-%Y%m%dT%H%M%SZ", &tm);
	for (unsigned i = 1; i <= SAME_MAX; i++) {
		if (i == 1)
			snprintf(name + n, sizeof(name) - n, SUFFIX);
		else
			snprintf(name + n, sizeof(name) - n, "-%u" SUFFIX, i);
		*file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (*file >= 0)
			return 0;
		if (errno != EEXIST)
			return errno;
	}
	return EEXIST;
}

int trace_file_open(struct slice canonical, int *file)
{
	int err = 0;

	*file = -1;
	pthread_mutex_lock(&lock); /* also so that two do not make the last file both */
	if (now_in >= 0 && !(err = count_files(now_in)))
		err = create(now_in, canonical, file);
	pthread_mutex_unlock(&lock);
	return err;
}
