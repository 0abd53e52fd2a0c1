/*
 * The HTTP listener (design.md 10): the pages of actors/http_pages.h, /api/v1 by actors/admin.h and /xcap by actors/xcap.h.  It runs
 * beside the workers, each connection in a thread of libmicrohttpd's own, which may wait: a slow or
 * hostile reader costs no worker anything.  At most 64 connections, 16 of one address, 10 s without
 * progress each, and 10 s for a request to be whole if others want to come.  A wrong head (http_request.h): 400.
 *
 * Pages: GET and HEAD; other methods 405, other paths 404, both with {"error":CODE,"reason":"..."}.
 * /, /metrics, /api/v1 and /xcap answer only if the listener's `serve` has them; /livez and /readyz always do.
 *
 * Thread: main.  Block the signals main waits for before http_open: the thread inherits the mask.
 */
#ifndef ACTORS_HTTP_H
#define ACTORS_HTTP_H

#include <stdbool.h>
#include <sys/socket.h>

#include "actors/http_tally.h"
#include "actors/metrics.h"
#include "core/options.h"

struct admin;
struct xcap;

struct http;

/* What the listener shows; copied by http_open, what it points to must live until http_close.  What it calls
 * is called in the threads of the connections. */
struct http_source {
	struct metrics_source metrics;
	struct admin *admin; /* NULL: no /api/v1 */
	const struct xcap *xcap; /* NULL: no /xcap */
	struct http_tally *tally; /* counts requests and refusals; NULL: nobody does */
	unsigned patience_ms; /* for a request to be whole; 0: 10 s */
};

/* Binds and serves one `proto: http` listener; port 0 takes a free one.  0 or errno: EADDRINUSE,
 * EACCES, EADDRNOTAVAIL and so on from the socket, ENOMEM, EIO when the thread cannot start. */
int http_open(struct http **out, const struct listen_options *listen,
	      const struct http_source *source);

/* The address really bound, for the ready line. */
void http_address(const struct http *http, struct sockaddr_storage *address);

/* Closes the connections, joins the thread and frees; NULL is allowed. */
void http_close(struct http *http);

#endif
