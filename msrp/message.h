/*
 * The messages of a leg's peer that have begun and not ended, by the hash of their Message-ID: an empty SEND
 * may be the last chunk of one (design.md 5).  And the last ones that were refused: more chunks of them are
 * refused too, though nothing in these tells why.
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

/* That was said of it; others than 413 and 415 are not kept: they are about one chunk. */
void msrp_message_refuse(struct msrp_leg *leg, uint64_t message, unsigned status);

/* What was said of it; 0: nothing. */
unsigned msrp_message_refused(const struct msrp_leg *leg, uint64_t message);

/* It begins again. */
void msrp_message_forgive(struct msrp_leg *leg, uint64_t message);

#endif
