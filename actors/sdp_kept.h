/*
 * A description that we sent, as a session keeps it until it ends: what nearly
 * all of them have in common, and our own path, take one octet each.
 * Any thread; owns nothing.
 */
#ifndef ACTORS_SDP_KEPT_H
#define ACTORS_SDP_KEPT_H

#include "actors/sdp_text.h"

/* In place; how long it is now.  Descriptions begin with "v=" (RFC 8866 5.1); a text that does not begin as ours do, or is not ASCII, stays as it is. */
size_t sdp_kept_pack(char *text, size_t n, struct slice path);

/* The text again, written into `room` of SDP_TEXT_MAX, or `kept` itself where it is not packed.  `path` is that of
 * before, the text was not longer than SDP_TEXT_MAX. */
struct slice sdp_kept_text(struct slice kept, struct slice path, char *room);

#endif
