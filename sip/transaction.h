/*
 * SIP transactions (RFC 3261 17, RFC 6026) on one worker, and the calls by which
 * the functions above use them.  The layer owns Via, branches, retransmission,
 * timers A to M, absorption of repeats, CANCEL matching, ACK of failures, and
 * the repetition of a 2xx to INVITE until its ACK.
 *
 * Thread: owning worker only.  Messages and slices in events live until the
 * event returns; what is kept is copied.
 */
#ifndef SIP_TRANSACTION_H
#define SIP_TRANSACTION_H

#include "sip/transport.h"

struct sip_server; /* a server transaction: pool of the worker */
struct sip_client; /* a client transaction: pool of the worker */

/* ---- what the functions above are told ---- */

/* A new request that passed the generic checks (design.md 4 up to Require 420) and is not absorbed by
 * a transaction: everything except ACK and CANCEL.  The handler answers now or later by
 * sip_server_respond(); after sip_server_watch() it is told of CANCEL. */
typedef void (*sip_request_handler)(struct worker *, struct sip_server *, const struct sip_message *);

/* Per worker, on its thread, after stream_worker_init(): registers handlers, starts receiving.
 * `options` must outlive the worker or the next sip_worker_set_options().  0 or a positive errno. */
int sip_worker_init(struct worker *worker, const struct sip_options *options, sip_request_handler on_request);

/*
 * Other options from here on: limits, timers, the certificates of listeners; listeners, names and pools are as at the
 * start.  `scratch`: sip_scratch_octets() of `options` from malloc(), taken over.
 */
size_t sip_scratch_octets(const struct sip_options *options);
void sip_worker_set_options(struct worker *worker, const struct sip_options *options, char *scratch);

/* Drain: no new connections; with `all` everything is dropped without a word. */
void sip_worker_stop(struct worker *worker, bool all);
void sip_worker_free(struct worker *worker);

const struct sip_options *sip_options_of(const struct worker *worker);

/* Events of a server transaction; any may be NULL.  INVITE only, except on_gone. */
struct sip_server_events {
	void (*on_cancel)(struct sip_server *, void *arg);  /* 200 was sent to the CANCEL; answer 487 now */
	void (*on_acked)(struct sip_server *, const struct sip_message *ack, void *arg); /* of our 2xx */
	void (*on_unacked)(struct sip_server *, void *arg); /* 64*T1 without ACK of our 2xx: send BYE */
	void (*on_gone)(struct sip_server *, void *arg);    /* freed after this; the pointer is dead */
	void (*on_unpracked)(struct sip_server *, void *arg); /* 64*T1 without PRACK: answer 5xx (RFC 3262 3) */
};

/* The watcher changes with every call; NULL events: nobody watches. */
void sip_server_watch(struct sip_server *server, const struct sip_server_events *events, void *arg);

/* From, To or Call-ID of the request, until it is answered finally; empty when it is. */
struct slice sip_server_header(const struct sip_server *server, const char *name);

/* Whoever refuses says so once: counts `why`, logs it with the user and the Call-ID, tells who traces him.
 * Before the answer; `text` may be NULL.  sip_server_refuse() does it itself. */
void sip_server_tell_refusal(struct worker *worker, const struct sip_server *server, unsigned status, enum reason why,
	const char *text);
/* Without the line on the log, where whoever refuses writes one for many. */
void sip_server_count_refusal(struct worker *worker, const struct sip_server *server, unsigned status, enum reason why);
/* The same for what never became a transaction. */
void sip_message_tell_refusal(struct worker *worker, const struct sip_message *m, unsigned status, enum reason why);
void sip_message_count_refusal(struct worker *worker, const struct sip_message *m, unsigned status, enum reason why);

/* Where the request came from. */
const struct sip_flow *sip_server_flow(const struct sip_server *server);
enum sip_method sip_server_method(const struct sip_server *server);

/* The tag that we put into To (minted at the first use), MINTED_CHARS long; a request that already
 * had a To tag keeps that one. */
struct slice sip_server_to_tag(struct sip_server *server);

/*
 * Answers.  The layer writes status line, Via, From, To with tag, Call-ID, CSeq, Server, then
 * `headers` (whole lines with CRLF), Content-Type and body.  After a final response other than 2xx to
 * INVITE the pointer must not be used any more, and no event comes except on_gone; after a 2xx to
 * INVITE on_acked or on_unacked will come.  Answering twice finally is a bug (assert).
 */
struct sip_reply {
	unsigned status;
	bool is_reliable;          /* 101 to 199 to an INVITE outside dialogs: until its PRACK (RFC 3262), one at a
	                            * time, while one waits the newest takes the place of those before; no body */
	struct slice reason;       /* empty: the table's */
	struct slice headers;
	struct slice content_type; /* empty: no body */
	struct slice body;
	struct slice to;           /* a response that a proxy passes on: its To with tag takes the place of
	                            * ours, and its Server is in `headers`; else empty */
};
void sip_server_respond(struct sip_server *server, const struct sip_reply *reply);

/* Shorthand without headers and body; counts `why` and logs it unless it is 0 (status below 300). */
void sip_server_refuse(struct sip_server *server, unsigned status, enum reason why);

/* A PRACK in a dialog, whose CSeq was checked: answers it, 200 or 481, and what it acknowledges is repeated
 * no more. */
void sip_server_prack(struct worker *worker, struct sip_server *prack, const struct sip_message *m);

/* ---- requests of ours ---- */

struct sip_client_events {
	/* Every provisional response but 100 and every final one; for INVITE also 2xx of other forks,
	 * and nothing for a repeated 2xx once sip_client_ack() was called for that tag. */
	void (*on_response)(struct sip_client *, const struct sip_message *, void *arg);
	/* No final response will come: status is 408 (timer B or F) or 503 (transport). */
	void (*on_failed)(struct sip_client *, unsigned status, void *arg);
	/* Freed after this; the pointer is dead.  Comes once, always, after the last event. */
	void (*on_gone)(struct sip_client *, void *arg);
};

struct sip_outgoing {
	struct slice method;       /* "INVITE" */
	struct slice uri;
	struct slice headers;      /* whole lines: Route, From, To, Call-ID, CSeq, Max-Forwards, Contact ... ;
	                            * the layer puts Via first and adds User-Agent */
	struct slice content_type; /* empty: no body */
	struct slice body;
	struct sip_target target;
	uint32_t loop;             /* sip_loop_of() the request that made us send this; 0: none did */
	bool is_passed_on;         /* by a proxy: its Vias and User-Agent are in `headers` */
};

/* What a request must not come back with (RFC 3261 16.3 step 4, design.md 4 "Loop"): a hash over its
 * Request-URI, topmost Route and the role of the listener.  Never 0. */
uint32_t sip_loop_of(const struct worker *worker, const struct sip_flow *flow, const struct sip_message *m);

/* `*out` is set before any event; no event comes inside the call.  ENOMEM: pool exhausted, nothing was
 * sent.  `events` NULL: nobody is told. */
int sip_client_send(struct sip_client **out, struct worker *worker, const struct sip_outgoing *request,
	const struct sip_client_events *events, void *arg);

/* The flow that the request took last; of one to a name that is not located yet all zero. */
const struct sip_flow *sip_client_flow(const struct sip_client *client);

/* The watcher goes away (its actor ends): no event comes any more, the transaction finishes alone.  An
 * INVITE is forgotten only after its final response, so that no 2xx is left without ACK. */
void sip_client_forget(struct sip_client *client);

/* Not INVITE.  It is sent no more, to no other server either; its answer or its end (timer F) still comes. */
void sip_client_rest(struct sip_client *client);

/* INVITE only.  Sends CANCEL as RFC 3261 9.1 says: at once, or after the first provisional response.
 * The final response (487, or a 2xx that crossed) still comes by on_response. */
void sip_client_cancel(struct sip_client *client);

/* The ACK of a 2xx, from inside on_response or later; kept and repeated for each repetition of that
 * 2xx until timer M.  `ack->method` is "ACK". */
int sip_client_ack(struct sip_client *client, struct slice to_tag, const struct sip_outgoing *ack);

/* ---- for gauges and leak checks ---- */
unsigned sip_transaction_count(const struct worker *worker);

#endif
