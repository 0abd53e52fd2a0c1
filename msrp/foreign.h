/*
 * Connections and sessions of different workers (design.md 2, "MSRP
 * connections").  A connection that carries nothing yet is handed over to the
 * owner of its first session.  One that carries something stays: chunks of
 * sessions of other workers travel as octets to the owner, who parses them on a
 * proxy, a connection without socket; what the proxy writes travels home in
 * whole chunks.
 *
 * Input is bounded by a credit per (home, owner), which comes back when the
 * owner's handler returned.  Output is acknowledged when it was written, so
 * that a proxy knows what is queued and stops its senders like any connection.
 * A proxy lives until its home says that the connection is gone.
 *
 * Thread: owning worker only, each side on its own.
 */
#ifndef MSRP_FOREIGN_H
#define MSRP_FOREIGN_H

#include "msrp/endpoint.h"

void msrp_foreign_init(struct worker *worker);

/* ---- home ---- */

/* The connection goes to c->waits_for with what it holds, and is gone; or it is busy (EBUSY) and
 * must be asked again when something was written; or ENOMEM. */
int msrp_foreign_hand_over(struct msrp_connection *c);

/* Of a proxy: what its peer has shown to the worker that has the descriptor. */
const struct tls_certificate *msrp_proxy_certificate(const struct msrp_connection *c);

/* ENOMEM: nothing was sent. */
int msrp_foreign_send(struct msrp_connection *c, unsigned owner, struct slice octets);

/* A proxy of it carries a session, or may soon. */
bool msrp_foreign_is_used(const struct msrp_connection *c);
/* That owner was ever sent anything. */
bool msrp_foreign_has(const struct msrp_connection *c, unsigned owner);

void msrp_foreign_on_written(struct msrp_connection *c);
void msrp_foreign_on_queued(struct msrp_connection *c, size_t n);

/* The connection is gone: its proxies are told. */
void msrp_foreign_end(struct msrp_connection *c);

/* ---- owner: proxies ---- */

char *msrp_proxy_reserve(struct msrp_connection *c, size_t n);
void msrp_proxy_commit(struct msrp_connection *c, size_t n);
size_t msrp_proxy_queued(const struct msrp_connection *c);
void msrp_proxy_flush(struct msrp_connection *c);

/* The last leg left. */
void msrp_proxy_is_idle(struct msrp_connection *c);

/* It is lost here: its home closes the connection, for the peer may be owed what could not be written. */
void msrp_proxy_tell_lost(struct msrp_connection *c);

/* Frees what connection.c does not know of; the home has said it, or the worker ends. */
void msrp_proxy_free(struct msrp_connection *c);

#endif
