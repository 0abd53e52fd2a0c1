/*
 * A chunk or response as the other side of a connection sees it: a reader of
 * RFC 4975 section 9 that shares nothing with msrp/chunk.c and is as simple as
 * a text of which all is there allows.  For fuzz_msrp_stream.c.
 */
#ifndef TESTS_FUZZ_MSRP_SEEN_H
#define TESTS_FUZZ_MSRP_SEEN_H

#include "core/slice.h"

enum seen_verdict { SEEN_WHOLE, SEEN_PARTIAL, SEEN_BAD };
enum { SEEN_NO_NUMBER = -1 };

struct seen {
	struct slice id, method; /* method empty: a response             */
	unsigned status;
	struct slice lines;      /* all headers, each with its CRLF      */
	struct slice to_path, from_path, message_id, range, failure_report, content_type;
	bool has_repeated;       /* one of these, or X-N, is there twice */
	int number;              /* of "X-N: 17"                         */
	bool has_head, has_body; /* has_head: so much was there          */
	struct slice body;       /* of a PARTIAL one: what is there      */
	char flag;
	size_t n;                /* octets of all of it; 0: not WHOLE    */
};

enum seen_verdict seen_read(struct slice in, struct seen *out);

/* The header line of that name begins here; `value` without its CRLF. */
bool seen_next_line(struct slice *lines, struct slice *line, struct slice *name, struct slice *value);

/* "1-*\/300"; UINT64_MAX for a star. */
bool seen_range(struct slice text, uint64_t *start, uint64_t *end, uint64_t *total);

#endif
