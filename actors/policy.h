/*
 * What the operator permits (config `policy` and `limits`), where several functions ask it.
 * Any thread: configuration only.
 */
#ifndef ACTORS_POLICY_H
#define ACTORS_POLICY_H

#include "config/config.h"
#include "core/buffer.h"

/* policy.content_types: all, a family of types or one type each; parameters of `type` do not count. */
bool policy_permits_type(const struct config *config, struct slice type);

/* Is anything a matter of policy.content_types at all? */
bool policy_permits_every_type(const struct config *config);

/* Of a list as a=accept-types has it (RFC 4975 8.6) what is permitted, in its order; a star gives what the
 * policy names in its place.  False: nothing is left, or `out` is full. */
bool policy_permitted_types(const struct config *config, struct slice list, struct buffer *out);

/* Of two such lists what both name, in the order of the first; where one is wider the narrower name.  False: nothing,
 * or `out` is full. */
bool policy_common_types(struct slice list, struct slice other, struct buffer *out);

#endif
