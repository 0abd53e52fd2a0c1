/*
 * SIP over UDP, TCP and TLS on a worker's ring (RFC 3261 18): listeners, flows,
 * framing, and the way of a message to the worker that owns it (design.md 2,
 * "Receiving is not owning").  Whatever arrives is posted to its owner, who
 * gives it to the transaction layer.
 *
 * Thread: owning worker only, unless said otherwise.
 */
#ifndef SIP_TRANSPORT_H
#define SIP_TRANSPORT_H

#include "core/options.h"
#include "core/worker.h"
#include "sip/flow.h"
#include "sip/message.h"
#include "sip/uri.h"

#define SIP_LISTENERS_MAX 32

/* A destination of a request: an existing flow (preferred while it lives), or only its protocol and its peer's
 * address.  With `flow_only` nothing else is tried when the flow is gone: the request fails (a registered
 * contact is reached only by the flow of its binding). */
struct sip_target {
	struct sip_flow flow;             /* has_flow false: protocol and peer of it, the rest is not looked at */
	const char *name;                 /* TLS: whose certificate it must be, NULL: the address's; it
	                                   * lives as long as the server.  Without peer also what is to be located
	                                   * (sip/locate.h) for each request */
	uint16_t port;                    /* by name; 0: none was said, so the DNS is asked for servers */
	bool has_flow, flow_only;
	bool any_protocol;                /* by name; no transport was said either */
};

struct sip_listener {
	enum listen_proto proto;
	enum listen_role role;
	struct sockaddr_storage bound;    /* the real port */
	unsigned tls;                     /* LISTEN_TLS: entry of worker->tls */
	char advertise[256];              /* host for Via and Contact; empty: bound address */
	int fds[WORKERS_MAX];             /* worker i's socket */
};

/* Of one configuration: read-only, shared by all workers.  A reload makes another, with the same listeners and names. */
struct sip_options {
	struct limits_options limits;
	uint64_t t1_ms;
	unsigned transactions_max, connections_max;
	uint64_t body_bytes_max;          /* 413 beyond */
	unsigned retry_after_s;           /* of our own 503 */
	unsigned overload_high_water;     /* percent of busy time; 0 or 100: never too busy */
	struct sip_home home;
	struct slice store_host, factory_user, history_user; /* for the owner rules */
	const struct slice *group_patterns; /* domain.groups */
	unsigned group_pattern_count;
	struct slice user_agent;          /* "IM-serv/OMA1.0 imserv/VERSION": User-Agent and Server */
	const char *const *supported;     /* option tags we accept in Require, NULL-terminated */
	/* core.trusted: exempt from conns_per_ip */
	bool (*is_trusted)(const struct worker *, const struct sockaddr *);
	/* A stream that was watched, or by which requests were sent, has ended; may be NULL. */
	void (*on_flow_lost)(struct worker *, const struct sip_flow *);
	unsigned listener_count;
	struct sip_listener listeners[SIP_LISTENERS_MAX];
};

#endif
