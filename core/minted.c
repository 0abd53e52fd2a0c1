#include "core/minted.h"

#include "core/siphash.h"
#include "core/worker.h"

static struct siphash_key mark_key;
static unsigned worker_count;

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

void minted_init(const uint8_t key[16], unsigned workers)
{
	memcpy(mark_key.k, key, sizeof(mark_key.k));
	worker_count = workers;
}

static uint32_t mark_of(const uint8_t octets[MINTED_OCTETS])
{
	return (uint32_t)siphash(&mark_key, slice_of((const char *)octets, 18));
}

static void put_mark(uint8_t *p, uint32_t mark)
{
	p[0] = (uint8_t)(mark >> 24);
	p[1] = (uint8_t)(mark >> 16);
	p[2] = (uint8_t)(mark >> 8);
	p[3] = (uint8_t)mark;
}

void minted_make(struct worker *worker, char out[MINTED_CHARS])
{
	uint8_t octets[MINTED_OCTETS + 1] = { (uint8_t)(worker->index >> 8), (uint8_t)worker->index };
	uint32_t bits = 0;
	unsigned have = 0, at = 0;

	worker_random(worker, octets + 2, 16);
	put_mark(octets + 18, mark_of(octets));
	for (unsigned i = 0; i < MINTED_CHARS; i++) {
		if (have < 5) {
			bits = bits << 8 | octets[at++]; /* the 23rd octet is zero: 4 bits of padding */
			have += 8;
		}
		have -= 5;
		out[i] = alphabet[bits >> have & 31];
	}
}

static int value_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

int minted_worker(struct slice name)
{
	uint8_t octets[MINTED_OCTETS + 1] = { 0 }, want[4];
	uint32_t bits = 0;
	unsigned have = 0, at = 0;

	if (name.n != MINTED_CHARS)
		return -1;
	for (unsigned i = 0; i < MINTED_CHARS; i++) {
		int v = value_of(name.p[i]);
		if (v < 0)
			return -1;
		bits = bits << 5 | (uint32_t)v;
		have += 5;
		if (have >= 8) {
			have -= 8;
			octets[at++] = (uint8_t)(bits >> have);
		}
	}
	/* 36 characters are 180 bits: 22 octets and 4 bits that must be zero */
	if (bits & ((1u << have) - 1))
		return -1;
	put_mark(want, mark_of(octets));
	if (memcmp(want, octets + 18, 4) != 0)
		return -1;
	unsigned worker = (unsigned)octets[0] << 8 | octets[1];
	return worker < worker_count ? (int)worker : -1;
}

/* The length keeps it from being the mark of a name. */
uint64_t minted_hash(struct slice text)
{
	uint8_t octets[16];
	uint64_t hash = siphash(&mark_key, text), n = text.n;

	memcpy(octets, &hash, sizeof(hash));
	memcpy(octets + sizeof(hash), &n, sizeof(n));
	return siphash(&mark_key, slice_of((const char *)octets, sizeof(octets)));
}
