/*
 * One case of the table of RFC 4975 as a scenario of its own.  The octets that
 * both clients write and must hear come from the table; between two pieces of a
 * write the server comes to rest, so that it has seen the first alone.
 */
#ifndef TESTS_SIM_RFC4975_PLAY_H
#define TESTS_SIM_RFC4975_PLAY_H

#include "tests/sim/rfc4975_table.h"
#include "tests/sim/scenario.h"

#define SHOW_ALL_WAYS SIZE_MAX

/* One case as a scenario of its own. */
struct show {
	struct scenario scenario;
	const struct table_case *c;
	const struct table_case *probes[2]; /* a message each way */
	uint64_t *plays;         /* how many there were, shared with the parent */
	size_t *next_way;        /* 0: octet by octet; then the server's writes cut short; then each cut */
	size_t stride;           /* so many ways further for the next one                  */
	size_t most;             /* ways in one world; 0: as many as it bears              */
	bool is_foreign;         /* the connections carry another session first, of another worker */
	bool is_lost;            /* where a write would be cut its connection ends, by FIN or RST  */
};

/*
 * The case whole, then from *next_way on in as many ways as one world bears, whose clients keep every
 * session that they had; SHOW_ALL_WAYS when none is left.  w->scenario is that of a struct show.
 * Without memory nothing need come true: at the first surprise the clients leave.
 */
void show_play(struct world *w);

/*
 * Not cases about how a connection finds its session, nor those where range-end is *: what streams to a
 * connection of another worker goes in parts, as it comes.
 */
bool show_can_be_foreign(const struct table_case *c);

#endif
