/*
 * SipHash-2-4 (Aumasson, Bernstein): a keyed hash for tables and owner
 * selection whose input a peer chooses, so that he cannot aim for collisions.
 * Any thread.
 */
#ifndef CORE_SIPHASH_H
#define CORE_SIPHASH_H

#include <stdint.h>

#include "core/slice.h"

struct siphash_key {
	uint64_t k[2];
};

uint64_t siphash(const struct siphash_key *key, struct slice in);

/* As siphash() over the lower-case form of ASCII letters. */
uint64_t siphash_case(const struct siphash_key *key, struct slice in);

#endif
