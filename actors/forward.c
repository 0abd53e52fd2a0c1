#include "actors/forward.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/conference.h"
#include "actors/forward_headers.h"
#include "actors/outgoing.h"
#include "actors/refer.h"
#include "actors/session_contact.h"
#include "actors/user.h"
#include "core/minted.h"
#include "sip/header.h"

/* MAPPING: what does Refer-To lead to?  LOOKUP: where is he?  SENT: the other side has it. */
enum forward_state { FORWARD_MAPPING, FORWARD_LOOKUP, FORWARD_SENT };

struct forward {
	struct actor actor;
	struct im *im;
	enum forward_state state;
	enum forward_route route;
	struct timer deadline; /* of MAPPING and LOOKUP; afterwards timer F is enough */
	struct sip_server *server;
	struct sip_client *client;
	uint32_t loop; /* of the request: what ours must not come back with */
	struct identity sender;
	struct sip_record record; /* inside dialogs: as received */
	char recipient[IM_CANONICAL_MAX];
	size_t recipient_n;
	char *request; /* as received */
	size_t request_n;
	struct contact_question *refer_to; /* answered: how the other side knows what Refer-To names; or NULL */
	struct user_find *found; /* the contacts; NULL: the core gets it, or nobody yet */
	unsigned next;           /* of them */
};

/* To the worker that minted the Contact in a Refer-To, and home again. */
struct contact_question {
	struct msg msg;
	actor_id asker;
	bool is_known;
	size_t mapped_n;
	size_t value_n;
	char mapped[2048];
	char value[]; /* of Refer-To */
};

#define LOOKUP_MS 5000

static void on_forward_message(struct actor *actor, struct msg *msg);
static const struct actor_type forward_type = { "forward", on_forward_message };

static void forward_free(struct forward *f)
{
	struct im *im = f->im;

	worker_disarm(im->worker, &f->deadline);
	if (f->client)
		sip_client_forget(f->client);
	free(f->request);
	free(f->refer_to);
	free(f->found);
	actor_close(&f->actor);
	pool_give(&im->forwards, f);
}

static void refuse(struct forward *f, unsigned status, enum reason why)
{
	struct sip_server *server = f->server;

	forward_free(f);
	sip_server_refuse(server, status, why);
}

/* Nobody is there.  Who wants to leave a session that is none here has nothing to leave: 403 (D1-33). */
static void refuse_unknown(struct forward *f, const struct sip_message *m, const char *warning)
{
	struct sip_server *server = f->server;
	struct im *im = f->im;
	bool is_answered = refer_refuses_leaving(im, server, m);

	forward_free(f);
	if (!is_answered && warning)
		im_refuse_with_warning(im, server, 404, REASON_TARGET_UNKNOWN, warning);
	else if (!is_answered)
		sip_server_refuse(server, 404, REASON_TARGET_UNKNOWN);
}

static void on_deadline(struct timer *timer)
{
	refuse((struct forward *)((char *)timer - offsetof(struct forward, deadline)), 503, REASON_TIMEOUT);
}

/* ---- the other side's answer ---- */

static bool has_next(const struct forward *f)
{
	return f->found && f->next < f->found->contact_count;
}

static void send_to_next(struct forward *f);

/* This contact cannot be reached: another one may.  Not after a silence: then two might have it. */
static bool try_next(struct forward *f)
{
	if (!has_next(f))
		return false;
	sip_client_forget(f->client);
	f->client = NULL;
	send_to_next(f);
	return true;
}

/* RFC 3261 16.7 step 6: our peer's overload is not ours.  RFC 4320 4.2: a 408 is of no use to anybody. */
static unsigned status_for(unsigned status)
{
	return status == 503 ? 500 : status == 408 ? 480 : status;
}

static void on_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct forward *f = arg;
	struct forward_answer answer = { .im = f->im, .answering = slice_of(f->recipient, f->recipient_n) };
	unsigned status = status_for(m->status);

	if (m->status < 200 || ((m->status == 408 || m->status == 430) && try_next(f)))
		return; /* RFC 4320 4.1: nothing provisional */
	char *headers = forward_write_answer(&answer, m);
	if (!headers) {
		refuse(f, 503, REASON_NO_MEMORY);
		return;
	}
	struct sip_server *server = f->server;
	struct im *im = f->im;
	forward_free(f);
	if (status >= 300)
		sip_server_tell_refusal(im->worker, server, status, REASON_REJECTED, "the answer of the other side");
	sip_server_respond(server, &(struct sip_reply){ .status = status,
		.reason = status == m->status ? m->reason : SLICE_EMPTY, .to = sip_header_value(m, SIP_HDR_TO),
		.headers = answer.headers, .content_type = sip_header_value(m, SIP_HDR_CONTENT_TYPE), .body = m->body });
	free(headers);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct forward *f = arg;

	if (status == 503 && try_next(f))
		return;
	refuse(f, 480, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED);
}

static const struct sip_client_events client_events = { on_response, on_failed, NULL };

/* ---- sending on ---- */

static bool reread(const struct forward *f, struct sip_message *m)
{
	struct sip_limits limits = { f->request_n + 1, f->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(m, slice_of(f->request, f->request_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

/* What in-dialog requests will find in our Record-Route URI.  ims: all of them go to the core. */
static void fill_record(const struct forward *f, const struct sip_message *m, const struct sip_target *target,
	struct sip_record *record)
{
	struct sip_address from;

	*record = (struct sip_record){ .pass = (uint32_t)worker_random_fast(f->im->worker) };
	if (sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from))
		record->asker_tag = sip_record_tag(from.tag);
	if (f->im->config->core.mode == MODE_IMS)
		return;
	record->asker = (struct sip_record_end){ true, *sip_server_flow(f->server) };
	if (target->has_flow)
		record->asked = (struct sip_record_end){ true, target->flow };
}

static void send_on(struct forward *f, const struct sip_message *m, struct forward_request *sent)
{
	char record[SIP_RECORD_CHARS];
	struct buffer user = buffer_over(record, sizeof(record));
	struct sip_record new_record;

	sent->im = f->im;
	sent->came_by = sip_server_flow(f->server);
	sent->sender = f->route == FORWARD_IN_DIALOG ? NULL : &f->sender;
	if (f->refer_to)
		sent->refer_to = slice_of(f->refer_to->mapped, f->refer_to->mapped_n);
	if (f->route == FORWARD_IN_DIALOG) {
		/* RFC 6665 4.3: a NOTIFY may be what makes the dialog */
		sent->record = m->method == SIP_NOTIFY ? sip_record_of(m, NULL) : SLICE_EMPTY;
	} else {
		fill_record(f, m, &sent->target, &new_record);
		sip_record_write(&user, &new_record, sip_header_value(m, SIP_HDR_CALL_ID));
		sent->record = buffer_slice(&user);
	}
	char *headers = forward_write_request(sent, m);
	if (!headers) {
		refuse(f, sent->is_too_long ? 513 : 503, sent->is_too_long ? REASON_TOO_LARGE : REASON_NO_MEMORY);
		return;
	}
	struct sip_outgoing request = { .method = m->method_name, .uri = sent->uri, .headers = sent->headers,
		.content_type = sip_header_value(m, SIP_HDR_CONTENT_TYPE), .body = m->body, .target = sent->target,
		.loop = f->loop, .is_passed_on = true };
	int err = sip_client_send(&f->client, f->im->worker, &request, &client_events, f);
	free(headers);
	if (err) {
		f->client = NULL;
		refuse(f, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	COUNT(&f->im->worker->counters, requests_forwarded);
	worker_disarm(f->im->worker, &f->deadline);
	f->state = FORWARD_SENT;
}

static void send_to_core(struct forward *f, const struct sip_message *m)
{
	struct forward_request sent = { .uri = m->uri, .target = im_next_hop(f->im) };

	send_on(f, m, &sent);
}

static void send_to_next(struct forward *f)
{
	const struct user_contact *contact = &f->found->contacts[f->next++];
	struct forward_request sent = { .uri = slice_of(contact->uri, contact->uri_n),
		.path = slice_of(contact->path, contact->path_n),
		.target = { .has_flow = true, .flow_only = true, .flow = contact->flow } };
	struct sip_message m;

	if (reread(f, &m)) /* cannot fail: it was read before */
		send_on(f, &m, &sent);
	else
		refuse(f, 400, REASON_SYNTAX);
}

/* The Request-URI is the Contact of one side of a session: resolved back to that of the other (IM-6.2.3.4-2). */
static void send_to_contact(struct forward *f, const struct sip_message *m)
{
	struct session_contact_view view;
	struct sip_uri uri;

	if (!sip_uri_parse(m->uri, &uri) || !session_contact_find(f->im, uri.user, &view)) {
		refuse_unknown(f, m, "Conference URI does not exist");
		return;
	}
	if (view.hides) { /* the answer would say who and where it is */
		refuse(f, 403, REASON_IDENTITY);
		return;
	}
	struct forward_request sent = { .uri = view.uri, .target = im_next_hop(f->im) };
	if (f->im->config->core.mode != MODE_IMS) {
		sent.routes = view.routes;
		sent.target = view.target;
	}
	send_on(f, m, &sent);
}

static void send_in_dialog(struct forward *f, const struct sip_message *m)
{
	struct forward_request sent = { .is_in_dialog = true, .target = im_next_hop(f->im) };
	struct sip_address from;

	if (f->im->config->core.mode != MODE_IMS) {
		bool is_askers = sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from) &&
				 sip_record_tag(from.tag) == f->record.asker_tag;
		const struct sip_record_end *to = is_askers ? &f->record.asked : &f->record.asker;
		if (to->has_flow)
			sent.target = (struct sip_target){ .has_flow = true, .flow_only = true, .flow = to->flow };
	}
	send_on(f, m, &sent);
}

/* All that it names is known. */
static void go_on(struct forward *f, const struct sip_message *m)
{
	switch (f->route) {
	case FORWARD_TO_USER:
		f->state = FORWARD_LOOKUP;
		worker_arm(f->im->worker, &f->deadline, LOOKUP_MS, on_deadline);
		if (user_find(f->im, slice_of(f->recipient, f->recipient_n), outgoing_is_sips(m->uri), f->actor.id) != 0)
			refuse(f, 503, REASON_NO_MEMORY);
		break;
	case FORWARD_TO_NEXT_HOP:
		send_to_core(f, m);
		break;
	case FORWARD_TO_CONTACT:
		send_to_contact(f, m);
		break;
	case FORWARD_IN_DIALOG:
		send_in_dialog(f, m);
		break;
	}
}

static void on_user_found(struct forward *f, struct user_find *found)
{
	struct sip_message m;

	if (!found->is_registered || !reread(f, &m)) { /* reading cannot fail: it was done before */
		refuse(f, 480, REASON_OFFLINE);
	} else if (f->im->config->core.mode == MODE_IMS) {
		send_to_core(f, &m);
	} else {
		f->found = found;
		send_to_next(f);
		return;
	}
	free(found);
}

/* ---- a session URI in Refer-To (D1-15) ---- */

/* The identity of a session of our own focus needs no translation (D1-15). */
static bool names_conference(struct im *im, struct slice value)
{
	struct sip_address address;
	struct sip_uri uri;

	return sip_address_decode(value, &address) && sip_uri_parse(address.uri, &uri) && conference_find(im, uri.user);
}

static void on_contact_question(struct worker *worker, struct msg *msg)
{
	struct contact_question *question = (struct contact_question *)msg;
	struct buffer out = buffer_over(question->mapped, sizeof(question->mapped));

	struct slice value = slice_of(question->value, question->value_n);

	question->is_known = session_contact_map(im_of(worker), value, &out);
	if (!question->is_known && names_conference(im_of(worker), value)) {
		buffer_put(&out, value);
		question->is_known = !out.overflow;
	}
	question->mapped_n = out.n;
	msg->actor = question->asker;
	worker_answer(worker, msg, MSG_CONTACT_ANSWERED, 0);
}

static void on_contact_without_asker(struct worker *worker, struct msg *msg)
{
	free(msg);
}

/* False: nothing has to be asked.  Else the answer comes, or it was refused. */
static bool asks_for_refer_to(struct forward *f, const struct sip_message *m)
{
	struct slice value = sip_header_value(m, SIP_HDR_REFER_TO);
	struct sip_address address;
	struct sip_uri uri;

	if (m->method != SIP_REFER || !sip_address_decode(value, &address) || !sip_uri_parse(address.uri, &uri) ||
	    minted_worker(uri.user) < 0)
		return false;
	struct contact_question *question = malloc(sizeof(*question) + value.n);
	if (!question) {
		refuse(f, 503, REASON_NO_MEMORY);
		return true;
	}
	memset(question, 0, sizeof(*question));
	question->msg.kind = MSG_CONTACT_QUESTION;
	question->asker = f->actor.id;
	question->value_n = value.n;
	memcpy(question->value, value.p, value.n);
	f->state = FORWARD_MAPPING;
	worker_arm(f->im->worker, &f->deadline, LOOKUP_MS, on_deadline);
	worker_post(f->im->worker, (unsigned)minted_worker(uri.user), &question->msg);
	return true;
}

static void on_contact_answered(struct forward *f, struct contact_question *answer)
{
	struct sip_message m;

	f->refer_to = answer;
	if (!reread(f, &m)) /* cannot fail: it was done before */
		refuse(f, 400, REASON_SYNTAX);
	else if (!answer->is_known)
		refuse_unknown(f, &m, NULL);
	else
		go_on(f, &m);
}

static void on_forward_message(struct actor *actor, struct msg *msg)
{
	struct forward *f = (struct forward *)actor;

	if (msg->kind == MSG_CONTACT_ANSWERED && f->state == FORWARD_MAPPING) {
		on_contact_answered(f, (struct contact_question *)msg);
	} else {
		assert(msg->kind == MSG_USER_FOUND && f->state == FORWARD_LOOKUP); /* one question at a time */
		on_user_found(f, (struct user_find *)msg);
	}
}

/* ---- beginning ---- */

void forward_start(struct im *im, struct sip_server *server, const struct sip_message *request,
	const struct forward_start *start)
{
	struct forward *f = pool_take(&im->forwards);

	if (!f) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	f->im = im;
	f->server = server;
	f->route = start->route;
	f->loop = sip_loop_of(im->worker, sip_server_flow(server), request);
	if (start->sender)
		f->sender = *start->sender;
	if (start->record)
		f->record = *start->record;
	if (start->recipient.n)
		memcpy(f->recipient, start->recipient.p, start->recipient.n);
	f->recipient_n = start->recipient.n;
	if (actor_open(im->worker, &f->actor, &forward_type) != 0) {
		pool_give(&im->forwards, f);
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	f->request_n = request->wire.n;
	f->request = malloc(f->request_n);
	if (!f->request) {
		refuse(f, 503, REASON_NO_MEMORY);
		return;
	}
	memcpy(f->request, request->wire.p, f->request_n);
	if (!asks_for_refer_to(f, request))
		go_on(f, request);
}

int forwards_init(struct im *im)
{
	im->worker->on_message[MSG_CONTACT_QUESTION] = on_contact_question;
	im->worker->on_message[MSG_CONTACT_ANSWERED] = on_contact_without_asker;
	return pool_init(&im->forwards, "forwards", sizeof(struct forward), im->server->sip.transactions_max);
}

/* The process ends: the transactions below were dropped without a word. */
void forwards_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->forwards.made; slot++) {
		struct forward *f = pool_at(&im->forwards, slot);
		if (!f)
			continue;
		f->client = NULL;
		forward_free(f);
	}
	pool_free(&im->forwards);
}
