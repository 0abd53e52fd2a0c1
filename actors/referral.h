/*
 * The implied subscription of a REFER (RFC 3515 2.4.4): what became of those whom it named, each final status in a NOTIFY
 * of its own, the last one with `terminated`.  Made by refer.c; private to actors/refer*.c.
 *
 * Thread: owning worker only.
 */
#ifndef ACTORS_REFERRAL_H
#define ACTORS_REFERRAL_H

#include "actors/notifier.h"
#include "actors/refer.h"

struct referral;

struct referral_start {
	struct sip_server *server;
	const struct sip_message *m;
	struct conference *conference;
	struct participant *by; /* in whose dialog; NULL: outside */
	unsigned count;         /* of targets */
	bool is_list;           /* each status says whose it is */
};

/* NULL: answered (400, 503, 513). */
struct referral *referral_open(struct im *im, const struct referral_start *start);
/* The 202 is out: says 100, and what is known already.  The pointer is dead afterwards. */
void referral_begin(struct referral *r);
/* Before referral_begin(): the i-th target, and what conference_invite() shall tell about him. */
void referral_name(struct referral *r, unsigned i, struct slice uri);
void *referral_target(struct referral *r, unsigned i);
void referral_on_result(void *target, unsigned status, struct slice warning);
/* The conference has nothing more to do with it: it may be gone before the last NOTIFY. */
void referral_leave(struct referral *r);
unsigned referrals_of(const struct conference *conference);

#endif
