/*
 * What a connection needs only while a chunk is coming in: the parser, and what
 * is known of the chunk.  Most connections are idle most of the time, so they
 * take it when octets arrive and give it back when all of them were used up at
 * the end of a chunk.  The worker keeps one at hand: a chunk that comes whole costs
 * two assignments.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_READING_H
#define MSRP_READING_H

#include "msrp/endpoint.h"

struct msrp_reading {
	struct msrp_parser parser;
	struct msrp_incoming in;
};

/* 0 or ENOMEM. */
int msrp_readings_init(struct msrp_endpoint *endpoint, unsigned max);
/* No connection has one any more. */
void msrp_readings_free(struct msrp_endpoint *endpoint);

/* Of a new connection: no chunk is open. */
void msrp_reading_none(struct msrp_connection *c);

/* From here on c->parser is there and c->in may be written.  False: no memory, the connection is lost. */
bool msrp_reading_begin(struct msrp_connection *c);
/* Nothing is parsed any more for now. */
void msrp_reading_end(struct msrp_connection *c);

/* The connection ends, wherever it is. */
void msrp_reading_drop(struct msrp_connection *c);

#endif
