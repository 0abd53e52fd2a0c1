#include "actors/recipients.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* Places in the text, which moves as it grows. */
struct recipient {
	size_t at;
	uint32_t uri_n, canonical_n, order;
};

struct slice recipients_uri(const struct recipients *recipients, unsigned i)
{
	const struct recipient *r = &recipients->list[i];

	return slice_of(recipients->text + r->at, r->uri_n);
}

struct slice recipients_canonical(const struct recipients *recipients, unsigned i)
{
	const struct recipient *r = &recipients->list[i];

	return slice_of(recipients->text + r->at + r->uri_n, r->canonical_n);
}

static bool make_room(struct recipients *recipients, size_t octets)
{
	if (recipients->count == recipients->room) {
		unsigned room = recipients->room ? 2 * recipients->room : 8;
		struct recipient *list = realloc(recipients->list, room * sizeof(*list));
		if (!list)
			return false;
		recipients->list = list;
		recipients->room = room;
	}
	if (recipients->text_n + octets > recipients->text_room) {
		size_t room = 2 * (recipients->text_n + octets);
		char *text = realloc(recipients->text, room);
		if (!text)
			return false;
		recipients->text = text;
		recipients->text_room = room;
	}
	return true;
}

int recipients_add(struct recipients *recipients, struct slice uri, struct slice canonical)
{
	if (!make_room(recipients, uri.n + canonical.n))
		return ENOMEM;
	recipients->list[recipients->count] = (struct recipient){ recipients->text_n, (uint32_t)uri.n,
		(uint32_t)canonical.n, recipients->count };
	recipients->count++;
	memcpy(recipients->text + recipients->text_n, uri.p, uri.n);
	memcpy(recipients->text + recipients->text_n + uri.n, canonical.p, canonical.n);
	recipients->text_n += uri.n + canonical.n;
	return 0;
}

static int by_name(const void *a, const void *b, void *text)
{
	const struct recipient *x = a, *y = b;
	size_t n = x->canonical_n < y->canonical_n ? x->canonical_n : y->canonical_n;
	int order = memcmp((char *)text + x->at + x->uri_n, (char *)text + y->at + y->uri_n, n);

	if (order == 0 && x->canonical_n != y->canonical_n)
		order = x->canonical_n < y->canonical_n ? -1 : 1;
	return order ? order : x->order < y->order ? -1 : 1;
}

static int by_order(const void *a, const void *b)
{
	const struct recipient *x = a, *y = b;

	return x->order < y->order ? -1 : 1;
}

void recipients_make_distinct(struct recipients *recipients)
{
	unsigned kept = 0;

	if (!recipients->count)
		return;
	qsort_r(recipients->list, recipients->count, sizeof(*recipients->list), by_name, recipients->text);
	for (unsigned i = 0; i < recipients->count; i++)
		if (i == 0 || !slice_eq(recipients_canonical(recipients, kept - 1), recipients_canonical(recipients, i)))
			recipients->list[kept++] = recipients->list[i];
	recipients->count = kept;
	qsort(recipients->list, kept, sizeof(*recipients->list), by_order);
	for (unsigned i = 0; i < kept; i++)
		recipients->list[i].order = i;
}

bool recipients_have(const struct recipients *recipients, struct slice canonical)
{
	for (unsigned i = 0; i < recipients->count; i++)
		if (slice_eq(recipients_canonical(recipients, i), canonical))
			return true;
	return false;
}

size_t recipients_octets(const struct recipients *recipients)
{
	return recipients->room * sizeof(*recipients->list) + recipients->text_room;
}

void recipients_free(struct recipients *recipients)
{
	free(recipients->list);
	free(recipients->text);
	*recipients = (struct recipients){ 0 };
}
