/*
 * The MSRP side of imflood: connections, and the endpoints of sessions that use them.
 * An endpoint sends what the workload's next() gives it, answers every SEND with 200 and
 * tells the workload what came.  A connection usually carries one endpoint, but any
 * number may share it.
 *
 * Nothing is allocated per message: content comes from one fixed pattern, heads are
 * patched copies of a template, and what a socket did not take is written again from the
 * record of the chunk, not from a copy of its octets.
 */
#ifndef LOAD_TESTS_MSRP_ENDPOINT_H
#define LOAD_TESTS_MSRP_ENDPOINT_H

#include <sys/socket.h>

#include "core/slice.h"
#include "load-tests/event_loop.h"
#include "load-tests/flood_errors.h"
#include "load-tests/msrp_wire.h"
#include "load-tests/random.h"

#define MSRP_URI_MAX       128
#define MSRP_PEER_PATH_MAX 512
#define MSRP_SESSIONS_MAX  0xffffffu /* six hexadecimal digits of the session-id */

struct msrp_network;
struct msrp_endpoint;
struct msrp_collection;

/* One chunk to send.  Sequences count the messages of an endpoint from 0. */
struct msrp_outgoing {
	struct msrp_endpoint *endpoint;
	uint32_t sequence, chunk;
	uint32_t offset, octets, total;
};

/* One chunk that came, whole; its content was compared with the pattern. */
struct msrp_incoming {
	uint32_t session; /* of the sender: in rooms another than the endpoint's */
	uint32_t sequence;
	uint32_t offset, octets, total; /* total 0: not announced */
	char flag;
};

struct msrp_handlers {
	/* The next chunk to send, or false: nothing before the next msrp_want_send(). */
	bool (*next)(struct msrp_endpoint *e, struct msrp_outgoing *out);
	void (*on_chunk)(struct msrp_endpoint *e, const struct msrp_incoming *chunk);
	void (*on_response)(struct msrp_endpoint *e, uint32_t sequence, uint32_t chunk,
			    unsigned status);
	/* The empty SEND of msrp_bind() was answered. */
	void (*on_bound)(struct msrp_endpoint *e, unsigned status);
	/* An empty SEND of the far side came, and was answered. */
	void (*on_empty)(struct msrp_endpoint *e);
	/* A message of somebody else, whole, where the network collects them. */
	void (*on_content)(struct msrp_endpoint *e, struct slice type, struct slice content);
	/* e is NULL where it cannot be known. */
	void (*on_error)(struct msrp_network *n, struct msrp_endpoint *e, enum flood_error error,
			 const char *what);
};

struct msrp_connection {
	struct loop_source source; /* first */
	struct msrp_network *network;
	bool connected, waits_for_room, is_dirty, is_deaf;
	struct msrp_connection *next_dirty;
	struct msrp_connection *next_open, **open_at; /* all that the network has to free */
	struct msrp_connection *next_over;
	struct wire_parser parser;
	char *carry; /* the beginning of a head or end-line */
	size_t carry_n;
	struct msrp_endpoint
		*receiving; /* of the SEND that is being read, NULL: content is skipped */
	struct msrp_incoming incoming;
	bool incoming_is_bad;
	char *control; /* answers and empty SENDs, not written yet */
	size_t control_n, control_size;
	struct msrp_endpoint *first_to_send, *last_to_send;
	struct msrp_outgoing *pending; /* given by next(), not written yet */
	unsigned pending_n;
	size_t pending_written;              /* octets of pending[0] that are out */
	struct msrp_endpoint *last_endpoint; /* most SENDs on a connection are for one endpoint */
};

struct msrp_endpoint {
	struct msrp_network *network;
	struct msrp_connection *connection; /* NULL until it is connected or bound */
	void *user;
	uint32_t session;
	char role; /* 'a' or 'b' */
	bool is_queued;
	struct msrp_endpoint *next_to_send;
	struct msrp_collection *collection; /* NULL: none began */
	uint16_t uri_n, peer_path_n, peer_first_n;
	char uri[MSRP_URI_MAX];             /* ours                                        */
	char peer_path[MSRP_PEER_PATH_MAX]; /* To-Path of our requests, From-Path of theirs */
	char name[7];                       /* random part of our transaction ids           */
	uint16_t head_n, tid_at, sequence_at;
	char head[MSRP_PEER_PATH_MAX + MSRP_URI_MAX + 160];
	uint16_t answer_n;
	char answer[2 * MSRP_URI_MAX +
		    64]; /* of an answer, what stands between its two transaction ids */
};

struct msrp_network {
	struct event_loop *loop;
	const struct msrp_handlers *handlers;
	struct prng *prng;
	struct msrp_endpoint **endpoints; /* by 2 * session + role, as far as known */
	uint32_t endpoints_n;
	bool has_rooms; /* what comes may be of any endpoint */
	bool collects; /* what comes is no pattern of ours: on_content() instead of on_chunk() */
	bool wants_no_answers; /* Failure-Report: no */
	struct loop_source listener;
	struct msrp_connection *dirty, *open;
	struct msrp_connection *over; /* of msrp_disconnect(): freed in msrp_flush() */
	char run[6]; /* random part of our Message-IDs */
	char *read_buffer, *write_buffer, *pattern;
	uint64_t octets_in, octets_out; /* on the wire */
};

int msrp_network_open(struct msrp_network *n, struct event_loop *loop, struct prng *prng,
		      const struct msrp_handlers *handlers, uint32_t sessions);
void msrp_network_close(struct msrp_network *n);

/* Content for a load that is not MSRP: up to 64 KiB, from a place that `number` makes. */
const char *msrp_pattern_at(const struct msrp_network *n, uint32_t number);

/* Accepts connections of the server; *bound is the address with its real port. */
int msrp_listen(struct msrp_network *n, const struct sockaddr_storage *local,
		struct sockaddr_storage *bound);

/* Gives the endpoint its URI: at that address, with a fresh session-id. */
void msrp_endpoint_init(struct msrp_endpoint *e, struct msrp_network *n, uint32_t session,
			char role, const struct sockaddr_storage *at);
/* The path of the far side, one or several URIs; false when it is too long or none. */
bool msrp_endpoint_set_peer(struct msrp_endpoint *e, struct slice path);

/* Connects from `local` (port ignored) to `to`.  NULL with errno set on failure; *bound, unless
 * NULL, is our side's address.  The network owns the connection. */
struct msrp_connection *msrp_connect(struct msrp_network *n, const struct sockaddr_storage *local,
				     const struct sockaddr_storage *to,
				     struct sockaddr_storage *bound);

/* Sends the empty SEND that binds the session (RFC 4975 section 5.4); on_bound() follows. */
void msrp_bind(struct msrp_endpoint *e, struct msrp_connection *c);

/* Closes the connection of an endpoint that needs it no more and shares it with nobody. */
void msrp_disconnect(struct msrp_endpoint *e);

/* A message that is collected has begun, and has not ended. */
bool msrp_is_collecting(const struct msrp_endpoint *e);

/* Nothing is read from it any more, or again; NULL is let through. */
void msrp_stop_reading(struct msrp_connection *c, bool is_deaf);

/* next() has something for this endpoint; it is asked in msrp_flush(). */
void msrp_want_send(struct msrp_endpoint *e);

/* Writes what is due; true when some of it has to go on in the next turn. */
bool msrp_flush(struct msrp_network *n);

#endif
