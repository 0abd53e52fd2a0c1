/*
 * A flow: where a message came from and where its answer goes (RFC 3261 18.2.2,
 * RFC 3581, RFC 5626 3.1).  A plain value: it may be stored and sent to other
 * workers.
 *
 * Thread: owning worker only, where a worker is asked for; else any thread.
 */
#ifndef SIP_FLOW_H
#define SIP_FLOW_H

#include <netinet/in.h>

#include "core/buffer.h"
#include "core/net.h"
#include "core/options.h"
#include "core/worker.h"
#include "sip/message.h"

enum sip_protocol { SIP_UDP, SIP_TCP, SIP_TLS };

/* UDP: peer and our listener.  Streams: the connection (worker, slot, generation), which may be gone when it
 * is used. */
struct sip_flow {
	uint8_t protocol;      /* enum sip_protocol */
	uint8_t listener;      /* index into sip_options.listeners; streams we opened: of the same protocol */
	uint16_t worker;       /* streams: who owns the write queue */
	uint32_t slot, generation;
	struct net_address peer;
};

/* Local address literal of the machine as the peer of `flow` sees it: the listener's, and for a
 * wildcard one the connection's or the route's.  Host without brackets into `host`. */
void sip_flow_local(struct worker *worker, const struct sip_flow *flow, struct sockaddr_storage *local);

/* `host:port` for Via, Contact and Record-Route of what goes out by this flow or listener. */
void sip_flow_host_port(struct worker *worker, const struct sip_flow *flow, struct buffer *out);

const char *sip_protocol_name(enum sip_protocol protocol); /* "UDP" */

/* The listener's role, for the ims ports. */
enum listen_role sip_flow_role(const struct worker *worker, const struct sip_flow *flow);

/* It is a registered flow, or a session's (design.md 9): it counts no more in limits.conns_per_ip, and
 * sip_options.on_flow_lost will be called on this worker when the stream ends, also when it is gone already;
 * never inside this call.  Nothing for UDP. */
void sip_flow_watch(struct worker *worker, const struct sip_flow *flow);

bool sip_flow_equal(const struct sip_flow *a, const struct sip_flow *b);

void sip_flow_set_peer(struct sip_flow *flow, const struct sockaddr_storage *peer);
void sip_flow_get_peer(const struct sip_flow *flow, struct sockaddr_storage *peer);
static inline bool sip_flow_is_stream(const struct sip_flow *flow)
{
	return flow->protocol != SIP_UDP;
}

/* Where an answer to the address of the flow goes (RFC 3261 18.2.2, RFC 3581 4).  UDP: the port that it came
 * from if the Via asks for that by rport, else the Via's.  Streams: the Via's, when theirs is gone.  An maddr is
 * ignored: it would let whoever sends a request aim its answer at anybody (multicast is not served). */
uint16_t sip_answer_port(const struct sip_message *request, const struct sip_flow *flow);
void sip_port_set(struct sockaddr *address, uint16_t port);

/* Address literal and port of the flow's peer, for received and rport.  `text`: INET6_ADDRSTRLEN. */
void sip_flow_source(const struct sip_flow *flow, char *text, size_t size, struct slice *host, uint16_t *port);

#endif
