/*
 * Our Record-Route URI (RFC 3261 16.6 step 4, D1-03): its user part says in
 * itself where the two ends of the dialog are, under a mark over that and the
 * Call-ID, so that requests inside the dialog are passed on without any state,
 * and nobody can have us send anything anywhere by a Route of his own making.
 *
 * Any thread, after minted_init().
 */
#ifndef SIP_RECORD_ROUTE_H
#define SIP_RECORD_ROUTE_H

#include "sip/flow.h"

#define SIP_RECORD_CHARS 156 /* the longest user part */

/* One end of the dialog: a flow, or without one core.next_hop. */
struct sip_record_end {
	bool has_flow;
	struct sip_flow flow;
};

struct sip_record {
	struct sip_record_end asker, asked; /* who sent the first request, and to whom it went */
	uint32_t asker_tag;                 /* a hash of the first one's From tag */
	uint32_t pass;                      /* any number, to tell apart the passes of one request through us */
};

uint32_t sip_record_tag(struct slice from_tag);

/* At most SIP_RECORD_CHARS: letters and digits only. */
void sip_record_write(struct buffer *out, const struct sip_record *record, struct slice call_id);
/* False: not written here for that Call-ID. */
bool sip_record_read(struct slice user, struct slice call_id, struct sip_record *record);

/*
 * What a request carries of it: the user part of its topmost Route or, from a strict router (RFC 3261 16.4),
 * of its Request-URI.  Empty: it has not our mark.  `record` may be NULL.
 */
struct slice sip_record_of(const struct sip_message *m, struct sip_record *record);

#endif
