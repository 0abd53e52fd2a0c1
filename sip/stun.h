/*
 * The STUN Binding request as a keepalive of UDP flows (RFC 5626 4.4.2, RFC 8489):
 * the answer tells the client its address as we see it, so that it notices a new
 * one.  No credentials and no other method: what asks for more is not answered.
 * Pure function, any thread.
 */
#ifndef SIP_STUN_H
#define SIP_STUN_H

#include "sip/flow.h"

#define SIP_STUN_ANSWER_MAX 44

/* Does it begin as no SIP message can, but a STUN message does? */
bool sip_stun_is(struct slice datagram);

/* The length of the answer; 0: none is due. */
size_t sip_stun_answer(struct slice datagram, const struct net_address *from, char answer[SIP_STUN_ANSWER_MAX]);

#endif
