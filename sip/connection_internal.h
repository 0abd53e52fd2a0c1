/*
 * What the files of a SIP stream connection share: connection.c (its life, writing), connection_receive.c
 * (framing, credit), connection_turn.c (how much of it in a turn), connection_half.c (a peer that sends no more), connection_open.c (making them).  Private
 * to these; owning worker only.
 */
#ifndef SIP_CONNECTION_INTERNAL_H
#define SIP_CONNECTION_INTERNAL_H

#include "sip/layer.h"

#define FIRST_MESSAGE_MS 32000  /* a connection that never says anything valid                       */
#define IDLE_MS          300000 /* of our connections: longer than any request waits for its answer  */
#define CONNECT_MS       10000  /* of our connections; TCP itself would try for minutes              */

/* A final response given to a half-closed stream, until it is known whether anybody was there. */
struct kept_answer {
	struct kept_answer *next;
	struct sockaddr_storage fallback;
	size_t n;
	char wire[];
};

struct sip_connection {
	struct sip_layer *layer;
	struct stream *stream;
	struct sip_connection *next, **link; /* all of the worker */
	struct sip_connection *next_waiting; /* for credit, for a turn, or resting */
	struct sip_connection *opened_next; /* that we opened: of one chain of layer->opened */
	struct sip_framer framer;
	char *held;                /* octets of a message that is not whole yet, or of more that wait */
	size_t held_from, held_n, held_size;
	struct timer stall;        /* first message, then any that does not get whole */
	struct timer write_stall;
	struct timer idle;         /* that we opened */
	uint64_t used_ms;
	uint64_t connect_by_ms;    /* while connecting: when `stall` ends it */
	uint8_t protocol, listener;
	const char *name;          /* TLS that we opened: who the peer must be */
	bool is_bound;             /* we opened it, or it is a registered flow or a session's: it counts no more
	                            * in limits.conns_per_ip */
	bool has_spoken;           /* a valid message came, or we opened it */
	bool is_half_closed;       /* the peer sends no more, and waits for answers */
	struct kept_answer *answers;
	unsigned unanswered;       /* requests that came by it and have no final response yet */
	bool is_outgoing, is_connected, is_waiting, is_paused_for_writing;
	bool waits_for_turn, rests; /* is_waiting: for that */
	uint64_t turn;             /* of the worker, in which ... */
	unsigned turn_new;         /* ... so many new requests of it were looked at */
	bool is_partial;           /* the beginning of a message came */
	bool is_lost;              /* framing is gone: what comes is not looked at */
	unsigned bucket;
	struct sip_client_name *clients; /* of the connect under way */
	unsigned client_count, clients_size;
	uint64_t users[WORKERS_MAX / 64]; /* other workers that sent requests by it */
};

extern const struct stream_events sip_connection_events;

/* ---- connection.c ---- */

/* The chain of those that we opened to the address. */
struct sip_connection **sip_connection_chain(struct sip_layer *layer, const struct net_address *to);
/* Counts no more in limits.conns_per_ip. */
void sip_connection_leave_count(struct sip_connection *c);
/* Other workers that sent requests by it hear that no answer will come. */
void sip_connection_tell_users(struct sip_connection *c);
void sip_connection_free(struct sip_connection *c, bool at_once);
/* Closed by us, counted. */
void sip_connection_give_up(struct sip_connection *c, enum reason why, bool at_once);
/* Framing is gone: what was answered still goes out, then it is closed. */
void sip_connection_lose(struct sip_connection *c, enum reason why);
void sip_connection_on_stall(struct timer *timer);
void sip_connection_on_idle(struct timer *timer);
void sip_connection_on_end(struct stream *stream, int err);

/* ---- connection_receive.c ---- */

void sip_connection_on_data(struct stream *stream, struct slice data);
/* Keeps what is not a whole message yet in place of what was kept.  0 or ENOMEM. */
int sip_connection_hold(struct sip_connection *c, struct slice rest);

/* What waited for credit or a turn is looked at, then the stream is read again.  It may be gone afterwards. */
void sip_connection_go_on(struct sip_connection *c);
/* Starts reading, or goes on with it. */
void sip_connection_read(struct sip_connection *c);

/* ---- connection_turn.c ---- */

/* A new request of it has to wait for the next turn of the worker. */
bool sip_connection_had_turn(const struct sip_connection *c);
/* A message of it was looked at; `begins`: by its method, something new. */
void sip_connection_use_turn(struct sip_connection *c, bool begins, bool is_refused);
/* It is not read until sip_connection_go_on() is called in a later turn. */
void sip_connection_wait_for_turn(struct sip_connection *c);
/* Under overload: so much came of it. It is not read for a moment if that was little and brought new work. */
void sip_connection_may_rest(struct sip_connection *c, size_t octets);
void sip_connection_forget_turn(struct sip_connection *c);

/* ---- connection_half.c ---- */

void sip_connection_on_finished(struct stream *stream);
/* A half-closed one that has nothing left to say is closed. */
void sip_connection_finish(struct sip_connection *c);
/* RFC 3261 18.2.2: nobody was there, so the answers go where the Via says.  Frees them. */
void sip_connection_answer_elsewhere(struct sip_layer *layer, enum sip_protocol protocol, struct kept_answer *answer);
bool sip_is_final_response(struct slice wire);

#endif
