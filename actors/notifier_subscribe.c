/* SUBSCRIBE, which begins a subscription or, in its dialog, goes on with it (RFC 6665 4.2.1). */
#include "actors/notifier.h"

#include <assert.h>
#include <errno.h>

#include "actors/outgoing.h"
#include "sip/header.h"

static struct slice event_id_of(const struct sip_message *m)
{
	struct slice params, id = SLICE_EMPTY;

	slice_cut(sip_header_value(m, SIP_HDR_EVENT), ';', &params);
	if (params.p && !sip_param_find(slice_of(params.p - 1, params.n + 1), "id", &id))
		id = SLICE_EMPTY;
	return id;
}

bool notifier_is_for(const struct notifier_package *package, const struct sip_message *m)
{
	struct slice event = slice_cut(sip_header_value(m, SIP_HDR_EVENT), ';', NULL);

	return slice_case_eq(slice_trim(event), slice_str(package->event));
}

/* RFC 6665 4.4.2: without Accept what the package has as default. */
static bool is_accepted(const struct sip_message *m, const struct notifier_package *package)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_ACCEPT);
	struct slice range, own = slice_cut(slice_str(package->type), ';', NULL), kind = slice_cut(own, '/', NULL);

	if (!sip_header_first(m, SIP_HDR_ACCEPT))
		return true;
	while (sip_items_next(&items, &range)) {
		struct slice subtype, type = slice_cut(slice_trim(slice_cut(range, ';', NULL)), '/', &subtype);
		if (slice_case_eq(slice_trim(slice_cut(range, ';', NULL)), own) ||
		    (slice_eq(subtype, SLICE("*")) && (slice_eq(type, SLICE("*")) || slice_case_eq(type, kind))))
			return true;
	}
	return false;
}

/* False: it cannot be read. */
static bool read_expires(const struct sip_message *m, uint32_t *expires_s)
{
	*expires_s = NOTIFIER_EXPIRES_DEFAULT_S;
	if (!sip_seconds_of(m, SIP_HDR_EXPIRES, expires_s) && sip_header_first(m, SIP_HDR_EXPIRES))
		return false;
	if (*expires_s > NOTIFIER_EXPIRES_MAX_S)
		*expires_s = NOTIFIER_EXPIRES_MAX_S;
	return true;
}

/* RFC 3261 8.2.2.3.  The generic checks leave it to whom a SUBSCRIBE is passed on; here it ends. */
static bool requires_unknown(struct im *im, const struct sip_message *m, struct buffer *headers)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_REQUIRE);
	struct slice tag;

	while (sip_items_next(&items, &tag)) {
		const char *const *known = im->server->sip.supported;
		while (*known && !slice_case_eq(tag, slice_str(*known)))
			known++;
		if (!*known)
			buffer_printf(headers, "%s%.*s", headers->n ? ", " : "Unsupported: ", SLICE_ARG(tag));
	}
	if (headers->n)
		buffer_lit(headers, "\r\n");
	return headers->n > 0;
}

bool notifier_reads(struct im *im, const struct notifier_package *package, struct sip_server *server,
	const struct sip_message *m, uint32_t *expires_s)
{
	char text[512];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (requires_unknown(im, m, &headers)) {
		im_refuse(im, server, 420, REASON_REQUIRE, headers.overflow ? SLICE_EMPTY : buffer_slice(&headers));
		return false;
	}
	if (!read_expires(m, expires_s) || event_id_of(m).n > NOTIFIER_EVENT_ID_MAX) {
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return false;
	}
	if (!is_accepted(m, package)) {
		buffer_printf(&headers, "Accept: %s\r\n", package->type);
		im_refuse(im, server, 406, REASON_UNSUPPORTED_BODY, buffer_slice(&headers));
		return false;
	}
	return true;
}

/* RFC 3261 12.1.1: who made the dialog learns its route set from the 2xx.  Of a server's dialog that is as it came. */
static void write_record_route(const struct notifier *n, struct buffer *out)
{
	struct slice rest = sip_dialog_routes(n->dialog);

	while (!n->is_usage && rest.n) {
		buffer_lit(out, "Record-");
		buffer_put(out, slice_cut(rest, '\n', &rest));
		buffer_char(out, '\n');
	}
}

void notifier_accept(struct notifier *n, struct sip_server *server, uint32_t expires_s)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));

	write_record_route(n, &headers);
	buffer_printf(&headers, "Expires: %u\r\n", expires_s);
	notifier_write_contact(n, &headers, sip_server_flow(server));
	if (n->package->write_answer)
		n->package->write_answer(n, &headers);
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers) });
	notifier_begin(n, expires_s);
}

static void refuse_event(const struct notifier *n, struct sip_server *server)
{
	char text[128];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_printf(&headers, "Allow-Events: %s\r\n", n->package->event);
	im_refuse(n->im, server, 489, REASON_EVENT_UNKNOWN, buffer_slice(&headers));
}

static bool is_same(const struct notifier *n, const struct sip_message *m)
{
	return notifier_is_for(n->package, m) && slice_eq(event_id_of(m), slice_of(n->event_id, n->event_id_n));
}

static void on_resubscribe(struct notifier *n, struct sip_server *server, const struct sip_message *m)
{
	uint32_t expires_s;

	if (n->state == NOTIFIER_ENDING)
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
	else if (!is_same(n, m))
		refuse_event(n, server);
	else if (notifier_reads(n->im, n->package, server, m, &expires_s) &&
		 (!n->package->may_refresh || n->package->may_refresh(n, server, m))) {
		(void)sip_dialog_refresh_target(n->dialog, m); /* no memory: where he was before he may still be */
		if (n->im->config->core.mode == MODE_STANDALONE) { /* he may have come back by another connection */
			n->dialog->next.flow = *sip_server_flow(server);
			sip_flow_watch(n->im->worker, sip_server_flow(server));
		}
		if (n->package->on_refresh)
			n->package->on_refresh(n);
		notifier_accept(n, server, expires_s);
	}
}

static void on_dialog_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	struct notifier *n = owner;

	(void)dialog;
	if (m->method == SIP_SUBSCRIBE)
		on_resubscribe(n, server, m);
	else
		im_refuse(n->im, server, 405, REASON_METHOD_NOT_ALLOWED, SLICE("Allow: SUBSCRIBE\r\n"));
}

static const struct sip_dialog_events dialog_events = { on_dialog_request };

/* In a dialog of somebody else: what is for this subscription, by its event and id, and nothing more. */
static bool on_usage_request(struct sip_dialog_usage *usage, struct sip_server *server, const struct sip_message *m)
{
	struct notifier *n = (struct notifier *)((char *)usage - offsetof(struct notifier, usage));

	if (m->method != SIP_SUBSCRIBE || !is_same(n, m))
		return false;
	on_resubscribe(n, server, m);
	return true;
}

static int open_dialog(struct notifier *n, const struct notifier_start *of)
{
	struct sip_dialog_start start = { .local_tag = sip_server_to_tag(of->server), .events = &dialog_events, .owner = n };

	if (n->im->config->core.mode == MODE_IMS)
		start.next = im_next_hop(n->im);
	else
		start.next =
			(struct sip_target){ .has_flow = true, .flow_only = true, .flow = *sip_server_flow(of->server) };
	int err = sip_dialog_open_server(&n->dialog, n->im->worker, of->m, &start);
	if (err)
		n->dialog = NULL;
	else if (start.next.has_flow) /* it counts no more in limits.conns_per_ip */
		sip_flow_watch(n->im->worker, &start.next.flow);
	return err;
}

void notifier_refuse_for_want_of_room(struct im *im, struct sip_server *server, enum reason why)
{
	char line[32];
	struct buffer headers = buffer_over(line, sizeof(line));

	buffer_printf(&headers, "Retry-After: %u\r\n", sip_options_of(im->worker)->retry_after_s);
	im_refuse(im, server, 503, why, buffer_slice(&headers));
}

/* False: answered. */
static bool begin(struct notifier *n, const struct notifier_start *start)
{
	int err = 0;

	if (start->dialog) {
		n->dialog = start->dialog;
		n->is_usage = true;
		n->usage.on_request = on_usage_request;
		sip_dialog_join(n->dialog, &n->usage);
	} else {
		err = open_dialog(n, start);
	}
	if (err == EINVAL)
		sip_server_refuse(start->server, 400, REASON_SYNTAX);
	else if (err == EMSGSIZE)
		sip_server_refuse(start->server, 513, REASON_TOO_LARGE);
	else if (err)
		notifier_refuse_for_want_of_room(n->im, start->server, REASON_NO_MEMORY);
	return !err;
}

bool notifier_open(struct notifier *n, struct im *im, const struct notifier_package *package,
	const struct notifier_start *start)
{
	struct slice id = start->m->method == SIP_SUBSCRIBE ? event_id_of(start->m) : start->event_id;
	char minted[MINTED_CHARS];

	assert(id.n <= sizeof(n->event_id)); /* notifier_reads() */
	*n = (struct notifier){ .im = im, .package = package, .is_sips = outgoing_wants_sips(start->m) };
	if (!begin(n, start))
		return false;
	minted_make(im->worker, minted);
	notifier_set_contact(n, slice_of(minted, sizeof(minted)));
	notifier_set_contact(n, start->contact);
	if (id.n)
		memcpy(n->event_id, id.p, id.n);
	n->event_id_n = (uint8_t)id.n;
	return true;
}
