#include <assert.h>
#include <stdlib.h>

#include "actors/deferred.h"
#include "actors/group_advertisement.h"
#include "actors/outgoing.h"
#include "actors/pager_content.h"
#include "actors/pager_internal.h"
#include "actors/policy.h"
#include "core/minted.h"
#include "sip/header.h"
#include "sip/owner.h"

#define LOOKUP_MS 5000

static void on_pager_message(struct actor *actor, struct msg *msg);
static const struct actor_type pager_type = { "pager", on_pager_message };

/* 6.2.6.1 has what the user bars or rejects before size and content.  With both passes in one, in standalone mode, the
 * originating one's policy comes first. */
static bool is_judged_later(const struct im *im, enum pager_route route)
{
	return im->config->core.mode == MODE_IMS && route == PAGER_TO_USER;
}

void pager_free(struct pager *p)
{
	struct im *im = p->im;

	pager_record_end(p, false, "stopped"); /* unless it was answered, only the end of the process leads here */
	worker_disarm(im->worker, &p->deadline);
	if (p->server)
		sip_server_watch(p->server, NULL, NULL);
	if (p->client)
		sip_client_forget(p->client);
	pager_forget_message(p);
	free(p->found);
	actor_close(&p->actor);
	pool_give(&im->pagers, p);
}

void pager_forget_message(struct pager *p)
{
	free(p->message);
	p->message = NULL;
	pager_content_drop(p->content);
	p->content = NULL;
}

void pager_tell(struct pager *p, const struct sip_reply *reply)
{
	struct sip_server *server = p->server;
	struct pager_list *list = p->list;

	p->server = NULL;
	p->list = NULL;
	if (list) {
		pager_list_on_copy_end(list, reply->status < 300);
		return;
	}
	sip_server_watch(server, NULL, NULL);
	sip_server_respond(server, reply);
}

void pager_answer(struct pager *p, const struct sip_reply *reply)
{
	pager_tell(p, reply);
	pager_free(p);
}

void pager_refuse(struct pager *p, unsigned status, enum reason why)
{
	struct sip_server *server = p->server;

	pager_record_end(p, false, reason_label(why));
	if (p->list) {
		pager_copy_refused(p->im, p->actor.id, slice_of(p->recipient, p->recipient_n), status, why);
		pager_answer(p, &(struct sip_reply){ .status = status });
		return;
	}
	p->server = NULL;
	sip_server_watch(server, NULL, NULL);
	sip_server_refuse(server, status, why);
	pager_free(p);
}

bool pager_read(const struct pager *p, struct sip_message *m)
{
	struct sip_limits limits = { p->message_n + 1, p->message_n + 1, 0 };
	size_t used;

	if (sip_message_parse(m, slice_of(p->message, p->message_n), &limits, SIP_DATAGRAM, &used) != SIP_PARSE_OK)
		return false;
	if (p->content)
		m->body = p->content->body;
	return true;
}

/* ---- the other side's answer ---- */

/* A client that does not answer, or answers that it is not there, is offline (design.md 13). */
static unsigned final_status(const struct pager *p, unsigned status)
{
	if (p->is_to_client && status == 408)
		return 480;
	return outgoing_final_status(status);
}

/* He is not there, or cannot be reached: another contact, and if there is none the store may have it.  What counts as
 * 480 (D1-19) is one. */
static bool says_away(unsigned status)
{
	return status >= 300 && (status == 408 || status == 430 || status == 503 || outgoing_final_status(status) == 480);
}

static void log_rejected(const struct pager *p, unsigned status)
{
	if (p->list)
		pager_copy_refused(p->im, p->actor.id, slice_of(p->recipient, p->recipient_n), status, REASON_REJECTED);
	else
		sip_server_tell_refusal(p->im->worker, p->server, status, REASON_REJECTED, "the answer of the other side");
}

static bool has_next(const struct pager *p)
{
	return p->found && p->next < p->found->contact_count;
}

static void relay_to_next(struct pager *p);

/* This contact cannot be reached: another one may.  Not after a silence: then two might show it. */
static bool try_next(struct pager *p)
{
	if (!has_next(p))
		return false;
	sip_client_forget(p->client);
	p->client = NULL;
	relay_to_next(p);
	return true;
}

static void pass_on(struct pager *p, const struct sip_message *m)
{
	char text[4096];
	struct buffer headers = buffer_over(text, sizeof(text));
	unsigned status = m->status < 300 ? m->status : final_status(p, m->status);

	identity_write_of_response(&headers, p->im, m, slice_of(p->recipient, p->recipient_n));
	outgoing_copied(&headers, p->im, m, identity_hides_answerer(p->im, m));
	if (status < 300)
		COUNT(&p->im->worker->counters, pager_messages);
	else
		log_rejected(p, status);
	pager_record_end(p, status < 300, status < 300 ? "delivered" : reason_label(REASON_REJECTED));
	pager_answer(p, &(struct sip_reply){ .status = status, .reason = status == m->status ? m->reason : SLICE_EMPTY,
		.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

static void on_away(struct pager *p, const struct sip_message *m)
{
	sip_client_forget(p->client); /* nothing follows a final response */
	p->client = NULL;
	if (!pager_defer(p))
		pass_on(p, m);
}

static void on_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct pager *p = arg;

	if (m->status < 200)
		return;
	if (p->state != PAGER_RELAYED)
		pager_on_late_response(p, m);
	else if (!says_away(m->status))
		pass_on(p, m);
	else if (!try_next(p))
		on_away(p, m);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct pager *p = arg;

	if (p->state != PAGER_RELAYED) {
		pager_on_late_failure(p);
		return;
	}
	if (status == 503 && try_next(p))
		return;
	p->client = NULL; /* it is gone in a moment */
	/* 408 to a non-INVITE is of no use to anybody (RFC 4320 4.1): the sender hears 480 */
	if (!pager_defer(p))
		pager_refuse(p, 480, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED);
}

static const struct sip_client_events client_events = { on_response, on_failed, NULL };

void pager_on_deadline(struct timer *timer)
{
	struct pager *p = (struct pager *)((char *)timer - offsetof(struct pager, deadline));

	switch (p->state) {
	case PAGER_LOOKUP:
		pager_refuse(p, 503, REASON_TIMEOUT);
		break;
	case PAGER_RELAYED:
		if (!pager_defer(p))
			pager_refuse(p, 480, REASON_TIMEOUT);
		break;
	case PAGER_STORING:
		pager_on_store_silent(p);
		break;
	case PAGER_STORED: /* the client's transaction ends that */
		break;
	}
}

/* ---- checks of the function itself ---- */

/* False: answered. */
static bool is_acceptable(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct identity *sender)
{
	if (m->body.n > im->config->limits.max_size_pager) {
		sip_server_refuse(server, 403, REASON_TOO_LARGE);
		return false;
	}
	if (m->body.n && !policy_permits_type(im->config, sip_header_value(m, SIP_HDR_CONTENT_TYPE))) {
		sip_server_refuse(server, 403, REASON_UNSUPPORTED_BODY);
		return false;
	}
	/* 6.2.3.8, D2-38: an advertisement says who advertises */
	bool is_advertisement = sip_content_type_is(sip_header_value(m, SIP_HDR_CONTENT_TYPE), GROUP_ADVERTISEMENT_TYPE);
	if (sender->wants_id_privacy && (is_advertisement || !im->config->policy.allow_anonymity)) {
		sip_server_refuse(server, 403, REASON_IDENTITY);
		return false;
	}
	if (deferred_is_expired(im, m)) {
		im_refuse_with_warning(im, server, 403, REASON_TIMEOUT, "Message expired");
		return false;
	}
	return true;
}

/* ---- sending on ---- */

static void write_headers(struct pager *p, struct buffer *out, const struct sip_message *m,
	const struct user_contact *contact)
{
	char tag[MINTED_CHARS];

	if (p->im->config->core.mode == MODE_IMS)
		outgoing_routes(out, p->im, m);
	if (contact)
		outgoing_path(out, slice_of(contact->path, contact->path_n));
	outgoing_max_forwards(out, m);
	minted_make(p->im->worker, tag);
	buffer_lit(out, "From: ");
	if (p->is_from_session)
		outgoing_from_value(out, m);
	else
		identity_write_from(out, p->im, &p->sender, m);
	buffer_printf(out, ";tag=%.*s\r\n", MINTED_CHARS, tag);
	outgoing_to(out, m);
	buffer_lit(out, "Call-ID: ");
	outgoing_call_id(out, p->im->worker);
	buffer_lit(out, "\r\nCSeq: 1 MESSAGE\r\n");
	outgoing_accept_contact(out, m);
	/* RFC 5365 4: its list is for a service behind us */
	if (!p->is_to_client && !p->content && sip_items_have(m, SIP_HDR_REQUIRE, "recipient-list-message"))
		buffer_lit(out, "Require: recipient-list-message\r\n");
	identity_write(out, p->im, &p->sender, m);
	outgoing_copied(out, p->im, m, identity_hides_sender(p->im, &p->sender));
}

/* `contact` NULL: to the core, with the Request-URI as it came. */
static void relay(struct pager *p, const struct user_contact *contact, const struct sip_target *target)
{
	char headers_text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));
	struct sip_message m;

	if (!pager_read(p, &m)) {
		pager_refuse(p, 400, REASON_SYNTAX); /* cannot be: it was parsed before */
		return;
	}
	write_headers(p, &headers, &m, contact);
	struct sip_outgoing request = { .method = SLICE("MESSAGE"), .uri = contact ? slice_of(contact->uri, contact->uri_n) : m.uri,
		.headers = buffer_slice(&headers),
		.content_type = sip_header_value(&m, SIP_HDR_CONTENT_TYPE), .body = m.body, .target = *target,
		.loop = p->loop };
	if (headers.overflow) {
		pager_refuse(p, 513, REASON_TOO_LARGE);
		return;
	}
	if (sip_client_send(&p->client, p->im->worker, &request, &client_events, p) != 0) {
		p->client = NULL;
		pager_refuse(p, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (!has_next(p) && !pager_may_wait(p))
		pager_forget_message(p);
	if (p->is_to_client && p->state == PAGER_LOOKUP) /* of all contacts together */
		worker_arm(p->im->worker, &p->deadline, p->im->config->timers.client_answer_ms, pager_on_deadline);
	else if (!p->is_to_client)
		worker_disarm(p->im->worker, &p->deadline);
	p->state = PAGER_RELAYED;
}

static void relay_to_next(struct pager *p)
{
	const struct user_contact *contact = &p->found->contacts[p->next++];
	struct sip_target target = { .has_flow = true, .flow_only = true, .flow = contact->flow };

	relay(p, contact, &target);
}

/* False: answered, and it is over. */
static bool is_permitted(struct pager *p)
{
	struct sip_server *server = p->server;
	struct sip_message m;

	if (!is_judged_later(p->im, PAGER_TO_USER) || !pager_read(p, &m))
		return true;
	p->server = NULL;
	if (is_acceptable(p->im, server, &m, &p->sender)) {
		p->server = server;
		return true;
	}
	pager_record_end(p, false, "not_acceptable");
	pager_free(p);
	return false;
}

/* 6.2.6.1: what he decided, then whether he is there.  Willingness (steps 9, 10) is a matter of presence, of which we
 * are no watcher: who is registered is willing. */
static void on_found(struct pager *p, struct user_find *found)
{
	const struct policy_options *policy = &p->im->config->policy;

	p->registration = found->registration;
	p->is_to_client = true;
	if (found->verdict == USER_BARS) {
		pager_refuse(p, policy->barred_code, REASON_BARRED);
	} else if (found->verdict == USER_REJECTS) {
		pager_refuse(p, policy->rejected_code, REASON_ACCESS_REJECTED);
	} else if (found->is_unknown) {
		pager_refuse(p, 404, REASON_TARGET_UNKNOWN);
	} else if (!is_permitted(p)) {
		free(found);
		return;
	} else if (!found->is_registered) {
		if (!pager_defer(p))
			pager_refuse(p, 480, REASON_OFFLINE);
	} else if (p->im->config->core.mode == MODE_IMS) {
		struct sip_target target = im_next_hop(p->im);
		relay(p, NULL, &target);
	} else {
		p->found = found;
		relay_to_next(p);
		return;
	}
	free(found);
}

static void on_pager_message(struct actor *actor, struct msg *msg)
{
	struct pager *p = (struct pager *)actor;

	assert(msg->kind == MSG_USER_FOUND); /* the only message that names a pager message */
	if (p->state == PAGER_LOOKUP)
		on_found(p, (struct user_find *)msg);
	else
		free(msg);
}

struct pager *pager_open(struct im *im, const struct pager_start *start, struct slice message, enum reason *why)
{
	char *text = malloc(message.n);
	struct pager *p = text ? pool_take(&im->pagers) : NULL;

	*why = text ? REASON_POOL_EXHAUSTED : REASON_NO_MEMORY;
	if (!p) {
		free(text);
		return NULL;
	}
	if (actor_open(im->worker, &p->actor, &pager_type) != 0) {
		*why = REASON_NO_MEMORY;
		pool_give(&im->pagers, p);
		free(text);
		return NULL;
	}
	p->im = im;
	p->sender = *start->sender;
	memcpy(p->recipient, start->recipient.p, start->recipient.n);
	p->recipient_n = start->recipient.n;
	p->message = memcpy(text, message.p, message.n);
	p->message_n = message.n;
	return p;
}

void pager_go(struct pager *p, enum pager_route route, bool is_sips)
{
	if (route == PAGER_TO_NEXT_HOP) {
		struct sip_target target = im_next_hop(p->im);
		relay(p, NULL, &target);
		return;
	}
	p->state = PAGER_LOOKUP;
	worker_arm(p->im->worker, &p->deadline, LOOKUP_MS, pager_on_deadline);
	if (user_find_for(p->im, &(struct user_wanted){ .canonical = slice_of(p->recipient, p->recipient_n),
		    .is_sips = is_sips, .purpose = USER_FOR_PAGER, .caller = &p->sender, .must_exist = p->list != NULL },
		    p->actor.id) != 0)
		pager_refuse(p, 503, REASON_NO_MEMORY);
}

void pager_start(struct im *im, struct sip_server *server, const struct sip_message *message,
	const struct pager_start *start)
{
	if (!is_judged_later(im, start->route) && !is_acceptable(im, server, message, start->sender)) {
		pager_record_attempt(im, message, start, "not_acceptable");
		return;
	}
	enum reason why;
	struct pager *p = pager_open(im, start, message->wire, &why);
	if (!p) {
		pager_record_attempt(im, message, start, reason_label(why));
		sip_server_refuse(server, 503, why);
		return;
	}
	p->server = server;
	p->loop = sip_loop_of(im->worker, sip_server_flow(server), message);
	pager_record_begin(p, message);
	pager_go(p, start->route, outgoing_is_sips(message->uri));
}

int pagers_init(struct im *im)
{
	return pool_init(&im->pagers, "pagers", sizeof(struct pager), im->server->sip.transactions_max);
}

/* The process ends: the transactions below were dropped without a word. */
void pagers_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->pagers.made; slot++) {
		struct pager *p = pool_at(&im->pagers, slot);
		if (!p)
			continue;
		p->server = NULL;
		p->list = NULL;
		p->client = NULL;
		pager_free(p);
	}
	pool_free(&im->pagers);
}
