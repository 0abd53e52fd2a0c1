/*
 * How long a listener waits for a request to be whole.  libmicrohttpd closes a connection that is silent; one
 * that sends an octet now and then would stay, and with it one of the few places there are.  So each connection
 * has a time by which its next request must have come; whoever is late when somebody else knocks is shut.
 *
 * Thread: any of the listener's; a lock keeps a descriptor from being closed, and used anew, while it is shut.
 */
#ifndef ACTORS_HTTP_PATIENCE_H
#define ACTORS_HTTP_PATIENCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define HTTP_CONNECTIONS_MAX 64

struct http_patience {
	pthread_mutex_t lock;
	unsigned wait_ms;
	struct http_waiting {
		int fd;             /* -1: free */
		bool is_heard;      /* its request has come: the answer may take its time */
		uint64_t since_ms;
	} waiting[HTTP_CONNECTIONS_MAX];
};

void http_patience_init(struct http_patience *patience, unsigned wait_ms);
void http_patience_free(struct http_patience *patience);

/* A connection begins; NULL: there are too many, which its owner bounds elsewhere. */
struct http_waiting *http_patience_begin(struct http_patience *patience, int fd);
/* Before its descriptor is closed.  NULL is allowed here and below. */
void http_patience_end(struct http_patience *patience, struct http_waiting *waiting);

void http_patience_heard(struct http_patience *patience, struct http_waiting *waiting);
void http_patience_next(struct http_patience *patience, struct http_waiting *waiting);

/* Shuts those who are late; how many. */
unsigned http_patience_look(struct http_patience *patience);

#endif
