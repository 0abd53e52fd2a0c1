/*
 * One session under load: user A, who sends, and user B, who receives.  Shared by the
 * workload, which counts messages, and by its set-up, which brings the two legs up.
 */
#ifndef LOAD_TESTS_PAIR_H
#define LOAD_TESTS_PAIR_H

#include "load-tests/msrp_endpoint.h"

enum pair_state {
	PAIR_IDLE,    /* not begun                                      */
	PAIR_SETUP,   /* SIP, then connecting, then binding             */
	PAIR_UP,      /* both legs bound                                */
	PAIR_RELEASE, /* BYE sent                                       */
	PAIR_OVER,
};

/* A message under way: sequence modulo `outstanding` is its place. */
struct slot {
	uint64_t due_ns;
	uint32_t sequence, received, answers, answers_sum;
	bool is_busy, has_arrived;
};

struct pair {
	enum pair_state state;
	uint32_t index;
	struct msrp_endpoint a, b;
	bool a_waits, b_waits; /* the server connects: its empty SEND binds the leg */
	bool a_empty, b_empty; /* it came                                           */
	bool a_bound, b_bound; /* ours was answered                                 */
	bool is_broken;        /* up, and then lost                                    */
	/* ---- traffic ---- */
	struct slot *slots;
	uint32_t begun;         /* messages of which at least the first chunk was given out   */
	uint32_t chunk, offset; /* of message begun - 1 where it goes on; offset 0: a new one */
};

#endif
