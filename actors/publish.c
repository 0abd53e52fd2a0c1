/*
 * PUBLISH of settings (RFC 3903 6, 6.2.5, CR002 6.1.1.5).  A 200 leaves when the store has committed the change.
 * PUBLISHs of one user take effect one after the other: while one is at the store, the next waits.
 */
#include <stdlib.h>

#include "actors/publication.h"
#include "actors/push.h"
#include "actors/store_actor.h"
#include "sip/header.h"

#define WAITING_MAX 8 /* PUBLISHs of one user */
#define RETRY_AFTER "Retry-After: 5\r\n"

/* One PUBLISH, read: it may wait for others of the same user. */
struct publishing {
	struct publishing *next;
	struct user *user;
	struct sip_server *server; /* NULL: answered, or nobody waits any more */
	/* What is wrong with it whatever the user has published; holds once its tag was found (RFC 3903 6 steps 3 to 5) */
	unsigned status;
	enum reason why;
	const char *text;
	bool has_match, has_body;
	size_t match_n;
	char match[STORE_ETAG_CHARS];
	uint32_t expires_s;
	struct poc_settings settings;
	struct publication *made; /* what there will be */
};

/* ---- answers ---- */

static void on_server_gone(struct sip_server *server, void *arg)
{
	(void)server;
	((struct publishing *)arg)->server = NULL;
}

static const struct sip_server_events server_events = { .on_gone = on_server_gone };

static void respond(struct publishing *p, const struct sip_reply *reply)
{
	struct sip_server *server = p->server;

	if (!server)
		return; /* the server stops */
	p->server = NULL;
	sip_server_watch(server, NULL, NULL);
	sip_server_respond(server, reply);
}

static void write_refusal_headers(const struct publishing *p, const char *text, struct buffer *out)
{
	const struct im *im = p->user->im;

	if (p->status == 423)
		buffer_printf(out, "Min-Expires: %llu\r\n",
			(unsigned long long)((im->config->settings.min_expires_ms + 999) / 1000));
	else if (p->status == 415)
		buffer_lit(out, "Accept: " POC_SETTINGS_TYPE "\r\nAccept-Encoding: identity\r\n");
	else if (p->status == 503)
		buffer_lit(out, RETRY_AFTER);
	if (text)
		im_write_warning(im, out, 399, text);
}

/* Always true: it is answered. */
static bool refuse(struct publishing *p, unsigned status, enum reason why, const char *text)
{
	char lines[512];
	struct buffer headers = buffer_over(lines, sizeof(lines));

	p->status = status;
	write_refusal_headers(p, text, &headers);
	if (p->server)
		sip_server_tell_refusal(p->user->im->worker, p->server, status, why, text);
	respond(p, &(struct sip_reply){ .status = status, .headers = buffer_slice(&headers) });
	return true;
}

static bool answer(struct publishing *p, const char etag[STORE_ETAG_CHARS])
{
	char text[128];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_printf(&headers, "SIP-ETag: %.*s\r\nExpires: %u\r\n", STORE_ETAG_CHARS, etag, p->expires_s);
	COUNT(&p->user->im->worker->counters, settings_publications);
	respond(p, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers) });
	return true;
}

static void publishing_free(struct publishing *p)
{
	free(p->made);
	free(p);
}

/* ---- reading ---- */

static void wrong(struct publishing *p, unsigned status, enum reason why, const char *text)
{
	if (p->status) /* the first that refuses ends the list */
		return;
	p->status = status;
	p->why = why;
	p->text = text;
}

/* False: more than one, or none in it. */
static bool read_match(struct publishing *p, const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_SIP_IF_MATCH);
	struct slice tag, more;

	if (!sip_header_first(m, SIP_HDR_SIP_IF_MATCH))
		return true;
	p->has_match = true;
	if (!sip_items_next(&items, &tag) || sip_items_next(&items, &more) || !tag.n)
		return false;
	p->match_n = tag.n <= sizeof(p->match) ? tag.n : 0; /* a longer one is not of ours */
	memcpy(p->match, tag.p, p->match_n);
	return true;
}

static void read_expires(struct publishing *p, const struct im *im, const struct sip_message *m)
{
	uint64_t least_ms = im->config->settings.min_expires_ms, default_ms = im->config->settings.expires_ms;

	p->expires_s = (uint32_t)((default_ms > least_ms ? default_ms : least_ms) / 1000);
	if (!sip_seconds_of(m, SIP_HDR_EXPIRES, &p->expires_s) && sip_header_first(m, SIP_HDR_EXPIRES))
		wrong(p, 400, REASON_SYNTAX, "Expires cannot be read");
	if (p->expires_s > REGISTER_EXPIRES_MAX_S)
		p->expires_s = REGISTER_EXPIRES_MAX_S;
	if (p->expires_s && (uint64_t)p->expires_s * 1000 < least_ms)
		wrong(p, 423, REASON_INTERVAL_TOO_BRIEF, NULL);
}

static void read_body(struct publishing *p, const struct im *im, const struct sip_message *m)
{
	struct slice encoding = sip_header_value(m, SIP_HDR_CONTENT_ENCODING);
	struct xml_limits limits = { im->config->limits.xml_bytes, XML_DEPTH_MAX };
	const char *why;

	if (!sip_content_type_is(sip_header_value(m, SIP_HDR_CONTENT_TYPE), POC_SETTINGS_TYPE) ||
	    (encoding.n && !slice_case_eq(encoding, SLICE("identity")))) {
		wrong(p, 415, REASON_UNSUPPORTED_BODY, NULL);
		return;
	}
	switch (poc_settings_read(&p->settings, m->body, &limits, &why)) {
	case XML_OK:
		break;
	case XML_NO_MEMORY:
		wrong(p, 503, REASON_NO_MEMORY, NULL);
		break;
	case XML_TOO_LARGE:
	case XML_TOO_DEEP:
	case XML_NOT_UTF8:
	case XML_DOCTYPE:
	case XML_MALFORMED:
		wrong(p, 400, REASON_XML, why);
		break;
	}
}

/* NULL: no memory.  *is_malformed: 400 at once, for nobody knows which publication it means. */
static struct publishing *publishing_read(struct im *im, struct sip_server *server, const struct sip_message *m,
	bool *is_malformed)
{
	struct publishing *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->server = server;
	*is_malformed = !read_match(p, m);
	read_expires(p, im, m);
	p->has_body = m->body.n > 0 && p->expires_s; /* of what is removed nothing is read */
	if (p->has_body && !p->status)
		read_body(p, im, m);
	else if (!p->has_match && !m->body.n)
		wrong(p, 400, REASON_SYNTAX, "neither a body nor SIP-If-Match");
	return p;
}

/* ---- one after the other ---- */

static void run(struct user *user);

static void done(struct user *user)
{
	struct publishing *p = user->publishings;

	user->publishings = p->next;
	user->publishing_count--;
	publishing_free(p);
	run(user);
}

/* The store has it: now it is so. */
static void adopt(struct publishing *p, const struct store_publication_request *request)
{
	struct user *user = p->user;

	if (request->gone_count && !p->has_match) { /* the ninth of one user */
		REFUSED(&user->im->worker->counters, REASON_DISPLACED);
		LOG(INFO, user->im->worker, "user", 0, "settings-displaced user=%.*s reason=%s", SLICE_ARG(user_name(user)),
			reason_label(REASON_DISPLACED));
	}
	for (unsigned i = 0; i < request->gone_count; i++) {
		struct publication *gone = publication_find(user, slice_of(request->gone[i], STORE_ETAG_CHARS));
		if (gone) /* else it expired meanwhile */
			publication_drop(gone);
	}
	LOG(INFO, user->im->worker, "user", 0, "settings-%s user=%.*s known=%x on=%x expires=%u",
		!p->made ? "removed" : p->has_body ? "published" : "refreshed", SLICE_ARG(user_name(user)),
		p->made ? p->made->settings.known : 0, p->made ? p->made->settings.on : 0, p->expires_s);
	if (p->made)
		publication_add(user, p->made, (uint64_t)p->expires_s * 1000);
	p->made = NULL;
}

static void on_stored(struct worker *worker, struct store_request *r)
{
	struct store_publication_request *request = (struct store_publication_request *)r;
	struct publishing *p = r->asker;
	struct user *user = p->user;
	int err = r->msg.err;

	if (err) {
		LOG(WARN, worker, "user", 0, "settings-not-stored user=%.*s error=\"%s\"", SLICE_ARG(user_name(user)),
			strerror(err));
		(void)refuse(p, 503, REASON_STORE, NULL);
	} else {
		bool is_kept = p->made != NULL;
		adopt(p, request);
		(void)answer(p, request->publication.etag);
		if (is_kept) /* D1-01, D2-25: initial, refresh or modify */
			push_start(user->im, user_name(user), PUSH_PUBLISHED);
	}
	free(request);
	done(user);
}

static void add_gone(struct store_publication_request *request, const struct publication *gone)
{
	if (gone)
		memcpy(request->gone[request->gone_count++], gone->etag, STORE_ETAG_CHARS);
}

static void make_etag(struct worker *worker, char etag[STORE_ETAG_CHARS])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t random[STORE_ETAG_CHARS / 2];

	worker_random(worker, random, sizeof(random));
	for (unsigned i = 0; i < STORE_ETAG_CHARS; i++)
		etag[i] = digits[random[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

/* What there will be, of the old one or of the body. */
static bool make_publication(struct publishing *p, const struct publication *old, struct store_publication *row)
{
	struct user_table *users = p->user->im->users;
	struct publication *made = p->made = calloc(1, sizeof(*made));

	if (!made)
		return false;
	made->settings = p->has_body ? p->settings : old->settings;
	made->updated = p->has_body ? ++users->updates : old->updated;
	made->expires_at_s = user_unix_s(users->worker) + p->expires_s;
	memcpy(made->etag, row->etag, sizeof(made->etag));
	row->known = made->settings.known | (p->user->is_core_known ? PUBLICATION_OF_CORE : 0);
	row->on = made->settings.on;
	row->updated = made->updated;
	row->expires_at_s = made->expires_at_s;
	return true;
}

/* True: it was refused. */
static bool store(struct publishing *p, const struct publication *old)
{
	struct store_publication_request *request = calloc(1, sizeof(*request));
	struct slice name = user_name(p->user);
	struct worker *worker = p->user->im->worker;

	if (!request)
		return refuse(p, 503, REASON_NO_MEMORY, NULL);
	request->request.kind = p->expires_s ? STORE_PUBLICATION_PUT : STORE_PUBLICATION_DELETE;
	request->request.asker = p;
	request->request.on_answer = on_stored;
	memcpy(request->publication.user, name.p, name.n);
	request->publication.user_n = (uint16_t)name.n;
	make_etag(worker, request->publication.etag);
	add_gone(request, old);
	if (p->expires_s && !make_publication(p, old, &request->publication)) {
		free(request);
		return refuse(p, 503, REASON_NO_MEMORY, NULL);
	}
	if (p->expires_s && !old)
		add_gone(request, publication_displaced(p->user));
	if (store_ask(worker, &request->request) == 0)
		return false;
	free(request);
	return refuse(p, 503, REASON_STORE_BUSY, NULL);
}

/* RFC 3903 6.  True: it was answered; false: it waits for the store. */
static bool step(struct publishing *p)
{
	const struct publication *old = publication_find(p->user, slice_of(p->match, p->match_n));
	char etag[STORE_ETAG_CHARS];

	if (p->has_match && !old)
		return refuse(p, 412, REASON_PRECONDITION, NULL);
	if (p->status)
		return refuse(p, p->status, p->why, p->text);
	if (!old && !p->expires_s) { /* over as soon as it began */
		make_etag(p->user->im->worker, etag);
		return answer(p, etag);
	}
	return store(p, old);
}

static void run(struct user *user)
{
	struct publishing *p;

	while ((p = user->publishings)) {
		if (!step(p))
			return;
		user->publishings = p->next;
		user->publishing_count--;
		publishing_free(p);
	}
	user_forget_if_empty(user);
}

void publishings_free(struct user *user)
{
	struct publishing *p;

	while ((p = user->publishings)) {
		user->publishings = p->next;
		if (p->server)
			sip_server_watch(p->server, NULL, NULL);
		publishing_free(p);
	}
}

static void refuse_at_once(struct im *im, struct sip_server *server, unsigned status, enum reason why)
{
	im_refuse(im, server, status, why, status == 503 ? SLICE(RETRY_AFTER) : SLICE_EMPTY);
}

void user_on_publish(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice canonical)
{
	bool is_malformed;
	struct publishing *p = publishing_read(im, server, m, &is_malformed);
	struct user *user = p && !is_malformed ? user_find_or_make(im, canonical) : NULL;

	if (!user || user->publishing_count == WAITING_MAX) {
		if (p && is_malformed)
			refuse_at_once(im, server, 400, REASON_SYNTAX);
		else
			refuse_at_once(im, server, 503, user ? REASON_STORE_BUSY : REASON_NO_MEMORY);
		if (p)
			publishing_free(p);
		return;
	}
	struct publishing **end = &user->publishings;
	while (*end)
		end = &(*end)->next;
	*end = p;
	p->user = user;
	sip_server_watch(server, &server_events, p);
	if (user->publishing_count++ == 0)
		run(user);
}
