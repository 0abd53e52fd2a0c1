/*
 * application/conference-info+xml (RFC 4575) as 7.2.2.11 limits it: entity, version, and of each participant his
 * entity, display text and one endpoint with its status.  Pure functions: any thread.
 */
#ifndef ACTORS_CONFERENCE_INFO_H
#define ACTORS_CONFERENCE_INFO_H

#include "core/buffer.h"

#define CONFERENCE_INFO_TYPE "application/conference-info+xml"

enum conference_status { CONFERENCE_CONNECTED, CONFERENCE_DISCONNECTED, CONFERENCE_ALERTING };

/* How many octets at most the head and end take, and one user. */
size_t conference_info_octets(struct slice entity);
size_t conference_info_user_octets(struct slice entity, struct slice display_text);

/* In this order: head, users, end.  A document without users is "nobody" when it is full. */
void conference_info_head(struct buffer *out, struct slice entity, uint32_t version, bool is_full);
void conference_info_user(struct buffer *out, struct slice entity, struct slice display_text,
	enum conference_status status);
void conference_info_end(struct buffer *out);

#endif
