/*
 * What the receiving side takes: how many octets of a message, and of which type (RFC 4975 8.6, D1-17).
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_CONTENT_H
#define MSRP_CONTENT_H

#include "msrp/endpoint.h"

enum { MSRP_INSIDE_MAX = 2048 }; /* octets of a message/cpim in which the type of what it holds is looked for */

/* A message of the leg's peer that has so many octets is more than was agreed, or than its receiver takes. */
static inline bool msrp_content_is_beyond(const struct msrp_leg *leg, uint64_t octet)
{
	const struct msrp_leg *far = leg->pair;

	return (leg->max_octets && octet > leg->max_octets) ||
	       (far && far->accept_octets && octet > far->accept_octets);
}

/* The same of what a head announces. */
bool msrp_content_is_announced_beyond(const struct msrp_leg *leg, const struct msrp_byte_range *range);

/* Does the peer of `far` take a message of that Content-Type? */
bool msrp_content_suits(struct msrp_leg *far, struct slice content_type);

/* Does the other side take a message of that Content-Type from the leg's peer? */
bool msrp_content_is_taken(const struct msrp_leg *leg, struct slice content_type);

/* It does, but only with the right thing in it: the beginning of the content is to be looked at. */
bool msrp_content_is_wrapper(const struct msrp_leg *leg, struct slice content_type);

enum msrp_inside { MSRP_INSIDE_UNSEEN, MSRP_INSIDE_TAKEN, MSRP_INSIDE_REFUSED };

/* `content`: all of the message that is there, from its first octet on. */
enum msrp_inside msrp_content_inside(const struct msrp_leg *leg, struct slice content);

#endif
