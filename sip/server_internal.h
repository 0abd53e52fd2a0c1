/*
 * A server transaction as server_transaction.c, reliable.c and refusal.c share it.
 * Private to these; owning worker only.
 */
#ifndef SIP_SERVER_INTERNAL_H
#define SIP_SERVER_INTERNAL_H

#include "sip/layer.h"

enum server_state {
	SERVER_TRYING,     /* not answered at all (non-INVITE)                */
	SERVER_PROCEEDING, /* answered provisionally                          */
	SERVER_COMPLETED,  /* answered finally; repeats (INVITE: until ACK)   */
	SERVER_CONFIRMED,  /* INVITE: the ACK of a failure came; timer I      */
	SERVER_ACCEPTED,   /* INVITE: answered with 2xx; timer L              */
};

struct sip_server {
	struct sip_layer *layer;
	struct sip_server *key_next, *tag_next, *merged_next;
	const struct sip_server_events *events;
	void *arg;
	struct timer repeat;       /* G, and the repetition of a 2xx or of a reliable provisional response */
	struct timer life;         /* H, I, J, L, and how long a PRACK is waited for */
	uint64_t key_hash, merged_hash, started_us;
	char *text;                /* key, then the skeleton, then (final) the response */
	struct sip_reliable *reliable; /* INVITE: NULL before the first reliable provisional response */
	uint32_t key_n, skeleton_n, response_n;
	uint32_t cseq;
	uint32_t repeat_ms;
	struct sip_flow flow;
	uint16_t answer_port;      /* RFC 3261 18.2.2: UDP, and streams when theirs is gone */
	uint16_t status;
	uint8_t method, state;
	bool is_merged_known, is_tag_known, is_acked, had_to_tag;
	bool is_private; /* the sender asked not to be named: no line on the log does */
	uint8_t to_tag_n;
	char to_tag[MINTED_CHARS]; /* ours; the request's own one is in the skeleton */
};

/* ---- server_transaction.c ---- */

/* The whole response, `more` behind its own headers; valid until the next is composed. */
struct slice server_compose(struct sip_server *s, const struct sip_reply *reply, struct slice more);
void server_transmit(struct sip_server *s, struct slice wire);
void server_store_response(struct sip_server *s, struct slice wire, bool is_final);
/* Repeats what is stored: after T1, and doubling. */
void server_begin_repeating(struct sip_server *s);
/* For an ACK or PRACK, which name the INVITE by our tag and its CSeq number. */
void server_enter_tag_table(struct sip_server *s);
struct sip_server *server_find_by_tag(struct sip_layer *layer, struct slice tag, uint32_t cseq);
void server_wait(struct sip_server *s, uint64_t ms);

/* ---- reliable.c ---- */

void server_respond_reliably(struct sip_server *s, const struct sip_reply *reply);
/* A final response goes out: nothing provisional is repeated any more. */
void server_reliable_is_over(struct sip_server *s);
/* No PRACK in 64*T1.  `s` may be answered in it. */
void server_reliable_timed_out(struct sip_server *s);
void server_reliable_free(struct sip_server *s);

#endif
