/*
 * Some members of a room: a bit for each slot.  Sets of different length compare as if the shorter one had
 * zeros behind it: who came later is in none that is older.  Any thread; pure functions.
 */
#ifndef MSRP_ROOM_SET_H
#define MSRP_ROOM_SET_H

#include <stdbool.h>
#include <stdint.h>

static inline unsigned room_set_words(unsigned slots)
{
	return (slots + 63) / 64;
}

static inline bool room_set_has(const uint64_t *set, unsigned words, unsigned slot)
{
	return slot / 64 < words && set[slot / 64] >> slot % 64 & 1;
}

static inline void room_set_add(uint64_t *set, unsigned slot)
{
	set[slot / 64] |= (uint64_t)1 << slot % 64;
}

/* Whether it was there. */
static inline bool room_set_take(uint64_t *set, unsigned words, unsigned slot)
{
	if (!room_set_has(set, words, slot))
		return false;
	set[slot / 64] &= ~((uint64_t)1 << slot % 64);
	return true;
}

/* The first slot from that one on; UINT32_MAX: there is none. */
static inline uint32_t room_set_next(const uint64_t *set, unsigned words, uint32_t from)
{
	uint64_t word;

	if (from / 64 >= words)
		return UINT32_MAX;
	word = set[from / 64] & ~(uint64_t)0 << from % 64;
	for (unsigned i = from / 64;; word = set[i]) {
		if (word)
			return i * 64 + (unsigned)__builtin_ctzll(word);
		if (++i == words)
			return UINT32_MAX;
	}
}

#define ROOM_SET_EACH(slot, set, words)                                             \
	for (uint32_t slot = room_set_next((set), (words), 0); slot != UINT32_MAX; \
		slot = room_set_next((set), (words), slot + 1))

#endif
