/*
 * What the files of the MSRP run-time share: the state of one worker's MSRP
 * endpoint and the objects in it.  Actors see msrp/leg.h only.
 *
 *   connection  its life; octets in: input; octets out: output; who it belongs to: binding
 *   reading     the parser and the chunk that is coming in, while there is one
 *   foreign     connections whose descriptor is another worker's
 *   sharing     connections of ours that a further session may use
 *   leg         one end of a session; pairs of them switch
 *   pressure    what may wait for who reads slowly, of one connection and of all
 *   transaction chunks that were forwarded and not answered yet
 *   ending      legs that have no other: receiver and sender; room: those that have many
 *   switch      what becomes of an incoming chunk; waiting: until the other leg is there;
 *               content: what the other side takes; message: which have begun
 *
 * No object is freed and no connection closed in the middle of a parse: what
 * ends, resumes or has to be told is queued in `todo` and done at the end of the
 * turn, when nothing of ours is on the call stack.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_ENDPOINT_H
#define MSRP_ENDPOINT_H

#include <sys/queue.h>

#include "core/chains.h"
#include "core/log.h"
#include "core/minted.h"
#include "core/pool.h"
#include "core/stream.h"
#include "msrp/chunk_write.h"
#include "msrp/leg.h"

enum {
	MSRP_SMALL_CHUNK = 2048,        /* forwarded whole, with its range as received           */
	MSRP_ID_SLOT_CHARS = 5,         /* of an id: they name the slot                          */
	MSRP_ID_RANDOM_CHARS = 13,      /* the rest: 65 random bits                              */
	MSRP_ID_CHARS = MSRP_ID_SLOT_CHARS + MSRP_ID_RANDOM_CHARS,
	MSRP_TRANSACTIONS_PER_LEG = 4096,
	MSRP_TRANSACTIONS_SCARCE = 64,  /* the same while most of the worker's are in use       */
	MSRP_OPEN_MESSAGES = 16,        /* begun and not ended, remembered per leg               */
	MSRP_REFUSED_MESSAGES = 4,      /* 413 or 415 was said of them: the last of each leg     */
	MSRP_HELD_MAX = 8 * 1024 * 1024, /* unparsed octets: what a paused multishot still brings */
	MSRP_PROXY_BUCKETS = 1024,
	MSRP_QUEUE_CLASSES = 32,
	MSRP_OPENED_BUCKETS = 256,      /* of addresses we connected to; a power of two          */
	MSRP_GUESSES_UNBOUND = 128,     /* wrong sessions, of a connection that carries none     */
	MSRP_GUESSES_BOUND = 1024,      /* the same in a minute, of one that does: it may be late */
};

struct msrp_connection;
struct msrp_foreign_home;
struct msrp_outgoing;
struct msrp_proxy;
struct msrp_reading;
struct msrp_receiver;
struct msrp_sender;
struct msrp_seat;
struct room_chunk;
struct room_stream;

/* A growing heap buffer; freed when empty, so that an idle connection costs little. */
struct msrp_held {
	char *p;
	size_t n, size;
};

/* Why a connection is not read; 0: it is. */
enum {
	PAUSE_REWOUND = 1,     /* its next head cannot be dealt with yet; nothing is parsed */
	PAUSE_NOT_READY = 2,   /* the other leg is not bound                               */
	PAUSE_FAR_FULL = 4,    /* the other leg's queue is over its high mark              */
	PAUSE_CREDIT = 8,      /* the owner of a foreign session has too much to do        */
	PAUSE_OUTSTANDING = 16, /* too many chunks wait for their answer                   */
	PAUSE_NOT_READING = 32, /* it does not read what it asked us to answer              */
	PAUSE_FOR_LEG = PAUSE_NOT_READY | PAUSE_FAR_FULL | PAUSE_OUTSTANDING, /* only with a single session   */
};

/* What is done with a connection at the end of the turn. */
enum { TODO_CLOSE = 1, TODO_PUMP = 2, TODO_FLUSH = 4, TODO_HANDOVER = 8 };

/* What becomes of the incoming chunk that is open on a connection. */
enum msrp_way {
	WAY_NONE,    /* between chunks                                                     */
	WAY_SKIP,    /* answered, or nothing to answer: content is dropped                 */
	WAY_PENDING, /* kept from its first octet on until it is clear what it is          */
	WAY_STREAM,  /* goes to the other leg as it comes                                  */
	WAY_WAIT,    /* kept at the leg until the other leg is bound                       */
	WAY_FOREIGN, /* its octets go to another worker                                    */
	WAY_RECEIVE, /* it ends here: the leg's receiver takes it                          */
	WAY_ROOM,    /* goes to the others of the leg's room as it comes                   */
};

struct msrp_incoming {
	enum msrp_way way;
	struct msrp_leg *leg;   /* whose peer sends it: PENDING, STREAM, WAIT, RECEIVE     */
	bool is_send, has_content_type, head_is_parsed;
	bool was_answered;      /* before its end: the far side had an error for it        */
	bool is_nickname;       /* a NICKNAME, answered as a SEND is, but no message       */
	bool is_out_open;       /* STREAM: a chunk is open on the other leg's connection   */
	bool is_wrapper;        /* PENDING: what it holds is not seen yet                  */
	bool is_nothing;        /* RECEIVE: no content, and of no message                  */
	enum msrp_failure_report failure_report;
	uint64_t message;       /* hash of the Message-ID                                  */
	struct msrp_byte_range range;
	uint64_t next;          /* STREAM: number of the first octet not yet sent          */
	size_t head_n, body_n;  /* PENDING: its first head_n + body_n octets are kept      */
	size_t wait_at;         /* WAIT: where it begins in leg->waiting                   */
	unsigned owner;         /* FOREIGN                                                 */
	struct msrp_transaction *transaction; /* NULL: wants no answer, or has it          */
	struct room_stream *room_stream;      /* ROOM                                      */
	char id[MSRP_ID_CHARS]; /* of the outgoing chunk that is open                      */
	struct slice head;      /* STREAM: its text, in the input or copied                */
	char *head_copy;        /* STREAM beyond one read: heap                            */
};

struct msrp_connection {
	struct msrp_endpoint *endpoint;
	struct stream *stream;  /* NULL: a proxy, or lost                                  */
	struct msrp_parser *parser; /* see reading.h; NULL between chunks                  */
	struct msrp_incoming *in;   /* never NULL; between chunks it says so and is not written */
	struct msrp_held held;  /* not parsed, or kept for in.way == WAY_PENDING           */
	size_t parsed;          /* of what is held, octets that the parser has taken       */
	LIST_HEAD(, msrp_leg) legs;
	unsigned leg_count;
	struct msrp_connection *writer; /* whose incoming chunk is open on our output      */
	struct msrp_leg *writer_leg;    /* for which of our sessions, where that is in a room */
	size_t queued_seen;     /* our share of endpoint->queued                           */
	LIST_ENTRY(msrp_connection) queue_link; /* unless queue_class is 0                 */
	uint8_t queue_class;
	bool is_overrun;        /* given up for what it does not read: nothing is written any more */
	struct timer timer;     /* until bound: limits.unbound; then limits.chunk_stall    */
	uint64_t unbound_at_ms, progress_ms;
	uint32_t guesses, guesses_since_s; /* chunks for sessions that are not its own, in this minute */
	unsigned pauses, todo;
	unsigned address_bucket; /* of limits.conns_per_ip, while is_counted               */
	unsigned waits_for;     /* PAUSE_CREDIT: the owner; HANDOVER: to whom              */
	struct msrp_leg *early_for; /* PAUSE_REWOUND: the leg whose peer is not known yet  */
	TAILQ_ENTRY(msrp_connection) todo_link;
	TAILQ_ENTRY(msrp_connection) credit_link;
	enum reason lost_why;
	bool is_counted, is_lost, was_bound, was_handed_over, is_connecting, is_slowed, holds_senders;
	bool must_replay;       /* something waits at a leg for the end of the open chunk  */
	bool is_homeless;       /* proxy whose home is gone: nobody names it               */
	bool has_half;          /* lost, and the last chunk of its output has no end       */
	struct msrp_foreign_home *foreign; /* home side: owners of sessions elsewhere      */
	struct msrp_proxy *proxy;          /* owner side: there is no stream here          */
};

struct msrp_leg {
	struct msrp_endpoint *endpoint;
	const struct msrp_leg_events *events;
	void *arg;
	struct msrp_leg *pair;
	struct msrp_seat *seat;             /* in a room; NULL: in none                    */
	struct msrp_leg *next_of_chain;
	struct msrp_connection *connection; /* NULL: neither bound nor connecting          */
	struct msrp_connection *early;      /* came before the peer's (new) path was known */
	LIST_ENTRY(msrp_leg) on_connection;
	TAILQ_ENTRY(msrp_leg) event_link;
	bool is_secure, is_bound, ends_here, has_event, tell_bound, tell_lost;
	bool has_cema;          /* see struct msrp_peer                                    */
	bool has_chatroom;      /* as well                                                 */
	bool is_sharing;        /* a connection that was not made for it                   */
	bool is_first_out;      /* the empty SEND it began with has no answer yet          */
	bool expects_peer;      /* an answer may bring another path than peer_path        */
	unsigned listener;      /* index into msrp_options.listeners                       */
	char *fingerprint;      /* heap: the peer's, secure legs; NULL: it said none       */
	enum reason lost_why;
	uint16_t port, uri_n;
	char *uri, *host;       /* heap, one allocation: host with its terminator, then URI */
	char *peer_path;        /* heap, NULL until msrp_leg_set_peer(); behind it what he accepts */
	uint32_t peer_path_n, peer_first_n;
	uint16_t accept_n, accept_wrapped_n;  /* octets of msrp_accept.text; 0: every type */
	uint16_t accepted_at, accepted_n;     /* the entry that took what came last        */
	uint64_t accept_octets; /* of a message to the peer; 0: any                        */
	TAILQ_HEAD(msrp_transactions, msrp_transaction) transactions; /* by arrival        */
	unsigned transaction_count; /* with all their parts                                */
	uint16_t sdp_path_n;    /* CEMA: behind that what the SDP says, where he uses another; 0: the same */
	bool looks_inside;
	uint64_t max_octets;    /* of a message of the peer; 0: any                        */
	uint64_t octets;        /* of content that came from its peer and went on          */
	uint64_t messages;      /* whose last chunk did                                    */
	struct timer silence;   /* the other side does not answer                          */
	struct msrp_held waiting; /* whole or begun chunks, until the other leg is bound   */
	uint64_t *open_messages;  /* heap: MSRP_OPEN_MESSAGES hashes, MSRP_REFUSED_MESSAGES */
	unsigned open_count;
	uint8_t refused_count;    /* those who were refused while more of them may come    */
	bool open_overflow;     /* more than the table holds: every empty SEND may be one  */
	struct msrp_receiver *receiver; /* heap; ends_here: at least one of the two        */
	struct msrp_sender *sender;
};

/*
 * One outgoing chunk that wants an answer.  `chunk` is the first of an incoming chunk and stands
 * for it: it is in the list of the sender's leg and the others hang on it.
 */
struct msrp_transaction { /* two cache lines with the pool's header: thousands may be out */
	char random[MSRP_ID_RANDOM_CHARS]; /* of its id; the slot is known                 */
	bool is_partial, is_answered;
	uint8_t incoming_id_n;
	struct msrp_transaction *chunk, *next_part;
	struct msrp_leg *from, *to;
	TAILQ_ENTRY(msrp_transaction) link;
	uint64_t silent_at_ms;  /* 0: the end-line has not come yet                        */
	uint32_t unanswered;    /* parts                                                   */
	union {
		char incoming_id[MSRP_TRANSACTION_ID_MAX];
		struct {           /* incoming_id_n == 0: a request of our own             */
			struct msrp_outgoing *message; /* NULL: the empty SEND a leg begins with */
			uint32_t octets;
		} own;
		struct room_chunk *room; /* from == NULL: the name of what a room sends    */
	};
};

struct msrp_endpoint {
	struct worker *worker;
	const struct msrp_options *options;
	struct msrp_limits parser_limits; /* of heads that begin now */
	struct pool legs, connections, transactions, readings;
	struct msrp_reading *spare_reading;
	struct chains legs_by_id;
	struct chains room_messages; /* that wait for REPORTs, by Message-ID; since the first of them */
	char *room_scratch;
	size_t room_scratch_n;
	size_t queued, held;    /* octets to be sent, and to be parsed, of all connections: limits.queued_bytes */
	LIST_HEAD(, msrp_connection) queues[MSRP_QUEUE_CLASSES]; /* see pressure.c         */
	bool is_full;           /* of that: somebody has to go at the end of the turn      */
	struct worker_task task;
	struct worker_task clock_task; /* reads the clock for the chunks of this turn      */
	unsigned switched;      /* chunks of this turn                                     */
	TAILQ_HEAD(, msrp_leg) events;
	TAILQ_HEAD(, msrp_connection) todo;
	TAILQ_HEAD(, msrp_connection) without_credit[WORKERS_MAX]; /* towards that owner   */
	size_t used_credit[WORKERS_MAX]; /* octets under way to each owner, with their messages */
	struct msrp_connection *proxies[MSRP_PROXY_BUCKETS];
	struct msrp_name { uint32_t slot, generation; } opened[MSRP_OPENED_BUCKETS]; /* see sharing.h */
	struct timer accept_timer;
	bool is_stopping;
	bool accepts[MSRP_LISTENERS_MAX];
	/* What makes transaction ids unguessable; tests put something guessable here. */
	void (*random)(struct worker *, void *p, size_t n);
};

static inline struct msrp_endpoint *msrp_endpoint_of(const struct worker *worker)
{
	return worker->msrp;
}

/* Queues work for the end of this turn. */
void msrp_todo(struct msrp_connection *c, unsigned what);
void msrp_todo_event(struct msrp_leg *leg);

/* A chunk, or part of one, went to the other leg.  How long that took is known at the end of the turn, for
 * all of it by one look at the clock: chunk_switch of the metrics. */
static inline void msrp_count_switched(struct msrp_endpoint *endpoint)
{
	COUNT(&endpoint->worker->counters, msrp_chunks);
	if (endpoint->switched++ == 0)
		worker_at_turn_end(endpoint->worker, &endpoint->clock_task);
}

/* ENOMEM leaves it alone. */
int msrp_held_append(struct msrp_endpoint *endpoint, struct msrp_held *held, struct slice octets);
void msrp_held_drop(struct msrp_endpoint *endpoint, struct msrp_held *held, size_t n); /* from the front */
void msrp_held_free(struct msrp_endpoint *endpoint, struct msrp_held *held);

static inline struct slice msrp_leg_uri_slice(const struct msrp_leg *leg)
{
	return slice_of(leg->uri, leg->uri_n);
}

static inline struct slice msrp_leg_peer_path(const struct msrp_leg *leg)
{
	return slice_of(leg->peer_path, leg->peer_path_n);
}

static inline struct slice msrp_leg_peer_first(const struct msrp_leg *leg)
{
	return slice_of(leg->peer_path, leg->peer_first_n);
}

#endif
