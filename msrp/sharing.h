/*
 * Connections that this worker made and that more sessions may use: RFC 4975
 * 5.4 wants a sender to take the one it has for the same host, port and scheme.
 * Each worker shares its own only (design.md 2), and never one to our own
 * listeners, where every session has its own (design.md 5).
 *
 * A table by address that forgets: whoever is forgotten is shared no more, and
 * nothing else happens.  It names connections, so they need not leave it.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_SHARING_H
#define MSRP_SHARING_H

#include "msrp/endpoint.h"

/* One to `to` that is in use, is read and written without delay, and with TLS has shown the certificate that the
 * peer of the leg announced, or one of an authority for the same host.  NULL: none. */
struct msrp_connection *msrp_sharing_find(const struct msrp_leg *leg, const struct sockaddr_storage *to);

/* It was made for that leg and is bound. */
void msrp_sharing_offer(struct msrp_connection *c, const struct msrp_leg *leg);

#endif
