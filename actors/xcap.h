/*
 * XCAP (RFC 4825) for the documents of users: /xcap/AUID/users/XUI/DOC[/~~/NODE] (design.md 10).
 *
 * Who asks is, in this order: whoever holds the token of the API (any user's documents); whom a peer of http.trusted
 * asserts by X-XCAP-Asserted-Identity or X-3GPP-Asserted-Identity; in standalone mode whoever proves it by digest.
 * Everybody else gets 401, and for documents of others 403.  `users/XUI` is an address of the home domain.
 *
 * A 409 has the body of RFC 4825 11.2, other refusals a line of text.  xcap-caps/global/index (12) tells the kinds.
 *
 * Thread: those of the HTTP listeners, which may wait.
 */
#ifndef ACTORS_XCAP_H
#define ACTORS_XCAP_H

#include "actors/admin.h"
#include "actors/documents.h"
#include "actors/http_pages.h"

#define XCAP_ROOT "/xcap"

/* Read-only, must outlive the listeners. */
struct xcap {
	struct im_server *server;
	struct worker_group *group;
	struct documents *documents;
	const struct admin *admin; /* NULL: nobody has a token */
};

struct xcap_request {
	const char *method;
	const char *path;          /* behind XCAP_ROOT, escapes decoded */
	const char *host;          /* as the client called us, or NULL */
	struct slice query;
	struct slice body;
	/* headers, or NULL */
	const char *type, *if_match, *if_none_match, *authorization, *xcap_identity, *identity_3gpp;
	struct sockaddr_storage peer;
};

/* Before any body is read: may he?  False: *answer is what he gets, and *why what is counted. */
bool xcap_permits(const struct xcap *xcap, const struct xcap_request *request, struct http_answer *answer, enum reason *why);

/* With the body.  *why as above where answer->code is 400 and more. */
void xcap_answer(const struct xcap *xcap, const struct xcap_request *request, struct http_answer *answer, enum reason *why);

/* ---- xcap_digest.c ---- */

/*
 * Whom the credentials of an Authorization header prove, in `canonical`.  0; ENOENT: it has none of ours, or wrong
 * ones (challenge); ESTALE: their nonce is old (challenge, and say so); EINVAL: against the grammar, or for another
 * resource (400); otherwise nobody can say just now (503).
 */
int xcap_digest(const struct xcap *xcap, const struct xcap_request *request, struct buffer *canonical);
/* The WWW-Authenticate lines, each with CRLF. */
void xcap_write_challenge(const struct xcap *xcap, struct buffer *out, bool is_stale);

#endif
