/*
 * The words that the decoders of header.h read values by (RFC 3261 25.1).
 * Private to the files that decode header fields.  Each takes what it found
 * off *s and leaves *s alone when it was not there.  Pure functions over slices.
 */
#ifndef SIP_LEXICAL_H
#define SIP_LEXICAL_H

#include "sip/header.h"

/* LWS after indexing: a fold is CR LF and a blank, and nothing else of CR and LF is left. */
static inline bool sip_is_lws(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline struct slice sip_skip_lws(struct slice s)
{
	while (s.n && sip_is_lws(s.p[0]))
		s = slice_skip(s, 1);
	return s;
}

/* The longest token; may be empty. */
struct slice sip_take_token(struct slice *s);
/* A quoted string, quotes included; empty when it does not end. */
struct slice sip_take_quoted(struct slice *s);
/* `token` (without case) and the LWS around it. */
bool sip_take_word(struct slice *s, const char *token);

/* The next part that is not empty, trimmed; separators inside quotes and <> do not count. */
bool sip_next_part(struct slice *rest, char separator, struct slice *part);

/* delta-seconds that are too large are only a very long time (RFC 3261 20.19): 2^32-1. */
bool sip_decode_seconds(struct slice value, uint32_t *seconds);

#endif
