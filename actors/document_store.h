/*
 * Documents in the store, asked for by threads that are no workers and may wait.
 */
#ifndef ACTORS_DOCUMENT_STORE_H
#define ACTORS_DOCUMENT_STORE_H

#include "actors/im.h"
#include "core/store_documents.h"

#define DOCUMENT_NAME_MAX 255

struct store_door;

/* One document after the other: those of an owner, or of all. */
struct document_cursor {
	struct slice auid;
	bool has_any_owner;
	bool without_uris; /* only those that define no URI: may be set after the beginning */
	char owner[IM_CANONICAL_MAX], name[DOCUMENT_NAME_MAX];
	size_t owner_n, name_n;
	struct store_document_request *found; /* the last one: owner, name, content, etag */
};

/* Reads one.  0 and *found, which the caller frees; or ENOENT, ENOMEM, or what the store said. */
int document_read(struct store_door *door, struct slice auid, struct slice owner, struct slice name,
	struct store_document_request **found);

/* `owner` empty: of all owners. */
void document_cursor_begin(struct document_cursor *cursor, struct slice auid, struct slice owner);
/* ENOENT: that was all. */
int document_cursor_next(struct store_door *door, struct document_cursor *cursor);
void document_cursor_end(struct document_cursor *cursor);

#endif
