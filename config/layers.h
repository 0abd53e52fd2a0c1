/*
 * Layers of a configuration laid over each other: a file over the default, --set over both.
 * Thread: main.  Nodes of `over` are taken into `base`.
 */
#ifndef CONFIG_LAYERS_H
#define CONFIG_LAYERS_H

#include "config/tree.h"

/* Mappings are merged, also inside; anything else replaces what is there.  An empty section
 * (`limits:` and nothing behind it) changes nothing. */
void layers_merge(struct node *base, struct node *over);

/* Applies one KEY=VALUE to `root`.  Errors name the option as their source: `option` is kept. */
void layers_set(struct tree *tree, struct node *root, const char *option,
		struct config_errors *errors);

#endif
