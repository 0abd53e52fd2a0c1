#include "tests/sim/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

/* Open addressing; addresses are kept inverted, so that a leak stays one for LeakSanitizer. */
struct piece {
	uintptr_t inverted; /* 0: never used, 1: freed */
	size_t octets;
};

static struct {
	struct piece *pieces;
	size_t size, used, live, octets;
	uint64_t counted, fail_at;
	unsigned fail_more;
	bool is_on, is_inside, has_failed;
} memory;

static size_t place_of(uintptr_t inverted, size_t size)
{
	return (size_t)((uint64_t)inverted * 0x9e3779b97f4a7c15u >> 20) & (size - 1);
}

static void insert(struct piece *pieces, size_t size, struct piece piece)
{
	size_t at = place_of(piece.inverted, size);

	while (pieces[at].inverted > 1)
		at = (at + 1) & (size - 1);
	pieces[at] = piece;
}

static void grow(void)
{
	size_t size = memory.size ? memory.size : 4096;
	struct piece *pieces;

	while (size < 4 * (memory.live + 1))
		size *= 2;
	pieces = __real_calloc(size, sizeof(*pieces));
	assert(pieces);
	for (size_t i = 0; i < memory.size; i++)
		if (memory.pieces[i].inverted > 1)
			insert(pieces, size, memory.pieces[i]);
	__real_free(memory.pieces);
	memory.pieces = pieces;
	memory.size = size;
	memory.used = memory.live;
}

static void *remember(void *p, size_t octets)
{
	if (!memory.is_on || !p)
		return p;
	if (2 * (memory.used + 1) > memory.size)
		grow();
	insert(memory.pieces, memory.size, (struct piece){ ~(uintptr_t)p, octets });
	memory.used++;
	memory.live++;
	memory.octets += octets;
	return p;
}

static void forget(const void *p)
{
	uintptr_t inverted = ~(uintptr_t)p;

	if (!memory.is_on || !p || !memory.size)
		return;
	for (size_t at = place_of(inverted, memory.size); memory.pieces[at].inverted; at = (at + 1) & (memory.size - 1)) {
		if (memory.pieces[at].inverted != inverted)
			continue;
		memory.live--;
		memory.octets -= memory.pieces[at].octets;
		memory.pieces[at].inverted = 1;
		return;
	}
}

static bool fails(void)
{
	if (!memory.is_on || !memory.is_inside)
		return false;
	memory.counted++;
	if (!memory.fail_at || memory.counted < memory.fail_at || memory.counted > memory.fail_at + memory.fail_more)
		return false;
	memory.has_failed = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : remember(__real_malloc(n), n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails() ? NULL : remember(__real_calloc(count, n), count * n);
}

void *__wrap_realloc(void *p, size_t n)
{
	void *moved;

	if (fails())
		return NULL;
	forget(p); /* first: its place may be given to somebody else */
	moved = __real_realloc(p, n);
	assert(moved || n == 0);
	return remember(moved, n);
}

void __wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

void memory_begin(void)
{
	memory_end();
	memory.is_on = true;
}

void memory_enter(void)
{
	memory.is_inside = true;
}

void memory_leave(void)
{
	memory.is_inside = false;
}

void memory_fail(uint64_t n, unsigned more)
{
	memory.fail_at = n;
	memory.fail_more = more;
}

bool memory_has_failed(void)
{
	return memory.has_failed;
}

uint64_t memory_counted(void)
{
	return memory.counted;
}

size_t memory_left_below(size_t size, size_t *octets)
{
	size_t count = 0;

	*octets = 0;
	for (size_t i = 0; i < memory.size; i++) {
		if (memory.pieces[i].inverted <= 1 || memory.pieces[i].octets >= size)
			continue;
		*octets += memory.pieces[i].octets;
		count++;
	}
	return count;
}

size_t memory_left(size_t *octets)
{
	*octets = memory.octets;
	return memory.live;
}

void memory_end(void)
{
	__real_free(memory.pieces);
	memset(&memory, 0, sizeof(memory));
}
