#include "msrp/reading.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "msrp/connection.h"

/* WAY_NONE.  Constant, so that who writes to it without msrp_reading_begin() is found at once. */
static const struct msrp_incoming nothing;

int msrp_readings_init(struct msrp_endpoint *endpoint, unsigned max)
{
	return pool_init(&endpoint->readings, "msrp readings", sizeof(struct msrp_reading), max + 1);
}

void msrp_readings_free(struct msrp_endpoint *endpoint)
{
	if (endpoint->spare_reading)
		pool_give(&endpoint->readings, endpoint->spare_reading);
	endpoint->spare_reading = NULL;
	if (endpoint->readings.slabs)
		pool_free(&endpoint->readings);
}

void msrp_reading_none(struct msrp_connection *c)
{
	c->parser = NULL;
	c->in = (struct msrp_incoming *)&nothing;
}

static struct msrp_reading *take(struct msrp_endpoint *endpoint)
{
	struct msrp_reading *reading = endpoint->spare_reading;

	if (!reading && (reading = pool_take(&endpoint->readings)))
		msrp_parser_init(&reading->parser, &endpoint->parser_limits);
	endpoint->spare_reading = NULL;
	return reading;
}

bool msrp_reading_begin(struct msrp_connection *c)
{
	struct msrp_reading *reading;

	if (c->parser)
		return true;
	reading = take(c->endpoint);
	if (!reading) {
		msrp_connection_lose(c, REASON_NO_MEMORY);
		return false;
	}
	c->parser = &reading->parser;
	c->in = &reading->in;
	return true;
}

static struct msrp_reading *reading_of(struct msrp_connection *c)
{
	return (struct msrp_reading *)((char *)c->parser - offsetof(struct msrp_reading, parser));
}

void msrp_reading_end(struct msrp_connection *c)
{
	struct msrp_endpoint *endpoint = c->endpoint;

	if (c->is_lost || c->in->way != WAY_NONE || c->held.n)
		return; /* it goes on with what comes next, or tells of it at its end */
	assert(c->parser->state == MSRP_IN_HEAD);
	if (endpoint->spare_reading)
		pool_give(&endpoint->readings, reading_of(c));
	else
		endpoint->spare_reading = reading_of(c);
	msrp_reading_none(c);
}

void msrp_reading_drop(struct msrp_connection *c)
{
	if (!c->parser)
		return;
	free(c->in->head_copy);
	pool_give(&c->endpoint->readings, reading_of(c));
	msrp_reading_none(c);
}
