/*
 * Lines of a session description, for the files that read and rewrite it.
 * Private to sip/sdp*.c.  Any thread.
 */
#ifndef SIP_SDP_LINE_H
#define SIP_SDP_LINE_H

#include "sip/sdp.h"

struct sdp_line {
	char type;
	struct slice whole; /* without its end */
	struct slice value; /* behind the '=' */
};

/* Takes a line off *rest, which is not empty.  False: it is none. */
bool sdp_line_next(struct slice *rest, struct sdp_line *line);

/* Of the value of an a= line: its name, and what follows the colon. */
struct slice sdp_attribute_name(struct slice value, struct slice *rest);

/* UNSAID when it is no direction. */
enum sdp_direction sdp_direction_of(struct slice name);

#endif
