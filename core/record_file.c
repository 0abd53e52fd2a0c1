#include "core/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

#define SAY_S 60

struct record_target {
	int fd; /* -1: off */
};

struct record_file {
	struct outlet *outlet;
	struct counters counters;
	/* ---- the outlet's thread ---- */
	int fd;
	size_t cut;     /* octets of the line to be written next that are there already */
	time_t said_s;
};

static void say_error(struct record_file *f, int err)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (f->said_s && now.tv_sec < f->said_s + SAY_S)
		return;
	f->said_s = now.tv_sec ? now.tv_sec : 1;
	LOG(ERROR, NULL, "cdr", 0, "cannot-write error=\"%s\"", strerror(err));
}

/* What was cut off goes to another file, or nowhere: here it would be half a line. */
static void take_back_cut(struct record_file *f)
{
	struct stat info;

	if (f->cut && fstat(f->fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= (off_t)f->cut &&
	    ftruncate(f->fd, info.st_size - (off_t)f->cut) != 0)
		say_error(f, errno);
	f->cut = 0;
}

/* ---- the outlet's thread ---- */

static unsigned on_write(void *arg, const struct slice *lines, unsigned count)
{
	struct record_file *f = arg;
	struct iovec iov[OUTLET_BATCH];
	unsigned done = 0;

	while (f->fd >= 0 && done < count) {
		for (unsigned i = done; i < count; i++)
			iov[i - done] = (struct iovec){ (char *)lines[i].p, lines[i].n };
		iov[0].iov_base = (char *)iov[0].iov_base + f->cut;
		iov[0].iov_len -= f->cut;
		ssize_t n = writev(f->fd, iov, (int)(count - done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			say_error(f, n < 0 ? errno : EIO);
			break;
		}
		for (f->cut += (size_t)n; done < count && f->cut >= lines[done].n; done++)
			f->cut -= lines[done].n;
	}
	COUNT_N(&f->counters, cdr_records, done);
	return done;
}

static void close_file(struct record_file *f)
{
	if (f->fd < 0)
		return;
	take_back_cut(f);
	if (close(f->fd) != 0)
		say_error(f, errno);
	f->fd = -1;
}

static void on_turn_to(void *arg, void *target)
{
	struct record_file *f = arg;
	struct record_target *t = target;

	close_file(f);
	f->fd = t->fd;
	free(t);
}

static void on_discard(void *target)
{
	record_file_forget(target);
}

static void on_lost(void *arg, uint64_t count)
{
	COUNT_N(&((struct record_file *)arg)->counters, cdr_lost, count);
}

static const struct outlet_ops ops = { "cdr", on_write, on_turn_to, on_discard, on_lost };

/* ---- the main thread ---- */

int record_file_make(struct record_file **out, size_t queue_octets)
{
	/* counters keep a cache line of their own */
	struct record_file *f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);

	if (!f)
		return ENOMEM;
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	if (outlet_make(&f->outlet, &ops, f, queue_octets) != 0) {
		free(f);
		return ENOMEM;
	}
	*out = f;
	return 0;
}

/* What stands at the end of the file is no whole line: ours begins on one of its own. */
static int end_last_line(int fd)
{
	struct stat info;
	char last;

	if (fstat(fd, &info) != 0)
		return errno;
	if (!S_ISREG(info.st_mode) || info.st_size == 0 || pread(fd, &last, 1, info.st_size - 1) != 1 || last == '\n')
		return 0;
	return write(fd, "\n", 1) == 1 ? 0 : errno;
}

int record_file_prepare(struct record_file *f, const char *path, struct record_target **target)
{
	struct record_target *t = malloc(sizeof(*t));
	int err = 0;

	if (!t)
		return ENOMEM;
	t->fd = -1;
	if (path) {
		/* not blocking: a pipe that nobody reads is like a full disk */
		t->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
		err = t->fd < 0 ? errno : end_last_line(t->fd);
		if (!err)
			err = outlet_start(f->outlet);
	}
	if (err) {
		record_file_forget(t);
		return err;
	}
	*target = t;
	return 0;
}

void record_file_turn_to(struct record_file *f, struct record_target *target)
{
	outlet_turn_to(f->outlet, target, target->fd >= 0);
}

void record_file_forget(struct record_target *target)
{
	if (target && target->fd >= 0)
		close(target->fd); /* nothing was written to it */
	free(target);
}

bool record_file_is_on(const struct record_file *f)
{
	return outlet_is_on(f->outlet);
}

bool record_file_put(struct record_file *f, struct slice line)
{
	return outlet_put(f->outlet, line);
}

struct counters *record_file_counters(struct record_file *f)
{
	return &f->counters;
}

void record_file_free(struct record_file *f)
{
	if (!f)
		return;
	outlet_free(f->outlet);
	close_file(f);
	free(f);
}
