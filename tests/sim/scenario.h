/*
 * Scenarios of the simulator: a conversation of clients with the real server,
 * whose every delay, loss and schedule comes from one seed (style.md 2.11).
 *
 *	SCENARIO(busy, "bob has no time", .tcp = ON)
 *	{
 *		struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
 *		...
 *		expect_refused(ua_invite(alice, bob), 486);
 *	}
 *
 * What must hold after each of them, whatever happened, is in settle() of world.c.
 */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/ua.h"
#include "tests/sim/world.h"

#define KB(n) ((size_t)(n) * 1024)

enum by_seed { BY_SEED, ON, OFF };

struct scenario {
	const char *name, *what;
	void (*run)(struct world *);
	struct scenario *next;
	/* ---- what it needs; zero: nothing special ---- */
	const char *set[8];          /* KEY=VALUE of the configuration                     */
	enum by_seed tcp;            /* how its clients speak SIP                          */
	unsigned workers_min;
	bool may_lose;               /* connections may be reset or not come about by themselves:
	                              * then nothing that the scenario expects need come true  */
	bool is_calm;                /* no loss and no lack of buffers                     */
	unsigned blocks;             /* receive blocks of each worker; 0: plenty           */
	unsigned credit;             /* SIP credit per (source, owner); 0: as built */
	unsigned store_fails;        /* of 1000 commits */
	bool may_repeat;             /* pager messages may arrive more than once: at least once is promised */
	bool signs;                  /* requests carry credentials, see ua_sign() */
	unsigned one_seed_in;        /* it is long: of a range of seeds only every so manieth; 0: all */
	bool is_long;                /* only with --long or by its name */
};

extern struct scenario *scenarios; /* in no particular order */

#define SCENARIO(name_, what_, ...)                                                         \
	static void scenario_##name_(struct world *w);                                      \
	static struct scenario info_of_##name_ = { #name_, what_, scenario_##name_, NULL, __VA_ARGS__ }; \
	__attribute__((constructor)) static void add_##name_(void)                          \
	{                                                                                   \
		info_of_##name_.next = scenarios;                                           \
		scenarios = &info_of_##name_;                                               \
	}                                                                                   \
	static void scenario_##name_(struct world *w)

/* An expectation of the scenario's own did not come true; without memory nothing need. */
#define world_miss(w, ...)                             \
	do {                                           \
		if (!(w)->is_memory_short)             \
			world_fail((w), __VA_ARGS__);  \
	} while (0)

#endif
