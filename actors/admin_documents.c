/* Documents of users in the admin API: /api/v1/docs/AUID/XUI/NAME, for operators. */
#include <stdlib.h>
#include <string.h>

#include "actors/admin_internal.h"
#include "actors/documents.h"

/* AUID/XUI/NAME, decoded: an XUI may have slashes.  False: `answer` says what is wrong. */
static bool read_path(struct admin *admin, const char *path, struct document_request *r, struct admin_user_name *owner,
	struct admin_answer *answer)
{
	struct slice rest;
	char user[IM_CANONICAL_MAX];

	r->auid = slice_cut(slice_str(path), '/', &rest);
	const char *slash = rest.n ? memrchr(rest.p, '/', rest.n) : NULL;
	size_t n = slash ? (size_t)(slash - rest.p) : 0;
	if (!slash || n >= sizeof(user)) {
		admin_error(answer, 404, "expected docs/AUID/XUI/NAME");
		return false;
	}
	memcpy(user, rest.p, n);
	user[n] = 0;
	r->name = slice_skip(rest, n + 1);
	if (!admin_read_user(admin, user, owner)) {
		admin_error(answer, 400, "expected a user of the home domain: NAME, NAME@DOMAIN or sip:NAME@DOMAIN");
		return false;
	}
	r->owner = slice_of(owner->canonical, owner->canonical_n);
	return true;
}

static void answer_refused(const struct document_answer *d, struct admin_answer *answer)
{
	char reason[256];

	snprintf(reason, sizeof(reason), "%s%s%s%s%s%s", d->error ? d->error : "", d->error && d->phrase ? ": " : "",
		d->phrase ? d->phrase : "", d->field ? " (" : "", d->field ? d->field : "", d->field ? ")" : "");
	admin_error(answer, d->code, d->code == 415 ? "not the Content-Type of such documents" : reason);
}

static void answer_done(struct document_answer *d, bool exists, struct admin_answer *answer)
{
	if (d->type || d->code == 304) { /* the document itself */
		*answer = (struct admin_answer){ .code = d->code, .body = d->body ? d->body : strdup(""), .n = d->n, .type = d->type };
	} else {
		admin_answer_json(answer, d->code, json_pack("{s:b}", "exists", (int)exists));
	}
	memcpy(answer->etag, d->etag, sizeof(answer->etag));
}

void admin_on_document(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	bool is_get = strcmp(request->method, "GET") == 0, is_put = strcmp(request->method, "PUT") == 0;
	struct document_request r = { .method = is_get ? DOCUMENT_READ : is_put ? DOCUMENT_WRITE : DOCUMENT_REMOVE,
		.body = request->body, .type = slice_str(request->type), .if_match = slice_str(request->if_match),
		.if_none_match = slice_str(request->if_none_match) };
	struct admin_user_name owner;
	struct document_answer d;

	if (!is_get && !is_put && strcmp(request->method, "DELETE") != 0) {
		admin_answer_method(answer, "GET, PUT, DELETE");
		return;
	}
	if (!read_path(admin, request->path, &r, &owner, answer))
		return;
	const struct document_usage *usage = document_usage_of(r.auid);
	if (usage && !r.type.p) /* an operator need not know; one that says something else is asked again */
		r.type = slice_str(usage->media_type);
	documents_do(admin->source.documents, &r, &d);
	if (d.code >= 400)
		answer_refused(&d, answer);
	else
		answer_done(&d, is_put, answer);
}
