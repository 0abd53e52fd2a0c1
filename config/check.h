/*
 * The rules that look at more than one key (design.md 9 and 13), and what is refused because it is
 * not built yet.  Also fills what is derived from keys: listen[].bind, core.hop and the resolved
 * policy.unavailable_session_code.
 *
 * Thread: main.  A key that had an error of its own is zero and is not judged
 * again.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/config.h"
#include "config/tree.h"

void config_check(struct config *config, const struct node *root, bool insecure,
		  struct config_errors *errors);

#endif
