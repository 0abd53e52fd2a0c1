/*
 * What a subscriber of message-summary is told of his mailbox (RFC 3842, 10.3.2.6, D2-27): how many messages wait,
 * and of the oldest of them who sent them and how they are called when they are fetched.
 *
 * Any thread.
 */
#ifndef ACTORS_MESSAGE_SUMMARY_H
#define ACTORS_MESSAGE_SUMMARY_H

#include "actors/im.h"
#include "core/store_deferred.h"

#define MESSAGE_SUMMARY_EVENT "message-summary"
#define MESSAGE_SUMMARY_TYPE  "application/simple-message-summary"
#define MESSAGE_SUMMARY_MAX   100 /* messages that are described; the counts are complete */
#define MESSAGE_SUMMARY_ROOM  (32 * 1024) /* their headers: with it a body fits into a datagram, if it must */

/* Octets that message_summary_write() needs at most. */
size_t message_summary_octets(const struct im *im, const struct store_deferred_summary *summary);

/* The body, for the owner `canonical` of the mailbox. */
void message_summary_write(struct buffer *out, const struct im *im, struct slice canonical,
	const struct store_deferred_summary *summary);

#endif
