/*
 * What the receiving side takes: how many octets of a message.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_CONTENT_H
#define MSRP_CONTENT_H

#include "msrp/endpoint.h"

/* A message of the leg's peer that has so many octets is more than was agreed (RFC 4975 8.6 max-size, D1-17). */
bool msrp_content_is_beyond(const struct msrp_leg *leg, uint64_t octet);

/* The same of what a head announces. */
bool msrp_content_is_announced_beyond(const struct msrp_leg *leg, const struct msrp_byte_range *range);

#endif
