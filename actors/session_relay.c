/*
 * Requests of other methods inside the dialogs (design.md 4, "In-dialog requests
 * across the B2BUA"): sent anew in the other side's dialog, the answer brought
 * back; and the subscriptions that REFER and SUBSCRIBE make there, which live on
 * when the session has ended (RFC 5057 4.1).
 */
#include "actors/session_names.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/outgoing.h"
#include "core/log.h"
#include "sip/header.h"
#include "sip/write.h"

#define RELAYS_MAX        16
#define SUBSCRIPTIONS_MAX 16 /* of both dialogs together */
/* How long one lives for which nobody says it: REFER has no Expires (RFC 3515), NOTIFY may not say. */
#define SUBSCRIPTION_MS   (180 * 1000)
#define SUBSCRIPTION_S_MAX 3600

/* A request under way. */
struct relay {
	struct relay *next;
	struct side *from;
	struct sip_server *server; /* of `from` */
	struct sip_client *client; /* in the other dialog */
	struct subscription *subscription; /* that it makes, renews or speaks of; or NULL */
	bool may_end_it;           /* a NOTIFY that says terminated */
	bool makes_it;
};

/* Of one side to something of the other. */
struct subscription {
	struct subscription *next;
	struct side *subscriber;
	struct slice event;        /* package and id as the subscriber writes them; empty: of a REFER */
	uint32_t cseq_in, cseq_out; /* of the REFER: the id that each side gives it (RFC 3515 2.4.6) */
	uint64_t ends_at_ms;
	char text[];
};

/* ---- subscriptions ---- */

static void remove_subscription(struct session *s, struct subscription *gone)
{
	for (struct subscription **link = &s->subscriptions; *link; link = &(*link)->next)
		if (*link == gone) {
			*link = gone->next;
			break;
		}
	for (struct relay *r = s->relays; r; r = r->next)
		if (r->subscription == gone)
			r->subscription = NULL;
	free(gone);
}

/* Of those that nobody ended the time is over some day. */
static unsigned count_subscriptions(struct session *s)
{
	uint64_t now_ms = worker_now_ms(s->im->worker);
	struct subscription *next;
	unsigned count = 0;

	for (struct subscription *at = s->subscriptions; at; at = next) {
		next = at->next;
		if (at->ends_at_ms <= now_ms)
			remove_subscription(s, at);
		else
			count++;
	}
	return count;
}

bool session_has_subscriptions(struct session *s)
{
	return count_subscriptions(s) > 0;
}

static struct subscription *make_subscription(struct side *subscriber, struct slice event)
{
	struct session *s = subscriber->session;
	struct subscription *made = malloc(sizeof(*made) + event.n);

	if (!made)
		return NULL;
	*made = (struct subscription){ .next = s->subscriptions, .subscriber = subscriber,
		.ends_at_ms = worker_now_ms(s->im->worker) + SUBSCRIPTION_MS };
	if (event.n)
		memcpy(made->text, event.p, event.n);
	made->event = slice_of(made->text, event.n);
	s->subscriptions = made;
	return made;
}

static void prolong(struct session *s, struct subscription *subscription, uint32_t seconds)
{
	if (seconds > SUBSCRIPTION_S_MAX)
		seconds = SUBSCRIPTION_S_MAX;
	/* 32 s: the last NOTIFY may be on its way */
	subscription->ends_at_ms = worker_now_ms(s->im->worker) + 1000ull * seconds + 32000;
}

/* `refer` with an id is a REFER's CSeq as one side counts it. */
static bool is_refer(struct slice event, uint64_t *id)
{
	struct slice params, value;

	*id = 0;
	if (!slice_case_eq(slice_trim(slice_cut(event, ';', &params)), SLICE("refer")))
		return false;
	if (params.p && sip_param_find(slice_of(params.p - 1, params.n + 1), "id", &value))
		(void)slice_u64(value, UINT32_MAX, id); /* no number: none that we know */
	return true;
}

static bool is_same_event(struct slice a, struct slice b)
{
	struct slice params_of_a, params_of_b, id_of_a = SLICE_EMPTY, id_of_b = SLICE_EMPTY;

	if (!slice_case_eq(slice_trim(slice_cut(a, ';', &params_of_a)), slice_trim(slice_cut(b, ';', &params_of_b))))
		return false;
	if (params_of_a.p)
		(void)sip_param_find(slice_of(params_of_a.p - 1, params_of_a.n + 1), "id", &id_of_a);
	if (params_of_b.p)
		(void)sip_param_find(slice_of(params_of_b.p - 1, params_of_b.n + 1), "id", &id_of_b);
	return slice_eq(id_of_a, id_of_b);
}

/* The one that a NOTIFY or SUBSCRIBE of `from` speaks of. */
static struct subscription *find_subscription(struct side *from, const struct sip_message *m)
{
	struct slice event = sip_header_value(m, SIP_HDR_EVENT);
	bool is_notify = m->method == SIP_NOTIFY;
	struct side *subscriber = is_notify ? session_other(from) : from;
	uint64_t id;

	(void)count_subscriptions(from->session);
	bool refer = is_refer(event, &id);
	for (struct subscription *at = from->session->subscriptions; at; at = at->next) {
		if (at->subscriber != subscriber)
			continue;
		uint32_t known = is_notify ? at->cseq_out : at->cseq_in;
		if (refer ? at->cseq_out && (id == 0 || id == known) : at->event.n && is_same_event(at->event, event))
			return at;
	}
	return NULL;
}

/* ---- passing on ---- */

static void free_relay(struct relay *r)
{
	struct session *s = r->from->session;

	for (struct relay **link = &s->relays; *link; link = &(*link)->next)
		if (*link == r) {
			*link = r->next;
			break;
		}
	free(r);
}

/* Nothing more to come: a session that lives for its subscriptions only may be over. */
static void is_done(struct relay *r)
{
	struct session *s = r->from->session;

	free_relay(r);
	session_close_if_idle(s);
}

static void refuse(struct relay *r, unsigned status, enum reason why)
{
	if (r->server) {
		sip_server_watch(r->server, NULL, NULL);
		sip_server_refuse(r->server, status, why);
	}
	r->server = NULL;
}

void session_drop_relays(struct session *s, bool transactions_are_gone)
{
	while (s->relays) {
		struct relay *r = s->relays;
		if (!transactions_are_gone) {
			refuse(r, 481, REASON_DIALOG_UNKNOWN);
			if (r->client)
				sip_client_forget(r->client);
		}
		free_relay(r);
	}
	while (s->subscriptions)
		remove_subscription(s, s->subscriptions);
}

/* Event: refer;id=N, as the side `to` counts. */
static void put_event(struct buffer *out, const struct relay *r, struct slice value)
{
	const struct subscription *about = r->subscription;
	struct slice params, event = slice_trim(slice_cut(value, ';', &params));
	struct sip_param param;
	uint64_t id;

	if (!is_refer(value, &id) || id == 0 || !about || !about->cseq_out) {
		sip_write_header(out, "Event", value);
		return;
	}
	bool to_subscriber = about->subscriber != r->from;
	buffer_lit(out, "Event: ");
	sip_write_text(out, event);
	for (params = slice_of(params.p - 1, params.n + 1); sip_param_next(&params, &param);) {
		buffer_char(out, ';');
		sip_write_text(out, param.name);
		if (!param.has_value)
			continue;
		buffer_char(out, '=');
		if (slice_case_eq(param.name, SLICE("id")))
			buffer_u64(out, to_subscriber ? about->cseq_in : about->cseq_out);
		else
			sip_write_text(out, param.value);
	}
	buffer_lit(out, "\r\n");
}

/* Fields that header_rules.def leaves to whoever relays inside a dialog: what such requests say end to end. */
static void put_dialog_headers(struct buffer *out, const struct relay *r, const struct sip_message *m)
{
	for (unsigned i = 0; i < m->header_count; i++) {
		const struct sip_header *header = &m->headers[i];
		switch ((int)header->id) {
		case SIP_HDR_EVENT:
			put_event(out, r, header->value);
			break;
		case SIP_HDR_REFER_TO:
		case SIP_HDR_REPLACES:
		case SIP_HDR_TARGET_DIALOG:
			buffer_printf(out, "%s: ", sip_header_name(header->id));
			session_map_value(out, r->from, header->id, header->value);
			buffer_lit(out, "\r\n");
			break;
		case SIP_HDR_MIN_EXPIRES:
		case SIP_HDR_EXPIRES:
			if (!m->is_request) /* a request's passes anyway */
				sip_copy_header(out, header);
			break;
		case SIP_HDR_SUBSCRIPTION_STATE:
		case SIP_HDR_REFER_SUB:
		case SIP_HDR_SIP_ETAG:
		case SIP_HDR_SIP_IF_MATCH:
		case SIP_HDR_SUPPORTED:
		case SIP_HDR_REQUIRE:
		case SIP_HDR_ALLOW_EVENTS:
			sip_copy_header(out, header);
			break;
		case SIP_HDR_REASON:
			if (m->is_request)
				sip_copy_header(out, header);
			break;
		default:
			break;
		}
	}
}

/* RFC 6665, RFC 3515: the methods that refresh the target. */
static bool has_contact(enum sip_method method)
{
	return method == SIP_SUBSCRIBE || method == SIP_NOTIFY || method == SIP_REFER;
}

static void after_answer(struct relay *r, enum sip_method method, const struct sip_message *m)
{
	struct session *s = r->from->session;
	struct subscription *about = r->subscription;
	uint32_t seconds;

	if (!about)
		return;
	bool is_refused = m->status >= 300, wants_none = slice_case_starts(sip_header_value(m, SIP_HDR_REFER_SUB),
						SLICE("false"));
	if (method == SIP_NOTIFY ? r->may_end_it || m->status == 481 :
				   (r->makes_it && (is_refused || wants_none)) || m->status == 481)
		remove_subscription(s, about);
	else if (method == SIP_SUBSCRIBE && !is_refused && sip_seconds_of(m, SIP_HDR_EXPIRES, &seconds))
		prolong(s, about, seconds);
}

static void bring_back(struct relay *r, const struct sip_message *m)
{
	struct side *from = r->from, *to = session_other(from);
	struct im *im = from->session->im;
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	enum sip_method method = sip_server_method(r->server);
	unsigned status = m->status < 300 ? m->status : outgoing_final_status(m->status);

	if (status == 408)
		status = 480; /* RFC 4320 4.1 */
	if (m->status < 300 && has_contact(method)) {
		(void)sip_dialog_refresh_target(to->dialog, m); /* without memory the old one may still do */
		outgoing_contact(&headers, im, sip_server_flow(r->server), session_self(from));
	}
	outgoing_copied(&headers, im, m, to->hides);
	if (method == SIP_OPTIONS && m->status < 300) /* what this dialog can do is for us to say (RFC 3261 11.2) */
		buffer_lit(&headers, "Allow: " IM_ALLOW "\r\nAccept: " IM_ACCEPT_SESSION
				     "\r\nSupported: " IM_SUPPORTED "\r\n");
	else
		put_dialog_headers(&headers, r, m);
	if (status == 405) /* RFC 3261 8.2.1: a MUST, and only who refused knows what he takes */
		sip_copy_headers(&headers, m, SIP_HDR_ALLOW);
	if (m->status >= 300)
		sip_server_tell_refusal(im->worker, r->server, status, REASON_REJECTED, "the answer of the other side");
	sip_server_watch(r->server, NULL, NULL);
	struct sip_server *server = r->server;
	r->server = NULL;
	if (headers.overflow) {
		sip_server_refuse(server, 513, REASON_TOO_LARGE);
		return;
	}
	after_answer(r, method, m);
	sip_server_respond(server, &(struct sip_reply){ .status = status,
		.reason = status == m->status ? m->reason : SLICE_EMPTY, .headers = buffer_slice(&headers),
		.content_type = m->body.n ? sip_header_value(m, SIP_HDR_CONTENT_TYPE) : SLICE_EMPTY, .body = m->body });
}

/* RFC 5057 5.1, 5.2: 481 to a request that belongs to no subscription means the dialog; 408 always does. */
static bool ends_session(const struct relay *r, enum sip_method method, unsigned status)
{
	bool has_own_usage = method == SIP_SUBSCRIBE || method == SIP_NOTIFY;

	return status == 408 || (status == 481 && !has_own_usage);
}

static void on_answered(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct relay *r = arg;
	struct session *s = r->from->session;

	if (m->status < 200)
		return; /* RFC 4320 4.1: not for anything but INVITE */
	enum sip_method method = r->server ? sip_server_method(r->server) : SIP_METHOD_OTHER;
	bool is_over = ends_session(r, method, m->status) && session_is_established(s);
	sip_client_forget(client);
	r->client = NULL;
	if (r->server)
		bring_back(r, m);
	free_relay(r);
	if (is_over)
		session_end(s, "the other side knows the session no more");
	else
		session_close_if_idle(s);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct relay *r = arg;
	struct session *s = r->from->session;
	bool is_over = status == 408 && session_is_established(s);

	sip_client_forget(client);
	r->client = NULL;
	refuse(r, 480, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED);
	free_relay(r);
	if (is_over)
		session_end(s, "no answer inside the session");
	else
		session_close_if_idle(s);
}

static const struct sip_client_events client_events = { on_answered, on_failed, NULL };

static void on_server_gone(struct sip_server *server, void *arg)
{
	((struct relay *)arg)->server = NULL;
}

static const struct sip_server_events server_events = { NULL, NULL, NULL, on_server_gone };

/* 0, ENOMEM or EMSGSIZE. */
static int send_on(struct relay *r, const struct sip_message *m)
{
	struct side *to = session_other(r->from);
	struct im *im = to->session->im;
	char text[OUTGOING_HEADERS_MAX], method[64];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (m->method_name.n >= sizeof(method))
		return EMSGSIZE;
	memcpy(method, m->method_name.p, m->method_name.n);
	method[m->method_name.n] = 0;
	sip_dialog_write(to->dialog, &headers, method, 0);
	if (r->makes_it && m->method == SIP_REFER)
		r->subscription->cseq_out = to->dialog->local_cseq;
	if (has_contact(m->method)) {
		struct sip_flow flow = outgoing_flow(im, &to->dialog->next);
		outgoing_contact(&headers, im, &flow, session_self(to));
	}
	outgoing_copied(&headers, im, m, r->from->hides);
	put_dialog_headers(&headers, r, m);
	struct sip_outgoing request = { .method = m->method_name, .uri = sip_dialog_uri(to->dialog),
		.headers = buffer_slice(&headers), .target = to->dialog->next,
		.content_type = m->body.n ? sip_header_value(m, SIP_HDR_CONTENT_TYPE) : SLICE_EMPTY, .body = m->body };
	if (headers.overflow)
		return EMSGSIZE;
	return sip_client_send(&r->client, im->worker, &request, &client_events, r);
}

/* ---- receiving ---- */

static unsigned count_relays(const struct session *s)
{
	unsigned count = 0;

	for (const struct relay *r = s->relays; r; r = r->next)
		count++;
	return count;
}

/* What it makes or speaks of.  False: answered. */
static bool find_or_make_subscription(struct relay *r, const struct sip_message *m)
{
	struct session *s = r->from->session;
	struct slice event = m->method == SIP_REFER ? SLICE_EMPTY : sip_header_value(m, SIP_HDR_EVENT), method;
	struct slice state = sip_header_value(m, SIP_HDR_SUBSCRIPTION_STATE), params, seconds;
	uint64_t left_s;

	if (m->method == SIP_NOTIFY || m->method == SIP_SUBSCRIBE)
		r->subscription = find_subscription(r->from, m);
	if (r->subscription && m->method == SIP_NOTIFY) {
		r->may_end_it = slice_case_eq(slice_trim(slice_cut(state, ';', &params)), SLICE("terminated"));
		if (params.p && sip_param_find(slice_of(params.p - 1, params.n + 1), "expires", &seconds) &&
		    slice_u64(seconds, UINT32_MAX, &left_s))
			prolong(s, r->subscription, (uint32_t)left_s);
	}
	if (r->subscription || (m->method != SIP_REFER && m->method != SIP_SUBSCRIBE))
		return true;
	if (!session_is_established(s)) { /* nothing new in a dialog whose session is over */
		refuse(r, 481, REASON_DIALOG_UNKNOWN);
		return false;
	}
	if (m->method == SIP_REFER && slice_case_starts(sip_header_value(m, SIP_HDR_REFER_SUB), SLICE("false")))
		return true; /* RFC 4488 */
	if (count_subscriptions(s) >= SUBSCRIPTIONS_MAX) {
		refuse(r, 503, REASON_DIALOG_LIMIT);
		return false;
	}
	r->subscription = make_subscription(r->from, event);
	if (!r->subscription) {
		refuse(r, 503, REASON_NO_MEMORY);
		return false;
	}
	r->makes_it = true;
	if (m->method == SIP_REFER)
		(void)sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &r->subscription->cseq_in, &method);
	return true;
}

/* False: answered. */
static bool may_relay(struct side *from, struct sip_server *server, const struct sip_message *m)
{
	struct session *s = from->session;

	if (s->state == SESSION_LOOKUP || s->state == SESSION_INVITED) { /* the other dialog is not there yet */
		session_answer_busy(s->im, server);
		return false;
	}
	bool has_usage = s->subscriptions && (m->method == SIP_NOTIFY || m->method == SIP_SUBSCRIBE);
	bool is_there = s->a.dialog && s->b.dialog && s->b.dialog->is_confirmed &&
			(session_is_established(s) || s->state == SESSION_CLOSING || s->state == SESSION_SUBSCRIBED);
	if (!is_there || (!session_is_established(s) && !(has_usage && find_subscription(from, m)))) {
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return false;
	}
	if (count_relays(s) >= RELAYS_MAX) {
		sip_server_refuse(server, 503, REASON_DIALOG_LIMIT);
		return false;
	}
	return true;
}

void session_relay(struct side *from, struct sip_server *server, const struct sip_message *m)
{
	struct session *s = from->session;

	if (!may_relay(from, server, m))
		return;
	struct relay *r = malloc(sizeof(*r));
	if (!r) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	*r = (struct relay){ .next = s->relays, .from = from, .server = server };
	s->relays = r;
	sip_server_watch(server, &server_events, r);
	if (!find_or_make_subscription(r, m)) {
		is_done(r);
		return;
	}
	if (has_contact(m->method))
		(void)sip_dialog_refresh_target(from->dialog, m); /* without memory the old one may still do */
	int err = send_on(r, m);
	if (!err)
		return;
	r->client = NULL;
	refuse(r, err == EMSGSIZE ? 513 : 503, err == EMSGSIZE ? REASON_TOO_LARGE : REASON_NO_MEMORY);
	if (r->makes_it)
		remove_subscription(s, r->subscription);
	is_done(r);
}
