/*
 * The SIP transport of imflood: flows over the local addresses in turn, over UDP a socket, over TCP a
 * connection to the server and a listener for connections of the server, over TLS the connection alone.  No transactions:
 * who sends a request repeats it.
 */
#ifndef LOAD_TESTS_SIP_CLIENT_H
#define LOAD_TESTS_SIP_CLIENT_H

#include "load-tests/event_loop.h"
#include "load-tests/flow_tls.h"
#include "load-tests/flood_options.h"
#include "load-tests/sip_text.h"

struct sip_client;

struct sip_flow {
	struct loop_source source; /* first */
	struct sip_client *client;
	struct sockaddr_storage local; /* what our Via and Contact name                    */
	struct sockaddr_storage from;  /* UDP: where the message being handled came from   */
	bool is_stream, connected, is_handshaking, waits_for_room;
	struct flow_tls *tls; /* NULL: plain                                     */
	char *in, *out;       /* streams only                                    */
	size_t in_n, out_at, out_n, out_size; /* of `out` what stands from out_at to out_n is not sent yet */
	struct sip_flow *next;
};

typedef void sip_client_message_h(void *user, struct sip_flow *flow,
				  const struct sip_text *message);
/* A flow broke, or something came that is not SIP; `what` says more. */
typedef void sip_client_fault_h(void *user, bool is_syntax, const char *what);

struct sip_client {
	struct event_loop *loop;
	const struct flood_options *options;
	sip_client_message_h *on_message;
	sip_client_fault_h *on_fault;
	void *user;
	struct sip_flow **flows; /* options->flows of them, over the local addresses in turn */
	struct sip_flow *accepted; /* connections of the server, and the listeners */
};

/* False: its connection is gone. */
bool sip_client_is_open(const struct sip_client *c, unsigned index);

/* All its connections are gone: no request can be sent, and no answer will come. */
bool sip_client_is_cut_off(const struct sip_client *c);

/* False: the server does not read this flow fast enough; what is new has to wait. */
bool sip_client_has_room(const struct sip_client *c, unsigned index);

/* Datagrams that the kernel threw away because we did not read in time, so far. */
uint64_t sip_client_drops(const struct sip_client *c);

/* The members up to `user` are filled in. 0 or errno. */
int sip_client_open(struct sip_client *c);
void sip_client_close(struct sip_client *c);

/* A request to the target by the flow of its index; a response goes by the flow of its request. */
/* False: its connection is gone; that was reported when it went. */
bool sip_client_request(struct sip_client *c, unsigned index, struct slice text);
void sip_client_respond(struct sip_flow *flow, struct slice text);

#endif
