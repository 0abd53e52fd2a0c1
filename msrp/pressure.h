/*
 * How much may wait for peers that read slowly (design.md 5, "Memory"): the
 * marks of one queue, limits.leg_high and leg_low, and what all of a worker may
 * take, limits.queued_bytes.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_PRESSURE_H
#define MSRP_PRESSURE_H

#include "msrp/endpoint.h"

/* The queue became shorter, or longer: keeps the endpoint's sum, lets senders go on. */
void msrp_pressure_account(struct msrp_connection *c);

/* Something of `c` was written for the other leg: slows its sender down, stops him, or drops who does not read. */
void msrp_pressure_look(struct msrp_connection *c, struct msrp_leg *leg);

#endif
