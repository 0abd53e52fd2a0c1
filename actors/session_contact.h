/*
 * The Contacts that the B2BUA gave out (D1-15): whoever addresses one outside
 * its dialog means the other side of that session, as long as the session
 * lives and for a grace time.
 *
 * Thread: owning worker only, which is the one that minted the user part.
 */
#ifndef ACTORS_SESSION_CONTACT_H
#define ACTORS_SESSION_CONTACT_H

#include "actors/im.h"
#include "sip/uri.h"

#define SESSION_CONTACT_GRACE_MS 32000 /* 64*T1: what was sent before the BYE has arrived by then */
#define SESSION_CONTACT_KEPT_MAX 4096  /* after their session, for each worker: the oldest goes */

struct side;

int session_contacts_init(struct im *im);
void session_contacts_free(struct im *im);

/* Both dialogs are there. */
void session_contact_enter(struct side *side);
/* The session is over, or somebody else takes that side: kept for the grace time.  Before its dialogs are closed;
 * nothing when it was never entered. */
void session_contact_leave(struct side *side);

/* What a Contact with that user part leads to: slices that live until the handler returns. */
struct session_contact_view {
	struct slice uri;         /* the other side's Contact */
	struct slice routes;      /* whole lines: its route set */
	struct sip_target target;
	bool hides;               /* nobody may hear who or where the other side is */
	bool is_focus;            /* it is a conference: one who left may call it again (7.2.1.5) */
};
bool session_contact_find(struct im *im, struct slice user, struct session_contact_view *view);

/* Refer-To and the like: the value with the other side's Contact in the place of ours.  False: its user part was
 * minted here, and nobody knows it (any more). */
bool session_contact_map(struct im *im, struct slice value, struct buffer *out);

#endif
