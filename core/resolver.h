/*
 * The resolver: one thread that asks the DNS (c-ares), so that no worker ever
 * waits for it.  A question travels there by message and comes home as its own
 * answer.  Workers do not ask here but in core/names.h, which keeps answers.
 *
 * The servers are those of /etc/resolv.conf, and /etc/hosts is read as the C
 * library would.  The environment variable IMSERV_DNS=ADDR:PORT names another
 * server instead: for tests, which have a small one on loopback.
 */
#ifndef CORE_RESOLVER_H
#define CORE_RESOLVER_H

#include <netinet/in.h>

#include "core/slice.h"
#include "core/worker.h"

#define NAME_OCTETS_MAX  255 /* RFC 1035 2.3.4 */
#define NAME_RECORDS_MAX 16  /* of one answer; the rest is left out */

enum name_kind {
	NAME_ADDRESSES, /* A and AAAA                           */
	NAME_SERVERS,   /* SRV (RFC 2782)                       */
	NAME_POINTERS,  /* NAPTR of SIP services (RFC 3263 4.1) */
};

struct name_record {
	union {
		/* NAME_ADDRESSES, port 0 */
		union {
			struct sockaddr any;
			struct sockaddr_in v4;
			struct sockaddr_in6 v6;
		} address;
		/* NAME_SERVERS; NAME_POINTERS: order, preference, which service, replacement */
		struct {
			uint16_t priority, weight, port;
			char service; /* 'U' SIP+D2U, 'T' SIP+D2T, 'S' SIPS+D2T */
			char target[NAME_OCTETS_MAX + 1]; /* without the last dot; empty: the root */
		} server;
	};
};

struct name_question {
	/* .err of the answer: 0; ENOENT: there is no such name or it has no such record; EAGAIN: nobody
	 * could tell. */
	struct msg msg;
	/* ---- written by the worker ---- */
	enum name_kind kind;
	char name[NAME_OCTETS_MAX + 1];
	/* ---- written by the resolver ---- */
	uint32_t ttl_s; /* the smallest of the records used */
	unsigned count;
	struct name_record records[NAME_RECORDS_MAX];
};

/* Where questions go: the thread, or what stands for it in tests. */
struct resolver {
	/* Takes the question over; its answer will come to the worker question->msg.from. */
	void (*submit)(struct resolver *, struct name_question *);
};

/* Before the workers start.  `servers`: "ADDR[:PORT][,...]", or NULL for the system's.  0 or errno. */
int resolver_start(struct resolver **out, struct worker_group *group, const char *servers);

/* When no worker asks any more and all still exist: what is under way is answered with EAGAIN. */
void resolver_stop(struct resolver *resolver);

/* For whoever stands for the thread: sends the answered question home. */
void resolver_send_home(struct worker_group *group, struct name_question *question);

/* The SRV or NAPTR records of a reply (RFC 1035 4) into the question.  False: it cannot be read.  Any thread. */
bool name_reply_parse(struct slice reply, struct name_question *question);

#endif
