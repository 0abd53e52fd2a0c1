/*
 * The SIP layer of one worker, as transport, connections and transactions share
 * it.  Private to sip/.
 *
 * Thread: owning worker only; messages between workers are named below.
 */
#ifndef SIP_LAYER_H
#define SIP_LAYER_H

#include "core/chains.h"
#include "core/minted.h"
#include "core/pool.h"
#include "core/siphash.h"
#include "core/stream.h"
#include "sip/header.h"
#include "sip/overload.h"
#include "sip/transaction.h"

/* Messages between workers. */
enum {
	MSG_SIP_RECEIVED = MSG_SIP_FIRST, /* to the owner: struct sip_received                  */
	MSG_SIP_HANDLED,                  /* home: the owner's handler returned; brings credit  */
	MSG_SIP_SEND,                     /* to the worker of a stream flow: struct sip_sending */
	MSG_SIP_SENT,                     /* home: err 0, or why it was not written             */
	MSG_SIP_FLOW_LOST,                /* to workers that sent by a stream: it has ended     */
	MSG_SIP_FLOW_WATCH,               /* to the worker of a stream: tell me of its end      */
};

enum { TOKEN_SIP_ACCEPT = TOKEN_SIP_FIRST, TOKEN_SIP_DATAGRAM, TOKEN_SIP_SEND };

/* How many requests of one worker may wait at another: beyond that datagrams are dropped and streams
 * are not read (design.md 2). */
#define SIP_CREDIT 512

#define SIP_SCRATCH_OCTETS (256 * 1024)
#define SIP_OPENED_CHAINS  4096

#define SIP_T2_MS 4000
#define SIP_T4_MS 5000

struct sip_received {
	struct msg msg;
	struct sip_flow flow;
	uint32_t n;
	char wire[];
};

/* Names a client transaction for failures that come later or from elsewhere; slot and generation. */
struct sip_client_name {
	uint32_t slot, generation; /* generation 0: nobody wants to know */
};

struct sip_sending {
	struct msg msg;
	struct sip_flow flow;
	bool is_response;
	struct sip_client_name client;
	struct sockaddr_storage fallback; /* responses: RFC 3261 18.2.2 */
	uint32_t n;
	char wire[];
};

/* A stream has ended; from its worker to one that sent requests by it. */
struct sip_flow_lost {
	struct msg msg;
	struct sip_flow flow;
};

#define SIP_FLOW_CHAINS 8192

/* What is looked at of streams in one turn of the worker: connection_turn.c. */
struct sip_turns {
	uint64_t number;               /* the turn in which ... */
	unsigned used;                 /* ... so much of it was used */
	bool is_going_on;              /* it is those that waited that are looked at now */
	struct sip_connection *first, **end; /* that wait for the next one, oldest first */
	bool was_empty;                /* at some time in this interval of the worker's load */
	struct worker_task next;
	struct sip_connection *resting;
	struct timer rest;
};

struct sip_connection;
struct sip_peers;

/* Which address of ours a peer sees behind a wildcard listener; looked up again after a while, as routes change. */
#define SIP_ROUTES   256
#define SIP_ROUTE_MS 5000
struct sip_route {
	struct net_address peer, local;
	uint64_t until_ms;
};

struct sip_layer {
	struct worker *worker;
	const struct sip_options *options;
	sip_request_handler on_request;
	struct sip_limits limits;
	struct siphash_key key;
	struct siphash_key loop_key;   /* the same on all workers: a loop may come back to another */
	bool is_stopping;

	/* ---- transport ---- */
	struct pool datagrams;
	int credit[WORKERS_MAX];       /* down to 0 for requests, to -SIP_CREDIT for responses */
	struct worker_task credit_came;
	struct timer rearm;            /* receives that ended for want of a buffer */
	uint32_t to_rearm;             /* bit per listener */

	/* ---- connections ---- */
	struct pool connections;
	struct sip_connection *all;
	struct sip_connection **opened; /* chains of those that we opened, by address */
	struct sip_connection *waiting_for_credit;
	struct sip_turns turns;

	struct sip_peers *peers;
	struct sip_route routes[SIP_ROUTES];

	struct sip_overload overload;

	/* ---- transactions ---- */
	struct pool servers, clients;
	struct worker_task clock_task; /* reads the clock for those that were answered in the turn that brought them */
	unsigned answered_at_once;
	struct chains servers_by_key, servers_by_tag, servers_by_merged, clients_by_branch;
	struct sip_client **flow_table; /* SIP_FLOW_CHAINS of them */
	char *scratch;                 /* one message of ours, while it is put together */
	size_t scratch_n;
};

static inline struct sip_layer *sip_layer_of(const struct worker *worker)
{
	return worker->sip;
}

/* ---- transport.c ---- */
int sip_transport_init(struct sip_layer *layer);
void sip_transport_free(struct sip_layer *layer);

/* A whole message arrived on this worker: to its owner.  False: no credit; it was not
 * taken (datagram: dropped and counted by the callee). */
bool sip_transport_dispatch(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	bool may_wait);

/* Answers what could not be parsed, without any state. */
void sip_transport_answer_bad(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	unsigned status, enum reason why);

/* Sends by the flow.  Responses fall back to the address of their Via when the stream is gone.  For requests
 * the client hears of failures by sip_client_transport_failed(), never inside this call. */
struct sip_transmission {
	struct sip_flow flow;
	struct slice wire;
	bool is_response;
	struct sip_client_name client;
	struct sockaddr_storage fallback;
};
void sip_transport_send(struct sip_layer *layer, const struct sip_transmission *t);

/* The flow that a request to the target takes: its own flow while it lives, else the listener's (UDP) or a
 * connection of this worker, opened if need be (TCP).  0 or errno. */
int sip_transport_flow_to(struct sip_layer *layer, const struct sip_target *target, struct sip_flow *flow);

/* ---- connection.c ---- */
int sip_connections_init(struct sip_layer *layer);
void sip_connections_free(struct sip_layer *layer, bool at_once);
void sip_connection_accepted(struct sip_layer *layer, unsigned listener, int fd);
struct sip_connection *sip_connection_find(struct sip_layer *layer, uint32_t slot, uint32_t generation);
/* An open connection of this worker to that address, or a new one.  NULL: none to be had. */
struct sip_connection *sip_connection_to(struct sip_layer *layer, const struct sip_target *target);
/* The same for a response whose own connection is gone.  Its peer chose the port: until it says something
 * valid, or we have a request for it, it counts against limits.conns_per_ip and has FIRST_MESSAGE_MS. */
struct sip_connection *sip_connection_to_answer(struct sip_layer *layer, enum sip_protocol protocol,
	const struct sockaddr_storage *address);
void sip_connection_flow(const struct sip_connection *c, struct sip_flow *flow);
/* Too much is queued to begin anything new.  Responses are written all the same: their number is bounded,
 * because a connection above leg_high is not read. */
bool sip_connection_is_full(const struct sip_connection *c);
/* 0 or ENOMEM.  `client` hears when connecting fails. */
int sip_connection_write(struct sip_connection *c, struct slice wire, struct sip_client_name client);
/* It fails unless it is connected by then (shortens, never prolongs).  Of streams that are connected: nothing. */
void sip_connection_hurry(struct sip_connection *c, uint64_t ms);
/* The same of the stream of a flow; of a datagram flow nothing. */
void sip_flow_hurry(struct sip_layer *layer, const struct sip_flow *flow, uint64_t ms);
/* A response; final ones to a half-closed connection go to `fallback` when it turns out that nobody was there. */
int sip_connection_answer(struct sip_connection *c, struct slice wire, const struct sockaddr_storage *fallback);
/* Answers may be written to it, requests not: nobody would answer them. */
bool sip_connection_is_half_closed(const struct sip_connection *c);
/* Another worker sends a request by it and wants to hear of its end. */
void sip_connection_used_by(struct sip_connection *c, unsigned worker);
/* A registered flow, or a session's: it counts no more in limits.conns_per_ip (design.md 9). */
void sip_connection_bind(struct sip_connection *c);
void sip_connections_credit_came(struct sip_layer *layer);

/* ---- connection_turn.c ---- */
void sip_turns_init(struct sip_layer *layer);
/* Streams waited for their turns all through the time since it was asked last. */
bool sip_turns_are_late(struct sip_layer *layer);

/* ---- the transactions ---- */
int sip_transactions_init(struct sip_layer *layer);
void sip_transactions_free(struct sip_layer *layer);
int sip_servers_init(struct sip_layer *layer, size_t chains);
void sip_servers_free(struct sip_layer *layer);
int sip_clients_init(struct sip_layer *layer, size_t chains);
void sip_clients_free(struct sip_layer *layer);
void sip_server_receive(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow);
void sip_client_receive(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow);
void sip_client_transport_failed(struct sip_layer *layer, struct sip_client_name client);
/* The stream of that flow has ended: requests that only it can answer fail with 503. */
void sip_clients_flow_lost(struct sip_layer *layer, const struct sip_flow *flow);
void sip_transactions_gauge(struct sip_layer *layer);

/* ---- branch.c ---- */
/* `z9hG4bK<minted>.<loop>`: the minted part says which worker, the rest whether a request looped. */
void sip_branch_write(struct buffer *out, const char minted[], uint32_t loop);
/* The minted part of a branch of ours; false: not ours. */
bool sip_branch_minted(struct slice branch, struct slice *minted);
/* Is one of the Via headers ours, with the same hash?  Then the request has been here before. */
bool sip_branch_is_loop(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow);

/* ---- checks.c ---- */
struct sip_check {
	unsigned status;     /* 0: the request is good */
	enum reason why;
	const char *phrase;  /* NULL: the table's      */
	char headers[512];   /* whole lines            */
	size_t headers_n;
};
/* The generic checks of design.md 4 up to Require 420, in that order. */
void sip_check_request(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	struct sip_check *check);

#endif
