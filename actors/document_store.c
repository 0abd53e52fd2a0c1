#include "actors/document_store.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/store_actor.h"

#define FIRST_ROOM 8192 /* most are smaller; for others it is asked twice */

/* *found has at least `room`, or what the document needs. */
static int ask(struct store_door *door, const struct store_document_request *what, struct store_document_request **found)
{
	size_t room = FIRST_ROOM;

	for (;;) {
		struct store_document_request *r = calloc(1, sizeof(*r) + room);
		if (!r)
			return ENOMEM;
		*r = *what;
		r->room = room;
		int err = store_ask_and_wait(door, &r->request);
		if (!err) {
			*found = r;
			return 0;
		}
		room = r->size; /* it may have grown in between: then once more */
		free(r);
		if (err != EMSGSIZE)
			return err;
	}
}

int document_read(struct store_door *door, struct slice auid, struct slice owner, struct slice name,
	struct store_document_request **found)
{
	struct store_document_request what = { .request.kind = STORE_DOCUMENT_GET, .auid = auid, .owner = owner, .name = name };

	return ask(door, &what, found);
}

void document_cursor_begin(struct document_cursor *c, struct slice auid, struct slice owner)
{
	*c = (struct document_cursor){ .auid = auid, .has_any_owner = owner.n == 0, .owner_n = owner.n };
	if (owner.n)
		memcpy(c->owner, owner.p, owner.n);
}

int document_cursor_next(struct store_door *door, struct document_cursor *c)
{
	struct store_document_request what = { .request.kind = STORE_DOCUMENT_NEXT, .auid = c->auid,
		.owner = slice_of(c->owner, c->owner_n), .name = slice_of(c->name, c->name_n),
		.has_any_owner = c->has_any_owner, .without_uris = c->without_uris };

	document_cursor_end(c);
	int err = ask(door, &what, &c->found);
	if (err)
		return err;
	if (c->found->owner.n > sizeof(c->owner) || c->found->name.n > sizeof(c->name)) /* not put there by us */
		return EIO;
	c->owner_n = c->found->owner.n;
	memcpy(c->owner, c->found->owner.p, c->owner_n);
	c->name_n = c->found->name.n;
	memcpy(c->name, c->found->name.p, c->name_n);
	return 0;
}

void document_cursor_end(struct document_cursor *c)
{
	free(c->found);
	c->found = NULL;
}
