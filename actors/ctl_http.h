/*
 * The HTTP/1.1 client of imservctl: one request, one answer, the connection is
 * closed.  Blocking; one thread.
 */
#ifndef ACTORS_CTL_HTTP_H
#define ACTORS_CTL_HTTP_H

#include "core/slice.h"

#define CTL_ANSWER_MAX   (16u << 20)

struct ctl_request {
	const char *api;    /* http://HOST[:PORT] */
	const char *token;
	const char *method, *path;    /* behind /api/v1/ */
	const char *condition;        /* a whole header line without CRLF, or NULL */
	const char *body;             /* or NULL */
	const char *type;             /* of the body; NULL: JSON */
	unsigned wait_ms;             /* for the whole answer, with on_piece for its head */
	/* Called for each piece of a 200 as it comes, else it is collected.  False: enough. */
	bool (*on_piece)(struct slice piece, void *arg);
	void *arg;
};

struct ctl_answer {
	unsigned status;
	char *body;  /* terminated; the caller frees; NULL when it went to on_piece */
	char error[200]; /* why there is none */
};

/* EINVAL: `api` is no such URL; others: the server cannot be reached, is too slow, or does not speak HTTP. */
int ctl_http(const struct ctl_request *request, struct ctl_answer *answer);

#endif
