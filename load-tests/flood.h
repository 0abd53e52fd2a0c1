/*
 * A run of imflood.  Whatever the workload, it is made of the same parts, each with a rate of its own or none: messages
 * in sessions that last, sessions that come and go, pager messages, registrations and sessions refreshed.
 *
 * flood.c has the phases of a run and hands what comes from SIP and MSRP to the part that it is for.
 */
#ifndef LOAD_TESTS_FLOOD_H
#define LOAD_TESTS_FLOOD_H

#include <stddef.h>

#include "load-tests/deaf_readers.h"
#include "load-tests/flood_run.h"
#include "load-tests/pacer.h"
#include "load-tests/pair.h"
#include "load-tests/session_setup.h"
#include "load-tests/transactions.h"

/* So many requests of a kind are begun in a turn: what has come is read between, or the kernel would drop it.  What is
 * due beyond waits for the next turn, and that it is late is told. */
#define BEGIN_MAX 64

/* session_traffic.c: messages in the sessions of pairs [0, options->sessions). */
struct session_traffic {
	struct slot *slots;
	struct pacer pacer;
	struct deaf_readers deaf; /* the last of these pairs */
	uint32_t chunks;          /* of one message */
	uint64_t in_flight;       /* messages begun and not yet arrived and confirmed */
	uint32_t broken;          /* pairs that have lost a connection, or were hung up on */
};

/* churn.c: the other pairs set a session up, send one message, hang up. */
struct churn {
	struct round *rounds;
	struct pacer pacer;
	uint64_t begun;  /* of those due */
	uint32_t *free;  /* ring of pairs that may begin, of options->pairs places */
	uint32_t free_first, free_n, under_way;
};

/* pager.c: MESSAGE from A to B of the same pairs. */
struct pager {
	struct transactions transactions;
	struct pacer pacer;
	uint64_t begun;
};

/* deferred.c: MESSAGE from A to B, who comes when all are stored.  A message's number modulo the pairs is its pair. */
struct deferred {
	struct transactions transactions;
	struct pacer pacer;
	uint64_t begun;
	uint32_t most;             /* numbers */
	uint8_t *stored, *arrived; /* a bit each */
	uint32_t stored_n, delivered_n;
	uint32_t registered; /* Bs who came back or try to */
	uint32_t *last;      /* of each B: the last number that came, and 1 */
	uint64_t *registered_ns, heard_ns, repeat_ns;
	uint8_t *attempts;   /* of each B: REGISTERs answered with a challenge */
};

/* refreshes.c: REGISTER of users that are registered, re-INVITE in sessions that are up. */
struct refreshes {
	struct transactions transactions; /* of the REGISTERs */
	struct pacer registers, reinvites;
	uint64_t registers_begun, reinvites_begun;
	uint64_t *reinvite_due_ns; /* of each session */
	uint32_t reinvites_under_way, next_reinvite;
};

/* room_traffic.c: messages in the sessions of pairs, each of which is one member of a room. */
struct copies;
struct rooms {
	struct slot *slots;
	struct copies *copies; /* by member and sender of his room */
	uint32_t *up;          /* of each room, when the load begins: its members */
	struct pacer pacer;
};

struct flood {
	struct flood_run run;
	struct msrp_network network;
	struct session_setup setup;
	struct pair *pairs;
	uint32_t in_setup;
	uint64_t tick_ns;
	struct session_traffic messages;
	struct churn churn;
	struct pager pager;
	struct refreshes refreshes;
	struct deferred deferred;
	struct rooms rooms;
};

/* One part.  Each function does nothing when the workload has no such load. */
struct flood_part {
	int (*open)(struct flood *f); /* 0 or errno */
	void (*close)(struct flood *f);
	/* The warm-up begins now, with all users registered and the sessions up. */
	void (*begin)(struct flood *f);
	/* Begins what is due by now, in RUN_BACKLOG only what was due before.  When it wants to be called again at
	 * the latest, or UINT64_MAX. */
	uint64_t (*turn)(struct flood *f, uint64_t until_ns);
	void (*tick)(struct flood *f); /* some times a second */
	bool (*has_backlog)(const struct flood *f);
	bool (*is_dead)(const struct flood *f); /* nothing will come of it any more, or there is none */
	void (*count_missing)(struct flood *f);
};

extern const struct flood_part session_traffic_part, churn_part, pager_part, refreshes_part, deferred_part, room_traffic_part;

/* 0 when the run took place, whatever it found: that is in *report; else an errno of this machine, ECANCELED when it is
 * told already. */
int flood(const struct flood_options *options, struct flood_report *report);

static inline struct flood *flood_of(struct msrp_network *n)
{
	return (struct flood *)((char *)n - offsetof(struct flood, network));
}

static inline struct flood *flood_of_setup(struct session_setup *s)
{
	return (struct flood *)((char *)s - offsetof(struct flood, setup));
}

static inline bool is_standing(const struct flood *f, const struct pair *p)
{
	return p->index < f->run.options->sessions;
}

static inline double load_rate(const struct flood *f, enum flood_load load)
{
	return f->run.options->rates[load];
}

/* ---- session_traffic.c ---- */

bool session_next_chunk(struct flood *f, struct msrp_endpoint *e, struct msrp_outgoing *out);
void session_on_chunk(struct flood *f, struct msrp_endpoint *e, const struct msrp_incoming *chunk);
void session_on_response(struct flood *f, struct msrp_endpoint *e, uint32_t sequence, uint32_t chunk, unsigned status);
/* Messages of this pair will not come any more. */
void session_on_broken(struct flood *f, struct pair *p);

/* ---- room_traffic.c ---- */

bool room_next_chunk(struct flood *f, struct msrp_endpoint *e, struct msrp_outgoing *out);
void room_on_chunk(struct flood *f, struct msrp_endpoint *e, const struct msrp_incoming *chunk);
void room_on_response(struct flood *f, struct msrp_endpoint *e, uint32_t sequence, unsigned status);

/* ---- churn.c ---- */

bool churn_next_chunk(struct flood *f, struct msrp_endpoint *e, struct msrp_outgoing *out);
void churn_on_chunk(struct flood *f, struct msrp_endpoint *e, const struct msrp_incoming *chunk);
void churn_on_response(struct flood *f, struct msrp_endpoint *e, unsigned status);
void churn_on_up(struct flood *f, struct pair *p);
void churn_on_failed(struct flood *f, struct pair *p); /* the error is reported */
void churn_on_over(struct flood *f, struct pair *p);   /* its BYE was answered */

/* ---- pager.c, refreshes.c ---- */

void pager_on_request(struct flood *f, struct sip_flow *flow, const struct sip_text *m);
void pager_on_response(struct flood *f, uint32_t sequence, const struct sip_text *m);
/* What a MESSAGE carries: its number, and a pattern that it makes. */
struct slice pager_body(struct flood *f, uint32_t number, char text[PAGER_SIZE_MAX]);
bool pager_number_of(const struct flood *f, struct slice body, uint32_t *number);
bool pager_body_is_whole(struct flood *f, struct slice body, uint32_t number);
void refreshes_on_register_response(struct flood *f, uint32_t sequence, const struct sip_text *m);
/* Also when the call ends before the answer, with status 0; nothing happens when none was asked for. */
void refreshes_on_reinvited(struct flood *f, struct pair *p, unsigned status, const struct sip_text *m);

/* ---- deferred.c ---- */

void deferred_on_response(struct flood *f, uint32_t sequence, const struct sip_text *m);
void deferred_on_request(struct flood *f, struct sip_flow *flow, const struct sip_text *m);
/* What was stored is there; who got it does not know more of it than its content says. */
void deferred_on_arrived(struct flood *f, const struct sip_text *m);
void deferred_on_register_response(struct flood *f, uint32_t number, const struct sip_text *m);
/* After the load: all who were away come back and get what was stored for them. */
void deferred_storm(struct flood *f, void (*turn)(struct flood *, uint64_t sleep_ns));

/* ---- deferred_push.c ---- */

/* B of that pair comes back, and will be called. */
void deferred_push_expect(struct flood *f, uint32_t subject);
void deferred_push_on_content(struct flood *f, struct msrp_endpoint *e, struct slice type, struct slice content);
/* A server that has hung up may close the connection before we have read its BYE; in the middle of a message it is an
 * error. */
bool deferred_push_may_close(const struct pair *p);
void deferred_push_on_over(struct flood *f, struct pair *p);
/* Sessions that the server has not ended. */
uint32_t deferred_push_up(const struct flood *f);

#endif
