#include "actors/documents.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/access_rules.h"
#include "actors/deferred_list.h"
#include "actors/group_documents.h"
#include "actors/settings.h"
#include "actors/store_actor.h"
#include "actors/xcap_node.h"
#include "core/log.h"
#include "core/siphash.h"
#include "sip/header.h"

#define LOCKS 64

#define XCAP_ELEMENT_TYPE    "application/xcap-el+xml"
#define XCAP_ATTRIBUTE_TYPE  "application/xcap-att+xml"
#define XCAP_NAMESPACES_TYPE "application/xcap-ns+xml"

struct documents {
	struct im_server *server;
	struct worker_group *group;
	/* One owner's changes, and what is posted of them, keep their order; a reader needs none. */
	pthread_mutex_t locks[LOCKS];
};

/* One request on its way. */
struct visit {
	struct documents *documents;
	const struct document_request *request;
	struct document_answer *answer;
	const struct document_usage *usage;
	const struct im_settings *settings;
	struct xcap_node node;                /* with request->has_node */
	struct store_document_request *found; /* NULL: there is no such document */
};

struct documents *documents_open(struct im_server *server, struct worker_group *group)
{
	struct documents *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->server = server;
	d->group = group;
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&d->locks[i], NULL);
	return d;
}

void documents_close(struct documents *d)
{
	for (int i = 0; d && i < LOCKS; i++)
		pthread_mutex_destroy(&d->locks[i]);
	free(d);
}

size_t documents_max(const struct documents *d)
{
	struct im_settings *settings = settings_take(d->server);
	size_t n = settings->config->limits.xml_bytes;

	settings_drop(settings);
	return n;
}

bool document_name_is_good(struct slice name)
{
	if (name.n == 0 || name.n > DOCUMENT_NAME_MAX || slice_eq(name, SLICE(".")) || slice_eq(name, SLICE("..")))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ' || name.p[i] == '/' || name.p[i] == 0x7f)
			return false;
	return true;
}

/* ---- answers ---- */

static void answer_code(struct visit *v, unsigned code, const char *phrase)
{
	v->answer->code = code;
	v->answer->phrase = phrase;
}

/* RFC 4825 11.2 */
static void answer_conflict(struct visit *v, const char *error, const char *phrase)
{
	answer_code(v, 409, phrase);
	v->answer->error = error;
}

static void answer_store(struct visit *v, int err)
{
	if (err == EADDRINUSE) {
		answer_conflict(v, "uniqueness-failure", "another group has that name");
		v->answer->field = "list-service/@uri";
	} else if (err == E2BIG) {
		answer_conflict(v, "constraint-failure", "more groups than one document may have");
	} else if (err == EDQUOT)
		answer_code(v, 507, "as many documents, or rules in them, as one user may have");
	else
		answer_code(v, 503, err == ENOMEM ? "no memory" : err == EEXIST ? "somebody else changed it" :
			"the store could not read or write it");
}

static void write_etag(char etag[DOCUMENT_ETAG_MAX], uint64_t version)
{
	snprintf(etag, DOCUMENT_ETAG_MAX, "\"%llx\"", (unsigned long long)version);
}

/* ---- conditions, RFC 9110 13.1 ---- */

static bool names_version(struct slice list, uint64_t version, bool weak_counts)
{
	char etag[DOCUMENT_ETAG_MAX];

	write_etag(etag, version);
	while (list.p) {
		struct slice tag = slice_trim(slice_cut(list, ',', &list));
		if (weak_counts && slice_starts(tag, SLICE("W/")))
			tag = slice_skip(tag, 2);
		if (slice_eq(tag, slice_str(etag)))
			return true;
	}
	return false;
}

static bool is_star(struct slice value)
{
	return slice_eq(slice_trim(value), SLICE("*"));
}

static bool node_exists(const struct visit *v)
{
	struct buffer out;

	if (!v->found || !v->request->has_node)
		return v->found;
	if (xcap_node_get(&v->node, v->found->content, &out) != XCAP_OK)
		return false;
	free(out.p);
	return true;
}

/* All parts of a document have its version (RFC 4825 7.11).  False: answered. */
static bool meets_conditions(struct visit *v)
{
	const struct document_request *r = v->request;

	if (r->if_match.p && !(is_star(r->if_match) ? node_exists(v) :
			v->found && names_version(r->if_match, v->found->etag, false))) {
		answer_code(v, 412, "If-Match does not hold");
		return false;
	}
	if (r->if_none_match.p && (is_star(r->if_none_match) ? node_exists(v) :
			v->found && names_version(r->if_none_match, v->found->etag, true))) {
		answer_code(v, r->method == DOCUMENT_READ ? 304 : 412, "If-None-Match does not hold");
		return false;
	}
	return true;
}

/* ---- reading ---- */

static const char *type_of(const struct visit *v)
{
	if (!v->request->has_node)
		return v->usage->media_type;
	switch (v->node.terminal) {
	case XCAP_ELEMENT:
		return XCAP_ELEMENT_TYPE;
	case XCAP_ATTRIBUTE:
		return XCAP_ATTRIBUTE_TYPE;
	case XCAP_NAMESPACES:
		return XCAP_NAMESPACES_TYPE;
	}
	return XCAP_ELEMENT_TYPE;
}

static void read_it(struct visit *v)
{
	struct buffer out = { 0 };
	enum xcap_verdict verdict = XCAP_OK;

	if (!v->found) {
		answer_code(v, 404, "no such document");
		return;
	}
	if (v->request->has_node) {
		verdict = xcap_node_get(&v->node, v->found->content, &out);
	} else {
		out = buffer_over(malloc(v->found->content.n + 1), v->found->content.n);
		verdict = out.p ? XCAP_OK : XCAP_NO_MEMORY;
		if (out.p)
			buffer_put(&out, v->found->content);
	}
	if (verdict != XCAP_OK) {
		answer_code(v, verdict == XCAP_NOT_FOUND ? 404 : 503, verdict == XCAP_NOT_FOUND ? "no such node" : "no memory");
		return;
	}
	answer_code(v, 200, NULL);
	v->answer->type = type_of(v);
	v->answer->body = out.p;
	v->answer->n = out.n;
}

/* ---- is it valid ---- */

/* Which line of a whole document it is; of an element or attribute there is but one thing to look at. */
static const char *place_in(struct visit *v, struct slice content, const struct xml_limits *limits)
{
	unsigned line = xml_malformed_line(content, limits);

	if (line)
		snprintf(v->answer->where, sizeof(v->answer->where), "line %u", line);
	return line ? v->answer->where : content.n ? NULL : "it is empty";
}

static void answer_malformed(struct visit *v, enum xml_verdict verdict, struct slice content, const struct xml_limits *limits)
{
	bool is_node = v->request->has_node && v->request->method == DOCUMENT_WRITE;

	switch (verdict) {
	case XML_OK:
		break;
	case XML_NOT_UTF8:
		answer_conflict(v, "not-utf-8", NULL);
		break;
	case XML_MALFORMED:
		answer_conflict(v, !is_node ? "not-well-formed" : v->node.terminal == XCAP_ELEMENT ? "not-xml-frag" :
			"not-xml-att-value", is_node ? NULL : place_in(v, content, limits));
		break;
	case XML_TOO_LARGE:
		answer_code(v, 413, "more than limits.xml_bytes");
		break;
	case XML_TOO_DEEP:
	case XML_DOCTYPE:
		answer_conflict(v, "constraint-failure", xml_verdict_text(verdict));
		break;
	case XML_NO_MEMORY:
		answer_code(v, 503, "no memory");
		break;
	}
}

static bool check_fault(struct visit *v, const struct document_fault *fault)
{
	switch (fault->kind) {
	case DOCUMENT_VALID:
		return true;
	case DOCUMENT_AGAINST_SCHEMA:
		answer_conflict(v, "schema-validation-error", fault->phrase);
		break;
	case DOCUMENT_NOT_UNIQUE:
		answer_conflict(v, "uniqueness-failure", fault->phrase);
		v->answer->field = fault->field;
		break;
	case DOCUMENT_AGAINST_CONSTRAINT:
		answer_conflict(v, "constraint-failure", fault->phrase);
		break;
	}
	return false;
}

/* False: answered. */
static bool is_valid(struct visit *v, struct slice content)
{
	struct xml_limits limits = { v->settings->config->limits.xml_bytes, XML_DEPTH_MAX };
	struct document_fault fault = { 0 };
	struct xml *xml;
	enum xml_verdict verdict = xml_parse(&xml, content, &limits);

	if (verdict != XML_OK) {
		answer_malformed(v, verdict, content, &limits);
		return false;
	}
	v->usage->check(xml, &v->settings->sip, &fault);
	xml_free(xml);
	return check_fault(v, &fault);
}

/* ---- changing ---- */

static int make_group_change(struct visit *v, struct slice content, struct group_change **change,
	struct store_document_request *store)
{
	int err = group_change_make(change, &v->documents->server->sip.home, v->found ? v->found->content : SLICE_EMPTY, content);

	if (!err) {
		store->uris = (*change)->uris;
		store->uri_count = (*change)->uri_count;
	}
	return err == EEXIST ? EADDRINUSE : err; /* it has the name twice itself, written in two ways */
}

/* On the disk, then to whom it concerns.  `content` p NULL: the document goes. */
static int commit(struct visit *v, struct slice content)
{
	const struct document_request *r = v->request;
	struct store_door *door = v->documents->server->store;
	struct store_document_request store = { .request.kind = content.p ? STORE_DOCUMENT_PUT : STORE_DOCUMENT_DELETE,
		.auid = r->auid, .owner = r->owner, .name = r->name, .content = content,
		.condition = v->found ? STORE_DOCUMENT_IS : STORE_DOCUMENT_ABSENT, .expected = v->found ? v->found->etag : 0 };
	struct access_rules *rules = NULL;
	struct group_change *change = NULL;
	int err = 0;

	/* made first: once it is committed nothing may fail any more */
	if (v->usage->has_access_rules)
		err = access_rules_read(door, &v->documents->server->sip.home, r->owner, r->name, content, &rules);
	if (v->usage->has_groups)
		err = make_group_change(v, content, &change, &store);
	store.request.octets = (uint32_t)content.n;
	if (!err)
		err = store_ask_and_wait(door, &store.request);
	if (!err && rules)
		access_rules_post(v->documents->group, rules);
	else
		free(rules);
	if (!err && change)
		group_change_post(change, v->documents->group, store.etag);
	else
		group_change_free(change);
	if (!err && content.p)
		write_etag(v->answer->etag, store.etag);
	LOG(INFO, NULL, "document", 0, "%s auid=%.*s user=%.*s name=\"%.*s\" octets=%zu err=%d", content.p ? "put" : "deleted",
		SLICE_ARG(r->auid), SLICE_ARG(r->owner), SLICE_ARG(r->name), content.n, err);
	return err;
}

static void answer_node(struct visit *v, enum xcap_verdict verdict)
{
	switch (verdict) {
	case XCAP_OK:
	case XCAP_INSERTED:
		break;
	case XCAP_NOT_FOUND:
		answer_code(v, 404, "no such node");
		break;
	case XCAP_NO_PARENT:
		answer_conflict(v, "no-parent", NULL);
		unsigned depth = xcap_node_depth(&v->node, v->found->content);
		v->answer->ancestor = depth ? (unsigned)v->node.steps[depth - 1].end : 0;
		break;
	case XCAP_NOT_FRAGMENT:
		answer_conflict(v, "not-xml-frag", NULL);
		break;
	case XCAP_NOT_VALUE:
		answer_conflict(v, "not-xml-att-value", NULL);
		break;
	case XCAP_CANNOT_INSERT:
		answer_conflict(v, "cannot-insert", NULL);
		break;
	case XCAP_CANNOT_DELETE:
		answer_conflict(v, "cannot-delete", NULL);
		break;
	case XCAP_NO_MEMORY:
		answer_code(v, 503, "no memory");
		break;
	}
}

/* The selector names one of our entries: what it is about goes, and with it the entry. */
static void remove_entry(struct visit *v)
{
	struct slice uri, text = v->found->content;
	struct buffer out = { 0 };
	struct xml *entry;
	enum xcap_verdict verdict = xcap_node_delete(&v->node, text, &out);

	free(out.p);
	if (verdict == XCAP_OK && (verdict = xcap_node_get(&v->node, text, &out)) == XCAP_OK) {
		bool is_entry = v->node.terminal == XCAP_ELEMENT &&
				xml_parse(&entry, buffer_slice(&out), &(struct xml_limits){ SIZE_MAX, 1 }) == XML_OK;
		free(out.p);
		if (!is_entry) {
			answer_conflict(v, "cannot-delete", "only entries can be deleted");
			return;
		}
		int err = xml_attribute(xml_root(entry), SLICE_EMPTY, SLICE("uri"), &uri) ?
			deferred_list_remove(v->documents->server, v->documents->group, v->request->owner, uri) : ENOENT;
		xml_free(entry);
		if (err == ENOENT) /* delivered meanwhile */
			answer_code(v, 404, "no such node");
		else if (err)
			answer_store(v, err);
		else
			answer_code(v, 200, NULL);
		return;
	}
	answer_node(v, verdict);
}

static void change_node(struct visit *v)
{
	bool is_put = v->request->method == DOCUMENT_WRITE;
	struct buffer out = { 0 };
	enum xcap_verdict verdict;

	if (!v->found && !is_put) {
		answer_code(v, 404, "no such document");
		return;
	}
	if (!v->found) {
		answer_conflict(v, "no-parent", "no such document");
		return;
	}
	verdict = is_put ? xcap_node_put(&v->node, v->found->content, v->request->body, &out) :
			   xcap_node_delete(&v->node, v->found->content, &out);
	if (verdict != XCAP_OK && verdict != XCAP_INSERTED) {
		answer_node(v, verdict);
		return;
	}
	if (is_valid(v, buffer_slice(&out))) {
		int err = commit(v, buffer_slice(&out));
		if (err)
			answer_store(v, err);
		else
			answer_code(v, verdict == XCAP_INSERTED ? 201 : 200, NULL);
	}
	free(out.p);
}

static void change_document(struct visit *v)
{
	bool is_put = v->request->method == DOCUMENT_WRITE;
	int err;

	if (!is_put && !v->found) {
		answer_code(v, 404, "no such document");
		return;
	}
	if (is_put && !is_valid(v, v->request->body))
		return;
	err = commit(v, is_put ? v->request->body : SLICE_EMPTY);
	if (err)
		answer_store(v, err);
	else
		answer_code(v, is_put && !v->found ? 201 : 200, NULL);
}

/* Of this owner; others of the same number only wait a little. */
static pthread_mutex_t *lock_of(struct documents *d, struct slice owner)
{
	static const struct siphash_key key; /* who chooses names to meet others here only makes them wait */

	return &d->locks[siphash(&key, owner) % LOCKS];
}

/* False: answered. */
static bool find(struct visit *v)
{
	const struct document_request *r = v->request;
	int err;

	if (!v->usage->is_made)
		err = document_read(v->documents->server->store, r->auid, r->owner, r->name, &v->found);
	else if (slice_eq(r->name, SLICE(DEFERRED_LIST_NAME)))
		err = deferred_list_document(v->documents->server, r->owner, &v->found);
	else
		err = ENOENT;

	if (err && err != ENOENT) {
		answer_store(v, err);
		return false;
	}
	if (v->found && r->method == DOCUMENT_READ)
		write_etag(v->answer->etag, v->found->etag);
	return true;
}

static void do_it(struct visit *v)
{
	if (!find(v) || !meets_conditions(v))
		return;
	if (v->request->method == DOCUMENT_READ)
		read_it(v);
	else if (v->usage->is_made && v->found)
		remove_entry(v);
	else if (v->request->has_node)
		change_node(v);
	else
		change_document(v);
}

/* What can be said before anything was read.  False: answered. */
static bool is_possible(struct visit *v)
{
	const struct document_request *r = v->request;

	v->usage = document_usage_of(r->auid);
	if (!v->usage || !document_name_is_good(r->name)) {
		answer_code(v, 404, !v->usage ? "no such kind of documents: try org.openmobilealliance.groups, "
			"org.openmobilealliance.im-rules or resource-lists" : "no name of a document");
		return false;
	}
	if (r->has_node && !xcap_node_parse(&v->node, r->node, r->query, slice_str(v->usage->name_space))) {
		answer_code(v, 400, "no node selector, or a prefix without its xmlns()");
		return false;
	}
	if (r->has_node && v->node.terminal == XCAP_NAMESPACES && r->method != DOCUMENT_READ) {
		answer_code(v, 405, "namespaces can only be read");
		v->answer->allow = "GET, HEAD";
		return false;
	}
	if (v->usage->is_made && (r->method == DOCUMENT_WRITE || (r->method == DOCUMENT_REMOVE && !r->has_node))) {
		answer_code(v, 405, "the server makes this document: it can be read, and entries deleted");
		v->answer->allow = r->has_node ? "GET, HEAD, DELETE" : "GET, HEAD";
		return false;
	}
	if (r->method == DOCUMENT_WRITE && !(r->type.p && sip_content_type_is(r->type, type_of(v)))) {
		answer_code(v, 415, type_of(v));
		return false;
	}
	return true;
}

void documents_do(struct documents *d, const struct document_request *request, struct document_answer *answer)
{
	struct im_settings *settings = settings_take(d->server);
	struct visit v = { .documents = d, .request = request, .answer = answer, .settings = settings };

	*answer = (struct document_answer){ 0 };
	if (is_possible(&v)) {
		pthread_mutex_t *lock = lock_of(d, request->owner);
		if (request->method != DOCUMENT_READ)
			pthread_mutex_lock(lock);
		do_it(&v);
		if (request->method != DOCUMENT_READ)
			pthread_mutex_unlock(lock);
		free(v.found);
	}
	settings_drop(settings);
}
