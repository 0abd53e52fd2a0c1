/*
 * The value of To-Path, From-Path and of the SDP attribute path: MSRP URIs with blanks between
 * them, RFC 4975 sections 7.1.1 and 8.1.  Any thread; pure functions.
 */
#ifndef MSRP_PATH_H
#define MSRP_PATH_H

#include "msrp/uri.h"

/* Relays are one hop each (RFC 4976); nobody has a path that long unless to make us work. */
enum { MSRP_PATH_URIS_MAX = 16 };

enum msrp_path_verdict {
	MSRP_PATH_OK,
	MSRP_PATH_EMPTY,    /* no URI at all                 */
	MSRP_PATH_BAD_URI,  /* one of them is not an MSRP URI */
	MSRP_PATH_TOO_LONG, /* more than MSRP_PATH_URIS_MAX  */
};

struct msrp_path {
	struct slice text;
	unsigned count;              /* 1 to MSRP_PATH_URIS_MAX                        */
	struct msrp_uri first, last; /* the same when count is 1                       */
};

/* Looks at every URI; sets *path only for MSRP_PATH_OK.  Its slices point into `value`. */
enum msrp_path_verdict msrp_path_parse(struct slice value, struct msrp_path *path);

/* Takes the first URI off *rest, unparsed; false when there is none left. */
bool msrp_path_next(struct slice *rest, struct slice *uri);

/* The first URI of a path, unparsed: where a response goes.  Empty for an empty path. */
struct slice msrp_path_first(struct slice value);

/* The same URIs (msrp_uri_equal) in the same order; false too when either is not a good path. */
bool msrp_path_equal(struct slice a, struct slice b);

/* One URI each, with the same session-id, scheme and transport: what is left of a path's identity where a
 * middlebox has put another host into the SDP (RFC 6714). */
bool msrp_path_same_session(struct slice a, struct slice b);

#endif
