/*
 * MSRP URIs, RFC 4975 section 6: msrp://user@host:port/session-id;tcp;name=value
 * Slices point into the text that was parsed.  Any thread; pure functions.
 */
#ifndef MSRP_URI_H
#define MSRP_URI_H

#include "core/slice.h"

struct msrp_uri {
	struct slice text;       /* the whole URI                                      */
	bool secure;             /* msrps                                              */
	bool host_is_ipv6;       /* it stood in brackets                               */
	struct slice userinfo;   /* empty when absent                                  */
	struct slice host;       /* without brackets, never empty                      */
	uint16_t port;           /* 0: absent (the scheme then means 2855)             */
	struct slice session_id; /* without the slash; empty when absent               */
	struct slice transport;  /* "tcp", never empty                                 */
	struct slice parameters; /* what follows the transport, with its first ';'     */
};

/*
 * The whole slice must be one URI; false leaves *uri alone.  More is let through than the grammar
 * has in one place only: a session-id may hold any character of a path segment.
 */
bool msrp_uri_parse(struct slice text, struct msrp_uri *uri);

/*
 * RFC 4975 6.1: scheme, host and transport without regard to case, addresses by value, session-id
 * octet by octet; an explicit port equals only the same explicit port; userinfo and parameters
 * do not count.
 */
bool msrp_uri_equal(const struct msrp_uri *a, const struct msrp_uri *b);

#endif
