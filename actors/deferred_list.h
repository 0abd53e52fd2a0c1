/*
 * A mailbox as a list, for its owner by XCAP (org.openmobilealliance.deferred-list, 4.2.3, design.md 13) and for
 * operators: what message-summary tells of each message, and removing one without its being delivered.
 *
 * A message that a delivery holds at that moment is removed all the same, once that delivery has ended, however it
 * ends: who deletes a message does not want it again, and what is under way cannot be called back.
 *
 * Thread: those of the HTTP listeners, which may wait.
 */
#ifndef ACTORS_DEFERRED_LIST_H
#define ACTORS_DEFERRED_LIST_H

#include "actors/document_store.h"
#include "core/buffer.h"
#include "core/store_deferred.h"

#define DEFERRED_LIST_AUID      "org.openmobilealliance.deferred-list"
#define DEFERRED_LIST_NAMESPACE "urn:imserv:deferred-list"
#define DEFERRED_LIST_NAME      "index"
#define DEFERRED_LIST_MAX       10000 /* the oldest: a larger mailbox says so by its attribute `messages` */
#define DEFERRED_LIST_OCTETS_MAX (8 << 20) /* likewise, and a page: who sends to a user chooses how long its rows are */

/* A page of the mailbox, behind `after`, at most `most` <= STORE_SUMMARY_MAX.  0 and *out, which the caller frees; ENOMEM,
 * or what the store said. */
int deferred_list_page(struct im_server *server, struct slice owner, uint64_t after, unsigned most,
	struct store_deferred_summary **out);

/* The header lines that a row has of a message, one after the other.  False: that was all. */
bool deferred_list_field(struct slice *lines, struct slice *name, struct slice *value);
/* Appends what may stand in XML and JSON: other octets, which a peer may have sent, as question marks. */
void deferred_list_clean(struct buffer *out, struct slice value);
/* `2026-01-31T08:00:00Z` */
void deferred_list_time(struct buffer *out, uint64_t unix_s);

/* The document, in the form of one from the store; its version is a hash of it.  0 and *out, which the caller frees. */
int deferred_list_document(struct im_server *server, struct slice owner, struct store_document_request **out);

/*
 * Removes the message with that id: its String (D2-06), the whole URI, or the Call-ID if no other message has it.  0 when
 * it is gone or goes after the delivery that holds it; ENOENT: there is none; ETIMEDOUT, ENOMEM, or what the store said.
 */
int deferred_list_remove(struct im_server *server, struct worker_group *group, struct slice owner, struct slice id);

#endif
