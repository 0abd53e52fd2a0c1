/*
 * The sockets of fuzz_msrp_stream.c: a ring (core/ring.h) for each worker over
 * connections that are arrays.  What the clients write is delivered as far as
 * the fuzzer says, what the server writes is taken as far as it says, and time
 * passes when it says; nothing else ever happens.
 *
 * Thread: one.  All of it is static and forgotten by wire_begin().
 */
#ifndef TESTS_FUZZ_MSRP_WIRE_H
#define TESTS_FUZZ_MSRP_WIRE_H

#include "core/ring.h"

#ifndef WIRE_IN_OCTETS /* a target may need more */
#define WIRE_IN_OCTETS  (40 * 1024)
#define WIRE_OUT_OCTETS (192 * 1024)
#endif

enum {
	WIRE_ENDS_MAX = 14,
	WIRE_IN_MAX = WIRE_IN_OCTETS,   /* that a client may write    */
	WIRE_OUT_MAX = WIRE_OUT_OCTETS, /* that the server may        */
	WIRE_MARKS_MAX = 512,
	WIRE_WORKERS = 2,
};

/* When an octet passed: all before `end` that no earlier mark has. */
struct wire_mark {
	size_t end;
	unsigned step;
};

struct wire_log {
	size_t n;
	struct wire_mark *marks; /* WIRE_MARKS_MAX */
	unsigned mark_count;
};

struct wire_operation {
	bool is_on, is_multishot, is_cancelled;
	ring_token token;
	const char *p;
	size_t n;
};

/* A connection. */
struct wire_end {
	bool is_open;       /* the server has its descriptor                           */
	bool was_opened, is_connecting, is_refused, is_accepted, has_ended, was_reset, is_dropped;
	unsigned worker;    /* at whose listener it came in, or who connects           */
	char *in, *out;     /* WIRE_IN_MAX, WIRE_OUT_MAX octets                        */
	size_t in_written;  /* by the client                                           */
	size_t in_room;     /* of these, the server may have so many                   */
	struct wire_log got; /* what it had, and when                                  */
	size_t out_room;    /* so many may be written to the client                    */
	struct wire_log said;
	struct wire_operation recv, send, connect;
	unsigned ring;      /* whose operations these are                              */
};

struct wire {
	uint64_t now_us, random;
	unsigned step;      /* turns so far                                            */
	unsigned completions; /* of this step                                          */
	bool is_vague;      /* not all marks found room: what came first is not known           */
	size_t block_size;
	struct wire_end ends[WIRE_ENDS_MAX];
	unsigned end_count;
	unsigned blocks[WIRE_WORKERS];
	/* Memory that the server asks for: the one after `fails_in` more fails; 0: none. */
	bool is_server;     /* it runs */
	unsigned fails_in, failed;
};

extern struct wire wire;

void wire_begin(uint64_t seed, size_t block_size);
struct ring *wire_ring(unsigned worker);
int wire_listener(unsigned worker); /* its descriptor */
int wire_fd(const struct wire_end *end);

/* A client connects to a worker; NULL: too many. */
struct wire_end *wire_open(unsigned worker);
/* False: no room; then nothing was written. */
bool wire_write(struct wire_end *end, const char *p, size_t n);

/* For a person who looks for a cause: all that was said so far, to stderr. */
void wire_tell(void);

/* The step in which the octet before `offset` passed. */
unsigned wire_when(const struct wire_log *log, size_t offset);

#endif
