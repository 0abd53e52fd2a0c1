/*
 * The pages of an HTTP listener (design.md 10): /livez, /readyz, /metrics, and / with the dashboard.
 *
 * They ask for no token and take any Host: Prometheus comes by whatever name its owner gave the machine, and
 * they show how much there is to do, never of whom.  A page of another site cannot read them: no answer permits
 * it (CORS), and Cross-Origin-Resource-Policy keeps browsers from handing them over in other ways.
 *
 * Thread: those of the HTTP listeners.
 */
#ifndef ACTORS_HTTP_PAGES_H
#define ACTORS_HTTP_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "actors/metrics.h"

struct http_answer {
	unsigned code;
	const char *type;
	char *body;         /* from malloc(), given away to the response; NULL: no memory, close */
	size_t n;
	const char *allow;  /* with 405; NULL: that of the pages */
	const char *policy; /* Content-Security-Policy, or NULL */
	char etag[24];      /* quoted; empty: none */
	char *challenges;   /* with 401: WWW-Authenticate lines, from malloc(), given away; NULL: Bearer */
	bool is_static;     /* the body is nobody's to free */
};

/* `serve`: SERVE_* of the listener. */
struct http_answer http_page(const struct metrics_source *source, unsigned serve, const char *path,
	const char *method);

#endif
