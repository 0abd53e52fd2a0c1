/*
 * Fast pseudo-random names for load: good enough to be unique within a run and
 * between runs, never to be used for anything that must not be guessed.
 */
#ifndef LOAD_TESTS_RANDOM_H
#define LOAD_TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

struct prng {
	uint64_t state;
};

static inline struct prng prng_seeded(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (struct prng){ (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)t.tv_sec ^
			      (uint64_t)getpid() << 40 };
}

static inline uint64_t prng_next(struct prng *p) /* splitmix64 */
{
	uint64_t z = p->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* n lower-case base32 characters, not terminated. */
static inline void prng_name(struct prng *p, char *into, size_t n)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++, bits >>= 5) {
		if (i % 12 == 0)
			bits = prng_next(p);
		into[i] = "abcdefghijklmnopqrstuvwxyz234567"[bits & 31];
	}
}

#endif
