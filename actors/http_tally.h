/*
 * What the HTTP listeners count.  Each connection has a thread of its own, and counters have one writer: so
 * these are written under a lock, which costs nobody anything at the rate of people and of Prometheus.
 *
 * Thread: any.  Owner: whoever opens the listeners; it must outlive them and the readers of its counters.
 */
#ifndef ACTORS_HTTP_TALLY_H
#define ACTORS_HTTP_TALLY_H

#include <pthread.h>

#include "core/counters.h"

struct http_tally;

/* NULL: no memory. */
struct http_tally *http_tally_make(void);
void http_tally_free(struct http_tally *tally);

struct counters *http_tally_counters(struct http_tally *tally);

/* One more request. NULL is allowed here and below: then nobody counts. */
void http_tally_request(struct http_tally *tally);
void http_tally_refused(struct http_tally *tally, enum reason why, unsigned count);

#endif
