/*
 * Deferred messages go to a user who came back (10.3.2.3; 12.2.2.2 of CR002; design.md 7): an INVITE in the name
 * of sip:Deferred@STORE_HOST, the messages over MSRP, BYE; to ordinary clients of standalone mode one MESSAGE after
 * the other.  What does not arrive stays, until the next trigger (D2-26).
 *
 * One push for a user at a time, on his worker.  A login storm is paced: no more than PUSHES_UNDER_WAY of a worker
 * at a time, the others in the order in which they came, begun slower while the worker is busy, and of the whole
 * server no more than deferred.push_rate messages a second.
 *
 * Thread: owning worker only.
 */
#ifndef ACTORS_PUSH_H
#define ACTORS_PUSH_H

#include "actors/im.h"

#define PUSHES_UNDER_WAY 1024

enum push_cause {
	PUSH_PUBLISHED,  /* 200 to a PUBLISH of his settings (D2-25) */
	PUSH_REGISTERED, /* 200 to his REGISTER: deferred.push_on_register */
	PUSH_STORED,     /* he came back while something was stored for him */
};

/*
 * Whatever says that he may be there, on his worker, after the 200 went out.  Whether he gets anything is found out
 * here: he is registered, his settings (or, of an ordinary client, deferred.push_on_register) want it, something is
 * stored, and no push is under way for him.
 */
void push_start(struct im *im, struct slice canonical, enum push_cause cause);

int pushes_init(struct im *im); /* 0 or ENOMEM */
/* No new ones.  What is under way ends with its session: virtual_user_agents_drain(). */
void pushes_drain(struct im *im);
void pushes_free(struct im *im);

#endif
