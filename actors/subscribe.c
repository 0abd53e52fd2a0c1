/* SUBSCRIBE for message-summary, which begins a subscription or, in its dialog, goes on with it (RFC 6665 4.2.1). */
#include <errno.h>

#include "actors/message_summary.h"
#include "actors/subscription_internal.h"
#include "sip/header.h"

#define ALLOW_EVENTS "Allow-Events: " MESSAGE_SUMMARY_EVENT "\r\n"

static struct slice event_id_of(const struct sip_message *m)
{
	struct slice params, id = SLICE_EMPTY;

	slice_cut(sip_header_value(m, SIP_HDR_EVENT), ';', &params);
	if (params.p && !sip_param_find(slice_of(params.p - 1, params.n + 1), "id", &id))
		id = SLICE_EMPTY;
	return id;
}

static bool is_for_message_summary(const struct sip_message *m)
{
	struct slice event = slice_cut(sip_header_value(m, SIP_HDR_EVENT), ';', NULL);

	return slice_case_eq(slice_trim(event), SLICE(MESSAGE_SUMMARY_EVENT));
}

/* RFC 6665 4.4.2: without Accept what the package has as default. */
static bool accepts_summary(const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_ACCEPT);
	struct slice type;

	if (!sip_header_first(m, SIP_HDR_ACCEPT))
		return true;
	while (sip_items_next(&items, &type))
		if (sip_content_type_is(type, MESSAGE_SUMMARY_TYPE) ||
		    slice_eq(slice_trim(slice_cut(type, ';', NULL)), SLICE("*/*")) ||
		    slice_case_eq(slice_trim(slice_cut(type, ';', NULL)), SLICE("application/*")))
			return true;
	return false;
}

/* False: it cannot be read. */
static bool read_expires(const struct sip_message *m, uint32_t *expires_s)
{
	*expires_s = SUBSCRIPTION_EXPIRES_DEFAULT_S;
	if (!sip_seconds_of(m, SIP_HDR_EXPIRES, expires_s) && sip_header_first(m, SIP_HDR_EXPIRES))
		return false;
	if (*expires_s > SUBSCRIPTION_EXPIRES_MAX_S)
		*expires_s = SUBSCRIPTION_EXPIRES_MAX_S;
	return true;
}

static void accept_with(struct subscription *s, struct sip_server *server, uint32_t expires_s)
{
	char text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_printf(&headers, "Expires: %u\r\n", expires_s);
	subscription_write_contact(s, &headers, sip_server_flow(server));
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers) });
	s->is_due = true;
	if (!expires_s) { /* a fetch, or the end */
		subscription_end(s, "timeout");
		return;
	}
	subscription_extend(s, expires_s);
	subscription_notify(s);
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

/* What is wrong with a SUBSCRIBE whoever sends it.  False: answered. */
static bool is_acceptable(struct im *im, struct sip_server *server, const struct sip_message *m, uint32_t *expires_s)
{
	char text[512];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (requires_unknown(im, m, &headers)) {
		im_refuse(im, server, 420, REASON_REQUIRE, headers.overflow ? SLICE_EMPTY : buffer_slice(&headers));
		return false;
	}
	if (!read_expires(m, expires_s) || event_id_of(m).n > SUBSCRIPTION_EVENT_ID_MAX) {
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return false;
	}
	if (!accepts_summary(m)) {
		im_refuse(im, server, 406, REASON_UNSUPPORTED_BODY, SLICE("Accept: " MESSAGE_SUMMARY_TYPE "\r\n"));
		return false;
	}
	return true;
}

static void on_resubscribe(struct subscription *s, struct sip_server *server, const struct sip_message *m)
{
	uint32_t expires_s;

	if (s->state == SUBSCRIPTION_ENDING)
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
	else if (!is_for_message_summary(m) || !slice_eq(event_id_of(m), slice_of(s->event_id, s->event_id_n)))
		im_refuse(s->im, server, 489, REASON_EVENT_UNKNOWN, SLICE(ALLOW_EVENTS));
	else if (is_acceptable(s->im, server, m, &expires_s)) {
		(void)sip_dialog_refresh_target(s->dialog, m); /* no memory: where he was before he may still be */
		if (s->im->config->core.mode == MODE_STANDALONE) { /* he may have come back by another connection */
			s->dialog->next.flow = *sip_server_flow(server);
			sip_flow_watch(s->im->worker, sip_server_flow(server));
		}
		accept_with(s, server, expires_s);
	}
}

static void on_dialog_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	struct subscription *s = owner;

	(void)dialog;
	if (m->method == SIP_SUBSCRIBE)
		on_resubscribe(s, server, m);
	else
		im_refuse(s->im, server, 405, REASON_METHOD_NOT_ALLOWED, SLICE("Allow: SUBSCRIBE\r\n"));
}

static const struct sip_dialog_events dialog_events = { on_dialog_request };

static int open_dialog(struct subscription *s, struct sip_server *server, const struct sip_message *m)
{
	struct sip_dialog_start start = { .local_tag = sip_server_to_tag(server), .events = &dialog_events, .owner = s };

	if (s->im->config->core.mode == MODE_IMS)
		start.next = im_next_hop(s->im);
	else
		start.next = (struct sip_target){ .has_flow = true, .flow_only = true, .flow = *sip_server_flow(server) };
	int err = sip_dialog_open_server(&s->dialog, s->im->worker, m, &start);
	if (err)
		s->dialog = NULL;
	else if (start.next.has_flow) /* it counts no more in limits.conns_per_ip */
		sip_flow_watch(s->im->worker, &start.next.flow);
	return err;
}

static void refuse_for_want_of_room(struct im *im, struct sip_server *server, enum reason why)
{
	char line[32];
	struct buffer headers = buffer_over(line, sizeof(line));

	buffer_printf(&headers, "Retry-After: %u\r\n", sip_options_of(im->worker)->retry_after_s);
	im_refuse(im, server, 503, why, buffer_slice(&headers));
}

/* False: answered. */
static bool begin(struct subscription *s, struct sip_server *server, const struct sip_message *m)
{
	int err = open_dialog(s, server, m);

	if (!err)
		return true;
	if (err == EINVAL)
		sip_server_refuse(server, 400, REASON_SYNTAX);
	else if (err == EMSGSIZE)
		sip_server_refuse(server, 513, REASON_TOO_LARGE);
	else
		refuse_for_want_of_room(s->im, server, REASON_NO_MEMORY);
	subscription_free(s);
	return false;
}

void subscription_start(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice canonical)
{
	struct slice id = event_id_of(m);
	enum reason why;
	uint32_t expires_s;

	if (!is_acceptable(im, server, m, &expires_s))
		return;
	struct subscription *s = subscription_make(im, canonical, &why);
	if (!s) {
		refuse_for_want_of_room(im, server, why);
		return;
	}
	if (!begin(s, server, m))
		return;
	minted_make(im->worker, s->contact);
	s->is_sips = outgoing_wants_sips(m);
	if (id.n)
		memcpy(s->event_id, id.p, id.n);
	s->event_id_n = (uint8_t)id.n;
	LOG(INFO, im->worker, "subscription", 0, "began user=%.*s event=" MESSAGE_SUMMARY_EVENT " expires=%u",
		SLICE_ARG(canonical), expires_s);
	accept_with(s, server, expires_s);
}
