/*
 * REFER at the focus: adding users to a session (7.2.1.7, F28), one or several (RFC 5368), and leaving by
 * `method=BYE` (7.2.1.8, F29), inside a participant's dialog or outside any; and the implied subscription that tells
 * the referrer what came of it (RFC 3515, D1-24), unless he wants none (RFC 4488, D1-02).
 *
 * Order of checks (after those of the door): Require 420; a Refer-To that cannot be read 400, its method 403 (D1-25);
 * who may add 403 (7.2.2.3, 7.2.2.7), anonymity 403, whom he adds 400, room 486 with Warning "Too many participants",
 * all or nothing (D1-20); then 202.  To leave: being there, 403.
 *
 * Thread: the worker of the conference.  Owner: the worker's pool; a referral ends with its last NOTIFY.
 */
#ifndef ACTORS_REFER_H
#define ACTORS_REFER_H

#include "actors/controlling.h"

struct conference;
struct participant;

#define REFERRALS_MAX               65536 /* of one worker, that are still told about */
#define REFERRALS_OF_CONFERENCE_MAX 256   /* more get 503 */

/* A REFER outside dialogs to a session identity or a group (RFC 3515 2.4.4).  Takes it over: answered in any case, now or
 * later. */
void refer_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start);

/* One in the dialog of that participant.  As above; he may be gone when it returns. */
void refer_in_dialog(struct participant *by, struct sip_server *server, const struct sip_message *m);

/* A REFER with method=BYE whose Request-URI is no session that is known: 403 and no 404 (D1-33).  False: it is another
 * request, and was not touched. */
bool refer_refuses_leaving(struct im *im, struct sip_server *server, const struct sip_message *m);

/* The conference ends: whoever has not answered his invitation is told to the referrers as 487.  By
 * conference_release(), before the participants go. */
void referrals_on_release(struct conference *conference);

int referrals_init(struct im *im); /* 0 or ENOMEM */
/* Before conferences_free(). */
void referrals_free(struct im *im);

#endif
