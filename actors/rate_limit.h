/*
 * limits.invite_rate, message_rate, register_rate and subscribe_rate (D2-55): how many of these requests outside
 * dialogs one user may send a second, and one address.  Who sends more gets 503 with Retry-After; what belongs to
 * a dialog is not counted.
 *
 * A bucket holds one second's worth, so a user may send it at once, in particular one request a second with 1/s.
 * The user is who the request's identity says (a REGISTER: who is registered), counted after authentication, so
 * that nobody uses up what is another's; over all workers.  An address (standalone mode only: in ims mode all
 * comes from the core) may do what RATE_ADDRESS_USERS of its users may, counted before authentication.
 *
 * Refusals are counted; the log has one line for each user or address and minute.
 */
#ifndef ACTORS_RATE_LIMIT_H
#define ACTORS_RATE_LIMIT_H

#include "actors/identity.h"

#define RATE_ADDRESS_USERS 10 /* behind one address: a household, a proxy of a small site */

/* False: it was one too many and has been refused. */
bool rate_limit_permits_address(struct im *im, struct sip_server *server);
/* ims: one request may pass here twice, on its way from the sender and on its way to the recipient, which are
 * counted apart. */
bool rate_limit_permits_user(struct im *im, struct sip_server *server, const struct identity *who, bool is_originating);
/* The same of whom a REGISTER is for. */
bool rate_limit_permits_registration(struct im *im, struct sip_server *server, const struct sip_message *m);

#endif
