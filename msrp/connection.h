/*
 * An MSRP connection, from its beginning to its end: octets in go through
 * input.h, octets out through output.h.  It may carry many sessions (RFC 4975
 * section 5.4).  A proxy is the same thing without a socket: see foreign.h.
 *
 * Thread: owning worker only.  Owner: the endpoint's pool.  A connection ends at
 * the end of a turn, never inside a call.
 */
#ifndef MSRP_CONNECTION_H
#define MSRP_CONNECTION_H

#include "core/tls.h"
#include "msrp/endpoint.h"

/* An accepted or handed over descriptor, with TLS or NULL.  NULL: pool exhausted, or one too many of its address that names
 * no session (limits.conns_per_ip); `fd` and `tls` are the caller's. */
struct msrp_connection *msrp_connection_adopt(struct msrp_endpoint *endpoint, int fd, struct tls *tls,
	uint64_t unbound_at_ms);

/* Connects for a leg, which is bound when that succeeds; with TLS if the leg is secure, to `host`.  NULL: no
 * descriptor, pool exhausted. */
struct msrp_connection *msrp_connection_open(struct msrp_leg *leg,
	const struct sockaddr_storage *to, struct slice host);

/* The certificate that the peer has shown; all false without TLS. */
void msrp_connection_certificate(const struct msrp_connection *c, struct tls_certificate *certificate);

/* Without stream. */
struct msrp_connection *msrp_connection_make_proxy(struct msrp_endpoint *endpoint,
	struct msrp_proxy *proxy);

/* A chunk or head that was begun has limits.chunk_stall from its last octet on. */
void msrp_connection_watch_for_stall(struct msrp_connection *c);

/* As if it had ended: its legs are lost, then it is closed, at the end of the turn. */
void msrp_connection_lose(struct msrp_connection *c, enum reason why);

/* Closes it at the end of the turn if it had a session and has none left. */
void msrp_connection_close_if_unused(struct msrp_connection *c);

/* A leg joins or leaves; `leg->connection` follows.  It joins unbound when its first chunk came before
 * the peer's path is known. */
void msrp_connection_join(struct msrp_connection *c, struct msrp_leg *leg);
void msrp_connection_bind(struct msrp_connection *c, struct msrp_leg *leg);
void msrp_connection_unbind(struct msrp_connection *c, struct msrp_leg *leg);

/* It carries a session, here or elsewhere: limits.conns_per_ip and limits.unbound are over for it. */
void msrp_connection_has_session(struct msrp_connection *c);

/* Reads no more for that reason; reads again when the last reason is gone. */
void msrp_connection_pause(struct msrp_connection *c, unsigned why);
void msrp_connection_resume(struct msrp_connection *c, unsigned why);
void msrp_connection_set_receive(struct msrp_connection *c);

/* Answers the request with that head, unless it wants no answer. */
void msrp_connection_answer(struct msrp_connection *c, const struct msrp_head *head, unsigned status);

/* A session came to it, here or elsewhere: if there was one already, it is not stopped for that one any more. */
void msrp_connection_share(struct msrp_connection *c);

/* A connection on which only one session depends: it may be stopped for it. */
bool msrp_connection_is_single(const struct msrp_connection *c);

/* The home of a proxy has gone. */
void msrp_connection_end_proxy(struct msrp_connection *c, enum reason why);

/* Gives it back; the stream is closed already.  For the end of the worker. */
void msrp_connection_release(struct msrp_connection *c);

/* End-of-turn work. */
void msrp_connection_do(struct msrp_connection *c);

#endif
