/*
 * Whose chunk is it?  The session-id in the To-Path names worker and leg; the
 * first chunk binds the connection to the leg (D2-54).
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_BINDING_H
#define MSRP_BINDING_H

#include "msrp/endpoint.h"

enum msrp_binding {
	BINDING_LEG,     /* *leg is it, and it is bound to this connection             */
	BINDING_EARLY,   /* *leg is it, but nobody knows yet whether this is its peer  */
	BINDING_FOREIGN, /* *owner has the session; the connection stays here          */
	BINDING_LATER,   /* cannot be said or done yet: the connection is stopped here */
	BINDING_REFUSED, /* 481 or 506 was written                                     */
	BINDING_NOBODY,  /* a response to nothing: dropped                             */
};

enum msrp_binding msrp_binding_find(struct msrp_connection *c, struct msrp_leg **leg,
	unsigned *owner);

/* Our leg that a request or response is to; NULL: none. */
struct msrp_leg *msrp_binding_leg_of(struct msrp_endpoint *endpoint, struct slice to_path);

/* The table of legs by session-id, `chains` (a power of two) at most.  0 or ENOMEM. */
int msrp_bindings_init(struct msrp_endpoint *endpoint, size_t chains);
void msrp_binding_add(struct msrp_leg *leg);
void msrp_binding_remove(struct msrp_leg *leg);

#endif
