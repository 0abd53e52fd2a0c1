#include "load-tests/event_loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int loop_open(struct event_loop *loop)
{
	*loop = (struct event_loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	if (loop->epoll_fd < 0)
		return errno;
	/* 50 us of default slack would show as latency at a paced 20k messages a second. */
	(void)prctl(PR_SET_TIMERSLACK, 1); /* without it only less precise */
	loop_clock(loop);
	return 0;
}

void loop_close(struct event_loop *loop)
{
	close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int loop_add(struct event_loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? errno : 0;
}

void loop_change(struct event_loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	int failed = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);

	assert(!failed); /* only a descriptor that was never added could do this */
}

void loop_remove(struct event_loop *loop, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	close(source->fd); /* takes it out of the epoll set, too: it is never duplicated */
	source->fd = -1;
	for (int i = 0; i < loop->ready_n; i++)
		if (loop->ready[i] == source)
			loop->ready[i] = NULL;
}

uint64_t loop_clock(struct event_loop *loop)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	loop->now_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	return loop->now_ns;
}

void loop_turn(struct event_loop *loop, uint64_t timeout_ns)
{
	struct epoll_event events[LOOP_EVENTS_MAX];
	struct timespec timeout = { (time_t)(timeout_ns / 1000000000u),
				    (long)(timeout_ns % 1000000000u) };
	int n = epoll_pwait2(loop->epoll_fd, events, LOOP_EVENTS_MAX, &timeout, NULL);

	loop_clock(loop);
	for (int i = 0; i < n; i++)
		loop->ready[i] = events[i].data.ptr;
	loop->ready_n = n > 0 ? n : 0;
	for (int i = 0; i < n; i++) {
		struct loop_source *source = loop->ready[i];
		if (source)
			source->on_ready(source, events[i].events);
	}
	loop->ready_n = 0;
}
