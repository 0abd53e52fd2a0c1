#include "sip/dialog.h"

#include <errno.h>
#include <stdlib.h>

#include "core/chains.h"
#include "core/minted.h"
#include "core/pool.h"
#include "core/siphash.h"
#include "sip/header.h"
#include "sip/uri.h"
#include "sip/write.h"

#define CHAINS_MIN     1024
#define CHAINS_MAX     (1u << 20)
#define ROUTES_MAX     2048
#define ADDRESS_MAX    1024 /* From and To */
#define CALL_ID_MAX    1024
#define TAG_MAX        1024

struct dialogs {
	struct pool pool;
	struct siphash_key key;
	struct chains by_tag; /* ours */
};

static struct dialogs *dialogs_of(const struct worker *worker)
{
	return worker->dialogs;
}

static uint64_t hash_of(const void *dialog, const void *dialogs)
{
	return siphash(&((const struct dialogs *)dialogs)->key, sip_dialog_local_tag(dialog));
}

int sip_dialogs_init(struct worker *worker, unsigned dialogs_max)
{
	struct dialogs *d = calloc(1, sizeof(*d));
	size_t chains = CHAINS_MIN;

	if (!d)
		return ENOMEM;
	while (chains < dialogs_max && chains < CHAINS_MAX)
		chains *= 2;
	if (chains_init(&d->by_tag, chains, offsetof(struct sip_dialog, hash_next), hash_of, d) != 0 ||
	    pool_init(&d->pool, "dialogs", sizeof(struct sip_dialog), dialogs_max) != 0) {
		chains_free(&d->by_tag);
		free(d);
		return ENOMEM;
	}
	worker_random(worker, &d->key, sizeof(d->key));
	worker->dialogs = d;
	return 0;
}

int sip_dialogs_raise(struct worker *worker, unsigned dialogs_max)
{
	return pool_raise(&dialogs_of(worker)->pool, dialogs_max);
}

void sip_dialogs_free(struct worker *worker)
{
	struct dialogs *d = dialogs_of(worker);

	if (!d)
		return;
	pool_free(&d->pool);
	chains_free(&d->by_tag);
	free(d);
	worker->dialogs = NULL;
}

unsigned sip_dialog_count(const struct worker *worker)
{
	return pool_used(&dialogs_of(worker)->pool);
}

/* What one dialog is made of, in the order of its text. */
struct parts {
	struct slice call_id, local, remote, local_tag, remote_tag, target, routes;
};

/* In the place of what was kept before, which the parts may point into.  0 or ENOMEM: nothing has changed. */
static int keep(struct sip_dialog *dialog, const struct parts *parts)
{
	const struct slice all[] = { parts->call_id, parts->local, parts->remote, parts->local_tag, parts->remote_tag,
		parts->target, parts->routes };
	size_t n = 1;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		n += all[i].n;
	char *text = malloc(n), *at = text;
	if (!text)
		return ENOMEM;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].n)
			memcpy(at, all[i].p, all[i].n);
		at += all[i].n;
	}
	free(dialog->text);
	dialog->text = text;
	dialog->call_id_n = (uint32_t)parts->call_id.n;
	dialog->local_n = (uint32_t)parts->local.n;
	dialog->remote_n = (uint32_t)parts->remote.n;
	dialog->local_tag_n = (uint32_t)parts->local_tag.n;
	dialog->remote_tag_n = (uint32_t)parts->remote_tag.n;
	dialog->target_n = (uint32_t)parts->target.n;
	dialog->routes_n = (uint32_t)parts->routes.n;
	return 0;
}

static int keep_remote(struct sip_dialog *dialog, struct slice tag, struct slice target, struct slice routes)
{
	return keep(dialog, &(struct parts){ sip_dialog_call_id(dialog), sip_dialog_local(dialog),
		sip_dialog_remote(dialog), sip_dialog_local_tag(dialog), tag, target, routes });
}

int sip_dialog_open_client(struct sip_dialog **out, struct worker *worker, const struct sip_dialog_start *start)
{
	struct dialogs *d = dialogs_of(worker);
	struct sip_dialog *dialog = pool_take(&d->pool);

	if (!dialog)
		return ENOMEM;
	*dialog = (struct sip_dialog){ .worker = worker, .events = start->events, .owner = start->owner,
		.next = start->next };
	if (keep(dialog, &(struct parts){ .call_id = start->call_id, .local = start->local, .remote = start->remote,
		    .local_tag = start->local_tag }) != 0) {
		pool_give(&d->pool, dialog);
		return ENOMEM;
	}
	chains_add(&d->by_tag, dialog);
	pool_gauge_set(&worker->counters, POOL_dialogs, pool_used(&d->pool));
	*out = dialog;
	return 0;
}

/* The Route lines for a route set: as recorded for a server, in reverse for a client. */
static bool write_routes(struct buffer *out, const struct sip_message *m, bool reversed)
{
	struct slice routes[32], element;
	struct sip_items items = sip_items_of(m, SIP_HDR_RECORD_ROUTE);
	size_t n = 0;

	while (sip_items_next(&items, &element)) {
		if (n == sizeof(routes) / sizeof(routes[0]))
			return false;
		routes[n++] = element;
	}
	for (size_t i = 0; i < n; i++)
		sip_write_header(out, "Route", routes[reversed ? n - 1 - i : i]);
	return !out->overflow;
}

static bool contact_of(const struct sip_message *m, struct slice *uri)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_contact contact;

	struct sip_uri parsed;

	/* it becomes a Request-URI, in which headers may not stand (RFC 3261 12.1.1, 19.1.1) */
	if (sip_contact_next(&items, &contact) != SIP_ITEM_OK || contact.star ||
	    !sip_uri_parse(contact.address.uri, &parsed) || parsed.scheme == SIP_SCHEME_OTHER || parsed.headers.n)
		return false;
	*uri = contact.address.uri;
	return true;
}

/* The first route, when it is no loose router (RFC 3261 12.2.1.1). */
static struct slice strict_of(struct slice routes)
{
	struct slice value;
	struct sip_address address;
	struct sip_uri uri;

	slice_cut(slice_cut(routes, '\n', NULL), ':', &value);
	if (!routes.n || !sip_address_decode(slice_trim(value), &address) || !sip_uri_parse(address.uri, &uri) ||
	    sip_uri_param(&uri, "lr", NULL))
		return SLICE_EMPTY;
	return address.uri;
}

/* From or To without its tag, as both sides' halves are kept. */
static bool without_tag(struct buffer *out, struct slice value, struct slice *tag)
{
	struct sip_address address;
	struct sip_param param;

	if (!sip_address_decode(value, &address))
		return false;
	*tag = address.tag;
	sip_write_name_addr(out, &address);
	for (struct slice params = address.params; sip_param_next(&params, &param);) {
		if (slice_case_eq(param.name, SLICE("tag")))
			continue;
		sip_write_param(out, &param);
	}
	return !out->overflow;
}

int sip_dialog_open_server(struct sip_dialog **out, struct worker *worker, const struct sip_message *request,
	const struct sip_dialog_start *start)
{
	char from_text[ADDRESS_MAX], to_text[ADDRESS_MAX], routes_text[ROUTES_MAX];
	struct buffer from = buffer_over(from_text, sizeof(from_text)), to = buffer_over(to_text, sizeof(to_text)),
		      routes = buffer_over(routes_text, sizeof(routes_text));
	struct sip_dialog_start whole = *start;
	struct slice remote_tag, no_tag, target;
	struct sip_dialog *dialog;

	whole.call_id = sip_header_value(request, SIP_HDR_CALL_ID);
	bool is_read = without_tag(&from, sip_header_value(request, SIP_HDR_FROM), &remote_tag) &&
		without_tag(&to, sip_header_value(request, SIP_HDR_TO), &no_tag);
	/* every request of ours in the dialog has to repeat them: none that could not be written is opened */
	if (from.overflow || to.overflow || whole.call_id.n > CALL_ID_MAX || remote_tag.n > TAG_MAX)
		return EMSGSIZE;
	if (!is_read || !contact_of(request, &target) || !write_routes(&routes, request, false))
		return EINVAL;
	whole.remote = buffer_slice(&from);
	whole.local = buffer_slice(&to);
	int err = sip_dialog_open_client(&dialog, worker, &whole);
	if (err)
		return err;
	err = keep_remote(dialog, remote_tag, target, buffer_slice(&routes));
	if (err) {
		sip_dialog_close(dialog);
		return err;
	}
	struct slice method;
	dialog->has_remote_cseq =
		sip_cseq_decode(sip_header_value(request, SIP_HDR_CSEQ), &dialog->remote_cseq, &method);
	dialog->is_confirmed = true;
	*out = dialog;
	return 0;
}

int sip_dialog_confirm(struct sip_dialog *dialog, const struct sip_message *response)
{
	char routes_text[ROUTES_MAX];
	struct buffer routes = buffer_over(routes_text, sizeof(routes_text));
	struct sip_address to;
	struct slice target;

	if (!sip_address_decode(sip_header_value(response, SIP_HDR_TO), &to) || to.tag.n == 0 ||
	    !contact_of(response, &target) || !write_routes(&routes, response, true))
		return EINVAL;
	int err = keep_remote(dialog, to.tag, target, buffer_slice(&routes));
	if (!err)
		dialog->is_confirmed = true;
	return err;
}

int sip_dialog_confirm_anyhow(struct sip_dialog *dialog, const struct sip_message *response, struct slice target)
{
	char routes_text[ROUTES_MAX];
	struct buffer routes = buffer_over(routes_text, sizeof(routes_text));
	struct sip_address to;
	int err = sip_dialog_confirm(dialog, response);

	if (err != EINVAL)
		return err;
	if (!sip_address_decode(sip_header_value(response, SIP_HDR_TO), &to))
		return EINVAL;
	(void)contact_of(response, &target); /* else where the request went */
	if (!write_routes(&routes, response, true))
		routes.n = 0;
	err = keep_remote(dialog, to.tag, target, buffer_slice(&routes));
	if (!err)
		dialog->is_confirmed = true;
	return err;
}

int sip_dialog_refresh_target(struct sip_dialog *dialog, const struct sip_message *m)
{
	struct slice target;

	if (!contact_of(m, &target) || slice_eq(target, sip_dialog_target(dialog)))
		return 0;
	return keep_remote(dialog, sip_dialog_remote_tag(dialog), target, sip_dialog_routes(dialog));
}

static void forget(struct sip_dialog *dialog)
{
	struct dialogs *d = dialogs_of(dialog->worker);

	chains_remove(&d->by_tag, dialog);
	free(dialog->text);
	struct worker *worker = dialog->worker;
	pool_give(&d->pool, dialog);
	pool_gauge_set(&worker->counters, POOL_dialogs, pool_used(&d->pool));
}

static void on_request_without_owner(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	(void)dialog;
	(void)m;
	(void)owner;
	sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
}

static const struct sip_dialog_events events_without_owner = { on_request_without_owner };

void sip_dialog_close(struct sip_dialog *dialog)
{
	dialog->events = &events_without_owner;
	dialog->owner = NULL;
	if (!dialog->usages)
		forget(dialog);
}

void sip_dialog_join(struct sip_dialog *dialog, struct sip_dialog_usage *usage)
{
	usage->next = dialog->usages;
	dialog->usages = usage;
}

void sip_dialog_leave(struct sip_dialog *dialog, struct sip_dialog_usage *usage)
{
	struct sip_dialog_usage **link = &dialog->usages;

	while (*link != usage)
		link = &(*link)->next;
	*link = usage->next;
	if (!dialog->usages && dialog->events == &events_without_owner)
		forget(dialog);
}

struct sip_dialog *sip_dialog_find_named(struct worker *worker, struct slice call_id, struct slice local_tag,
	struct slice remote_tag)
{
	const struct dialogs *d = dialogs_of(worker);
	struct sip_dialog *dialog = chains_first(&d->by_tag, siphash(&d->key, local_tag));

	for (; dialog; dialog = dialog->hash_next)
		if (slice_eq(sip_dialog_local_tag(dialog), local_tag) && slice_eq(sip_dialog_call_id(dialog), call_id) &&
		    dialog->is_confirmed && slice_eq(sip_dialog_remote_tag(dialog), remote_tag))
			return dialog;
	return NULL;
}

struct sip_dialog *sip_dialog_find(struct worker *worker, const struct sip_message *request)
{
	struct sip_address to, from;

	if (!sip_address_decode(sip_header_value(request, SIP_HDR_TO), &to) || to.tag.n == 0 ||
	    !sip_address_decode(sip_header_value(request, SIP_HDR_FROM), &from))
		return NULL;
	return sip_dialog_find_named(worker, sip_header_value(request, SIP_HDR_CALL_ID), to.tag, from.tag);
}

bool sip_dialog_receive(struct worker *worker, struct sip_server *server, const struct sip_message *request)
{
	struct sip_dialog *dialog = sip_dialog_find(worker, request);
	struct slice method;
	uint32_t cseq;

	if (!dialog)
		return false;
	if (!sip_cseq_decode(sip_header_value(request, SIP_HDR_CSEQ), &cseq, &method) ||
	    (dialog->has_remote_cseq && cseq <= dialog->remote_cseq)) {
		sip_server_refuse(server, 500, REASON_CSEQ);
		return true;
	}
	dialog->remote_cseq = cseq;
	dialog->has_remote_cseq = true;
	for (struct sip_dialog_usage *usage = dialog->usages; usage; usage = usage->next)
		if (usage->on_request(usage, server, request))
			return true;
	dialog->events->on_request(dialog, server, request, dialog->owner);
	return true;
}

struct slice sip_dialog_uri(const struct sip_dialog *dialog)
{
	struct slice strict = strict_of(sip_dialog_routes(dialog));

	return strict.n ? strict : sip_dialog_target(dialog);
}

static void write_route_set(const struct sip_dialog *dialog, struct buffer *out)
{
	struct slice routes = sip_dialog_routes(dialog), others;

	if (!strict_of(routes).n) {
		buffer_put(out, routes);
		return;
	}
	slice_cut(routes, '\n', &others);
	buffer_put(out, others);
	buffer_lit(out, "Route: <");
	buffer_put(out, sip_dialog_target(dialog));
	buffer_lit(out, ">\r\n");
}

void sip_dialog_write(struct sip_dialog *dialog, struct buffer *out, const char *method, uint32_t cseq)
{
	if (cseq == 0)
		cseq = ++dialog->local_cseq;
	write_route_set(dialog, out);
	buffer_lit(out, "Max-Forwards: 70\r\nFrom: ");
	buffer_put(out, sip_dialog_local(dialog));
	buffer_lit(out, ";tag=");
	buffer_put(out, sip_dialog_local_tag(dialog));
	buffer_lit(out, "\r\nTo: ");
	buffer_put(out, sip_dialog_remote(dialog));
	if (sip_dialog_remote_tag(dialog).n) {
		buffer_lit(out, ";tag=");
		buffer_put(out, sip_dialog_remote_tag(dialog));
	}
	buffer_lit(out, "\r\nCall-ID: ");
	buffer_put(out, sip_dialog_call_id(dialog));
	buffer_lit(out, "\r\nCSeq: ");
	buffer_u64(out, cseq);
	buffer_printf(out, " %s\r\n", method);
}
