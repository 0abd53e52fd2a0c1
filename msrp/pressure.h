/*
 * How much may wait for peers that read slowly (design.md 5, "Memory"): the
 * marks of one queue, limits.leg_high and leg_low, and what all of a worker may
 * hold, limits.queued_bytes.  When that comes near, the mark falls for all, so
 * that the longest queue stops its senders first; when it is reached, the
 * connection with the longest queue is given up.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_PRESSURE_H
#define MSRP_PRESSURE_H

#include "msrp/endpoint.h"

/* The queue became shorter, or longer: keeps the endpoint's sum, lets senders go on. */
void msrp_pressure_account(struct msrp_connection *c);

/* It is gone with its queue. */
void msrp_pressure_forget(struct msrp_connection *c);

/* Something of `c` was written for the other leg: slows its sender down, stops him, or drops who does not read. */
void msrp_pressure_look(struct msrp_connection *c, struct msrp_leg *leg);

/* Something of our own may be written to it.  False: msrp_todo_event() of its senders comes when that has changed. */
bool msrp_pressure_has_room(struct msrp_connection *c);

/* So many octets more may be kept unparsed: these are never more than half of limits.queued_bytes. */
bool msrp_pressure_may_hold(const struct msrp_endpoint *endpoint, size_t n);

/* It is closed now.  False: what is queued on it may still be written, because that is little, or all that lingers so
 * is.  True: it is given up, which was logged and counted. */
bool msrp_pressure_ends_at_once(struct msrp_connection *c);

/* At the end of a turn, when limits.queued_bytes was exceeded in it: gives one connection up.  False: that is not
 * needed any more, or none is left that has much. */
bool msrp_pressure_relieve(struct msrp_endpoint *endpoint);

#endif
