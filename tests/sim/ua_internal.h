/* What the files of the simulated clients share. */
#ifndef TESTS_SIM_UA_INTERNAL_H
#define TESTS_SIM_UA_INTERNAL_H

#include <string.h>

#include "core/buffer.h"
#include "core/ring.h"
#include "tests/sim/ua.h"
#include "tests/sim/world.h"

#define UA_HEADERS_MAX 4096 /* headers of any message that is written here */
#define UA_T1_US       500000
#define UA_T2_US       4000000
#define UA_GIVE_UP_US  (64 * UA_T1_US)
#define UA_RINGING_US  (250ull * 1000 * 1000) /* longer than the server lets anything ring */

/* A TCP connection, or a listener. */
struct link {
	struct ua_host *host;
	struct ua *ua;
	unsigned slot;
	int fd;                  /* -1: none */
	bool is_msrp, is_listener;
	bool is_connecting, is_connected, is_receiving, is_sending, is_closing;
	bool is_dead;            /* it ended: nothing goes in or out */
	bool is_paused;
	bool is_garbled;         /* it said nonsense: what it is told is not looked at */
	bool is_raw;             /* `in` is left to the scenario, from `scanned` on */
	uint64_t read_at_us;     /* 0: as soon as it can */
	char *in;
	size_t in_n, in_size, scanned;
	char *out, *flight;
	size_t out_n, out_size, flight_n, flight_at;
	struct sockaddr_storage to;
};

/* A request of the server and what was answered. */
struct served {
	struct served *next;
	struct ua *ua;
	struct call *call;
	char method[12], branch[64];
	char *head;              /* the lines that every response copies: To is the last, without CRLF */
	const char *to;          /* its value, with our tag */
	char *response;
	size_t response_n;
	unsigned status;
	uint64_t repeat_at_us, repeat_us, give_up_at_us; /* a final answer to INVITE, until its ACK */
};

/* One end of an MSRP session. */
struct leg {
	struct leg *next;
	struct call *call;
	struct ua *ua;
	char path[128], remote[256];
	bool is_active, is_bound, is_lost, is_closed;
	bool comes_back;         /* with the answer to our re-INVITE */
	struct link *link;
	struct call *shares;     /* with whom the connection is shared, NULL: nobody */
	unsigned last_number;    /* of the last message that came complete */
	char *push, push_id[64]; /* a pushed message that is coming in */
	size_t push_n;
	unsigned pushes;         /* that came whole */
	struct hearing *hearings; /* in a conference */
};

/* What a member of a conference has of a message. */
struct hearing {
	struct hearing *next;
	struct message *message;
	size_t received;
	bool is_whole, is_aborted;
};

/* A REFER that was sent. */
struct asked {
	struct asked *next;
	struct request *request;
	char call_id[64];
	unsigned count;
	bool is_silent;
};

struct ua_private {
	struct ua ua;
	int udp;                 /* -1: none */
	bool is_receiving;       /* datagrams */
	unsigned sending;
	uint16_t udp_port, msrp_port;
	struct link *sip, *msrp_listener;
	unsigned register_cseq;
};

struct ua_host {
	struct world *world;
	struct ring *ring;
	struct ua *uas;
	struct link **links;     /* by slot; never moved, freed at the end */
	unsigned link_count;
	struct datagram **datagrams;
	unsigned datagram_count;
	struct request *requests;
	struct served *served;
	struct call *calls;
	struct leg *legs;
	struct watching *watches;
	struct asked *asked;
	struct message *messages, **last_message;
	unsigned message_count, call_count, names;
	bool has_left;
};

static inline struct ua_private *private_of(struct ua *ua)
{
	return (struct ua_private *)ua;
}

static inline struct world *world_of(const struct ua *ua)
{
	return ua->host->world;
}

uint64_t ua_now_us(const struct ua_host *host);
void ua_name(struct ua_host *host, char *out, size_t n, const char *prefix); /* unlike all others */
void *ua_alloc(size_t n);                  /* zeroed, or the end */
char *ua_copy(struct slice text);          /* terminated */
struct message *ua_message_new(struct ua_host *host, size_t n);
struct message *ua_message_find(struct ua_host *host, struct slice id); /* `mNUMBER` */
void ua_message_arrived(struct message *message, size_t at, struct slice octets);
struct slice ua_line(struct slice *text);  /* cuts the next line off, without its CRLF */
bool ua_header(struct slice headers, const char *name, struct slice *value);

/* ---- ua_link.c ---- */
struct link *ua_link_connect(struct ua *ua, const struct sockaddr_storage *to, bool is_msrp);
struct link *ua_link_listen(struct ua *ua, uint16_t *port);
void ua_link_write(struct link *link, struct slice octets);
void ua_link_close(struct link *link);
void ua_link_read(struct link *link);      /* arms a receive, unless it must not */
void ua_links_free(struct ua_host *host);
void ua_udp_open(struct ua *ua);
void ua_udp_write(struct ua *ua, struct slice octets);
void ua_wake(struct ua_host *host);        /* its turn comes: something is due or to be sent */

/* A connection to the server's MSRP listener whose octets the scenario itself writes and reads. */
struct link *ua_raw_connect(struct ua *ua);
struct link *ua_raw_accepted(struct ua *ua); /* the last one that came, of a client with manners.is_raw; NULL: none */

/* ---- what links bring ---- */
void ua_sip_octets(struct link *link);     /* takes from link->in what is whole */
void ua_sip_datagram(struct ua *ua, struct slice octets);
void ua_sip_lost(struct ua *ua);
void ua_msrp_octets(struct link *link);
void ua_msrp_connected(struct link *link);
void ua_msrp_lost(struct link *link);

/* ---- ua_sip.c ---- */
struct sip_text {
	struct slice headers, body;
	bool is_request;
	unsigned status;
	struct slice method, uri;
	struct slice branch, from, to, to_tag, from_tag, call_id, contact, subject;
	unsigned cseq;
	struct slice cseq_method;
};
void ua_write(struct ua *ua, struct slice octets);
/* `headers`: From, To, Call-ID, CSeq and more; Via, Contact and lengths are put around them. */
/* Credentials for the password UA_PASSWORD.  The nonce is made here: a challenge would only cost time. */
#define UA_PASSWORD "secret"
void ua_sign(struct ua *ua, struct buffer *out, const char *method, struct slice uri);

struct request *ua_request(struct ua *ua, struct call *call, const char *method, const char *branch,
	struct slice uri, struct slice headers, struct slice body);
/* An ACK of the INVITE with that branch, kept for repetitions of its answer. */
void ua_acknowledge(struct request *invite, const char *branch, struct slice uri, struct slice headers);
void ua_respond(struct served *served, unsigned status, struct slice headers, struct slice body);
uint64_t ua_sip_due_us(const struct ua_host *host);
void ua_sip_run(struct ua_host *host);
void ua_sip_free(struct ua_host *host);

/* ---- ua_call.c ---- */
void ua_call_response(struct request *request, const struct sip_text *m);
void ua_call_request(struct served *served, const struct sip_text *m);
void ua_call_ack(struct ua *ua, const struct sip_text *m);
void ua_call_failed(struct request *request);
uint64_t ua_call_due_us(const struct call *call);
void ua_call_run(struct call *call);

void ua_put_sdp(struct call *call, struct buffer *out, const char *setup);
/* The last part of a multipart whose boundary is `list`: who is meant (RFC 5363). */
/* The list alone. */
void ua_put_entries(struct buffer *out, struct ua *const *to, unsigned count);
void ua_put_list(struct buffer *out, struct ua *const *to, unsigned count);
void ua_put_dialog(const struct call *call, struct buffer *out, unsigned cseq, const char *method);

/* ---- ua_change.c ---- */
void ua_change_response(struct request *request, const struct sip_text *m);
void ua_change_request(struct served *served, struct call *call, const struct sip_text *m);
/* False: it acknowledges something else. */
bool ua_change_ack(struct call *call, const struct sip_text *m);

/* ---- ua_event.c ---- */
void ua_event_response(struct request *request, const struct sip_text *m);
void ua_event_notify(struct served *served, const struct sip_text *m);

/* ---- ua_focus.c ---- */
/* By the name of its session, of a URI: whom a REFER invited knows no more; NULL: none. */
struct call *ua_conference_of(struct ua_host *host, struct slice uri);
/* False: it is of another package. */
bool ua_focus_notify(struct served *served, const struct sip_text *m, struct slice event, struct slice state);
/* A chunk of a message to many. */
void ua_focus_chunk(struct leg *leg, struct message *m, size_t at, struct slice octets, char flag);
void ua_focus_free(struct ua_host *host);

/* ---- ua_push.c ---- */
/* A chunk of a pushed message; what it is answered, 0: nothing. */
unsigned ua_push_chunk(struct leg *leg, struct slice headers, struct slice octets, char flag);

/* ---- ua_msrp.c ---- */
struct leg *ua_leg_new(struct call *call);
void ua_leg_begin(struct leg *leg, struct slice path, bool is_active);
void ua_leg_renew(struct leg *leg);
void ua_leg_close(struct leg *leg);
void ua_leg_send(struct leg *leg);         /* what waits, once it is bound */

#endif
