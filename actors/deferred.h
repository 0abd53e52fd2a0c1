/*
 * What is kept of a message for a user who is away (D2-14 to D2-19, D2-27; CR001 12.2.2.3): its head without what the
 * prune list names, and, of a sender who asked for anonymity, without whatever says who or where he is; a Date, an
 * expiry, an id, and the lines that message-summary shows of it.
 *
 * Thread: owning worker only (time and randomness are its); nothing is kept here.
 */
#ifndef ACTORS_DEFERRED_H
#define ACTORS_DEFERRED_H

#include "actors/identity.h"
#include "core/store_deferred.h"

#define DEFERRED_ID_CHARS 26 /* String of D2-06: base32 of 128 random bits */

/* What of the head of a request is kept. */
enum deferred_kind {
	DEFERRED_PAGER, /* MESSAGE: all but the prune list (D2-14, D2-16) */
	DEFERRED_LARGE, /* INVITE: From, To, Call-ID, Subject, Priority, Date, P-Asserted-Identity (D2-15) */
};

/* Wall clock of the reception. */
struct deferred_times {
	uint64_t received_us;
	uint64_t expires_at_s;
};

/* Octets that deferred_write_head() needs at most, for both buffers together. */
size_t deferred_head_max(const struct sip_message *m);

/*
 * Writes the request line and the header lines that are kept, each with CRLF, without the empty line; and into
 * `summary` those of D2-27 (To, From, Subject, Date, Priority, P-Asserted-Identity).  False: a buffer was too small.
 */
bool deferred_write_head(struct buffer *head, struct buffer *summary, const struct im *im, const struct identity *sender,
	const struct sip_message *m, enum deferred_kind kind, uint64_t received_us);

void deferred_make_id(struct worker *worker, char out[DEFERRED_ID_CHARS]);

/* D2-19 narrowed by design.md 7.  A MESSAGE lives as long as its Expires says if that is not above
 * deferred.expires_max, else the default, as a large message does. */
struct deferred_times deferred_times_of(const struct im *im, const struct sip_message *m, enum deferred_kind kind);

/* Has it been too old already when it came (D1-18)?  The sender's Date counts only together with its Expires. */
bool deferred_is_expired(const struct im *im, const struct sip_message *m);

/* For the counts of D2-27. */
bool deferred_is_urgent(const struct sip_message *m);
bool deferred_is_multimedia(struct slice content_type);

/* Messages that are delivered now or never: isComposing, delivery reports (D2-62), Expires 0 (D2-19). */
bool deferred_is_for_now_only(const struct sip_message *m);

/* The request that stores a MESSAGE for `recipient` (canonical), with its quotas; on_answer and asker are the
 * caller's.  NULL: no memory. */
struct store_deferred_put *deferred_of_pager(const struct im *im, struct slice recipient, const struct identity *sender,
	const struct sip_message *m);

#endif
