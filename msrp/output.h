/*
 * What a connection sends: whole chunks, or pieces of the one that is open on
 * it, into the stream's queue or, on a proxy, into a message to its home.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_OUTPUT_H
#define MSRP_OUTPUT_H

#include "msrp/endpoint.h"

/*
 * Room for a whole chunk or piece of one at the end of what is to be sent; then commit what was
 * written.  A chunk that `writer` did not open is ended with '+' before that, for chunks do not
 * interleave.  NULL: the connection is lost.
 */
char *msrp_output_reserve(struct msrp_connection *c, size_t n,
	const struct msrp_connection *writer);
void msrp_output_commit(struct msrp_connection *c, size_t n);

bool msrp_output_write(struct msrp_connection *c, struct slice octets,
	const struct msrp_connection *writer); /* false: lost */

/* Octets written and not yet sent. */
size_t msrp_output_queued(const struct msrp_connection *c);

#endif
