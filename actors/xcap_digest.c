/* HTTP digest (RFC 7616) for XCAP, against the passwords that SIP uses. */
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "actors/admin_worker.h"
#include "actors/offered.h"
#include "actors/settings.h"
#include "actors/xcap.h"
#include "sip/owner.h"

/* The clock of the workers. */
static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_standalone(const struct xcap *x)
{
	return x->server->config->core.mode == MODE_STANDALONE;
}

void xcap_write_challenge(const struct xcap *x, struct buffer *out, bool is_stale)
{
	char nonce[DIGEST_NONCE_CHARS];
	uint64_t random = 0;

	if (is_standalone(x) && getrandom(&random, sizeof(random), 0) == sizeof(random)) {
		digest_nonce_make(nonce, now_ms(), random);
		digest_write_challenge(out, "WWW-Authenticate", slice_str(x->server->config->domain.home),
			slice_of(nonce, sizeof(nonce)), is_stale);
	} else {
		buffer_lit(out, "WWW-Authenticate: Bearer\r\n");
	}
}

/* The path is decoded already, and the uri of the credentials is as the client wrote it. */
static bool uri_is(struct slice uri, const char *path)
{
	char text[DIGEST_VALUE_MAX + 1];
	struct slice root = SLICE(XCAP_ROOT);

	if (slice_case_starts(uri, SLICE("http://"))) {
		struct slice rest;
		(void)slice_cut(slice_skip(uri, 7), '/', &rest);
		uri = rest.p ? slice_of(rest.p - 1, rest.n + 1) : SLICE_EMPTY;
	}
	uri = slice_cut(uri, '?', NULL);
	if (uri.n >= sizeof(text))
		return false;
	memcpy(text, uri.p ? uri.p : "", uri.n);
	text[uri.n] = 0;
	(void)MHD_http_unescape(text);
	return strncmp(text, root.p, root.n) == 0 && strcmp(text + root.n, path) == 0;
}

/* What the worker of the user says. */
static int ask(const struct xcap *x, const struct xcap_request *r, const struct offered *o)
{
	struct admin_question *q = admin_question_make(ADMIN_DIGEST, 0);
	struct slice canonical = slice_of(o->canonical, o->canonical_n);
	int err = ENOMEM;

	if (!q)
		return err;
	memcpy(q->canonical, canonical.p, canonical.n);
	q->canonical_n = canonical.n;
	snprintf(q->method, sizeof(q->method), "%s", r->method);
	q->name = o->name;
	memcpy(q->header, o->header.p, o->header.n);
	q->header_n = o->header.n;
	err = admin_question_ask(q, x->group, sip_owner_of_name(canonical, x->group->count)) ? q->err : ETIMEDOUT;
	admin_question_release(q);
	return err;
}

int xcap_digest(const struct xcap *x, const struct xcap_request *r, struct buffer *canonical)
{
	struct offered o = { .header = slice_str(r->authorization) };
	struct im im = { .server = x->server, .config = x->server->config }; /* the domain, which no reload changes */
	uint64_t minted_ms;

	if (!is_standalone(x) || !r->authorization)
		return ENOENT;
	switch (digest_credentials_decode(o.header, &o.credentials)) {
	case DIGEST_OK:
		break;
	case DIGEST_BAD:
		return EINVAL;
	case DIGEST_OTHER:
	case DIGEST_UNSUPPORTED:
		return ENOENT;
	}
	if (o.header.n > DIGEST_VALUE_MAX || !uri_is(o.credentials.uri, r->path))
		return EINVAL;
	if (!digest_nonce_decode(o.credentials.nonce, &minted_ms) || minted_ms + DIGEST_NONCE_LIFE_MS < now_ms())
		return ESTALE;
	if (!slice_eq(o.credentials.realm, slice_str(im.config->domain.home)) || !offered_name(&im, &o))
		return ENOENT;
	int err = ask(x, r, &o);
	if (!err)
		buffer_put(canonical, slice_of(o.canonical, o.canonical_n));
	return err;
}
