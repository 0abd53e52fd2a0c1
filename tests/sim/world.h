/*
 * The server under test inside the simulator: N workers with all layers, made,
 * run and ended as actors/server.c does it with threads, and the clients that
 * talk to it on a ring of their own.  A run is a function of its seed: number of
 * workers, transport and faults are drawn from it.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "actors/im.h"
#include "tests/sim/records_sim.h"
#include "tests/sim/ring_sim.h"

#define WORLD_WORKERS_MAX 4

struct scenario;
struct ua_host;

struct world {
	uint64_t seed;
	const struct scenario *scenario;
	struct sim *sim;
	const struct config *config;
	struct im_server im;
	struct worker_group group;
	bool is_tcp;                 /* what its clients speak                          */
	bool is_memory_short;        /* an allocation failed: expectations are off      */
	bool is_draining;            /* the server may end what it likes                */
	uint64_t fail_allocation;    /* the how manieth of the server's fails; 0: none  */
	unsigned failures_in_a_row;
	struct record_file records;  /* call detail records that the server has put     */
	struct ua_host *clients;
	struct ring *client_ring;
};

/* ---- the whole run, for main.c ---- */

struct world_run {
	const struct scenario *scenario;
	uint64_t seed;
	uint64_t fail_allocation;    /* 0: none */
	bool trace;                  /* completions of the rings to stderr */
};

/* Runs it, checks what must hold, ends it.  The number of allocations that the server made in its
 * turns.  A failure ends the process, having said how to see it again. */
uint64_t world_run(const struct world_run *run);

_Noreturn void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- for scenarios ---- */

unsigned world_below(struct world *w, unsigned n);      /* a draw: 0 .. n - 1 */
bool world_chance(struct world *w, unsigned in_100);
void world_ms(struct world *w, uint64_t ms);            /* virtual time goes by */
void world_us(struct world *w, uint64_t us);
void world_moment(struct world *w, uint64_t max_us);    /* a random while, often a short one */
uint64_t world_now_ms(struct world *w);
/* False: it did not come true within so long. */
bool world_until(struct world *w, bool (*done)(void *), void *arg, uint64_t ms);

void world_counters(struct world *w, struct counters *all); /* of all workers */
uint64_t world_counter(struct world *w, enum counter which);
uint64_t world_refused(struct world *w, enum reason why);

/* Whether what a scenario expects need come true: not when the seed broke a connection or memory is
 * short. */
bool world_is_strict(const struct world *w);

/* As SIGTERM does after runtime.drain: no new sessions, BYE to those that are. */
void world_drain(struct world *w);

/* From now on that share of new work is taken, as if the workers had more to do than they can; it comes back by itself
 * to all, and then nothing is refused any more. */
void world_shed(struct world *w, unsigned percent);
bool world_is_shedding(const struct world *w);

/* As a reload with these KEY=VALUE besides those of the scenario; returns when the workers have their messages, which
 * they take when their turn comes. */
void world_reload(struct world *w, const char *const *set, unsigned count);

/* Is this message in the mailbox of whom it is for, octet by octet?  Between turns. */
struct message;
bool world_is_stored(struct world *w, const struct message *message);
unsigned world_stored_count(struct world *w, const char *user);

void world_sip_address(const struct world *w, bool is_tcp, struct sockaddr_storage *address);

#endif
