/*
 * Names that this process mints: tags, Via branches, Contact user parts,
 * session identities, MSRP session-ids (design.md 2, "The owner is a pure
 * function of the message").  Lower-case base32 of worker (2 octets), random
 * (16) and mark (4 octets: SipHash of the former under a key made at start).
 * 128 random bits make them unguessable (D2-54); the mark tells ours from
 * strings of an older process or another imserv without any table.
 *
 * Any thread, after minted_init().
 */
#ifndef CORE_MINTED_H
#define CORE_MINTED_H

#include "core/slice.h"

#define MINTED_OCTETS 22
#define MINTED_CHARS  36 /* base32 of 22 octets, without padding */

struct worker;

/* Before the workers start.  `workers` bounds what minted_worker() accepts. */
void minted_init(const uint8_t key[16], unsigned workers);

/* Writes MINTED_CHARS characters, no terminator. */
void minted_make(struct worker *worker, char out[MINTED_CHARS]);

/* The worker that minted it, or -1: not minted here. */
int minted_worker(struct slice name);

/* Under the key of the marks: for marks on other texts, which are never that of a name. */
uint64_t minted_hash(struct slice text);

#endif
