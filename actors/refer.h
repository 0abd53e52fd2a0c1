/*
 * REFER at the focus: adding users to a session (7.2.1.7, F28), one or several (RFC 5368), and leaving by
 * `method=BYE` (7.2.1.8, F29), inside a participant's dialog or outside any; and the implied subscription that tells
 * the referrer what came of it (RFC 3515, D1-24), unless he wants none (RFC 4488, D1-02).
 *
 * Order of checks (after those of the door): Event or body that cannot be read 400, what is asked 403 (methods, other
 * sessions, D1-25), adding policy and initiation policy 403, anonymity 403, the list 400, room 486 with Warning "Too
 * many participants", all or nothing (D1-20); then 202.
 *
 * Thread: the worker of the conference.  Owner: the worker's pool; a referral holds a place of its own and outlives
 * neither its last NOTIFY nor its deadline.
 */
#ifndef ACTORS_REFER_H
#define ACTORS_REFER_H

#include "actors/identity.h"

struct conference;
struct participant;

/* Several at once in one conference: more get 503. */
#define REFERRALS_OF_CONFERENCE_MAX 64

/* A REFER outside dialogs to `target` (RFC 3515 2.4.4): the user part of a session identity minted here, or the canonical
 * URI of a group.  Takes it over: answered in any case, now or later. */
void refer_start(struct im *im, struct sip_server *server, const struct sip_message *m, const struct identity *who,
	struct slice target);

/* A REFER in the dialog of that participant.  As above. */
void refer_in_dialog(struct participant *by, struct sip_server *server, const struct sip_message *m);

/* That conference ends: what is not yet known of its invitations is told to the referrers as 487.  By
 * conference_release(), before the conference goes. */
void referrals_on_release(struct conference *conference);
/* That participant ends: NOTIFYs of referrals in his dialog cannot be sent any more.  Before his agent goes. */
void referrals_on_leave(struct participant *participant);

int referrals_init(struct im *im); /* 0 or ENOMEM */
void referrals_free(struct im *im);

#endif
