#include "actors/pager.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "actors/cdr.h"
#include "actors/outgoing.h"
#include "actors/policy.h"
#include "actors/user.h"
#include "core/minted.h"
#include "sip/header.h"

/* LOOKUP: where is he?  RELAYED: the client (or the core) has it.  DONE: answered. */
enum pager_state { PAGER_LOOKUP, PAGER_RELAYED, PAGER_DONE };

/* What the call detail record says. */
struct pager_record {
	uint64_t start_us, octets;
	uint32_t to_n;
	char to[];
};

struct pager {
	struct actor actor;
	struct im *im;
	enum pager_state state;
	struct timer deadline;
	struct sip_server *server;
	struct sip_client *client;
	uint32_t loop; /* of the message: what ours must not come back with */
	struct identity sender;
	char recipient[IM_CANONICAL_MAX];
	size_t recipient_n;
	char *message; /* as received, until it was sent to the last who may get it */
	size_t message_n;
	struct user_find *found; /* the contacts, one after the other; NULL: the core gets it, or nobody yet */
	unsigned next;           /* of them */
	struct pager_record *record; /* NULL: none is wanted, or it is written */
	bool is_to_client; /* only the leg to the client has timers.client_answer (design.md 13) */
};

#define GROUP_ADVERTISEMENT "application/vnd.IM.group-advertisement+xml" /* D1-12 */

#define LOOKUP_MS 5000

static void on_pager_message(struct actor *actor, struct msg *msg);
static const struct actor_type pager_type = { "pager", on_pager_message };

/* ---- its call detail record ---- */

static void begin_record(struct pager *p, const struct sip_message *m)
{
	char room[IM_CANONICAL_MAX];

	if (!cdr_is_on(p->im))
		return;
	struct slice to = cdr_to(p->im, slice_of(p->recipient, p->recipient_n), m, room);
	p->record = malloc(sizeof(*p->record) + to.n);
	if (!p->record) {
		COUNT(&p->im->worker->counters, cdr_lost);
		return;
	}
	*p->record = (struct pager_record){ cdr_now_us(p->im), m->body.n, (uint32_t)to.n };
	memcpy(p->record->to, to.p, to.n);
}

static void end_record(struct pager *p, bool is_delivered, const char *reason)
{
	const struct pager_record *r = p->record;

	if (!r)
		return;
	cdr_write(p->im, &(struct cdr){ .type = "pager", .id = p->actor.id, .from = cdr_from(&p->sender),
		.to = slice_of(r->to, r->to_n), .start_us = r->start_us, .octets = is_delivered ? r->octets : 0,
		.messages = is_delivered, .reason = reason });
	free(p->record);
	p->record = NULL;
}

/* Of one that the function itself refuses. */
static void record_attempt(struct im *im, const struct sip_message *m, const struct pager_start *start,
	const char *reason)
{
	char room[IM_CANONICAL_MAX];

	if (cdr_is_on(im))
		cdr_write(im, &(struct cdr){ .type = "pager", .from = cdr_from(start->sender),
			.to = cdr_to(im, start->recipient, m, room), .start_us = cdr_now_us(im), .reason = reason });
}

static void pager_free(struct pager *p)
{
	struct im *im = p->im;

	end_record(p, false, "stopped"); /* unless it was answered, only the end of the process leads here */
	worker_disarm(im->worker, &p->deadline);
	if (p->server)
		sip_server_watch(p->server, NULL, NULL);
	if (p->client)
		sip_client_forget(p->client);
	free(p->message);
	free(p->found);
	actor_close(&p->actor);
	pool_give(&im->pagers, p);
}

/* Answers the sender and ends. */
static void answer(struct pager *p, const struct sip_reply *reply)
{
	struct sip_server *server = p->server;

	p->server = NULL;
	sip_server_watch(server, NULL, NULL);
	sip_server_respond(server, reply);
	pager_free(p);
}

static void refuse(struct pager *p, unsigned status, enum reason why)
{
	struct sip_server *server = p->server;

	p->server = NULL;
	sip_server_watch(server, NULL, NULL);
	sip_server_refuse(server, status, why);
	end_record(p, false, reason_label(why));
	pager_free(p);
}

/* ---- the other side's answer ---- */

/* A client that does not answer, or answers that it is not there, is offline (design.md 13). */
static unsigned final_status(const struct pager *p, unsigned status)
{
	if (p->is_to_client && status == 408)
		return 480;
	return outgoing_final_status(status);
}

static void log_rejected(const struct pager *p, unsigned status)
{
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

static void on_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct pager *p = arg;
	char text[4096];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (m->status < 200 || ((m->status == 408 || m->status == 430) && try_next(p)))
		return;
	unsigned status = m->status < 300 ? m->status : final_status(p, m->status);
	identity_write_of_response(&headers, p->im, m, slice_of(p->recipient, p->recipient_n));
	outgoing_copied(&headers, p->im, m, identity_hides_answerer(p->im, m));
	if (status < 300)
		COUNT(&p->im->worker->counters, pager_messages);
	else
		log_rejected(p, status);
	end_record(p, status < 300, status < 300 ? "delivered" : reason_label(REASON_REJECTED));
	answer(p, &(struct sip_reply){ .status = status, .reason = status == m->status ? m->reason : SLICE_EMPTY,
		.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct pager *p = arg;

	if (status == 503 && try_next(p))
		return;
	/* 408 to a non-INVITE is of no use to anybody (RFC 4320 4.1): the sender hears 480 */
	refuse(p, 480, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED);
}

static const struct sip_client_events client_events = { on_response, on_failed, NULL };

static void on_deadline(struct timer *timer)
{
	struct pager *p = (struct pager *)((char *)timer - offsetof(struct pager, deadline));

	refuse(p, p->state == PAGER_LOOKUP ? 503 : 480, REASON_TIMEOUT);
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
	identity_write_from(out, p->im, &p->sender, m);
	buffer_printf(out, ";tag=%.*s\r\n", MINTED_CHARS, tag);
	outgoing_to(out, m);
	buffer_lit(out, "Call-ID: ");
	outgoing_call_id(out, p->im->worker);
	buffer_lit(out, "\r\nCSeq: 1 MESSAGE\r\n");
	outgoing_accept_contact(out, m);
	identity_write(out, p->im, &p->sender, m);
	outgoing_copied(out, p->im, m, identity_hides_sender(p->im, &p->sender));
}

/* `contact` NULL: to the core, with the Request-URI as it came. */
static void relay(struct pager *p, const struct user_contact *contact, const struct sip_target *target)
{
	char headers_text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));
	struct sip_limits limits = { p->message_n + 1, p->message_n + 1, 0 };
	struct sip_message m;
	size_t used;

	if (sip_message_parse(&m, slice_of(p->message, p->message_n), &limits, SIP_DATAGRAM, &used) !=
		SIP_PARSE_OK) {
		refuse(p, 400, REASON_SYNTAX); /* cannot be: it was parsed before */
		return;
	}
	write_headers(p, &headers, &m, contact);
	struct sip_outgoing request = { .method = SLICE("MESSAGE"), .uri = contact ? slice_of(contact->uri, contact->uri_n) : m.uri,
		.headers = buffer_slice(&headers),
		.content_type = sip_header_value(&m, SIP_HDR_CONTENT_TYPE), .body = m.body, .target = *target,
		.loop = p->loop };
	if (headers.overflow) {
		refuse(p, 513, REASON_TOO_LARGE);
		return;
	}
	if (sip_client_send(&p->client, p->im->worker, &request, &client_events, p) != 0) {
		p->client = NULL;
		refuse(p, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (!has_next(p)) {
		free(p->message);
		p->message = NULL;
	}
	if (p->is_to_client && p->state == PAGER_LOOKUP) /* of all contacts together */
		worker_arm(p->im->worker, &p->deadline, p->im->config->timers.client_answer_ms, on_deadline);
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

static void on_pager_message(struct actor *actor, struct msg *msg)
{
	struct pager *p = (struct pager *)actor;
	struct user_find *found = (struct user_find *)msg;

	assert(msg->kind == MSG_USER_FOUND); /* the only message that names a pager message */
	if (p->state == PAGER_LOOKUP && !found->is_registered) {
		refuse(p, 480, REASON_OFFLINE);
	} else if (p->state == PAGER_LOOKUP && p->im->config->core.mode == MODE_IMS) {
		struct sip_target target = im_next_hop(p->im);
		p->is_to_client = true;
		relay(p, NULL, &target);
	} else if (p->state == PAGER_LOOKUP) {
		p->is_to_client = true;
		p->found = found;
		relay_to_next(p);
		return;
	}
	free(found);
}

/* ---- checks of the function itself ---- */

/* D1-18 with the narrowing of design.md 7: the sender's Date counts only together with its Expires and
 * only when it is plausible; otherwise the message began to live when it came. */
static bool is_expired(const struct im *im, const struct sip_message *m)
{
	uint64_t now_s = im->worker->ring->ops->wall_us(im->worker->ring) / 1000000;
	struct slice date = sip_header_value(m, SIP_HDR_DATE);
	char text[64];
	struct tm tm = { 0 };
	uint32_t expires;

	if (!sip_seconds_of(m, SIP_HDR_EXPIRES, &expires) || expires == 0 || date.n == 0 || date.n >= sizeof(text))
		return false; /* Expires 0: now or never, and now is now */
	memcpy(text, date.p, date.n);
	text[date.n] = 0;
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return false;
	uint64_t sent_s = (uint64_t)timegm(&tm);
	if (sent_s + 3600 < now_s || sent_s > now_s + 60)
		return false;
	return sent_s + expires <= now_s;
}

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
	bool is_advertisement = sip_content_type_is(sip_header_value(m, SIP_HDR_CONTENT_TYPE), GROUP_ADVERTISEMENT);
	if (sender->wants_id_privacy && (is_advertisement || !im->config->policy.allow_anonymity)) {
		sip_server_refuse(server, 403, REASON_IDENTITY);
		return false;
	}
	if (is_expired(im, m)) {
		im_refuse_with_warning(im, server, 403, REASON_TIMEOUT, "Message expired");
		return false;
	}
	return true;
}

void pager_start(struct im *im, struct sip_server *server, const struct sip_message *message,
	const struct pager_start *start)
{
	if (!is_acceptable(im, server, message, start->sender)) {
		record_attempt(im, message, start, "not_acceptable");
		return;
	}
	struct pager *p = pool_take(&im->pagers);
	if (!p) {
		record_attempt(im, message, start, reason_label(REASON_POOL_EXHAUSTED));
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	p->im = im;
	p->server = server;
	p->sender = *start->sender;
	p->loop = sip_loop_of(im->worker, sip_server_flow(server), message);
	if (actor_open(im->worker, &p->actor, &pager_type) != 0) {
		pool_give(&im->pagers, p);
		record_attempt(im, message, start, reason_label(REASON_NO_MEMORY));
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	memcpy(p->recipient, start->recipient.p, start->recipient.n);
	p->recipient_n = start->recipient.n;
	begin_record(p, message);
	p->message_n = message->wire.n;
	p->message = malloc(p->message_n);
	if (!p->message) {
		refuse(p, 503, REASON_NO_MEMORY);
		return;
	}
	memcpy(p->message, message->wire.p, p->message_n);
	if (start->route == PAGER_TO_NEXT_HOP) {
		struct sip_target target = im_next_hop(im);
		relay(p, NULL, &target);
		return;
	}
	p->state = PAGER_LOOKUP;
	worker_arm(im->worker, &p->deadline, LOOKUP_MS, on_deadline);
	if (user_find(im, start->recipient, outgoing_is_sips(message->uri), p->actor.id) != 0)
		refuse(p, 503, REASON_NO_MEMORY);
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
		p->client = NULL;
		pager_free(p);
	}
	pool_free(&im->pagers);
}
