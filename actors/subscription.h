/*
 * Subscriptions of users to what waits in their own mailbox (RFC 3842; 10.3.2.6, D2-27): this server is the notifier
 * (actors/notifier.h).  A NOTIFY follows each SUBSCRIBE at once, then each change of the mailbox, at most one a
 * second; changes meanwhile are one.  A subscriber who does not take it has none any more.
 *
 * Thread: the user's worker.  Owner: the worker's pool.  Nothing of them outlives the process: subscribers find out
 * by the 481 to their refresh.
 */
#ifndef ACTORS_SUBSCRIPTION_H
#define ACTORS_SUBSCRIPTION_H

#include "actors/identity.h"

#define SUBSCRIPTIONS_OF_USER_MAX 8
#define SUBSCRIPTIONS_MAX         65536 /* of one worker */

/* A SUBSCRIBE for message-summary outside dialogs, of the user `canonical` himself; answers it. */
void subscription_start(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice canonical);

/* What is in his mailbox has changed. */
void subscriptions_on_change(struct im *im, struct slice canonical);

int subscriptions_init(struct im *im); /* 0 or ENOMEM */
/* Each is ended with a last NOTIFY: its subscriber may come to another server, or here later. */
void subscriptions_drain(struct im *im);
void subscriptions_free(struct im *im);

#endif
