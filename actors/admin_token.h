/*
 * The token of the admin API (design.md 10): whoever can read the file may use
 * the API, so nobody but its owner may.
 *
 * Thread: main, before the workers start.
 */
#ifndef ACTORS_ADMIN_TOKEN_H
#define ACTORS_ADMIN_TOKEN_H

#include <stddef.h>

#define ADMIN_TOKEN_MAX 256

/*
 * Reads the token of `path`, without blanks around it; makes the file, 0600, when there is none.  Several
 * servers may do that at once: all get the same token.  0, or errno: EPERM others can read it, EINVAL it is empty
 * or too long, or no plain file, and what the system says.
 */
int admin_token_load(const char *path, char token[ADMIN_TOKEN_MAX]);

#endif
