/*
 * The admin API, /api/v1 of an HTTP listener (design.md 10, 13 "Admin JSON").
 *
 *	GET status                    what the server is and how much it has to do
 *	GET sessions[?from=&limit=]   the IM sessions, a page at a time
 *	PUT, DELETE users/USER        {"password":"..."}; without one: no digest login.
 *	                              If-None-Match: *  only a new one, If-Match: *  only one that is there
 *	POST drain                    what SIGTERM does
 *	POST reload                   what SIGHUP does, and its result: actors/reload.h
 *	GET trace/USER[?format=]      the SIP messages of a user as they come: text (lines), or pcap, a capture file
 *	GET conferences               none, in this version
 *	mailbox/, docs/, history      501, in this version
 *
 * Thread: those of the HTTP listeners; each request may wait in its own.  What belongs to a worker is asked of
 * it by message, with a deadline; no worker ever waits for a reader.
 */
#ifndef ACTORS_ADMIN_H
#define ACTORS_ADMIN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "actors/im.h"
#include "sip/trace.h"

#define ADMIN_BODY_MAX 4096

struct admin;
struct documents;
struct reloader;

/* What the API shows and does; copied, what it points to must live until admin_close(). */
struct admin_source {
	struct im_server *im;
	struct worker_group *group;
	struct counters *const *counters; /* one per thread that counts */
	unsigned counters_count;
	const char *io;
	bool (*is_ready)(void *arg);
	void (*drain)(void *arg);
	struct reloader *reloader;
	struct documents *documents;
	void *arg;
};

/* Reads or makes the token.  0, or errno after a line on the log. */
int admin_open(struct admin **out, const struct admin_source *source);

/* No new work, and whoever waits in a trace goes away: before the listeners are closed. */
void admin_stop(struct admin *admin);
void admin_close(struct admin *admin);

struct admin_request {
	const char *method;
	const char *path;            /* behind /api/v1/, escapes decoded */
	const char *from, *limit, *format; /* of the query, or NULL */
	struct slice body;
	const char *type, *if_match, *if_none_match; /* headers, or NULL */
	bool if_absent, if_present;  /* If-None-Match: *, If-Match: * */
};

struct admin_answer {
	unsigned code;
	char *body;                  /* JSON from malloc(), the caller's; NULL: no memory, or a stream */
	size_t n;
	const char *type;            /* NULL: JSON */
	char etag[24];               /* quoted; empty: none */
	const char *allow;           /* with 405 */
	struct sip_trace_reader *trace; /* then the answer goes on as long as somebody reads */
	bool is_pcap;                /* the trace is a capture file, not lines */
	bool drains;                 /* admin_drain() once it was sent: the end would cut it off */
};

/* May this request use the API?  Host and Origin first: a web page must not reach it with a borrowed token.
 * 0, or 403, 401; then *why says it.  `local`: our end of the connection. */
struct admin_credentials {
	const char *host, *origin, *authorization; /* headers, or NULL */
	struct sockaddr_storage local;
};
unsigned admin_refuses(const struct admin *admin, const struct admin_credentials *credentials, const char **why);

/* Is that the value of an Authorization header with our token? NULL: no. */
bool admin_token_is(const struct admin *admin, const char *authorization);

void admin_drain(struct admin *admin);

void admin_answer(struct admin *admin, const struct admin_request *request, struct admin_answer *answer);

/* {"error":CODE,"reason":"..."} */
void admin_error(struct admin_answer *answer, unsigned code, const char *reason);

#endif
