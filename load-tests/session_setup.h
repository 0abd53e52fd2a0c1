/*
 * Brings the legs of sessions up and takes them down: over SIP through the server, or by
 * dialling directly into a relay or forwarder.  What comes of it shows as on_bound() of the
 * two endpoints, as on_failed(), or as an error of the report.
 */
#ifndef LOAD_TESTS_SESSION_SETUP_H
#define LOAD_TESTS_SESSION_SETUP_H

#include "load-tests/flood_options.h"
#include "load-tests/flood_report.h"
#include "load-tests/pair.h"
#include "load-tests/sip_calls.h"

struct session_setup {
	const struct flood_options *options;
	struct flood_report *report;
	struct event_loop *loop;
	struct prng *prng;
	struct msrp_network *network;
	struct pair *pairs;
	void (*on_failed)(struct session_setup *s,
			  struct pair *p); /* the error is reported; the pair is not over yet */
	void (*on_registered)(struct session_setup *s, struct pair *p); /* after setup_register() only */
	void (*on_answered)(struct session_setup *s, struct pair *p);
	void (*on_over)(struct session_setup *s, struct pair *p); /* its BYE was answered, or it was hung up on */
	void (*on_refreshed)(struct session_setup *s, struct pair *p, unsigned status, const struct sip_text *m);
	/* MESSAGE, and answers to requests that are in no table of the calls: `kind` and number of their branch. */
	void (*on_sip_request)(struct session_setup *s, struct sip_flow *flow, const struct sip_text *m);
	void (*on_sip_response)(struct session_setup *s, char kind, uint32_t number, const struct sip_text *m);
	/* ---- own ---- */
	struct sip_calls calls;
	struct sockaddr_storage msrp_bound; /* where we listen for the server's connections */
	struct msrp_connection *shared_a, *shared_b; /* --connections-shared */
};

int setup_open(
	struct session_setup *s); /* the members up to on_sip_response are filled in; 0 or errno */
void setup_close(struct session_setup *s);

/* Its users are registered, nothing else; it is PAIR_IDLE again when on_registered() comes. */
void setup_register(struct session_setup *s, struct pair *p);
void setup_start(struct session_setup *s, struct pair *p);
/* Its B, registered or about to be, waits for the server to call and to hang up on him; not while a call is on. */
void setup_expect(struct session_setup *s, struct pair *p);
/* He was called, and not hung up on. */
bool setup_is_answered(const struct session_setup *s, const struct pair *p);
/* The pair goes to PAIR_RELEASE, or where nothing is to be taken down, to PAIR_OVER. */
void setup_release(struct session_setup *s, struct pair *p);

/* Its users take their registrations back; no more calls. */
void setup_unregister(struct session_setup *s, struct pair *p);
/* Pairs of users whose answer to that has not come. */
uint32_t setup_unregistering(const struct session_setup *s);
/* It is not waited for any longer.  How many registrations the server may still have. */
uint32_t setup_registrations_left(struct session_setup *s);

/* Its call is over, or never was. */
bool setup_is_over(const struct session_setup *s, const struct pair *p);

/* The server has closed all SIP connections. */
bool setup_is_cut_off(const struct session_setup *s);

/* Anything came from the target over SIP, or none is used. */
bool setup_is_heard(const struct session_setup *s);

/* Datagrams that were lost at our own sockets. */
uint64_t setup_drops(const struct session_setup *s);

/* To be called some times a second: retransmissions and time-outs. */
void setup_tick(struct session_setup *s);

#endif
