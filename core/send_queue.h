/*
 * Octets on their way to a socket, in a chain of buffers: what is appended
 * within a turn leaves in one send, and a buffer that a send holds stays where
 * it is until that send has ended.
 *
 * Thread: owning worker only.  Owner: the stream; buffers come from the
 * worker's free lists and go back there.
 */
#ifndef CORE_SEND_QUEUE_H
#define CORE_SEND_QUEUE_H

#include <stdbool.h>

#include "core/slice.h"

#define SEND_BUFFER_SMALL (4 * 1024)  /* the first of an empty queue: an idle peer's answer   */
#define SEND_BUFFER_LARGE (64 * 1024) /* the following ones: bulk goes out in large sends     */

struct send_buffer;

/* Most recently used first: few hot buffers beat many cold ones (design.md 4). */
struct send_free_list {
	struct send_buffer *first;
	unsigned count;
};

/* Of one worker. */
struct send_buffers {
	struct send_free_list small, large;
};

struct send_queue {
	struct send_buffer *first, *last;
	size_t octets;     /* of all buffers                                       */
	bool is_in_flight; /* a send holds the first: between _begin() and _end()  */
};

void send_buffers_free(struct send_buffers *buffers);

/* Appends a copy.  ENOMEM: nothing was appended. */
int send_queue_write(struct send_queue *queue, struct send_buffers *buffers, struct slice octets);

/* Room for `n` contiguous octets at the end, or NULL (ENOMEM); what send_queue_commit() then says was
 * written becomes part of the queue. */
char *send_queue_reserve(struct send_queue *queue, struct send_buffers *buffers, size_t n);
void send_queue_commit(struct send_queue *queue, size_t n);

/* The octets to send next, of a queue that is neither empty nor in flight; they are held from here on. */
struct slice send_queue_begin(struct send_queue *queue, struct send_buffers *buffers);
/* The send has ended; `n` of them are gone. */
void send_queue_end(struct send_queue *queue, struct send_buffers *buffers, size_t n);

/* All but what a send holds. */
void send_queue_drop(struct send_queue *queue, struct send_buffers *buffers);

#endif
