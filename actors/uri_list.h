/*
 * The URI list that a request carries beside its other body (RFC 5363; RFC 4826 for its XML):
 * application/resource-lists+xml with `Content-Disposition: recipient-list`, alone or as a part of a
 * multipart.
 *
 * Any thread.
 */
#ifndef ACTORS_URI_LIST_H
#define ACTORS_URI_LIST_H

#include "sip/message.h"

struct limits_options;

#define URI_LIST_CID_MAX 256

enum uri_list_verdict {
	URI_LIST_OK,
	URI_LIST_NONE,      /* the request has none                                        */
	URI_LIST_MALFORMED, /* 400 (design.md 13, D2-41): its multipart, its XML, an entry without URI, one that is defined
	                     * elsewhere (entry-ref, external)                               */
	URI_LIST_TOO_MANY,  /* 400: more entries than limits.uri_list                        */
	URI_LIST_TOO_LARGE, /* 413: more octets than limits.xml_bytes                        */
	URI_LIST_NO_MEMORY,
};

struct uri_list {
	unsigned count;
	struct slice *uris; /* heap, one block with their text: as written, without references */
};

/* OK: *out is the caller's, to be freed by uri_list_free().  Lists within lists count as one. */
enum uri_list_verdict uri_list_read(struct uri_list *out, const struct sip_message *m, const struct limits_options *limits);
/* The list whose Content-ID a cid: URL names (RFC 5368; RFC 2392): `cid` is what follows the colon. */
enum uri_list_verdict uri_list_read_named(struct uri_list *out, const struct sip_message *m, struct slice cid,
	const struct limits_options *limits);
void uri_list_free(struct uri_list *list); /* of one that was read, or is all zero */

/* Does a part of the body, or all of it, call itself a recipient list?  Whoever takes none must say so instead of dropping
 * it (RFC 5363 3; design.md 13).  `depth`: limits.mime_depth. */
bool uri_list_is_there(const struct sip_message *m, unsigned depth);

/* Is a body, or a part of one, with these headers such a list?  Without a Content-Disposition too. */
bool uri_list_is_one(struct slice content_type, struct slice content_disposition);

#endif
