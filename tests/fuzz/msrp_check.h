/*
 * What must be true of a whole run of fuzz_msrp_stream.c, seen from outside:
 * all that the clients sent against all that they got.
 */
#ifndef TESTS_FUZZ_MSRP_CHECK_H
#define TESTS_FUZZ_MSRP_CHECK_H

#include "tests/fuzz/msrp_seen.h"
#include "tests/fuzz/msrp_wire.h"

enum { CHECK_SIDES = 6 }; /* the other leg of side i is i ^ 1 */

struct check_side {
	char uri[192];     /* ours */
	char path[2][192]; /* the peer's; the second after a change */
	bool is_excused;   /* its session ended or lost a connection: what was under way got no answer */
	bool is_waiting;   /* chunks wait for the other leg */
};

struct check {
	struct check_side sides[CHECK_SIDES];
	bool is_stopped[WIRE_ENDS_MAX]; /* the server does not read it, and says so itself */
	bool has_refused; /* a counter says that something was refused or dropped          */
};

/* Aborts where that is not so. */
void check_run(const struct check *check);

/* A rule, with the words for who has to find out why. */
#define MUST(condition, ...)                                                                        \
	do {                                                                                        \
		if (!(condition))                                                                   \
			check_fail(#condition, __VA_ARGS__);                                        \
	} while (0)
__attribute__((noreturn, format(printf, 2, 3))) void check_fail(const char *rule, const char *format, ...);

#endif
