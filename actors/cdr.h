/*
 * Call detail records (log.cdr, design.md 13): one line of JSON for each IM session, when it ends (of type "large" if
 * what it brought was stored for a user who is away), and for each pager mode message, when it is answered,
 *	{"time","type","id","from","to","start","end","octets","messages","reason"}
 *
 *	type      "session", "large" or "pager"; a pager message to many is a line for each copy
 *	id        as in the log and the list of sessions; null: refused before it was anything
 *	from, to  user@host; from is null when the sender asked for privacy, in either mode
 *	start     when its request came, end when it was over; time is when the line was made
 *	octets    of content that was passed on, both ways, or stored for a user who was away; messages likewise
 *	reason    of the end: "bye", "delivered", "stored", or why not
 * A session that never began is a line too, without octets; so is a message that was refused by the function
 * itself.  What is refused before it gets there (credentials, unknown users, syntax) is in the log and the counters.
 *
 * Thread: owning worker only.  A line is made here and written elsewhere (core/record_file.h).
 */
#ifndef ACTORS_CDR_H
#define ACTORS_CDR_H

#include "actors/identity.h"
#include "core/record_file.h"

struct cdr {
	const char *type;
	uint64_t id;           /* of the actor; 0: none     */
	struct slice from, to; /* from empty: hidden        */
	uint64_t start_us;     /* since 1970; it ends now   */
	uint64_t octets, messages;
	const char *reason;
};

static inline bool cdr_is_on(const struct im *im)
{
	return im->server->cdr && record_file_is_on(im->server->cdr);
}

/* What cannot be queued is counted. */
void cdr_write(struct im *im, const struct cdr *cdr);

/* `sender`, as far as that may be written down. */
struct slice cdr_from(const struct identity *sender);
/* Who is called: `canonical` if that is known, else by the Request-URI.  `room`: IM_CANONICAL_MAX. */
struct slice cdr_to(const struct im *im, struct slice canonical, const struct sip_message *m, char *room);

uint64_t cdr_now_us(const struct im *im);

#endif
