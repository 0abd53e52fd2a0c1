#include "msrp/transaction.h"

#include <assert.h>
#include <stddef.h>

#include "msrp/connection.h"
#include "msrp/ending.h"
#include "msrp/leg_internal.h"
#include "msrp/switch.h"

#define RANDOM_BYTES 9 /* 72 bits, of which 65 are used */

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

void msrp_transaction_make_id(struct msrp_endpoint *endpoint, uint32_t slot,
	char id[MSRP_ID_CHARS])
{
	uint8_t octets[16] = { 0 };
	uint64_t low;

	for (unsigned i = 0; i < MSRP_ID_SLOT_CHARS; i++)
		id[i] = alphabet[slot >> (5 * i) & 31];
	endpoint->random(endpoint->worker, octets, RANDOM_BYTES);
	memcpy(&low, octets, sizeof(low));
	for (unsigned i = MSRP_ID_SLOT_CHARS; i < MSRP_ID_CHARS - 1; i++) { /* 60 bits of 64 */
		id[i] = alphabet[low & 31];
		low >>= 5;
	}
	id[MSRP_ID_CHARS - 1] = alphabet[(low | (uint64_t)octets[8] << 4) & 31];
}

static int value_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

struct msrp_transaction *msrp_transaction_find(struct msrp_endpoint *endpoint, struct slice id)
{
	struct msrp_transaction *t;
	uint32_t slot = 0;

	if (id.n != MSRP_ID_CHARS)
		return NULL;
	for (unsigned i = 0; i < MSRP_ID_SLOT_CHARS; i++) {
		int v = value_of(id.p[i]);
		if (v < 0)
			return NULL;
		slot |= (uint32_t)v << (5 * i);
	}
	t = pool_at(&endpoint->transactions, slot);
	return t && memcmp(t->random, id.p + MSRP_ID_SLOT_CHARS, MSRP_ID_RANDOM_CHARS) == 0 ? t : NULL;
}

bool msrp_transaction_is_unanswered(struct slice id)
{
	return id.n == MSRP_ID_CHARS && memcmp(id.p, "77777", MSRP_ID_SLOT_CHARS) == 0;
}

struct msrp_transaction *msrp_transaction_open(struct msrp_leg *from, struct msrp_leg *to,
	struct slice incoming_id, enum msrp_failure_report wish)
{
	struct msrp_transaction *t = pool_take(&from->endpoint->transactions);

	if (!t)
		return NULL;
	assert(incoming_id.n <= sizeof(t->incoming_id));
	t->chunk = t;
	t->from = from;
	t->to = to;
	t->is_partial = wish == MSRP_FAILURE_PARTIAL;
	memcpy(t->incoming_id, incoming_id.p, incoming_id.n);
	t->incoming_id_n = (uint8_t)incoming_id.n;
	TAILQ_INSERT_TAIL(&from->transactions, t, link);
	from->transaction_count++;
	return t;
}

bool msrp_transaction_add_part(struct msrp_transaction *chunk, char id[MSRP_ID_CHARS])
{
	struct msrp_endpoint *endpoint = chunk->from->endpoint;
	struct msrp_transaction *part = chunk;

	if (chunk->random[0]) {
		/* A chunk may take hours and be cut at each octet, by whoever wants the far connection. */
		if (chunk->from->transaction_count >= msrp_transactions_most(endpoint))
			return false;
		part = pool_take(&endpoint->transactions);
		if (!part)
			return false;
		chunk->from->transaction_count++;
		part->chunk = chunk;
		part->from = chunk->from;
		part->to = chunk->to;
		part->next_part = chunk->next_part;
		chunk->next_part = part;
	}
	msrp_transaction_rename(part, id);
	chunk->unanswered++;
	return true;
}

void msrp_transaction_rename(struct msrp_transaction *part, char id[MSRP_ID_CHARS])
{
	msrp_transaction_make_id(part->from->endpoint, pool_slot(part), id);
	memcpy(part->random, id + MSRP_ID_SLOT_CHARS, MSRP_ID_RANDOM_CHARS);
}

struct msrp_transaction *msrp_transaction_open_own(struct msrp_leg *leg, struct msrp_outgoing *message, uint32_t octets,
	char id[MSRP_ID_CHARS])
{
	struct msrp_transaction *t = msrp_transaction_open(leg, leg, SLICE(""), MSRP_FAILURE_YES);

	if (!t)
		return NULL;
	t->own.message = message;
	t->own.octets = octets;
	(void)msrp_transaction_add_part(t, id); /* the first part is the transaction itself */
	return t;
}

struct msrp_transaction *msrp_transaction_open_room(struct msrp_endpoint *endpoint, struct room_chunk *chunk,
	char id[MSRP_ID_CHARS])
{
	struct msrp_transaction *t = pool_take(&endpoint->transactions);

	if (!t)
		return NULL;
	t->room = chunk;
	msrp_transaction_make_id(endpoint, pool_slot(t), id);
	memcpy(t->random, id + MSRP_ID_SLOT_CHARS, MSRP_ID_RANDOM_CHARS);
	return t;
}

void msrp_transaction_close_room(struct msrp_endpoint *endpoint, struct msrp_transaction *t)
{
	pool_give(&endpoint->transactions, t);
}

unsigned msrp_transactions_most(const struct msrp_endpoint *endpoint)
{
	const struct pool *pool = &endpoint->transactions;

	return pool_used(pool) < pool->max - pool->max / 4 ? MSRP_TRANSACTIONS_PER_LEG : MSRP_TRANSACTIONS_SCARCE;
}

static void give_back(struct msrp_transaction *chunk)
{
	struct msrp_leg *from = chunk->from;
	struct msrp_connection *c = from->connection;

	/* the chunk may still be coming in; what follows of it has no transaction any more */
	if (c && c->in->transaction == chunk)
		c->in->transaction = NULL;
	TAILQ_REMOVE(&from->transactions, chunk, link);
	while (chunk) {
		struct msrp_transaction *next = chunk->next_part;
		pool_give(&from->endpoint->transactions, chunk);
		from->transaction_count--;
		chunk = next;
	}
	if (c && from->transaction_count <= MSRP_TRANSACTIONS_PER_LEG / 2)
		msrp_connection_resume(c, PAUSE_OUTSTANDING);
}

/* What msrp_leg_write_empty_send() said, or a leg's sender: nobody waits for its answer but the leg. */
static bool is_our_own(const struct msrp_transaction *chunk)
{
	return chunk->incoming_id_n == 0;
}

static void end_our_own(struct msrp_transaction *chunk, unsigned status)
{
	struct msrp_outgoing *message = chunk->own.message;
	struct msrp_leg *leg = chunk->from;
	uint32_t octets = chunk->own.octets;

	give_back(chunk);
	if (message)
		msrp_sender_on_answer(leg, message, octets, status);
	else
		msrp_leg_on_first_answer(leg, status);
}

void msrp_transactions_forget(struct msrp_leg *leg, const struct msrp_outgoing *message)
{
	struct msrp_transaction *t, *next;

	for (t = TAILQ_FIRST(&leg->transactions); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (is_our_own(t) && t->own.message == message)
			give_back(t);
	}
}

/* Silence of the peer of a sender ends with his last answer, whichever it was to. */
static uint64_t silent_at_ms(const struct msrp_transaction *chunk)
{
	uint64_t heard_ms = is_our_own(chunk) && chunk->own.message ? msrp_sender_heard_ms(chunk->from) : 0;
	uint64_t again_ms = heard_ms ? heard_ms + chunk->from->endpoint->options->msrp_transaction_ms : 0;

	return again_ms > chunk->silent_at_ms ? again_ms : chunk->silent_at_ms;
}

void msrp_transaction_fail(struct msrp_transaction *chunk, unsigned status, struct slice comment)
{
	struct msrp_connection *c = chunk->from->connection;

	if (status && !is_our_own(chunk)) {
		if (c && c->in->transaction == chunk) /* it is still coming in: whatever becomes of the rest, this was it */
			c->in->was_answered = true;
		msrp_switch_answer(chunk->from,
			slice_of(chunk->incoming_id, chunk->incoming_id_n), status, comment);
	}
	give_back(chunk);
}

void msrp_transactions_fail(struct msrp_leg *from, unsigned status)
{
	struct msrp_transaction *t;

	while ((t = TAILQ_FIRST(&from->transactions)))
		msrp_transaction_fail(t, status, SLICE_EMPTY);
}

/* All parts are answered and the chunk is complete: what the far side thinks of it is known. */
static void succeed(struct msrp_transaction *chunk)
{
	msrp_transaction_fail(chunk, chunk->is_partial ? 0 : 200, SLICE_EMPTY);
}

void msrp_transaction_on_response(struct msrp_transaction *part, unsigned status,
	struct slice comment)
{
	struct msrp_transaction *chunk = part->chunk;

	/* RFC 4975 10 has no 1xx: it is no answer, and above all no 200 for the sender */
	if (part->is_answered || status < 200) {
		COUNT(&part->from->endpoint->worker->counters, msrp_stray_responses);
		return;
	}
	part->is_answered = true;
	if (is_our_own(chunk)) {
		if (chunk->own.message)
			msrp_sender_heard(chunk->from, status);
		end_our_own(chunk, status);
		return;
	}
	if (status >= 300) {
		msrp_transaction_fail(chunk, status, comment);
		return;
	}
	if (--chunk->unanswered == 0 && chunk->silent_at_ms)
		succeed(chunk);
}

/* Ends of chunks come in their order, so the first of the list is the first to be due. */
static void on_silence(struct timer *timer)
{
	struct msrp_leg *leg =
		(struct msrp_leg *)((char *)timer - offsetof(struct msrp_leg, silence));
	struct worker *worker = leg->endpoint->worker;
	uint64_t now_ms = worker_now_ms(worker);
	struct msrp_transaction *t;

	while ((t = TAILQ_FIRST(&leg->transactions)) && t->silent_at_ms) {
		if (silent_at_ms(t) > now_ms) {
			worker_arm(worker, &leg->silence, silent_at_ms(t) - now_ms, on_silence);
			return;
		}
		if (!t->is_partial) { /* RFC 4975 7.1.2: silence is no error for "partial" */
			REFUSED(&worker->counters, REASON_TIMEOUT);
			LOG(WARN, worker, "leg", pool_slot(leg),
			    "far side silent reason=%s status=408", reason_label(REASON_TIMEOUT));
		}
		if (is_our_own(t))
			end_our_own(t, 408);
		else
			msrp_transaction_fail(t, t->is_partial ? 0 : 408, SLICE_EMPTY);
	}
}

void msrp_transaction_end(struct msrp_transaction *chunk)
{
	struct msrp_leg *leg = chunk->from;
	struct worker *worker = leg->endpoint->worker;
	uint64_t wait_ms = leg->endpoint->options->msrp_transaction_ms;

	if (!is_our_own(chunk) || !chunk->own.message) /* somebody behind us waits as long */
		wait_ms = wait_ms * 4 / 5;
	chunk->silent_at_ms = worker_now_ms(worker) + wait_ms;
	if (chunk->unanswered == 0)
		succeed(chunk);
	else if (!timer_is_armed(&leg->silence))
		worker_arm(worker, &leg->silence, wait_ms, on_silence);
}
