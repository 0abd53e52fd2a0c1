#include "core/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

static struct {
	int fd; /* -1: nobody is to be told */
	struct sockaddr_un to;
	socklen_t to_size;
	uint64_t watchdog_us;
} notify = { .fd = -1 };

static uint64_t number_of(const char *text)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	return errno || *end ? 0 : n;
}

/* WATCHDOG_PID may name a parent that exec'ed us: then the watchdog is not ours. */
static uint64_t watchdog_of_environment(void)
{
	const char *pid = getenv("WATCHDOG_PID");

	if (pid && number_of(pid) != (uint64_t)getpid())
		return 0;
	return number_of(getenv("WATCHDOG_USEC"));
}

/* 0 or errno: neither a path nor an abstract name, or too long for one. */
static int read_address(const char *name)
{
	size_t n = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || n < 2)
		return EAFNOSUPPORT;
	if (n >= sizeof(notify.to.sun_path))
		return ENAMETOOLONG;
	notify.to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(notify.to.sun_path, name, n);
	notify.to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (name[0] == '@')
		notify.to.sun_path[0] = 0;
	else
		notify.to_size++; /* a path ends with its NUL, an abstract name with its length */
	return 0;
}

void notify_open(void)
{
	/* the manager that does not read for so long is not waited for: our own signals would wait with it */
	static const struct timeval longest = { 1, 0 };
	const char *name = getenv("NOTIFY_SOCKET");

	notify_close();
	if (!name || !*name)
		return;
	int err = read_address(name);
	if (!err && (notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		err = errno;
	if (err) {
		LOG(WARN, NULL, "service", 0, "no-notification socket=\"%s\" error=\"%s\"", name, strerror(err));
		return;
	}
	(void)setsockopt(notify.fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest)); /* else it waits, as without */
	notify.watchdog_us = watchdog_of_environment();
}

void notify_close(void)
{
	if (notify.fd >= 0)
		close(notify.fd);
	notify.fd = -1;
	notify.watchdog_us = 0;
}

bool notify_say(const char *format, ...)
{
	char text[NOTIFY_MAX];
	va_list ap;
	ssize_t sent;

	if (notify.fd < 0)
		return true;
	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0)
		return false;
	size_t size = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	do {
		sent = sendto(notify.fd, text, size, MSG_NOSIGNAL, (struct sockaddr *)&notify.to, notify.to_size);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		LOG(WARN, NULL, "service", 0, "not-notified error=\"%s\"", strerror(errno));
	return sent >= 0;
}

void notify_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	notify_say("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

uint64_t notify_watchdog_us(void)
{
	return notify.watchdog_us;
}
