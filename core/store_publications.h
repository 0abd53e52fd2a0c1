/*
 * Settings that users published (RFC 3903), as the store keeps them: soft state with an expiry, one row for each
 * entity-tag.  What of a document counts is small enough to be kept instead of its text.
 */
#ifndef CORE_STORE_PUBLICATIONS_H
#define CORE_STORE_PUBLICATIONS_H

#include "core/store.h"

#define STORE_ETAG_CHARS 32
#define STORE_PUBLICATIONS_GONE 2

struct store_publication {
	char user[STORE_NAME_MAX]; /* canonical, no terminator */
	uint16_t user_n;
	char etag[STORE_ETAG_CHARS]; /* no terminator */
	uint32_t known, on;          /* bits: settings it has, and which of them are on */
	uint64_t updated;            /* grows with each change of a user's settings: which came later */
	uint64_t expires_at_s;       /* since 1970 */
};

/* STORE_PUBLICATION_PUT: the rows with the tags `gone` go, and `publication` comes.
 * STORE_PUBLICATION_DELETE: they go; of `publication` only the user counts.  Tags that nobody has are no error. */
struct store_publication_request {
	struct store_request request;
	struct store_publication publication;
	unsigned gone_count;
	char gone[STORE_PUBLICATIONS_GONE][STORE_ETAG_CHARS];
};

#define STORE_PUBLICATIONS_PAGE 64

/* STORE_PUBLICATION_LOAD: those not yet expired at `now_s`, in the order of their rows, a page at a time. */
struct store_publication_load {
	struct store_request request;
	uint64_t now_s;
	int64_t after; /* 0: from the first; the store sets it for the next page */
	/* ---- written by the store ---- */
	unsigned count; /* fewer than a page: the last */
	struct store_publication rows[STORE_PUBLICATIONS_PAGE];
};

#endif
