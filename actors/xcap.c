#include "actors/xcap.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/admin_internal.h"
#include "actors/settings.h"
#include "core/xml_place.h"

#define PLAIN      "text/plain; charset=utf-8"
#define ERROR_TYPE "application/xcap-error+xml"
#define CAPS_TYPE  "application/xcap-caps+xml"
#define METHODS    "GET, HEAD, PUT, DELETE"

/* RFC 4825 12.  Which kinds there are is in document_usage.c. */
static const char caps[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<xcap-caps xmlns=\"urn:ietf:params:xml:ns:xcap-caps\">\n"
	"<auids><auid>xcap-caps</auid><auid>resource-lists</auid><auid>org.openmobilealliance.groups</auid>"
	"<auid>org.openmobilealliance.im-rules</auid><auid>org.openmobilealliance.deferred-list</auid></auids>\n"
	"<extensions/>\n"
	"<namespaces><namespace>urn:ietf:params:xml:ns:xcap-caps</namespace>"
	"<namespace>urn:ietf:params:xml:ns:resource-lists</namespace>"
	"<namespace>urn:ietf:params:xml:ns:common-policy</namespace>"
	"<namespace>urn:oma:xml:poc:list-service</namespace><namespace>urn:imserv:deferred-list</namespace></namespaces>\n"
	"</xcap-caps>\n";

/* What a path names. */
struct place {
	struct slice auid, user, name, node;
	bool has_node, is_caps;
	struct admin_user_name owner; /* of `user` */
};

/* ---- answers ---- */

static void answer_text(struct http_answer *answer, unsigned code, const char *text)
{
	int n;

	*answer = (struct http_answer){ .code = code, .type = PLAIN };
	n = asprintf(&answer->body, "%s\n", text);
	answer->n = n < 0 ? 0 : (size_t)n;
	if (n < 0)
		answer->body = NULL; /* then the connection is closed */
}

static void put_path(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
				(c && strchr("-._~/:@*=;", c));
		buffer_printf(out, is_plain ? "%c" : "%%%02X", c);
	}
}

/* The closest thing that is there (RFC 4825 11.2). */
static void put_ancestor(struct buffer *out, const struct xcap_request *r, const struct place *place, unsigned node_n)
{
	const char *node = strstr(r->path, "/~~/");
	size_t n = node && node_n ? (size_t)(node - r->path) + 4 + node_n : (size_t)(place->name.p - r->path) - 1;

	if (!r->host)
		return;
	buffer_lit(out, "<ancestor>http://");
	xml_place_escape(out, slice_str(r->host));
	buffer_lit(out, XCAP_ROOT);
	put_path(out, slice_of(r->path, n));
	buffer_lit(out, "</ancestor>");
}

static void answer_conflict(const struct xcap_request *r, const struct place *place, const struct document_answer *d,
	struct http_answer *answer)
{
	size_t size = 1024 + 3 * strlen(r->path) + (r->host ? 6 * strlen(r->host) : 0);
	struct buffer out = buffer_over(malloc(size), size);

	*answer = (struct http_answer){ .code = 409, .type = ERROR_TYPE, .body = out.p };
	if (!out.p)
		return;
	buffer_lit(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-error xmlns=\"urn:ietf:params:xml:ns:xcap-error\">");
	buffer_printf(&out, "<%s", d->error);
	if (d->phrase) {
		buffer_lit(&out, " phrase=\"");
		xml_place_escape(&out, slice_str(d->phrase));
		buffer_char(&out, '"');
	}
	buffer_char(&out, '>');
	if (strcmp(d->error, "no-parent") == 0)
		put_ancestor(&out, r, place, d->ancestor);
	if (d->field)
		buffer_printf(&out, "<exists field=\"%s\"/>", d->field);
	buffer_printf(&out, "</%s></xcap-error>\n", d->error);
	answer->n = out.n;
}

static void answer_document(const struct xcap_request *r, const struct place *place, struct document_answer *d,
	struct http_answer *answer)
{
	if (d->code == 409) {
		answer_conflict(r, place, d, answer);
	} else if (d->code == 415 && d->phrase) {
		char text[128];
		snprintf(text, sizeof(text), "expected Content-Type: %s", d->phrase);
		answer_text(answer, d->code, text);
	} else if (d->code >= 400) {
		answer_text(answer, d->code, d->phrase ? d->phrase : "refused");
	} else {
		*answer = (struct http_answer){ .code = d->code, .type = d->type, .body = d->body, .n = d->n };
		if (!d->body)
			answer->body = strdup("");
	}
	answer->allow = d->allow;
	memcpy(answer->etag, d->etag, sizeof(answer->etag));
}

/* ---- the path ---- */

/* The slash before DOC is the last one: an XUI may have some. */
static bool read_place(const struct xcap *x, const char *path, struct place *place)
{
	const char *node = strstr(path, "/~~/");
	struct slice rest = slice_of(path, node ? (size_t)(node - path) : strlen(path)), tree;
	char user[IM_CANONICAL_MAX];

	*place = (struct place){ .has_node = node, .node = slice_str(node ? node + 4 : NULL) };
	if (!slice_starts(rest, SLICE("/")))
		return false;
	place->auid = slice_cut(slice_skip(rest, 1), '/', &rest);
	tree = slice_cut(rest, '/', &rest);
	place->is_caps = slice_eq(place->auid, SLICE("xcap-caps")) && slice_eq(tree, SLICE("global")) &&
			 slice_eq(rest, SLICE("index")) && !node;
	const char *slash = rest.n ? memrchr(rest.p, '/', rest.n) : NULL;
	if (place->is_caps || !slice_eq(tree, SLICE("users")) || !slash)
		return place->is_caps;
	place->user = slice_of(rest.p, (size_t)(slash - rest.p));
	place->name = slice_skip(rest, place->user.n + 1);
	if (place->user.n >= sizeof(user))
		return false;
	memcpy(user, place->user.p, place->user.n);
	user[place->user.n] = 0;
	return admin_read_name(&x->server->sip.home, user, &place->owner);
}

/* ---- who asks ---- */

enum who { WHO_ANYBODY, WHO_IS, WHO_UNKNOWN, WHO_REFUSED };

/* `"sip:a@b"`, `<sip:a@b>`, several with commas: one of them is he. */
static bool asserts(const struct xcap *x, const char *header, struct slice owner)
{
	struct slice rest = slice_str(header);
	struct admin_user_name name;
	char text[IM_CANONICAL_MAX];

	while (rest.p) {
		struct slice one = slice_trim(slice_cut(rest, ',', &rest));
		while (one.n && strchr("\"<", one.p[0]))
			one = slice_skip(one, 1);
		while (one.n && strchr("\">", one.p[one.n - 1]))
			one.n--;
		if (one.n >= sizeof(text))
			continue;
		memcpy(text, one.p, one.n);
		text[one.n] = 0;
		if (admin_read_name(&x->server->sip.home, text, &name) &&
		    slice_eq(slice_of(name.canonical, name.canonical_n), owner))
			return true;
	}
	return false;
}

static bool peer_is_trusted(const struct xcap *x, const struct xcap_request *r)
{
	struct im_settings *settings = settings_take(x->server);
	bool is = network_list_has(&settings->config->http.trusted, (const struct sockaddr *)&r->peer);

	settings_drop(settings);
	return is;
}

static void answer_unknown(const struct xcap *x, struct http_answer *answer, bool is_stale)
{
	char *lines = malloc(1024);
	struct buffer out = buffer_over(lines, lines ? 1024 : 0);

	answer_text(answer, 401, x->server->config->core.mode == MODE_STANDALONE ?
		"who are you? expected Digest with the user's name and password, or Bearer and the token of http.token_file" :
		"who are you? expected an asserted identity from http.trusted, or Bearer and the token of http.token_file");
	xcap_write_challenge(x, &out, is_stale);
	buffer_char(&out, 0);
	if (out.overflow)
		free(lines); /* standing without challenges is better than none at all */
	else
		answer->challenges = lines;
}

static enum who ask_digest(const struct xcap *x, const struct xcap_request *r, struct slice owner, struct http_answer *answer,
	enum reason *why)
{
	char canonical[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	int err = xcap_digest(x, r, &out);

	*why = err == ESTALE ? REASON_NONCE_STALE : r->authorization ? REASON_CREDENTIALS : REASON_XCAP_IDENTITY;
	switch (err) {
	case 0:
		return slice_eq(buffer_slice(&out), owner) ? WHO_IS : WHO_REFUSED;
	case ENOENT:
	case ESTALE:
		answer_unknown(x, answer, err == ESTALE);
		return WHO_UNKNOWN;
	case EINVAL:
		answer_text(answer, 400, "credentials that cannot be read, or for something else");
		return WHO_UNKNOWN;
	default:
		*why = err == ENOMEM ? REASON_NO_MEMORY : REASON_STORE;
		answer_text(answer, 503, "the user could not be looked up");
		return WHO_UNKNOWN;
	}
}

/* WHO_UNKNOWN: *answer is made.  `owner` empty: nobody's, any identity will do. */
static enum who find_out(const struct xcap *x, const struct xcap_request *r, struct slice owner, struct http_answer *answer,
	enum reason *why)
{
	if (x->admin && admin_token_is(x->admin, r->authorization))
		return WHO_ANYBODY;
	*why = REASON_XCAP_IDENTITY;
	if ((r->xcap_identity || r->identity_3gpp) && peer_is_trusted(x, r))
		return owner.n == 0 || (r->xcap_identity && asserts(x, r->xcap_identity, owner)) ||
			       (r->identity_3gpp && asserts(x, r->identity_3gpp, owner)) ? WHO_IS : WHO_REFUSED;
	return ask_digest(x, r, owner, answer, why);
}

static bool is_method(const char *method, bool is_caps)
{
	static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE" };

	for (size_t i = 0; i < (is_caps ? 2 : 4); i++)
		if (strcmp(method, methods[i]) == 0)
			return true;
	return false;
}

bool xcap_permits(const struct xcap *x, const struct xcap_request *r, struct http_answer *answer, enum reason *why)
{
	struct place place;
	bool is_place = read_place(x, r->path, &place);
	enum who who = find_out(x, r, slice_of(place.owner.canonical, place.owner.canonical_n), answer, why);

	if (who == WHO_UNKNOWN)
		return false;
	*why = REASON_XCAP_IDENTITY;
	if (who == WHO_REFUSED && !place.is_caps) {
		answer_text(answer, 403, "not yours");
		return false;
	}
	*why = REASON_DOCUMENT;
	if (!is_place) {
		answer_text(answer, 404, "no such resource: expected " XCAP_ROOT "/AUID/users/sip:USER@HOME_DOMAIN/NAME");
		return false;
	}
	if (!is_method(r->method, place.is_caps)) {
		answer_text(answer, 405, "not with this method");
		answer->allow = place.is_caps ? "GET, HEAD" : METHODS;
		return false;
	}
	return true;
}

/* ---- doing it ---- */

static struct slice header(const char *value)
{
	return value ? slice_str(value) : SLICE_EMPTY;
}

void xcap_answer(const struct xcap *x, const struct xcap_request *r, struct http_answer *answer, enum reason *why)
{
	struct document_answer d;
	struct place place;

	*why = REASON_DOCUMENT;
	if (!read_place(x, r->path, &place)) {
		answer_text(answer, 404, "no such resource"); /* cannot be: it was permitted */
		return;
	}
	if (place.is_caps) {
		*answer = (struct http_answer){ .code = 200, .type = CAPS_TYPE, .body = strdup(caps), .n = sizeof(caps) - 1 };
		return;
	}
	documents_do(x->documents, &(struct document_request){
		.method = r->method[0] == 'P' ? DOCUMENT_WRITE : r->method[0] == 'D' ? DOCUMENT_REMOVE : DOCUMENT_READ,
		.auid = place.auid, .name = place.name, .owner = slice_of(place.owner.canonical, place.owner.canonical_n),
		.has_node = place.has_node, .node = place.node, .query = r->query, .type = header(r->type), .body = r->body,
		.if_match = header(r->if_match), .if_none_match = header(r->if_none_match) }, &d);
	answer_document(r, &place, &d, answer);
}
