/*
 * The one epoll loop of imflood.  A source embeds `struct loop_source` as its first
 * member; its handler may remove or close any source, its own included: an event of
 * the same turn that still names a removed source is dropped.
 *
 * imflood is one thread by intent: its own cost per message then is one number.
 */
#ifndef LOAD_TESTS_EVENT_LOOP_H
#define LOAD_TESTS_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_EVENTS_MAX 256

struct loop_source {
	void (*on_ready)(struct loop_source *source, uint32_t events);
	int fd; /* -1 once removed */
};

struct event_loop {
	int epoll_fd;
	uint64_t now_ns; /* monotonic, read once per turn and by loop_clock() */
	struct loop_source *ready[LOOP_EVENTS_MAX]; /* sources of the turn not handled yet */
	int ready_n;
};

int loop_open(struct event_loop *loop); /* 0 or errno */
void loop_close(struct event_loop *loop);
int loop_add(struct event_loop *loop, struct loop_source *source, uint32_t events);
void loop_change(struct event_loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct event_loop *loop,
		 struct loop_source *source); /* also closes the descriptor */

/* Waits until a source is ready, at most `timeout_ns`, and lets the handlers run. */
void loop_turn(struct event_loop *loop, uint64_t timeout_ns);

/* Reads the clock into now_ns. */
uint64_t loop_clock(struct event_loop *loop);

#endif
