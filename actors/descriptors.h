/*
 * How many descriptors the process may have, and what follows for limits.sessions (design.md 8).
 * Thread: main.
 */
#ifndef ACTORS_DESCRIPTORS_H
#define ACTORS_DESCRIPTORS_H

#include "config/config.h"

/* Raises RLIMIT_NOFILE to what is permitted and lowers `config->limits.sessions` to what that carries, with a warning
 * unless that has been said of the same figures in `running` (NULL at the start). */
void descriptors_fit(struct config *config, const struct config *running);

#endif
