/*
 * Documents of groups in the simulated world: written and removed as the thread of an HTTP listener does it
 * (actors/documents.c), at once and on the disk.
 */
#ifndef TESTS_SIM_GROUP_SIM_H
#define TESTS_SIM_GROUP_SIM_H

#include "tests/sim/ua.h"

struct group_sim {
	char uri[64];
	char *content; /* heap; NULL: there is no such group */
};

/* Its members from now on; who is no member may do nothing. */
void group_sim_put(struct world *w, struct group_sim *group, struct ua *const *members, unsigned count, bool invites);
void group_sim_remove(struct world *w, struct group_sim *group);

#endif
