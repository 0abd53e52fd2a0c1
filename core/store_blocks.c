/* Makes the requests of core/store_deferred.h: one block each, with copies of what they are given. */
#include <stdlib.h>

#include "core/store_deferred.h"

static struct slice copy(char **at, struct slice text)
{
	struct slice copied = { *at, text.n };

	if (text.n)
		memcpy(*at, text.p, text.n);
	*at += text.n;
	return copied;
}

static void *make(enum store_kind kind, size_t n)
{
	struct store_request *request = calloc(1, n);

	if (request)
		request->kind = kind;
	return request;
}

/* Without clearing what will be written anyway. */
static void *make_with_room(enum store_kind kind, size_t head, size_t room)
{
	struct store_request *request = malloc(head + room);

	if (!request)
		return NULL;
	memset(request, 0, head);
	request->kind = kind;
	return request;
}

struct store_deferred_put *store_deferred_put_new(enum store_kind kind, struct slice mailbox,
	const struct store_deferred *m)
{
	size_t n = mailbox.n + m->id.n + m->call_id.n + m->head.n + m->msrp.n + m->summary.n + m->content.n;
	struct store_deferred_put *r = make_with_room(kind, sizeof(*r), n);

	if (!r)
		return NULL;
	char *at = r->text;
	r->request.octets = (uint32_t)n;
	r->message = *m;
	r->mailbox = copy(&at, mailbox);
	r->message.id = copy(&at, m->id);
	r->message.call_id = copy(&at, m->call_id);
	r->message.head = copy(&at, m->head);
	r->message.msrp = copy(&at, m->msrp);
	r->message.summary = copy(&at, m->summary);
	r->message.content = copy(&at, m->content);
	return r;
}

struct store_content_put *store_content_put_new(uint64_t upload, uint64_t offset, struct slice piece)
{
	struct store_content_put *r = make_with_room(STORE_CONTENT_PUT, sizeof(*r), piece.n);

	if (!r)
		return NULL;
	char *at = r->text;
	r->request.octets = (uint32_t)piece.n;
	r->upload = upload;
	r->offset = offset;
	r->piece = copy(&at, piece);
	return r;
}

struct store_deferred_close *store_deferred_close_new(uint64_t upload, uint64_t offset, struct slice piece,
	struct slice msrp)
{
	struct store_deferred_close *r = make_with_room(STORE_DEFERRED_CLOSE, sizeof(*r), piece.n + msrp.n);

	if (!r)
		return NULL;
	char *at = r->text;
	r->request.octets = (uint32_t)piece.n;
	r->upload = upload;
	r->offset = offset;
	r->piece = copy(&at, piece);
	r->msrp = copy(&at, msrp);
	return r;
}

struct store_deferred_abort *store_deferred_abort_new(uint64_t upload)
{
	struct store_deferred_abort *r = make(STORE_DEFERRED_ABORT, sizeof(*r));

	if (r)
		r->upload = upload;
	return r;
}

/* The mailbox stands behind the room: answers begin at text[0]. */
struct store_deferred_next *store_deferred_next_new(struct slice mailbox, uint32_t room)
{
	struct store_deferred_next *r = make_with_room(STORE_DEFERRED_NEXT, sizeof(*r), room + mailbox.n);

	if (!r)
		return NULL;
	char *at = r->text + room;
	r->room = room;
	r->mailbox = copy(&at, mailbox);
	return r;
}

struct store_deferred_find *store_deferred_find_new(struct slice mailbox, struct slice key, uint32_t room)
{
	struct store_deferred_find *r = make_with_room(STORE_DEFERRED_FIND, sizeof(*r), room + mailbox.n + key.n);

	if (!r)
		return NULL;
	char *at = r->text + room;
	r->room = room;
	r->mailbox = copy(&at, mailbox);
	r->key = copy(&at, key);
	return r;
}

struct store_content_get *store_content_get_new(uint64_t position, uint64_t offset)
{
	struct store_content_get *r = make_with_room(STORE_CONTENT_GET, offsetof(struct store_content_get, text),
		sizeof(r->text));

	if (!r)
		return NULL;
	r->position = position;
	r->offset = offset;
	r->upload = 0;
	return r;
}

struct store_deferred_remove *store_deferred_remove_new(struct slice mailbox)
{
	struct store_deferred_remove *r = make_with_room(STORE_DEFERRED_REMOVE, sizeof(*r), mailbox.n);

	if (!r)
		return NULL;
	char *at = r->text;
	r->mailbox = copy(&at, mailbox);
	return r;
}

struct store_deferred_sweep *store_deferred_sweep_new(uint64_t now_s)
{
	struct store_deferred_sweep *r = make_with_room(STORE_DEFERRED_SWEEP,
		offsetof(struct store_deferred_sweep, text), sizeof(r->text));

	if (r)
		r->now_s = now_s;
	return r;
}

struct store_deferred_summary *store_deferred_summary_new(struct slice mailbox, uint32_t room)
{
	struct store_deferred_summary *r = make_with_room(STORE_DEFERRED_SUMMARY, sizeof(*r), room + mailbox.n);

	if (!r)
		return NULL;
	char *at = r->text + room;
	r->room = room;
	r->mailbox = copy(&at, mailbox);
	return r;
}
