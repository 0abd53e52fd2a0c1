/*
 * The value of Byte-Range, RFC 4975 section 7.1.1: start-end/total, the first octet is 1.
 * Any thread; pure functions.
 */
#ifndef MSRP_BYTE_RANGE_H
#define MSRP_BYTE_RANGE_H

#include "core/buffer.h"

#define MSRP_RANGE_UNKNOWN UINT64_MAX /* written "*" */
#define MSRP_RANGE_MAX     INT64_MAX  /* sums of two of them do not wrap */

struct msrp_byte_range {
	uint64_t start; /* 1 to MSRP_RANGE_MAX                                           */
	uint64_t end;   /* start - 1 for an empty chunk; MSRP_RANGE_UNKNOWN              */
	uint64_t total; /* octets of the message; MSRP_RANGE_UNKNOWN                     */
};

/* What a request without Byte-Range means: all of a message of unknown length. */
#define MSRP_RANGE_DEFAULT \
	((struct msrp_byte_range){ 1, MSRP_RANGE_UNKNOWN, MSRP_RANGE_UNKNOWN })

enum msrp_range_verdict {
	MSRP_RANGE_OK,
	MSRP_RANGE_SYNTAX,     /* not number-number/number                             */
	MSRP_RANGE_NUMBER,     /* a number above MSRP_RANGE_MAX                        */
	MSRP_RANGE_START_ZERO, /* octets are counted from 1                            */
	MSRP_RANGE_END,        /* end < start - 1                                      */
	MSRP_RANGE_TOTAL,      /* it reaches beyond total                              */
};

/* Sets *range only for MSRP_RANGE_OK.  "1-0/0" is the range of an empty message and good. */
enum msrp_range_verdict msrp_byte_range_parse(struct slice value, struct msrp_byte_range *range);

/* "1-300/300", without the header's name. */
void msrp_byte_range_write(struct buffer *b, const struct msrp_byte_range *range);

#endif
