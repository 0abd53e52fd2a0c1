/*
 * How a deferred message looks on its way to its receiver: the content of one
 * MSRP SEND, multipart/mixed with the message inside (F4, F5, 12.2.2.5 of
 * CR001, D2-20 to D2-22).  A pager message is one part, message/sip or, where
 * pruning took one of the headers that every request has, message/sipfrag.  A
 * large one is two: the headers of its INVITE, then message/msrpfrag.
 *
 * Only what stands around the content is made here; the content itself is
 * copied by nobody: before, content, after, in this order, are the whole.
 *
 * Any thread; pure functions, but for the random boundary.
 */
#ifndef ACTORS_DELIVERY_BODY_H
#define ACTORS_DELIVERY_BODY_H

#include "core/buffer.h"

struct worker;

enum {
	DELIVERY_BOUNDARY_CHARS = 32, /* 128 random bits */
	DELIVERY_TYPE_MAX = 96,
};

struct delivery_source {
	struct slice head;    /* of the SIP request: its request line and header lines, each with CRLF */
	struct slice msrp;    /* large: `MSRP <tid> SEND` and header lines, each with CRLF; pager: empty */
	struct slice content; /* its beginning; all of it when content.n == size */
	uint64_t size;        /* octets of the content */
};

struct delivery_body {
	char content_type[DELIVERY_TYPE_MAX]; /* of the SEND */
	size_t content_type_n;
	struct slice before, after; /* in `text` */
	uint64_t size;              /* before, content and after together */
	char *text;                 /* heap */
};

/* 0 or ENOMEM.  With a boundary that occurs nowhere in what is at hand; what is not (large content is read piece by
 * piece) was written before the boundary was drawn, so that it has it by chance only. */
int delivery_body_make(struct delivery_body *body, struct worker *worker, const struct delivery_source *source);
/* The same with a boundary given. */
int delivery_body_make_with(struct delivery_body *body, const struct delivery_source *source, struct slice boundary);
void delivery_body_free(struct delivery_body *body); /* of one that was made, or is all zero */

/* D2-22: Via, Max-Forwards, From, To, Call-ID and CSeq are all there. */
bool delivery_head_is_whole(struct slice head);

/* RFC 2045 2.7: lines of at most 998 octets ended by CRLF, no octet above 127, no NUL, CR or LF alone. */
bool delivery_is_7bit(struct slice content);

#endif
