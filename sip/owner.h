/*
 * Which worker owns a message: a pure function of the message as received
 * (design.md 2, "The owner is a pure function of the message").  The hash is
 * keyed per process, because callers choose Call-IDs.
 *
 * Any thread, after sip_owner_init().
 */
#ifndef SIP_OWNER_H
#define SIP_OWNER_H

#include "sip/transport.h"

/* Before the workers start. */
void sip_owner_init(const uint8_t key[16]);

#define SIP_BRANCH_COOKIE "z9hG4bK"

/* Worker 0 .. workers - 1, by rules 1 to 4; -1: a response whose branch was not minted here. */
int sip_owner_of(const struct sip_message *m, const struct sip_options *options, unsigned workers);

/* Is the user part, escapes decoded, a name of domain.groups or that of a function (factory, history, Deferred)? */
bool sip_name_is_group(struct slice user, const struct sip_options *options);
bool sip_name_is_function(struct slice user, const struct sip_options *options);
/* The user part of a canonical URI; empty when it has none. */
struct slice sip_canonical_user(struct slice canonical);

/* Of a user or group by its canonical URI (rule 3). */
unsigned sip_owner_of_name(struct slice canonical, unsigned workers);

/* Rule 4. */
unsigned sip_owner_of_call_id(struct slice call_id, unsigned workers);

#endif
