/*
 * The way to the store and back (design.md 2, 6): one thread owns the database,
 * requests travel there by message and come home as their own answers once
 * their group is committed.
 *
 * There is no bound on reads and removals: each asker has at most one
 * outstanding.  Puts are new work: beyond STORE_PUTS_MAX of one worker on their
 * way, or with the disk's limit reached, they are refused at once.
 */
#ifndef ACTORS_STORE_ACTOR_H
#define ACTORS_STORE_ACTOR_H

#include "core/counters.h"
#include "core/store.h"
#include "core/worker.h"

#define STORE_PUTS_MAX 1024

/* Where requests go: the thread, or what stands for it in the simulator. */
struct store_door {
	/* Takes the request over.  request->msg.from is the worker that must hear the answer. */
	void (*submit)(struct store_door *, struct worker *from, struct store_request *);
	atomic_bool is_full; /* written by the store: no puts now */
};

/* On a worker: asks.  0: the request is the store's, request->on_answer will come on this worker.
 * EAGAIN: a put was refused for want of room; the request is still the caller's. */
int store_ask(struct worker *worker, struct store_request *request);

/* Any thread that is no worker: asks and waits.  Returns request->msg.err; the request stays the caller's. */
int store_ask_and_wait(struct store_door *door, struct store_request *request);

/* For whoever stands behind a door: sends a request that the store is done with home. */
void store_send_home(struct worker_group *group, struct store_request *request);

/* Before the workers start: opens the database, starts the thread.  0, or errno after a line on the log. */
int store_actor_start(struct store_door **out, const char *path, const struct store_options *options,
	struct worker_group *group);

/* Any thread: group_commit and wal_limit of `options` count from here on. */
void store_actor_set_options(struct store_door *door, const struct store_options *options);

/* When no worker asks any more and all still exist: answers what is under way, closes the database. */
void store_actor_stop(struct store_door *door);

struct counters *store_actor_counters(struct store_door *door);

/* ---- one per worker ---- */
int store_worker_init(struct worker *worker, struct store_door *door);
void store_worker_free(struct worker *worker);

#endif
