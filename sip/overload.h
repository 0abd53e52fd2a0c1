/*
 * New work that is refused because there is more of it than this worker can do (overload.high_water, D2-55): 503
 * with Retry-After, written without a transaction and before anything else is looked at, which takes a tenth of the
 * time of serving a request or less.  core/admission.h says how much of it is taken.
 *
 * New is what begins something: requests outside dialogs, except those that end or confirm (ACK, BYE, CANCEL, PRACK,
 * UPDATE).  What belongs to a dialog of ours is never refused here, nor are responses and MSRP.
 *
 * - By stream each request is answered, on the worker that reads it, which asks for its own load and the owner's.
 *   What is refused is not parsed if it is plain (overload_glance.c).  Nothing is left unread for the sake of load
 *   until refusing takes too much (core/admission.h): what waits unread keeps the answers to our own requests back,
 *   which stand behind it in the same stream, and with them all that they would end (measured: half of what is
 *   served was left, for the seconds that it took to get the better of some 50 MB).
 * - By UDP the owner decides, because a retransmission of a request that was taken must not be refused: it alone
 *   knows.  What it refused is remembered for OVERLOAD_REMEMBERED_MS, so that retransmissions are refused too
 *   (RFC 3261 17.2: a client that has its 503 would not hear that the other one was taken).  Answers may take a
 *   part of the worker's CPU time, no more; the rest is dropped and counted (RFC 3261 21.5.4 permits either).
 *
 *   What cannot even be dropped here without taking time from the rest is dropped by the kernel: datagram_filter.c.
 *
 * Private to sip/.  Thread: owning worker only.
 */
#ifndef SIP_OVERLOAD_H
#define SIP_OVERLOAD_H

#include "core/admission.h"
#include "sip/transaction.h"
#include "sip/write.h"

#define OVERLOAD_REMEMBERED    65536 /* refused requests by UDP; a newer one takes the place of an older */
#define OVERLOAD_REMEMBERED_MS 32000
#define OVERLOAD_PART          8     /* one in so many microseconds of CPU time */
#define OVERLOAD_WATCHED       8     /* streams that are looked at for octets that wait */

struct sip_layer;
struct sip_connection;

struct sip_remembered {
	uint32_t tag;   /* of the transaction's hash */
	uint32_t at_ms;
};

struct sip_overload {
	struct admission admission;
	/* ---- what waits ---- */
	struct sip_watched {
		uint32_t slot, generation; /* generation 0: none */
		uint64_t octets;           /* read in this interval */
	} watched[OVERLOAD_WATCHED];
	unsigned watched_n;
	uint64_t read_octets;              /* of all streams, in this interval */
	uint32_t kernel_drops[SIP_LISTENERS_MAX];
	uint64_t turn_us;                  /* the turn in which ... */
	unsigned posted, posted_most;      /* ... so many messages came from other workers; the most of any turn */
	/* ---- what is refused ---- */
	struct sip_remembered *remembered; /* OVERLOAD_REMEMBERED; touched only in overload */
	uint64_t remembered_until_ms;      /* when the last of them is forgotten */
	double answers, answers_per_us;    /* refusals that may be written now, and how quickly they come back */
	uint64_t answers_at_us;
	uint64_t cpu_us;                   /* of this thread, when the interval began */
	char ending[256];                  /* of each: Retry-After and what follows */
	bool is_drawn;                     /* the next request has its ... */
	uint64_t drawn;                    /* ... random number */
	struct sip_source source;          /* of the connection that was refused something last */
	uint32_t source_slot, source_generation;
	char source_text[INET6_ADDRSTRLEN];
	double passing;                    /* share of new datagrams that the kernel lets pass */
	bool is_filtering;                 /* it is less than all that comes, for ... */
	unsigned given_up;                 /* ... so many of an interval got no answer */
	/* ---- for the log ---- */
	uint64_t began_ms, refused, dropped;
};

/* datagram_filter.c: the socket drops new work beyond that share.  0 or a negative errno. */
int sip_datagram_filter(struct ring *ring, int fd, double share);

int sip_overload_init(struct sip_layer *layer); /* 0 or ENOMEM */
/* From here on it looks at each interval of the worker's load. */
void sip_overload_start(struct sip_layer *layer);
void sip_overload_free(struct sip_layer *layer);

/* By its method it may begin something. */
bool sip_overload_may_begin(const struct sip_message *m);
/* It does. */
bool sip_overload_is_new(const struct sip_message *m);

/* A request came by a stream; `owner` is the worker that would have it.  True: it has been refused. */
bool sip_overload_refuses(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	unsigned owner);
/* A request that no transaction absorbs, on its owner; `hash` names its transaction.  Streams were asked before.
 * True: it has been refused or dropped. */
bool sip_overload_refuses_datagram(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	uint64_t hash);
/* overload_glance.c: the next request of this worker would be refused, if it can be. */
bool sip_overload_would_refuse(struct sip_layer *layer);
/* Refuses the request at the beginning of `in` if it is to be refused and plain.  Octets of it; 0: parse it. */
size_t sip_overload_glance(struct sip_layer *layer, struct sip_connection *c, struct slice in);
void sip_overload_count_refusal(struct sip_layer *layer);
/* The same for an INVITE, its retransmissions and its ACK, which have the topmost Via (its text) in common (RFC 3261
 * 17.1.1.3), whichever worker sees them. */
#define OVERLOAD_TAG       "refused"
#define OVERLOAD_TAG_CHARS (sizeof(OVERLOAD_TAG) - 1 + 16)
void sip_overload_write_tag(const struct sip_layer *layer, struct slice via, char out[OVERLOAD_TAG_CHARS]);

/* Is it the ACK of such a refusal?  Then it is counted, and done with. */
bool sip_overload_is_acked(struct sip_layer *layer, const struct sip_message *ack);

/* So much was read from a stream. */
void sip_overload_read(struct sip_layer *layer, const struct sip_connection *c, size_t octets);
/* A message came from another worker. */
void sip_overload_posted(struct sip_layer *layer);

#endif
