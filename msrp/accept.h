/*
 * What a peer takes of what is sent to him: a=accept-types, a=accept-wrapped-types and a=max-size of his
 * session description (RFC 4975 8.6), less what policy bars.  Any thread; pure functions.
 */
#ifndef MSRP_ACCEPT_H
#define MSRP_ACCEPT_H

#include "core/slice.h"

enum { MSRP_ACCEPT_MAX = 2048 }; /* octets of both lists: a hundred types; what follows is not accepted */

/* All zero: everything. */
struct msrp_accept {
	uint64_t max_octets;          /* of one message; 0: any                                       */
	uint16_t types_n, wrapped_n;  /* of text: lower case, no parameters, a blank behind each one  */
	bool looks_inside;            /* whether what is wrapped has to be in one of the two lists    */
	char text[MSRP_ACCEPT_MAX];
};

/* The lists as SDP has them; p == NULL: there is no such line.  Where nothing is said of wrapped types, what is
 * wrapped is a matter of the receiver: many name the container and nothing else. */
void msrp_accept_set(struct msrp_accept *accept, struct slice types, struct slice wrapped);

/* A media type without its parameters: "Text/Plain; charset=utf-8" is "Text/Plain". */
struct slice msrp_accept_type(struct slice content_type);

/* The entry of a list (of msrp_accept) that names this type or its family; empty when none does. */
struct slice msrp_accept_find(struct slice list, struct slice type);

/*
 * RFC 3862: the type of what a message/cpim holds, as far as `content`, its beginning, shows it.  Empty with p ==
 * NULL: not yet; text/plain where its headers end without one (RFC 2045 5.2).
 */
struct slice msrp_accept_wrapped_type(struct slice content);

#endif
