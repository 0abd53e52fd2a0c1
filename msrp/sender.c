#include "msrp/sender.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/ending.h"
#include "msrp/output.h"
#include "msrp/pressure.h"
#include "msrp/transaction.h"

enum { HEAD_EXTRA = 512, NAMES_TRIED = 8 };

TAILQ_HEAD(messages, msrp_outgoing);

struct msrp_sender {
	const struct msrp_sender_events *events;
	void *arg;
	unsigned window;
	struct messages waiting; /* not all written: perhaps a part of the first */
	struct messages written; /* without answer                               */
	struct messages ended;   /* the owner is to be told                      */
	unsigned outstanding;    /* have begun, not ended                        */
	uint64_t unanswered_octets;
	uint64_t heard_ms;
};

int msrp_sender_attach(struct msrp_leg *leg, unsigned window, const struct msrp_sender_events *events, void *arg)
{
	struct msrp_sender *s = calloc(1, sizeof(*s));

	assert(!leg->sender && !leg->pair && !leg->waiting.n && window);
	if (!s)
		return ENOMEM;
	s->events = events;
	s->arg = arg;
	s->window = window;
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->written);
	TAILQ_INIT(&s->ended);
	leg->sender = s;
	leg->ends_here = true;
	return 0;
}

void msrp_sender_free(struct msrp_leg *leg)
{
	free(leg->sender);
	leg->sender = NULL;
}

unsigned msrp_sender_outstanding(const struct msrp_leg *leg)
{
	return leg->sender ? leg->sender->outstanding : 0;
}

void msrp_sender_heard(struct msrp_leg *leg, unsigned status)
{
	struct worker *worker = leg->endpoint->worker;

	leg->sender->heard_ms = worker_now_ms(worker);
	if (status < 300)
		return;
	REFUSED(&worker->counters, REASON_MSRP_PEER_REFUSED);
	LOG(INFO, worker, "leg", pool_slot(leg), "message refused by the peer status=%u reason=%s", status,
		reason_label(REASON_MSRP_PEER_REFUSED));
}

uint64_t msrp_sender_heard_ms(const struct msrp_leg *leg)
{
	return leg->sender ? leg->sender->heard_ms : 0;
}

/* ---- the end of a message ---- */

/* Off its list, and nobody waits for answers to it. */
static void take_off(struct msrp_leg *leg, struct msrp_outgoing *m)
{
	struct msrp_sender *s = leg->sender;

	if (m->has_ended) {
		TAILQ_REMOVE(&s->ended, m, link);
		return;
	}
	if (m->is_written)
		TAILQ_REMOVE(&s->written, m, link);
	else
		TAILQ_REMOVE(&s->waiting, m, link);
	if (m->unanswered)
		msrp_transactions_forget(leg, m);
	s->unanswered_octets -= m->unanswered_octets;
	m->unanswered_octets = m->unanswered = 0;
	if (m->has_begun)
		s->outstanding--;
}

static void end(struct msrp_leg *leg, struct msrp_outgoing *m, unsigned status)
{
	take_off(leg, m);
	m->has_ended = true;
	m->is_asked = false;
	m->status = status;
	TAILQ_INSERT_TAIL(&leg->sender->ended, m, link);
	msrp_todo_event(leg);
}

bool msrp_sender_tell_end(struct msrp_leg *leg)
{
	struct msrp_sender *s = leg->sender;
	struct msrp_outgoing *m = TAILQ_FIRST(&s->ended);

	if (!m)
		return false;
	take_off(leg, m);
	if (m->status >= 200 && m->status < 300)
		COUNT(&leg->endpoint->worker->counters, msrp_messages_sent);
	msrp_todo_event(leg); /* there may be more to tell; first of all, for the leg may be closed now */
	s->events->on_end(leg, m, m->status, s->arg);
	return true;
}

void msrp_sender_lost(struct msrp_leg *leg, unsigned status)
{
	struct msrp_outgoing *m, *next;

	while ((m = TAILQ_FIRST(&leg->sender->written)))
		end(leg, m, status);
	for (m = TAILQ_FIRST(&leg->sender->waiting); m; m = next) {
		next = TAILQ_NEXT(m, link);
		/* on a new path of the same session those can still go that have not begun */
		if (m->has_begun || status == MSRP_STATUS_LOST)
			end(leg, m, status);
	}
}

void msrp_sender_on_answer(struct msrp_leg *leg, struct msrp_outgoing *m, uint32_t octets, unsigned status)
{
	struct msrp_sender *s = leg->sender;

	m->unanswered--;
	m->unanswered_octets -= octets;
	s->unanswered_octets -= octets;
	if (status >= 300 || (m->is_written && m->unanswered == 0))
		end(leg, m, status);
	msrp_todo_event(leg);
}

static struct slice id_of(const struct msrp_outgoing *m)
{
	return m->given_id.n ? m->given_id : slice_of(m->message_id, MSRP_OUTGOING_ID_CHARS);
}

static struct msrp_outgoing *find(const struct messages *list, struct slice message_id)
{
	struct msrp_outgoing *m;

	TAILQ_FOREACH(m, list, link) {
		if (m->has_begun && slice_eq(id_of(m), message_id))
			return m;
	}
	return NULL;
}

/* Some relay took it that could not pass it on (RFC 4976); success is what the answers say. */
bool msrp_sender_on_report(struct msrp_leg *leg, const struct msrp_head *head)
{
	struct msrp_outgoing *m = NULL;

	if (leg->sender && head->has_message_id && !(m = find(&leg->sender->written, head->message_id)))
		m = find(&leg->sender->waiting, head->message_id);
	if (m && head->has_status && head->status_namespace == 0 && head->status_code >= 300) {
		msrp_sender_heard(leg, head->status_code);
		end(leg, m, head->status_code);
	}
	return m != NULL;
}

/* ---- asking ---- */

void msrp_sender_send(struct msrp_leg *leg, struct msrp_outgoing *m)
{
	char id[MINTED_CHARS];

	minted_make(leg->endpoint->worker, id);
	memcpy(m->message_id, id + MINTED_CHARS - MSRP_OUTGOING_ID_CHARS, MSRP_OUTGOING_ID_CHARS);
	m->sent = m->unanswered_octets = 0;
	m->unanswered = m->status = 0;
	m->is_asked = m->has_begun = m->is_written = m->has_ended = false;
	TAILQ_INSERT_TAIL(&leg->sender->waiting, m, link);
	msrp_todo_event(leg);
}

static bool may_ask(struct msrp_leg *leg, const struct msrp_outgoing *m)
{
	const struct msrp_sender *s = leg->sender;

	if (!leg->is_bound || leg->connection->is_lost || m->is_asked)
		return false;
	if (leg->is_sharing && leg->is_first_out) /* its peer may not know how to share */
		return false;
	if (!m->has_begun && s->outstanding >= s->window)
		return false;
	return s->unanswered_octets <= leg->endpoint->options->limits.leg_high &&
	       leg->transaction_count < msrp_transactions_most(leg->endpoint) && msrp_pressure_has_room(leg->connection);
}

bool msrp_sender_tell_want(struct msrp_leg *leg)
{
	struct msrp_sender *s = leg->sender;
	struct msrp_outgoing *m = TAILQ_FIRST(&s->waiting);

	if (!m || !may_ask(leg, m))
		return false;
	m->is_asked = true;
	s->events->on_want(leg, m, m->sent, s->arg);
	return true;
}

/* ---- writing ---- */

static size_t octets_of(const struct slice *parts, unsigned count)
{
	size_t n = 0;

	for (unsigned i = 0; i < count; i++)
		n += parts[i].n;
	return n;
}

/* RFC 4975 7.1: a chunk of more than 2048 octets does not say where it ends. */
static struct msrp_byte_range range_of(const struct msrp_outgoing *m, size_t n)
{
	uint64_t end = n > MSRP_SMALL_CHUNK ? MSRP_RANGE_UNKNOWN : m->sent + n;

	return (struct msrp_byte_range){ m->sent + 1, end, m->size };
}

static void write_head(struct buffer *b, const struct msrp_leg *leg, const struct msrp_outgoing *m,
	const char id[MSRP_ID_CHARS], size_t n)
{
	struct msrp_byte_range range = range_of(m, n);

	msrp_write_request(b, &(struct msrp_request){
		.method = SLICE("SEND"),
		.transaction_id = slice_of(id, MSRP_ID_CHARS),
		.to_path = msrp_leg_peer_path(leg),
		.from_path = msrp_leg_uri_slice(leg),
		.message_id = id_of(m),
		.byte_range = &range,
		.lines = m->lines,
		.content_type = m->content_type,
		.has_body = true,
	});
}

static bool holds_end_line(struct slice content, const char id[MSRP_ID_CHARS])
{
	char end_line[7 + MSRP_ID_CHARS];

	memcpy(end_line, "-------", 7);
	memcpy(end_line + 7, id, MSRP_ID_CHARS);
	return memmem(content.p, content.n, end_line, sizeof(end_line)) != NULL;
}

/* False: the connection is lost, which ends the message later. */
static bool write_chunk(struct msrp_leg *leg, struct msrp_outgoing *m, struct msrp_transaction *t,
	char id[MSRP_ID_CHARS], const struct slice *parts, unsigned count, size_t n)
{
	size_t size = HEAD_EXTRA + leg->peer_path_n + leg->uri_n + m->given_id.n + m->lines.n + m->content_type.n + n, content_at;
	char *p = msrp_output_reserve(leg->connection, size, NULL);
	struct buffer b;

	if (!p)
		return false;
	for (unsigned tries = 0; ; tries++) { /* 65 random bits: the content has them but by an accident of the generator */
		b = buffer_over(p, size);
		write_head(&b, leg, m, id, n);
		content_at = b.n;
		for (unsigned i = 0; i < count; i++)
			buffer_put(&b, parts[i]);
		if (tries == NAMES_TRIED || !holds_end_line(slice_of(p + content_at, b.n - content_at), id))
			break;
		msrp_transaction_rename(t, id);
	}
	msrp_write_end_line(&b, slice_of(id, MSRP_ID_CHARS), m->sent + n == m->size ? '$' : '+', true);
	assert(!b.overflow);
	msrp_output_commit(leg->connection, b.n);
	return true;
}

static void account(struct msrp_leg *leg, struct msrp_outgoing *m, size_t n)
{
	struct msrp_sender *s = leg->sender;

	if (!m->has_begun)
		s->outstanding++;
	m->has_begun = true;
	m->unanswered++;
	m->unanswered_octets += n;
	s->unanswered_octets += n;
	m->sent += n;
	if (m->sent < m->size)
		return;
	m->is_written = true;
	TAILQ_REMOVE(&s->waiting, m, link);
	TAILQ_INSERT_TAIL(&s->written, m, link);
}

void msrp_sender_give(struct msrp_leg *leg, struct msrp_outgoing *m, const struct slice *parts, unsigned count)
{
	size_t n = octets_of(parts, count);
	struct msrp_transaction *t;
	char id[MSRP_ID_CHARS];

	if (m->has_ended || !leg->is_bound) { /* that happened after it was asked for */
		m->is_asked = false;
		return;
	}
	assert(m->is_asked && n <= MSRP_ASKED_MAX && n <= m->size - m->sent && (n || !m->size));
	m->is_asked = false;
	t = msrp_transaction_open_own(leg, m, (uint32_t)n, id);
	if (!t) {
		REFUSED(&leg->endpoint->worker->counters, REASON_POOL_EXHAUSTED);
		end(leg, m, 408);
		return;
	}
	bool is_written = write_chunk(leg, m, t, id, parts, count, n);
	account(leg, m, n);
	if (is_written)
		msrp_transaction_end(t);
	msrp_todo_event(leg);
}

/* ---- giving up ---- */

/* Its peer has a part of it and waits for the rest; what he says to this is of no interest. */
static void write_abort(struct msrp_leg *leg, const struct msrp_outgoing *m)
{
	size_t size = HEAD_EXTRA + leg->peer_path_n + leg->uri_n + m->given_id.n;
	struct msrp_byte_range range = range_of(m, 0);
	char *p = msrp_output_reserve(leg->connection, size, NULL);
	char id[MSRP_ID_CHARS];
	struct buffer b;

	if (!p)
		return;
	msrp_transaction_make_id(leg->endpoint, UINT32_MAX, id);
	b = buffer_over(p, size);
	msrp_write_request(&b, &(struct msrp_request){
		.method = SLICE("SEND"),
		.transaction_id = slice_of(id, MSRP_ID_CHARS),
		.to_path = msrp_leg_peer_path(leg),
		.from_path = msrp_leg_uri_slice(leg),
		.message_id = id_of(m),
		.byte_range = &range,
	});
	msrp_write_end_line(&b, slice_of(id, MSRP_ID_CHARS), '#', false);
	assert(!b.overflow);
	msrp_output_commit(leg->connection, b.n);
}

void msrp_sender_drop(struct msrp_leg *leg, struct msrp_outgoing *m)
{
	bool is_half = m->has_begun && !m->is_written && !m->has_ended;

	take_off(leg, m);
	if (is_half && leg->is_bound)
		write_abort(leg, m);
	m->is_asked = m->has_begun = m->is_written = m->has_ended = false;
	msrp_todo_event(leg);
}
