/*
 * What a reload does not change: keys marked RESTART_ONLY keep the value that the running configuration
 * has, and are named.
 *
 * Thread: main.
 */
#ifndef CONFIG_RESTART_H
#define CONFIG_RESTART_H

#include "config/config.h"
#include "config/tree.h"

/* The names of restart-only keys in which the two differ: `domain.home`, `listen[1].address`, `listen` where
 * one has more entries.  0 or ENOMEM; the caller ends it with text_list_free(). */
int restart_changes(const struct config *written, const struct config *running, struct text_list *names);

/* Lays these keys over `root` as `running` has them.  Errors name RESTART_SOURCE as their source.  0 or ENOMEM. */
#define RESTART_SOURCE "in force until a restart"
int restart_keep(struct tree *tree, struct node *root, const struct text_list *names, const struct config *running,
	struct config_errors *errors);

#endif
