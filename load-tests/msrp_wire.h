/*
 * Reads MSRP (RFC 4975 section 7 and 9) as imflood's own traffic looks after a relay:
 * canonical header names, one blank after the colon, no REPORT.  Independent of msrp/ on
 * purpose: a load tool that shared the server's parser would share its errors.
 *
 * Pure: no input or output, no clock, no allocation.  Slices point into the caller's
 * octets.  What wire_next() did not consume must be offered again, followed by more.
 */
#ifndef LOAD_TESTS_MSRP_WIRE_H
#define LOAD_TESTS_MSRP_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/slice.h"

#define WIRE_HEAD_MAX 8192
#define WIRE_TID_MAX  32
/* CR LF, seven dashes, transaction id, flag, CR LF */
#define WIRE_END_MAX (2 + 7 + WIRE_TID_MAX + 1 + 2)

enum wire_event {
	WIRE_MORE,     /* nothing whole yet: read more                              */
	WIRE_RESPONSE, /* a whole response: tid, status, to_path                    */
	WIRE_SEND,     /* the head of a SEND; without has_body it is whole: flag    */
	WIRE_BODY,     /* the next piece of content is in body                      */
	WIRE_END,      /* the end-line of a SEND with content: flag                 */
	WIRE_BAD,      /* the stream cannot be read further; bad says why           */
};

struct wire_parser {
	bool in_body, has_body;
	char flag; /* '$' '+' '#'                            */
	uint16_t status;
	bool wants_no_answer;              /* Failure-Report: no                     */
	uint64_t range_start, range_total; /* range_total 0: unknown ('*') or absent */
	struct slice tid, to_path, from_path, message_id, content_type, body;
	const char *bad;
	char end_line[WIRE_END_MAX]; /* up to and without the flag             */
	uint8_t end_line_n;
};

enum wire_event wire_next(struct wire_parser *p, struct slice *in);

#endif
