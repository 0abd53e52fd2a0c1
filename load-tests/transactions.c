#include "load-tests/transactions.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define NONE           UINT32_MAX
#define MILLISECOND_NS 1000000ull
#define REPEATS_MAX    256 /* in a tick; a server that is silent is not buried */
#define TIMER_F_NS     (32000 * MILLISECOND_NS)

/* T1, doubled up to T2; then what is left until timer F; then the wait without repeating. */
enum level { LEVEL_T2 = 3, LEVEL_LAST, LEVEL_SILENT };
static const uint64_t wait_ns[TRANSACTION_LEVELS] = { 500 * MILLISECOND_NS,  1000 * MILLISECOND_NS, 2000 * MILLISECOND_NS,
						      4000 * MILLISECOND_NS, 500 * MILLISECOND_NS,  TIMER_F_NS };

int transactions_open(struct transactions *t, uint64_t most)
{
	t->size = 1024;
	while (t->size < most)
		t->size *= 2;
	t->ring = calloc(t->size, sizeof(*t->ring));
	for (unsigned i = 0; i < TRANSACTION_LEVELS; i++)
		t->first[i] = t->last[i] = NONE;
	return t->ring ? 0 : ENOMEM;
}

void transactions_close(struct transactions *t)
{
	free(t->ring);
	t->ring = NULL;
}

/* ---- lists ---- */

static uint32_t place_of(const struct transactions *t, const struct transaction *x)
{
	return (uint32_t)(x - t->ring);
}

static void append(struct transactions *t, struct transaction *x, uint8_t level)
{
	uint32_t place = place_of(t, x);

	x->level = level;
	x->repeat_ns = t->loop->now_ns + wait_ns[level];
	x->next = NONE;
	x->previous = t->last[level];
	*(x->previous == NONE ? &t->first[level] : &t->ring[x->previous].next) = place;
	t->last[level] = place;
}

static void take_out(struct transactions *t, struct transaction *x)
{
	*(x->previous == NONE ? &t->first[x->level] : &t->ring[x->previous].next) = x->next;
	*(x->next == NONE ? &t->last[x->level] : &t->ring[x->next].previous) = x->previous;
}

/* ---- one ---- */

bool transactions_have_room(const struct transactions *t)
{
	return t->under_way < t->size;
}

struct transaction *transactions_begin(struct transactions *t, uint64_t due_ns, uint32_t subject)
{
	assert(transactions_have_room(t));
	while (t->ring[t->next_sequence % t->size].is_busy) /* one that is not answered keeps its place */
		t->next_sequence++;
	struct transaction *x = &t->ring[t->next_sequence % t->size];
	*x = (struct transaction){ .due_ns = due_ns,
				   .until_ns = t->loop->now_ns + TIMER_F_NS,
				   .sequence = t->next_sequence++,
				   .subject = subject,
				   .is_busy = true };
	append(t, x, t->is_lossy ? 0 : LEVEL_SILENT);
	t->under_way++;
	return x;
}

struct transaction *transactions_find(struct transactions *t, uint32_t sequence)
{
	struct transaction *x = &t->ring[sequence % t->size];

	return x->is_busy && x->sequence == sequence ? x : NULL;
}

void transactions_answered(struct transactions *t, struct transaction *x)
{
	take_out(t, x);
	append(t, x, LEVEL_SILENT);
}

void transactions_proceeding(struct transactions *t, struct transaction *x)
{
	if (x->level >= LEVEL_T2)
		return;
	take_out(t, x);
	append(t, x, LEVEL_T2);
}

void transactions_end(struct transactions *t, struct transaction *x)
{
	take_out(t, x);
	x->is_busy = false;
	t->under_way--;
}

/* ---- time ---- */

static void repeat(struct transactions *t, struct transaction *x)
{
	uint64_t now = t->loop->now_ns;
	uint8_t next = x->level < LEVEL_T2 ? (uint8_t)(x->level + 1) : LEVEL_T2;

	if (x->level >= LEVEL_LAST || now >= x->until_ns) {
		t->give_up(t->user, x);
		return;
	}
	take_out(t, x);
	append(t, x, now + wait_ns[next] > x->until_ns ? LEVEL_LAST : next);
	t->repeat(t->user, x);
}

void transactions_tick(struct transactions *t)
{
	unsigned n = 0;

	for (unsigned level = 0; t->ring && level < TRANSACTION_LEVELS; level++) {
		for (uint32_t place; n < REPEATS_MAX && (place = t->first[level]) != NONE &&
				     t->ring[place].repeat_ns <= t->loop->now_ns;
		     n++)
			repeat(t, &t->ring[place]);
	}
}
