/*
 * The parts of a multipart body (RFC 2046 5.1), one level; a part that is a
 * multipart itself is taken apart by the next call.  Slices into the body given;
 * owns nothing.  Any thread.
 */
#ifndef SIP_MULTIPART_H
#define SIP_MULTIPART_H

#include "core/slice.h"

#define SIP_BOUNDARY_MAX 70 /* RFC 2046 5.1.1 */

struct sip_parts {
	struct slice rest;     /* behind the delimiter line of the next part; p == NULL: none follows */
	struct slice boundary; /* without quotes and hyphens */
};

struct sip_part {
	struct slice whole;   /* headers, empty line and content */
	struct slice headers; /* whole lines, without the empty one */
	struct slice content; /* without the line end that belongs to the next delimiter */
};

/* `content_type` is the value of the header.  False: no multipart, no boundary that RFC 2046 permits, or
 * no delimiter line in the body. */
bool sip_parts_begin(struct sip_parts *parts, struct slice content_type, struct slice body);

enum sip_part_verdict {
	SIP_PART_END,
	SIP_PART_OK,
	SIP_PART_BAD, /* the closing delimiter is missing, or the empty line behind the headers is */
};
enum sip_part_verdict sip_parts_next(struct sip_parts *parts, struct sip_part *part);

/* The value of the first header of that name, trimmed, folds included; p == NULL when there is none. */
struct slice sip_part_header(const struct sip_part *part, const char *name);

#endif
