#include "actors/http_patience.h"

#include <sys/socket.h>
#include <time.h>

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void http_patience_init(struct http_patience *patience, unsigned wait_ms)
{
	pthread_mutex_init(&patience->lock, NULL);
	patience->wait_ms = wait_ms;
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		patience->waiting[i].fd = -1;
}

void http_patience_free(struct http_patience *patience)
{
	pthread_mutex_destroy(&patience->lock);
}

struct http_waiting *http_patience_begin(struct http_patience *patience, int fd)
{
	struct http_waiting *found = NULL;

	pthread_mutex_lock(&patience->lock);
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX && !found; i++)
		if (patience->waiting[i].fd < 0)
			found = &patience->waiting[i];
	if (found)
		*found = (struct http_waiting){ fd, false, now_ms() };
	pthread_mutex_unlock(&patience->lock);
	return found;
}

void http_patience_end(struct http_patience *patience, struct http_waiting *waiting)
{
	if (!waiting)
		return;
	pthread_mutex_lock(&patience->lock);
	waiting->fd = -1;
	pthread_mutex_unlock(&patience->lock);
}

static void set(struct http_patience *patience, struct http_waiting *waiting, bool is_heard)
{
	if (!waiting)
		return;
	pthread_mutex_lock(&patience->lock);
	waiting->is_heard = is_heard;
	waiting->since_ms = now_ms();
	pthread_mutex_unlock(&patience->lock);
}

void http_patience_heard(struct http_patience *patience, struct http_waiting *waiting)
{
	set(patience, waiting, true);
}

void http_patience_next(struct http_patience *patience, struct http_waiting *waiting)
{
	set(patience, waiting, false);
}

unsigned http_patience_look(struct http_patience *patience)
{
	unsigned count = 0;

	pthread_mutex_lock(&patience->lock);
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		struct http_waiting *w = &patience->waiting[i];
		if (w->fd < 0 || w->is_heard || now_ms() - w->since_ms < patience->wait_ms)
			continue;
		(void)shutdown(w->fd, SHUT_RDWR); /* its thread reads the end and cleans up */
		w->is_heard = true; /* once is enough */
		count++;
	}
	pthread_mutex_unlock(&patience->lock);
	return count;
}
