/*
 * One end of an MSRP session (RFC 4975): our URI, the peer's path, and the
 * connection they share once it is bound.  Two legs that are paired switch
 * chunks between each other as they arrive (design.md 5); what they switch they
 * do not understand.
 *
 * Thread: owning worker only.  Owner: the worker's leg pool; the actor holds a
 * pointer until msrp_leg_close().
 */
#ifndef MSRP_LEG_H
#define MSRP_LEG_H

#include "core/options.h"
#include "core/worker.h"
#include "msrp/accept.h"
#include "msrp/path.h"

#define MSRP_LISTENERS_MAX 16

struct msrp_leg;

/* Events come from the worker's loop, never from inside a call of the functions below; the leg may be
 * closed in them. */
struct msrp_leg_events {
	/* The first chunk with both right paths came (or our connect succeeded and we sent ours). */
	void (*on_bound)(struct msrp_leg *, void *arg);
	/* The connection is gone, could not be made, or was given up (queue overrun).  The leg is
	 * unbound again; outstanding chunks of the other leg got their 408 (design.md 5). */
	void (*on_lost)(struct msrp_leg *, enum reason why, void *arg);
};

struct msrp_listener {
	enum listen_proto proto;        /* LISTEN_MSRP or LISTEN_MSRPS */
	unsigned tls;                   /* LISTEN_MSRPS: entry of worker->tls */
	struct sockaddr_storage bound;  /* the real port; per_worker_ports: worker i has port + i */
	char advertise[256];            /* host for our URIs; empty: the bound address, and for a
	                                 * wildcard the local address given to msrp_leg_open() */
	bool per_worker_ports;
	int fds[WORKERS_MAX];           /* worker i's listening socket */
};

struct msrp_options {
	struct limits_options limits;
	uint64_t msrp_transaction_ms;   /* timers.msrp_transaction */
	unsigned legs_max;
	bool (*is_trusted)(const struct worker *, const struct sockaddr *); /* exempt from conns_per_ip; NULL: nobody */
	unsigned listener_count;
	struct msrp_listener listeners[MSRP_LISTENERS_MAX];
};

/* Per worker, on its thread, after worker_use_ring() and stream_worker_init(): registers handlers and
 * starts accepting.  `options` must outlive the worker or the next msrp_worker_set_options().  0 or a positive errno. */
int msrp_worker_init(struct worker *worker, const struct msrp_options *options);

/* Other options from here on: limits, timers, the certificates of listeners, more legs; the listeners are as at the
 * start.  0, or ENOMEM: there is no room for more legs than before, the rest is as asked. */
int msrp_worker_set_options(struct worker *worker, const struct msrp_options *options);

/* Stops accepting and closes connections that carry no session (drain).  With `all`: everything. */
void msrp_worker_stop(struct worker *worker, bool all);
void msrp_worker_free(struct worker *worker);

/* Some listener of this address family (AF_INET, AF_INET6) can be named to a peer of whom nothing else is known. */
bool msrp_leg_has_listener(const struct worker *worker, int family, bool is_secure);

/* `local`: the address our peer reached us at by SIP, for its family and for wildcard listeners; the unspecified one of
 * a family: only that.  `is_secure`: msrps, over TLS.
 * ENOMEM: pool exhausted (503).  EADDRNOTAVAIL: no such listener.  The events come with `arg`. */
int msrp_leg_open(struct msrp_leg **out, struct worker *worker, const struct sockaddr_storage *local,
	bool is_secure, const struct msrp_leg_events *events, void *arg);

/* Our URI for a=path, and the port for the m= line; valid as long as the leg. */
struct slice msrp_leg_uri(const struct msrp_leg *leg);
uint16_t msrp_leg_port(const struct msrp_leg *leg);
const char *msrp_leg_host(const struct msrp_leg *leg); /* address literal or name, no brackets */
bool msrp_leg_is_secure(const struct msrp_leg *leg);
/* For a=fingerprint, of the certificate that our listener shows now; empty unless secure. */
struct slice msrp_leg_fingerprint(const struct msrp_leg *leg);
bool msrp_leg_is_bound(const struct msrp_leg *leg);
/* Of content that its peer sent and that went on to the other leg. */
uint64_t msrp_leg_octets(const struct msrp_leg *leg);
/* Messages whose last chunk did so. */
uint64_t msrp_leg_messages(const struct msrp_leg *leg);

/*
 * The peer's path from its SDP, copied.  Our chunks carry it whole in To-Path; a connection is bound
 * only if its From-Path is the same.  The path of before may be in use: another one takes its place
 * at once, chunks of both directions without an answer get 408, and on_bound comes again (no on_lost).
 * EINVAL: not a path, or one with TLS for a leg without or the reverse.  `fingerprint`: of its SDP (RFC
 * 8122), or empty: whoever connects for it must show that certificate; where we connect to one without,
 * its certificate must be of a `ca` and bear the path's host.  `connect`: we are the active side and
 * connect to `address` (already permitted by limits.connect_to), or use the connection that this worker made
 * there before; on success an empty SEND goes out.
 */
struct msrp_peer {
	struct slice path, fingerprint;
	uint64_t max_octets; /* of one message of his, more is 413; 0: any */
	struct msrp_accept accept; /* what he takes of others: what they send beyond it is 413 or 415 */
	bool has_chatroom;   /* RFC 7701: a NICKNAME may go to him */
	bool has_cema;       /* RFC 6714: in between his path may get another host; his session-id says who he is */
	bool connect;
	struct sockaddr_storage address;
};
int msrp_leg_set_peer(struct msrp_leg *leg, const struct msrp_peer *peer);
/* It has its connection, and setting that peer would change neither path nor certificate. */
bool msrp_leg_is_bound_to(const struct msrp_leg *leg, const struct msrp_peer *peer);

/* An offer of ours has no answer yet, which may bring another path: who connects with it before waits, instead of
 * getting 481.  With false what waits is looked at again, with what the peer is by the end of this turn. */
void msrp_leg_expect_peer(struct msrp_leg *leg, bool expects);

/* From now on chunks of each go to the other.  Until both are bound the sender waits unread. */
void msrp_leg_pair(struct msrp_leg *a, struct msrp_leg *b);

/* Unpairs; what is queued for the peer is still written; the connection is closed when no other
 * session uses it.  The session-id is unknown (481) from here on. */
void msrp_leg_close(struct msrp_leg *leg);

#endif
