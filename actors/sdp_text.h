/*
 * Small edits of session descriptions that we wrote ourselves: the version of
 * o= (RFC 3264 8) and a=setup (RFC 4145 4), and whether two of them say the
 * same.  Any thread; owns nothing.
 */
#ifndef ACTORS_SDP_TEXT_H
#define ACTORS_SDP_TEXT_H

#include "core/buffer.h"
#include "sip/sdp.h"

#define SDP_TEXT_MAX 16384 /* room for any that goes out */

/* `text` with another version in o=.  A text without o= is copied as it is. */
void sdp_text_with_version(struct buffer *out, struct slice text, uint64_t version);

/* `text` with another a=setup, where it has one. */
void sdp_text_with_setup(struct buffer *out, struct slice text, enum sdp_setup setup);

/* `text` with the m= lines of `lines` (bit i: the one with index i) rejected: port 0 and nothing below (RFC 3264 6). */
void sdp_text_with_declined(struct buffer *out, struct slice text, uint32_t lines);

/* The same but for the version of o=. */
bool sdp_text_says_same(struct slice a, struct slice b);

/* A hash over what matters to the other side: everything but o= (its version may count up although nothing
 * else is new), a=setup and a=connection (whose roles a refresh may name otherwise).  64 bits are enough: a
 * peer who aims for a collision only has his own change ignored. */
uint64_t sdp_text_hash(const struct sdp *sdp);

#endif
