/*
 * Reading the configuration again (design.md 8): file and --set once more, certificates and the log's sink with
 * them, all or nothing.  What is wrong goes to the log and into the answer of the API, each with its file, line and
 * key; what was in force stays then.  Keys that take a restart keep their values and are named.
 *
 *	POST /api/v1/reload   200 {"reloaded":true,"result":"...","restart_required":["listen[0].address",...],
 *	                           "warnings":["FILE:LINE: KEY: ...",...]}
 *	                      409 {"error":409,"reason":"...","errors":[{"file":,"line":,"key":,"reason":},...]}
 *	                      503 {"error":503,"reason":"..."}   not now; nothing has changed
 *
 * Thread: main, unless said otherwise.
 */
#ifndef ACTORS_RELOAD_H
#define ACTORS_RELOAD_H

#include <jansson.h>

#include "actors/im.h"

struct reloader;

/* What it points to must outlive it. */
struct reload_source {
	struct im_server *im;
	struct worker_group *group;
	const struct config_source *config;
};

int reloader_open(struct reloader **out, const struct reload_source *source); /* 0 or ENOMEM */
/* Nobody asks any more, and nobody waits for an answer. */
void reloader_stop(struct reloader *reloader);
void reloader_close(struct reloader *reloader);

/* As SIGHUP: returns when all workers have changed over, or after RELOAD_TAKEN_MS. */
#define RELOAD_TAKEN_MS 10000
void reloader_run(struct reloader *reloader);

/* Any thread but main and the workers: has main do it and waits for it.  The code of the answer; *answer: the caller's,
 * NULL without memory. */
unsigned reloader_ask(struct reloader *reloader, json_t **answer);
/* Any thread but the workers: {"time":,"reloaded":,"reason":,"restart_required":[]} of the last one, the caller's;
 * NULL: there was none, or no memory. */
json_t *reloader_last(struct reloader *reloader);

/* Of main: how many there were, and how many of them were refused. */
struct counters *reloader_counters(struct reloader *reloader);

#endif
