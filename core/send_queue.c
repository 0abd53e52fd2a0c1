#include "core/send_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FREE_SMALL_MAX 256
#define FREE_LARGE_MAX 64 /* 4 MiB per worker stay warm; beyond that malloc() is asked */

struct send_buffer {
	struct send_buffer *next;
	size_t start, end; /* what is queued of octets[]                                     */
	size_t size;       /* of octets[]; tells small, large and exact buffers apart        */
	char octets[];
};

#define SMALL_OCTETS (SEND_BUFFER_SMALL - sizeof(struct send_buffer))
#define LARGE_OCTETS (SEND_BUFFER_LARGE - sizeof(struct send_buffer))

/* ---- buffers ---- */

static struct send_buffer *take_free(struct send_free_list *list)
{
	struct send_buffer *buffer = list->first;

	if (buffer) {
		list->first = buffer->next;
		list->count--;
	}
	return buffer;
}

static struct send_buffer *buffer_take(struct send_buffers *buffers, size_t size)
{
	struct send_buffer *buffer = NULL;

	if (size == SMALL_OCTETS)
		buffer = take_free(&buffers->small);
	else if (size == LARGE_OCTETS)
		buffer = take_free(&buffers->large);
	if (!buffer)
		buffer = malloc(sizeof(*buffer) + size);
	if (!buffer)
		return NULL;
	buffer->next = NULL;
	buffer->start = buffer->end = 0;
	buffer->size = size;
	return buffer;
}

static bool put_free(struct send_free_list *list, unsigned max, struct send_buffer *buffer)
{
	if (list->count == max)
		return false;
	buffer->next = list->first;
	list->first = buffer;
	list->count++;
	return true;
}

static void buffer_give(struct send_buffers *buffers, struct send_buffer *buffer)
{
	if (buffer->size == SMALL_OCTETS && put_free(&buffers->small, FREE_SMALL_MAX, buffer))
		return;
	if (buffer->size == LARGE_OCTETS && put_free(&buffers->large, FREE_LARGE_MAX, buffer))
		return;
	free(buffer);
}

void send_buffers_free(struct send_buffers *buffers)
{
	struct send_buffer *buffer;

	while ((buffer = take_free(&buffers->small)) || (buffer = take_free(&buffers->large)))
		free(buffer);
}

static size_t room_of(const struct send_buffer *buffer)
{
	return buffer ? buffer->size - buffer->end : 0;
}

static size_t octets_of(const struct send_buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* ---- the chain ---- */

static void append(struct send_queue *queue, struct send_buffer *buffer)
{
	if (queue->last)
		queue->last->next = buffer;
	else
		queue->first = buffer;
	queue->last = buffer;
}

static void drop_first(struct send_queue *queue, struct send_buffers *buffers)
{
	struct send_buffer *buffer = queue->first;

	queue->first = buffer->next;
	if (!queue->first)
		queue->last = NULL;
	buffer_give(buffers, buffer);
}

/* A buffer for the end of the queue with room for `n` contiguous octets. */
static struct send_buffer *new_buffer(struct send_buffers *buffers, size_t n, bool is_empty)
{
	size_t size = is_empty && n <= SMALL_OCTETS ? SMALL_OCTETS : LARGE_OCTETS;

	return buffer_take(buffers, n > size ? n : size);
}

/* A chain of buffers for n octets; NULL: no memory. */
static struct send_buffer *new_chain(struct send_queue *queue, struct send_buffers *buffers, size_t n)
{
	struct send_buffer *first = NULL, **end_of_chain = &first;
	size_t covered = 0;

	while (covered < n) {
		size_t part = n - covered < LARGE_OCTETS ? n - covered : LARGE_OCTETS;
		struct send_buffer *buffer = new_buffer(buffers, part, !queue->first && !first);
		if (!buffer) {
			while ((buffer = first)) {
				first = buffer->next;
				buffer_give(buffers, buffer);
			}
			return NULL;
		}
		*end_of_chain = buffer;
		end_of_chain = &buffer->next;
		covered += buffer->size;
	}
	return first;
}

/* What began small and grows within a turn moves into a large buffer, so that it is one send after
 * all.  False: no memory. */
static bool enlarge(struct send_queue *queue, struct send_buffers *buffers)
{
	struct send_buffer *small = queue->first, *large;

	if (!small || small->next || queue->is_in_flight || small->size != SMALL_OCTETS)
		return true;
	large = buffer_take(buffers, LARGE_OCTETS);
	if (!large)
		return false;
	large->end = octets_of(small);
	memcpy(large->octets, small->octets + small->start, large->end);
	drop_first(queue, buffers);
	append(queue, large);
	return true;
}

static size_t put(struct send_buffer *buffer, struct slice octets)
{
	size_t n = octets.n < room_of(buffer) ? octets.n : room_of(buffer);

	if (n)
		memcpy(buffer->octets + buffer->end, octets.p, n);
	buffer->end += n;
	return n;
}

/* ---- writing ---- */

int send_queue_write(struct send_queue *queue, struct send_buffers *buffers, struct slice octets)
{
	struct send_buffer *chain = NULL;
	size_t room;

	if (octets.n == 0)
		return 0;
	if (octets.n > room_of(queue->last) && !enlarge(queue, buffers))
		return ENOMEM;
	room = room_of(queue->last);
	if (octets.n > room) {
		chain = new_chain(queue, buffers, octets.n - room);
		if (!chain)
			return ENOMEM;
	}
	queue->octets += octets.n;
	if (room)
		octets = slice_skip(octets, put(queue->last, octets));
	while (chain) {
		struct send_buffer *buffer = chain;
		chain = buffer->next;
		buffer->next = NULL;
		octets = slice_skip(octets, put(buffer, octets));
		append(queue, buffer);
	}
	return 0;
}

char *send_queue_reserve(struct send_queue *queue, struct send_buffers *buffers, size_t n)
{
	struct send_buffer *buffer;

	if (room_of(queue->last) < n && !enlarge(queue, buffers))
		return NULL;
	buffer = queue->last;
	if (!buffer || room_of(buffer) < n) {
		buffer = new_buffer(buffers, n, !queue->first);
		if (!buffer)
			return NULL;
		append(queue, buffer);
	}
	return buffer->octets + buffer->end;
}

void send_queue_commit(struct send_queue *queue, size_t n)
{
	assert(queue->last && n <= room_of(queue->last));
	queue->last->end += n;
	queue->octets += n;
}

/* ---- sending ---- */

struct slice send_queue_begin(struct send_queue *queue, struct send_buffers *buffers)
{
	assert(!queue->is_in_flight && queue->octets); /* nobody but the stream starts a send */
	while (octets_of(queue->first) == 0) /* reserved, nothing committed */
		drop_first(queue, buffers);
	queue->is_in_flight = true;
	return slice_of(queue->first->octets + queue->first->start, octets_of(queue->first));
}

void send_queue_end(struct send_queue *queue, struct send_buffers *buffers, size_t n)
{
	assert(queue->is_in_flight && n <= octets_of(queue->first));
	queue->is_in_flight = false;
	queue->first->start += n;
	queue->octets -= n;
	if (octets_of(queue->first) == 0)
		drop_first(queue, buffers);
}

/* An idle stream holds no buffer; one in flight belongs to the ring. */
void send_queue_drop(struct send_queue *queue, struct send_buffers *buffers)
{
	struct send_buffer *in_flight = queue->is_in_flight ? queue->first : NULL;
	struct send_buffer *next = in_flight ? in_flight->next : queue->first;

	while (next) {
		struct send_buffer *buffer = next;
		next = buffer->next;
		buffer_give(buffers, buffer);
	}
	queue->first = queue->last = in_flight;
	queue->octets = in_flight ? octets_of(in_flight) : 0;
	if (in_flight)
		in_flight->next = NULL;
}
