/*
 * A client transaction as its two files share it: client_transaction.c is the
 * state machine, client_way.c knows where requests go.  Private to them.
 *
 * Thread: owning worker only.
 */
#ifndef SIP_CLIENT_H
#define SIP_CLIENT_H

#include "sip/layer.h"
#include "sip/locate.h"
#include "sip/peers.h"

enum client_state {
	CLIENT_LOCATING,   /* nothing sent yet: the DNS is asked                */
	CLIENT_CALLING,    /* INVITE: no answer yet                             */
	CLIENT_TRYING,     /* others: no answer yet                             */
	CLIENT_PROCEEDING, /* answered provisionally                            */
	CLIENT_COMPLETED,  /* answered finally; absorbs repetitions             */
	CLIENT_ACCEPTED,   /* INVITE: 2xx; repeats the ACK                      */
	CLIENT_FAILING,    /* could not be sent: on_failed(503) in a moment     */
};

/* The ACK of one 2xx: each fork has a dialog and an ACK of its own (RFC 3261 13.2.2.4). */
struct client_ack {
	struct client_ack *next;
	struct sip_flow flow;
	uint32_t tag_n, n;
	char text[]; /* the To tag, then the ACK as sent */
};

/* Of requests that have more than one way to go: most have not, and no memory for it. */
struct client_way {
	struct sip_location location;
	struct sip_target target;  /* by name */
	struct sip_client *client;
	unsigned next;             /* of the candidates: not tried yet */
	struct sip_flow datagrams; /* by TCP only for its size: what it would take otherwise */
	bool is_by_tcp;
	bool is_secure;            /* by name: sips, so that only TLS will do */
};

struct sip_client {
	struct sip_layer *layer;
	struct sip_client *table_next;
	struct sip_client *flow_next, **flow_link; /* that fail with their flow; link NULL: not there */
	const struct sip_client_events *events;
	void *arg;
	struct timer repeat; /* A, E             */
	struct timer life;   /* B, C, D, F, K, M */
	struct sip_flow flow;
	char *request;       /* as sent; for repetitions, and what CANCEL and ACK are made of */
	struct client_ack *acks;
	struct client_way *way; /* or NULL */
	uint32_t request_n, via_n; /* via_n: of the line after the first one; 0: not written yet */
	uint32_t repeat_ms, loop;
	uint8_t method, state, ack_count;
	bool wants_cancel, is_cancelled, is_passed_on, is_resting;
	char minted[MINTED_CHARS];
};

/* ---- client_transaction.c ---- */
struct sip_client *sip_client_make(struct sip_layer *layer, enum sip_method method); /* NULL: pool exhausted */
void sip_client_enter_table(struct sip_client *c); /* by its branch */
void sip_client_leave_table(struct sip_client *c);
void sip_client_enter_flow_table(struct sip_client *c);
uint64_t sip_client_t1_ms(const struct sip_client *c);
/* `tell`: it hears of a failure of the transport. */
void sip_client_transmit(struct sip_client *c, const struct sip_flow *flow, struct slice wire, bool tell);
/* on_failed(503), never inside the call that sends. */
void sip_client_fail_soon(struct sip_client *c);
void sip_client_on_life_over(struct timer *timer);
void sip_client_on_repeat(struct timer *timer);

/* ---- client_way.c ---- */
void sip_client_write(struct sip_client *c, const struct sip_outgoing *request, const struct sip_flow *flow,
	struct buffer *out);
/* A copy in place of what *to was.  False: no memory, and nothing changed. */
bool sip_client_keep(char **to, uint32_t *to_n, struct slice wire);
/* Sends the stored request and arms its timers. */
void sip_client_start(struct sip_client *c);
/* After a failed connect: by UDP, where the request would have gone but for its size.  False: that was not it. */
bool sip_client_send_as_datagram(struct sip_client *c);
/* The server failed: the next one of its name gets a new transaction, of the same watcher.  False: there is none. */
bool sip_client_send_elsewhere(struct sip_client *c);
bool sip_target_is_by_name(const struct sip_target *target);

#endif
