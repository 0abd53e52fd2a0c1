/*
 * What users and operators do to documents (design.md 10): reading, writing and
 * removing one, or a part of it, under the conditions of RFC 4825 and RFC 9110
 * 13.  Both doors lead here, XCAP (actors/xcap.h) and /api/v1/docs (actors/admin_documents.c); who may come in is
 * their business.
 *
 * A change is on the disk, and posted to whom it concerns, before this returns.
 *
 * Thread: those of the HTTP listeners, which may wait; changes for one owner come one after the other.
 */
#ifndef ACTORS_DOCUMENTS_H
#define ACTORS_DOCUMENTS_H

#include "actors/document_store.h"
#include "actors/document_usage.h"

struct documents;

/* What it points to must live until documents_close().  NULL: no memory. */
struct documents *documents_open(struct im_server *server, struct worker_group *group);
void documents_close(struct documents *documents); /* NULL is allowed */

enum document_method { DOCUMENT_READ, DOCUMENT_WRITE, DOCUMENT_REMOVE };

struct document_request {
	enum document_method method;
	struct slice auid, name;
	struct slice owner;       /* canonical */
	bool has_node;
	struct slice node, query; /* what is behind /~~/, decoded, and the query of the URI */
	struct slice type;        /* Content-Type; p NULL: none */
	struct slice body;
	struct slice if_match, if_none_match; /* as received; p NULL: not there */
};

#define DOCUMENT_ETAG_MAX 24
#define DOCUMENT_WHERE_MAX 24

struct document_answer {
	unsigned code;            /* of HTTP */
	const char *error;        /* with 409: the element of RFC 4825 11.2 that says why */
	const char *phrase;       /* for a person, may be ->where; NULL: none */
	char where[DOCUMENT_WHERE_MAX];
	const char *field;        /* with uniqueness-failure */
	unsigned ancestor;        /* with no-parent: octets of ->node that lead to something */
	const char *type;         /* with a body: of what was read */
	const char *allow;        /* with 405 */
	char etag[DOCUMENT_ETAG_MAX]; /* quoted; empty: none */
	char *body;               /* from malloc(), the caller's; NULL: none */
	size_t n;
};

void documents_do(struct documents *documents, const struct document_request *request, struct document_answer *answer);

/* limits.xml_bytes, as it is now. */
size_t documents_max(const struct documents *documents);

/* A name of a document, and not a way out of its folder. */
bool document_name_is_good(struct slice name);

#endif
