/*
 * Content that nobody here sent is collected whole: what a server has stored comes in the shape that it gives it.
 * One message at a time of an endpoint, in chunks of any size.
 */
#include <stdlib.h>

#include "load-tests/msrp_private.h"

#define COLLECT_MAX (64u * 1024)
#define FIRST_SIZE  2048u
#define NAME_MAX_OCTETS 256u

struct msrp_collection {
	bool is_under_way, is_bad; /* bad: reported, the rest of it is passed over */
	uint16_t id_n, type_n;
	char id[NAME_MAX_OCTETS], type[NAME_MAX_OCTETS];
	uint32_t n, size;
	char *octets;
};

static void fault(struct msrp_connection *c, enum flood_error error, const char *what)
{
	c->receiving->collection->is_bad = true;
	c->network->handlers->on_error(c->network, c->receiving, error, what);
}

static uint16_t keep(char into[NAME_MAX_OCTETS], struct slice text)
{
	size_t n = text.n < NAME_MAX_OCTETS ? text.n : NAME_MAX_OCTETS; /* longer ones have no boundary that is found */

	memcpy(into, text.n ? text.p : "", n);
	return (uint16_t)n;
}

void msrp_collect_head(struct msrp_connection *c)
{
	struct msrp_endpoint *e = c->receiving;
	struct msrp_collection *k = e->collection;
	struct slice id = c->parser.message_id;

	if (!k && !(k = e->collection = calloc(1, sizeof(*k)))) {
		c->network->handlers->on_error(c->network, e, FLOOD_BODY, "no memory to collect it");
		return;
	}
	id.n = id.n < NAME_MAX_OCTETS ? id.n : NAME_MAX_OCTETS;
	if (!k->is_under_way || !slice_eq(id, slice_of(k->id, k->id_n))) {
		if (k->is_under_way)
			fault(c, FLOOD_ORDER, "a message began before the end of another");
		k->is_under_way = true;
		k->is_bad = false;
		k->n = 0;
		k->id_n = keep(k->id, id);
		k->type_n = keep(k->type, c->parser.content_type);
	}
	if (!k->is_bad && c->incoming.offset != k->n)
		fault(c, FLOOD_ORDER, "a chunk does not continue its message");
}

static bool make_room(struct msrp_collection *k, size_t n)
{
	uint32_t size = k->size ? k->size : FIRST_SIZE;

	if (n > COLLECT_MAX - k->n)
		return false;
	while (size < k->n + n)
		size *= 2;
	if (size == k->size)
		return true;
	char *grown = realloc(k->octets, size);
	if (!grown)
		return false;
	k->octets = grown;
	k->size = size;
	return true;
}

void msrp_collect_body(struct msrp_connection *c)
{
	struct msrp_collection *k = c->receiving ? c->receiving->collection : NULL;
	struct slice body = c->parser.body;

	if (!k || k->is_bad)
		return;
	if (!make_room(k, body.n)) {
		fault(c, FLOOD_BODY, "a stored message of more than 64 KiB, or no memory for it");
		return;
	}
	memcpy(k->octets + k->n, body.p, body.n);
	k->n += (uint32_t)body.n;
}

/* receiving is NULL already: what ends may be answered by the end of the session. */
void msrp_collect_end(struct msrp_connection *c, struct msrp_endpoint *e)
{
	const struct msrp_handlers *handlers = c->network->handlers;
	struct msrp_collection *k = e->collection;
	uint32_t total = c->incoming.total;

	if (!k || !k->is_under_way || c->parser.flag == '+')
		return;
	k->is_under_way = false;
	if (c->parser.flag == '#')
		handlers->on_error(c->network, e, FLOOD_ABORTED, "message ended with #");
	else if (!k->is_bad && total && total != k->n)
		handlers->on_error(c->network, e, FLOOD_BODY, "a message that is not as long as it said");
	else if (!k->is_bad)
		handlers->on_content(e, slice_of(k->type, k->type_n), slice_of(k->octets, k->n));
}

bool msrp_is_collecting(const struct msrp_endpoint *e)
{
	return e->collection && e->collection->is_under_way;
}

void msrp_collect_drop(struct msrp_endpoint *e)
{
	if (e->collection)
		free(e->collection->octets);
	free(e->collection);
	e->collection = NULL;
}
