/*
 * Documents of users in the store (design.md 10, RFC 4825): XML that a client
 * or an operator wrote, by application usage (auid), owner (canonical name) and
 * document name.  Requests to core/store.h; what is in them is not looked at.
 *
 * Every version of every document has an entity tag of its own, which grows and
 * is never given twice, not even for a document that was deleted in between.
 */
#ifndef CORE_STORE_DOCUMENTS_H
#define CORE_STORE_DOCUMENTS_H

#include "core/store.h"

#define STORE_DOCUMENTS_MAX 100 /* of one owner in one application usage */

/* What must be so for a put or delete to be done; otherwise EEXIST, and `etag` says what is there (0: nothing). */
enum store_document_condition {
	STORE_DOCUMENT_ANY,
	STORE_DOCUMENT_ABSENT,
	STORE_DOCUMENT_IS, /* it is there, in the version `expected` */
};

/*
 * STORE_DOCUMENT_PUT     makes or replaces; `etag` is the new version, `existed`: replaced.  EDQUOT: the owner has
 *                        STORE_DOCUMENTS_MAX of them.  The document defines `uris`, in place of those of the version
 *                        before.  EADDRINUSE: another one of the same usage defines one of them, `uri`.
 * STORE_DOCUMENT_GET     `content` and `etag`.  ENOENT.
 * STORE_DOCUMENT_DELETE  `etag`: the version that went.  ENOENT.
 * STORE_DOCUMENT_NEXT    the document after `name` in the order of names, for an owner; with `has_any_owner` the one
 *                        after (owner, name) of all owners.  Fills owner, name, content, etag.  ENOENT: that was all.
 *                        With `without_uris` only those that define no URI; has_any_owner must be set, too.
 * STORE_DOCUMENT_FIND    the document that defines `uri`.  Fills owner, name, content, etag.  ENOENT.
 *
 * What the store writes into owner, name and content is in `text`, which has `room` octets.  EMSGSIZE: it needs
 * `size` octets; nothing else was written.
 */
struct store_document_request {
	struct store_request request;
	struct slice auid, owner, name;
	struct slice content;
	enum store_document_condition condition;
	uint64_t expected;
	bool has_any_owner, without_uris;
	const struct slice *uris; /* each once */
	unsigned uri_count;
	struct slice uri;
	size_t room;
	/* ---- written by the store ---- */
	bool existed;
	uint64_t etag;
	size_t size;
	char text[];
};

#endif
