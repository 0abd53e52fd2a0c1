/*
 * The simulator's ring: clock, network, kernel and scheduler of a whole run in
 * one thread, from one seed (style.md 2.11).  Any number of rings, those of the
 * workers under test as well as those of the clients that talk to them, share
 * one simulated network; what real kernels may do, this one does often: short
 * reads and writes, late completions, cancels that come too late, no buffers,
 * resets, lost and doubled datagrams.
 *
 * Virtual time stands still while anything can run.  turn() never waits: it
 * returns what is due and notes its time-out, after which its ring is run
 * again.  A ring that would have waited is also run again after any other ring
 * did something, because a message to a worker whose turn has returned rings no
 * doorbell.
 *
 * Breaking a rule of core/ring.h ends the process with the seed that replays it.
 * Every received block is its own heap memory of exactly what arrived, so that
 * AddressSanitizer sees reading past it or after its release.
 */
#ifndef TESTS_SIM_RING_SIM_H
#define TESTS_SIM_RING_SIM_H

#include "core/ring.h"

struct sim;

struct sim_options {
	unsigned latency_min_us, latency_max_us;
	unsigned stream_room_min, stream_room_max; /* octets a direction holds: sent, not yet read */
	unsigned descriptors_max;                  /* 0: no limit; beyond it -EMFILE           */
	bool is_whole;                             /* what is written at once arrives at once  */
	/* chances in 1000 */
	unsigned spike;               /* a latency 50 times as long                            */
	unsigned short_write, short_read, small_segment;
	unsigned late;                /* a completion that is due waits for another turn        */
	unsigned reset;               /* of a connection, per write                             */
	unsigned connect_timeout;     /* -ETIMEDOUT after CONNECT_TIMEOUT_US                     */
	unsigned no_buffer;           /* -ENOBUFS though there are blocks                       */
	unsigned udp_loss, udp_duplicate, udp_reorder;
	bool trace;                   /* each completion to stderr                              */
};

#define SIM_CONNECT_TIMEOUT_US (20 * 1000 * 1000)

/* Every order and every cut, but nothing fails and datagrams arrive once and in order. */
extern const struct sim_options SIM_CALM;

/* All of the above, with chances that the seed chooses. */
struct sim_options sim_rough(uint64_t seed);

/* Never NULL: a simulator without memory ends the process. */
struct sim *sim_new(uint64_t seed, const struct sim_options *options);
void sim_free(struct sim *sim);       /* after its rings; what is still open is closed */

/* The rings are numbered from 0 in the order they are made.  `entries` is not looked at. */
struct ring *sim_ring_new(struct sim *sim, const struct ring_options *options);

uint64_t sim_seed(const struct sim *sim);
uint64_t sim_now_us(const struct sim *sim);
uint64_t sim_random_u64(struct sim *sim);          /* a draw of the run's own generator */
unsigned sim_random_below(struct sim *sim, unsigned n);
bool sim_chance(struct sim *sim, unsigned in_1000);
struct sim_options *sim_settings(struct sim *sim); /* may be changed while it runs */

/* ---- scheduler ---- */

typedef void (*sim_turn)(void *arg, unsigned ring_index); /* must call turn() of that ring once */

/* Runs what can run, in an order of the seed's, until `duration_us` have passed. */
void sim_run_us(struct sim *sim, uint64_t duration_us, sim_turn turn, void *arg);

/* The same until done(arg), asked after every turn; false after at most `limit_us`. */
bool sim_run_until(struct sim *sim, bool (*done)(void *), uint64_t limit_us, sim_turn turn, void *arg);

/* For callers with a loop of their own. */
bool sim_runnable(struct sim *sim, struct ring *ring);
uint64_t sim_next_event_us(struct sim *sim);        /* of network and time-outs; UINT64_MAX: none */
void sim_advance(struct sim *sim);                  /* to the next event, or 1 ms when there is none */

/* ---- faults on request, and what is left ---- */

void sim_reset(struct sim *sim, int fd);            /* the connection of fd, at both ends */
unsigned sim_descriptors(struct sim *sim);          /* open, of all rings */
unsigned sim_operations(struct ring *ring);         /* in flight */

/* Our own fault or a broken rule: says so with the seed and ends the process. */
_Noreturn void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
