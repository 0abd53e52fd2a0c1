/*
 * Whether the files that keys name could be written now: what --check-config can say before a start or a reload
 * fails by it.  A directory that is missing is an error.  One that this user may not write in is a warning, for
 * the server may run as another.
 *
 * Thread: main.  A key with an error of its own (NULL) is not looked at.
 */
#ifndef CONFIG_PATHS_H
#define CONFIG_PATHS_H

#include "config/config.h"
#include "config/tree.h"

void config_check_paths(const struct config *config, const struct node *root, enum config_paths which,
			struct config_errors *errors);

#endif
