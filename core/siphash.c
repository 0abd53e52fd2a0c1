#include "core/siphash.h"

#include <endian.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void round_once(struct state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	round_once(s);
	round_once(s);
	s->v0 ^= word;
}

/* Eight octets at once: upper-case ASCII letters become lower case, nothing else changes. */
static inline uint64_t lower(uint64_t word)
{
	uint64_t out = 0;

	for (int shift = 0; shift < 64; shift += 8) {
		uint64_t octet = word >> shift & 0xff;
		if (octet >= 'A' && octet <= 'Z')
			octet |= 0x20;
		out |= octet << shift;
	}
	return out;
}

static uint64_t hash(const struct siphash_key *key, struct slice in, int fold_case)
{
	struct state s = { key->k[0] ^ 0x736f6d6570736575ull, key->k[1] ^ 0x646f72616e646f6dull,
		key->k[0] ^ 0x6c7967656e657261ull, key->k[1] ^ 0x7465646279746573ull };
	size_t left = in.n;
	const char *p = in.p;
	uint64_t word;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		word = le64toh(word);
		absorb(&s, fold_case ? lower(word) : word);
	}
	word = 0;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)(unsigned char)p[i] << (8 * i);
	absorb(&s, (fold_case ? lower(word) : word) | (uint64_t)in.n << 56);
	s.v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		round_once(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash(const struct siphash_key *key, struct slice in)
{
	return hash(key, in, 0);
}

uint64_t siphash_case(const struct siphash_key *key, struct slice in)
{
	return hash(key, in, 1);
}
