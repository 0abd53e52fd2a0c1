/*
 * The messages of a leg's peer that have begun and not ended, by the hash of their Message-ID: an empty SEND
 * may be the last chunk of one (design.md 5).
 *
 * Thread: owning worker only.  Owner: the leg; the table is allocated with the first message that comes in
 * more than one chunk.
 */
#ifndef MSRP_MESSAGE_H
#define MSRP_MESSAGE_H

#include "msrp/endpoint.h"

uint64_t msrp_message_hash(struct slice message_id);

/* Also true of others once the table has overflowed. */
bool msrp_message_is_open(const struct msrp_leg *leg, uint64_t message);

/* A chunk of it went on, with that flag. */
void msrp_message_remember(struct msrp_leg *leg, uint64_t message, char flag);

#endif
