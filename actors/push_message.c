/*
 * Stored pager messages to a client that knows nothing of deferred messages:
 * each as the MESSAGE that it was (design.md 7), oldest first, the next when
 * the one before is answered.  Large ones stay for retrieval.
 */
#include "actors/push_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/deferred_reader.h"
#include "actors/outgoing.h"
#include "core/log.h"
#include "core/minted.h"
#include "sip/header.h"
#include "sip/write.h"

/* What a client has taken is removed several at a time: whoever dies with the server in between gets it once more. */
#define TELL_MS 50

struct push_message {
	struct push *push;
	const struct user_contact *contact; /* in push->found */
	struct mailbox_visit *visit;
	struct mailbox_lease *lease; /* what is gone through now; NULL: it is asked for */
	unsigned at;                 /* the next of it */
	uint64_t left[MAILBOX_LEASE_MAX]; /* of it: not for this client */
	uint64_t taken[MAILBOX_LEASE_MAX]; /* of it: he has them, the store does not know yet */
	unsigned left_count, taken_count, ends_out, delivered;
	struct timer tell; /* the store, of `taken` */
	struct sip_client *client;
	struct deferred_reader reader;
	struct worker_task next;     /* go on, when nothing of ours is on the call stack */
	char *text;                  /* the message as it was: head, empty line, content */
	size_t text_n, text_size;
	enum reason why;
	bool is_over, is_unreachable, has_turn;
	bool has_failed;
};

void push_message_free(struct push_message *m)
{
	if (!m)
		return;
	struct im *im = m->push->im;
	m->push->message = NULL;
	worker_forget_task(im->worker, &m->next);
	worker_disarm(im->worker, &m->tell);
	if (m->taken_count) /* the process, or his registration, ends in the middle; nobody waits for what comes home */
		(void)mailbox_end(im, m->visit, m->taken, m->taken_count, true);
	push_pace_leave(&im->pushes->pace, &m->push->turn);
	deferred_reader_stop(&m->reader);
	if (m->client)
		sip_client_forget(m->client);
	if (m->lease)
		mailbox_lease_free(m->lease);
	mailbox_leave(im, m->visit);
	free(m->text);
	free(m);
}

void push_message_forget_client(struct push_message *m)
{
	if (m)
		m->client = NULL;
}

static const struct store_deferred *current(const struct push_message *m)
{
	return m->lease->messages[m->at];
}

static void go_on(struct push_message *m)
{
	worker_at_turn_end(m->push->im->worker, &m->next);
}

static void end(struct push_message *m, const uint64_t *positions, unsigned count, bool is_delivered)
{
	if (mailbox_end(m->push->im, m->visit, positions, count, is_delivered) == 0)
		m->ends_out++;
	else if (is_delivered) /* he gets it once more */
		REFUSED(&m->push->im->worker->counters, REASON_NO_MEMORY);
}

static void tell_taken(struct push_message *m)
{
	worker_disarm(m->push->im->worker, &m->tell);
	if (m->taken_count)
		end(m, m->taken, m->taken_count, true);
	m->taken_count = 0;
}

static void on_tell(struct timer *timer)
{
	tell_taken((struct push_message *)((char *)timer - offsetof(struct push_message, tell)));
}

static void take_off(struct push_message *m)
{
	m->taken[m->taken_count++] = current(m)->position;
	m->at++;
	m->delivered++;
	if (!timer_is_armed(&m->tell))
		worker_arm(m->push->im->worker, &m->tell, TELL_MS, on_tell);
}

static void give_up(struct push_message *m, enum reason why)
{
	m->is_over = m->has_failed = true;
	m->why = why;
	tell_taken(m);
	REFUSED(&m->push->im->worker->counters, why);
	go_on(m);
}

/* ---- the mailbox ---- */

/* The current one stays, and does not hold up the others. */
static void pass_over(struct push_message *m)
{
	m->left[m->left_count++] = current(m)->position;
	m->at++;
	go_on(m);
}

static void close_page(struct push_message *m)
{
	tell_taken(m);
	if (m->left_count)
		end(m, m->left, m->left_count, false);
	m->left_count = 0;
	m->at = 0;
}

static void ask(struct push_message *m, uint64_t after)
{
	if (mailbox_lease(m->push->im, m->visit, after, MAILBOX_LEASE_MAX) != 0)
		give_up(m, REASON_NO_MEMORY);
}

/* All of the page is gone through. */
static void turn_page(struct push_message *m)
{
	struct mailbox_lease *lease = m->lease;
	uint64_t last = lease->last;
	bool is_last = lease->is_last || (!lease->count && !lease->has_others);

	close_page(m);
	m->lease = NULL;
	mailbox_lease_free(lease);
	if (is_last) {
		m->is_over = true;
		go_on(m);
	} else {
		ask(m, last);
	}
}

void push_message_on_mailbox(struct push *push, struct msg *msg)
{
	struct push_message *m = push->message;

	if (msg->kind == MSG_MAILBOX_LEASED) {
		struct mailbox_lease *lease = (struct mailbox_lease *)msg;
		if (msg->err) {
			mailbox_lease_free(lease);
			give_up(m, REASON_STORE);
			return;
		}
		m->lease = lease;
	} else {
		struct mailbox_end *ended = (struct mailbox_end *)msg;
		assert(msg->kind == MSG_MAILBOX_ENDED);
		m->ends_out--;
		if (ended->is_delivered && msg->err)
			REFUSED(&push->im->worker->counters, REASON_STORE);
		free(ended);
	}
	go_on(m);
}

/* ---- the answer ---- */

/* He does not take this one; he may take others. */
static bool is_about_content(unsigned status)
{
	return status == 413 || status == 415 || status == 488 || status == 493 || status == 513 || status == 606;
}

static void on_response(struct sip_client *client, const struct sip_message *response, void *arg)
{
	struct push_message *m = arg;
	unsigned status = response->status;

	if (status < 200)
		return;
	sip_client_forget(client);
	m->client = NULL;
	if (status < 300) {
		take_off(m);
		go_on(m);
		return;
	}
	LOG(INFO, m->push->im->worker, "push", m->push->actor.id, "message-refused id=%.*s status=%u",
		SLICE_ARG(current(m)->id), status);
	if (is_about_content(status)) {
		COUNT(&m->push->im->worker->counters, deferred_skipped);
		REFUSED(&m->push->im->worker->counters, REASON_DELIVERY_REFUSED);
		pass_over(m);
		return;
	}
	m->is_unreachable = status == 408 || status == 430 || status == 480 || status == 503;
	give_up(m, REASON_DELIVERY_REFUSED);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct push_message *m = arg;

	sip_client_forget(client);
	m->client = NULL;
	m->is_unreachable = true;
	give_up(m, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED);
}

static const struct sip_client_events client_events = { on_response, on_failed, NULL };

/* ---- the MESSAGE ---- */

/* As it was kept, without the tag. */
static void write_from(struct buffer *out, const struct sip_message *kept)
{
	struct sip_address from;

	if (!sip_address_decode(sip_header_value(kept, SIP_HDR_FROM), &from))
		return; /* cannot be: it was read before it was stored */
	buffer_lit(out, "From: ");
	sip_write_name_addr(out, &from);
}

static void write_headers(const struct push_message *m, struct buffer *out, const struct sip_message *kept)
{
	struct im *im = m->push->im;
	char tag[MINTED_CHARS];

	minted_make(im->worker, tag);
	outgoing_path(out, slice_of(m->contact->path, m->contact->path_n));
	buffer_lit(out, "Max-Forwards: 70\r\n");
	write_from(out, kept);
	buffer_printf(out, ";tag=%.*s\r\n", MINTED_CHARS, tag);
	outgoing_to(out, kept);
	buffer_lit(out, "Call-ID: ");
	outgoing_call_id(out, im->worker);
	buffer_lit(out, "\r\nCSeq: 1 MESSAGE\r\n");
	outgoing_accept_contact(out, kept);
	sip_copy_headers(out, kept, SIP_HDR_P_ASSERTED_IDENTITY); /* what was kept is ours, or nothing */
	outgoing_copied(out, im, kept, false); /* what an anonymous sender must not show was not kept */
}

static void send_message(struct push_message *m)
{
	struct im *im = m->push->im;
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_limits limits = { m->text_n + 1, m->text_n + 1, 0 };
	struct sip_message kept;
	size_t used;

	if (sip_message_parse(&kept, slice_of(m->text, m->text_n), &limits, SIP_DATAGRAM, &used) != SIP_PARSE_OK) {
		LOG(ERROR, im->worker, "push", m->push->actor.id, "unreadable id=%.*s", SLICE_ARG(current(m)->id));
		REFUSED(&im->worker->counters, REASON_SYNTAX);
		pass_over(m);
		return;
	}
	write_headers(m, &headers, &kept);
	struct sip_outgoing request = { .method = SLICE("MESSAGE"),
		.uri = slice_of(m->contact->uri, m->contact->uri_n), .headers = buffer_slice(&headers),
		.content_type = sip_header_value(&kept, SIP_HDR_CONTENT_TYPE), .body = kept.body,
		.target = { .has_flow = true, .flow_only = true, .flow = m->contact->flow } };
	if (headers.overflow) {
		REFUSED(&im->worker->counters, REASON_TOO_LARGE);
		pass_over(m);
	} else if (sip_client_send(&m->client, im->worker, &request, &client_events, m) != 0) {
		m->client = NULL;
		give_up(m, REASON_POOL_EXHAUSTED);
	}
}

/* ---- the content, where the page has not all of it ---- */

static void take(struct push_message *m, struct slice piece)
{
	if (piece.n > m->text_size - m->text_n)
		piece.n = m->text_size - m->text_n;
	if (piece.n)
		memcpy(m->text + m->text_n, piece.p, piece.n);
	m->text_n += piece.n;
}

static void send_or_read(struct push_message *m)
{
	size_t before_n = current(m)->head.n + 2;

	if (m->text_n == m->text_size)
		send_message(m);
	else if (deferred_reader_ask(&m->reader, m->push->im->worker, current(m)->position, m->text_n - before_n) != 0)
		give_up(m, REASON_NO_MEMORY);
}

static void on_piece(struct deferred_reader *reader, int err, uint64_t offset, struct slice piece)
{
	struct push_message *m = (struct push_message *)((char *)reader - offsetof(struct push_message, reader));

	(void)offset; /* asked for one after the other */
	if (err || !piece.n) {
		give_up(m, REASON_STORE);
		return;
	}
	take(m, piece);
	send_or_read(m);
}

static void begin_message(struct push_message *m)
{
	const struct store_deferred *message = current(m);

	free(m->text);
	m->text_n = 0;
	m->text_size = message->head.n + 2 + message->size;
	m->text = malloc(m->text_size);
	if (!m->text) {
		give_up(m, REASON_NO_MEMORY);
		return;
	}
	take(m, message->head);
	take(m, SLICE("\r\n"));
	take(m, message->content);
	send_or_read(m);
}

/* ---- one after the other ---- */

static void finish(struct push_message *m)
{
	struct push *push = m->push;
	bool may_try_next = m->is_unreachable && !m->delivered;
	bool has_failed = m->has_failed;
	enum reason why = m->why;

	push_message_free(m);
	if (may_try_next)
		push_try_next(push);
	else if (has_failed)
		push_fail(push, why);
	else
		push_over(push, "complete");
}

static void on_next(struct worker *worker, struct worker_task *task)
{
	struct push_message *m = (struct push_message *)((char *)task - offsetof(struct push_message, next));

	(void)worker;
	if (m->is_over) {
		if (!m->ends_out)
			finish(m);
		return;
	}
	if (!m->lease || m->client || m->reader.asked || m->push->turn.is_waiting)
		return;
	if (m->at == m->lease->count) {
		turn_page(m);
		return;
	}
	if (current(m)->type == STORE_LARGE) {
		pass_over(m);
		return;
	}
	if (m->has_turn || push_pace_take(&m->push->im->pushes->pace, &m->push->turn)) {
		m->has_turn = false;
		begin_message(m);
	}
}

static void on_turn(struct push_turn *turn)
{
	struct push *push = (struct push *)((char *)turn - offsetof(struct push, turn));

	push->message->has_turn = true;
	go_on(push->message);
}

bool push_message_begin(struct push *push, const struct user_contact *contact)
{
	struct push_message *m = calloc(1, sizeof(*m));

	if (!m)
		return false;
	m->push = push;
	m->contact = contact;
	m->has_turn = true; /* the push's own */
	m->next.run = on_next;
	m->reader.on_piece = on_piece;
	push->message = m;
	push->turn.on_turn = on_turn;
	push->state = PUSH_MESSAGING;
	m->visit = mailbox_enter(push->im, push_name(push), push->actor.id);
	if (m->visit && mailbox_lease(push->im, m->visit, 0, MAILBOX_LEASE_MAX) == 0)
		return true;
	push_message_free(m);
	return false;
}
