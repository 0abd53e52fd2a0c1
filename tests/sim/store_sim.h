/*
 * The store of a simulated server: the same requests, executed by the same code
 * on a database in memory, a while after they were asked, in the turn of the
 * worker that asked.  When, and whether it fails, is drawn from the seed.
 */
#ifndef TESTS_SIM_STORE_SIM_H
#define TESTS_SIM_STORE_SIM_H

#include "actors/store_actor.h"
#include "tests/sim/ring_sim.h"

/* `fails_in_1000` of the groups are lost.  `options` must outlive it. */
struct store_door *store_sim_new(struct sim *sim, struct worker_group *group, const struct store_options *options,
	unsigned fails_in_1000);

/* While the workers exist; what was still asked is freed. */
void store_sim_free(struct store_door *door);

/* The database itself, to look into it or to prepare it. */
/* Whatever is asked of it next waits so long: a disk that hangs. */
void store_sim_stall(struct store_door *door, uint64_t ms);

struct store *store_sim_database(struct store_door *door);

#endif
