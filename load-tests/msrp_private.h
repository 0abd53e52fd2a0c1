/*
 * What msrp_endpoint.c (connections, reading, names) and msrp_output.c (writing) share.
 */
#ifndef LOAD_TESTS_MSRP_PRIVATE_H
#define LOAD_TESTS_MSRP_PRIVATE_H

#include "load-tests/msrp_endpoint.h"

#define PATTERN_PERIOD 8191u        /* prime: no chunk size hides a shift               */
#define PATTERN_PIECE  (64u * 1024) /* contiguous octets from any start                 */
#define TID_MAX        22           /* 'f', 7 random, 8 of the sequence, 6 of the chunk */

static inline void hex_put(char *into, uint32_t value, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; value >>= 4)
		into[i] = "0123456789abcdef"[value & 15];
}

static inline bool hex_get(struct slice s, uint32_t *value)
{
	uint32_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned c = (unsigned char)s.p[i], digit = c - '0';
		if (digit > 9) {
			digit = c - 'a';
			if (digit > 5)
				return false;
			digit += 10;
		}
		v = v << 4 | digit;
	}
	*value = v;
	return true;
}

/* Where the content of a message begins in the pattern: neighbours differ. */
static inline uint32_t msrp_pattern_start(uint32_t session, uint32_t sequence)
{
	return (session * 17u + sequence * 131u) % PATTERN_PERIOD;
}

/* Closes it and reports the error for the endpoint that used it last. */
void msrp_connection_lost(struct msrp_connection *c, enum flood_error error, const char *what);

/* Frees what msrp_disconnect() has left; no handler of a connection may be running. */
void msrp_reap(struct msrp_network *n);

/* msrp_flush() will look at it. */
void msrp_mark_dirty(struct msrp_connection *c);

/* Queues an answer or an empty SEND, whole; it goes between two chunks. */
void msrp_control_put(struct msrp_connection *c, const char *p, size_t n);

/* The socket is (not) to be watched for room; while it is, nothing is written. */
void msrp_wait_for_room(struct msrp_connection *c, bool waits);

/* ---- msrp_collect.c: of the SEND that c->receiving gets, if its network collects ---- */

void msrp_collect_head(struct msrp_connection *c);
void msrp_collect_body(struct msrp_connection *c);
void msrp_collect_end(struct msrp_connection *c, struct msrp_endpoint *e);
void msrp_collect_drop(struct msrp_endpoint *e); /* and what it has of one */

/* The size of the network's write buffer: what one batch may copy. */
extern const size_t msrp_write_buffer_size;

#endif
