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
	void (*on_over)(struct session_setup *s, struct pair *p); /* its BYE was answered; may be NULL */
	/* ---- own ---- */
	struct sip_calls calls;
	struct sockaddr_storage msrp_bound; /* where we listen for the server's connections */
	struct msrp_connection *shared_a, *shared_b; /* --connections-shared */
};

int setup_open(
	struct session_setup *s); /* the members up to on_answered are filled in; 0 or errno */
void setup_close(struct session_setup *s);

/* Its users are registered, nothing else; it is PAIR_IDLE again when on_registered() comes. */
void setup_register(struct session_setup *s, struct pair *p);
void setup_start(struct session_setup *s, struct pair *p);
/* The pair goes to PAIR_RELEASE, or where nothing is to be taken down, to PAIR_OVER. */
void setup_release(struct session_setup *s, struct pair *p);

/* To be called some times a second: retransmissions and time-outs. */
void setup_tick(struct session_setup *s);

#endif
