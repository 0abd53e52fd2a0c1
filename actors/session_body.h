/*
 * Bodies that carry a session description: application/sdp alone, or a part of
 * a multipart (D1-31; RFC 3261 8.2.3, RFC 5621), in any order and nesting.
 *
 * Any thread; slices into the message given.
 */
#ifndef ACTORS_SESSION_BODY_H
#define ACTORS_SESSION_BODY_H

#include "core/buffer.h"
#include "sip/message.h"

#define SESSION_BODY_DEPTH 4     /* multiparts within multiparts that are looked into */
#define SESSION_BODY_MAX   65536 /* of what is sent on */

enum session_body_verdict {
	BODY_HAS_SDP,
	BODY_WITHOUT_SDP, /* no body, or only such as may be ignored: the same as none */
	BODY_UNSUPPORTED, /* something that must be understood is not: 415 */
	BODY_ENCODED,     /* a Content-Encoding or Content-Transfer-Encoding: 415 */
	BODY_MALFORMED,   /* a multipart that cannot be taken apart: 400 */
};

struct session_body {
	struct slice sdp;
	bool is_alone;         /* nothing but the description */
	struct slice headers;  /* of its part; whole lines */
};

enum session_body_verdict session_body_read(const struct sip_message *m, struct session_body *body);

/* A body on its way to the other side: with another description in the place of the one of `m`, all other
 * parts as they came; `alone`: without them. */
struct session_body_sent {
	struct slice content_type, body;
};
/* What is not `sdp` itself is written to `out`.  False: too long. */
bool session_body_replace(struct buffer *out, const struct sip_message *m, struct slice sdp, bool alone,
	struct session_body_sent *sent);

#endif
