/* What the command line of imflood says; filled by flood_options.c, read-only afterwards. */
#ifndef LOAD_TESTS_FLOOD_OPTIONS_H
#define LOAD_TESTS_FLOOD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "load-tests/flood_loads.h"

#define LOCAL_ADDRESSES_MAX 64
#define FLOWS_MAX           4096u
#define SESSIONS_MAX        100000u
#define FIRST_USER_MAX      0xf00000u /* six hexadecimal digits with all that follow */
#define DEAF_MAX            1000u
#define MEMBERS_MAX         10000u /* of a room */
#define OUTSTANDING_MAX     4096u
#define SIZE_MAX_OCTETS     (1024u * 1024 * 1024)
#define PAGER_SIZE_MIN      32u           /* it carries its number */
#define PAGER_SIZE_MAX      (60u * 1024)
#define SLOTS_MAX           (64u * 1024 * 1024) /* sessions x outstanding: 2 GiB of memory */
#define PAGER_SLOTS_MAX     (1024u * 1024)
#define RATE_MAX            10e6
#define DURATION_MAX_S      86400u

enum flood_workload { WORKLOAD_SESSION, WORKLOAD_CHURN, WORKLOAD_PAGER, WORKLOAD_MIXED, WORKLOAD_DEFERRED, WORKLOAD_CONFERENCE };

enum flood_mode {
	MODE_STANDALONE, /* registers its users with the server                             */
	MODE_IMS,        /* plays the core: third-party REGISTER, P-Asserted-Identity       */
	MODE_RELAY,      /* no SIP: both legs dial into an MSRP relay, paths name it        */
	MODE_FORWARDER,  /* no SIP: both legs dial into a pairing byte forwarder            */
};

struct flood_options {
	enum flood_workload workload;
	enum flood_mode mode;
	struct sockaddr_storage target;
	const char *target_text;
	bool tcp, tls;      /* SIP transport; over TLS both */
	const char *domain; /* of the users; NULL: the target's address */
	const char *password; /* of every user; NULL: none */
	struct sockaddr_storage locals[LOCAL_ADDRESSES_MAX];
	unsigned locals_n;
	uint32_t flows;     /* SIP sockets or connections, over the local addresses in turn */
	uint32_t first_user;  /* number in the names of the first pair */
	uint32_t sessions, outstanding;
	uint32_t deaf;        /* the last of the sessions, whose B stops reading now and then */
	uint32_t pairs;       /* of users without a session of their own: churn, pager, mixed */
	uint32_t rooms, members, senders; /* conference: senders of each room */
	bool wants_no_answers; /* conference: Failure-Report: no */
	const char *factory; /* conference: user part, or URI; NULL: factory */
	const char *group;   /* conference: URI of the rooms, % stands for the number of one; NULL: ad-hoc by the factory */
	uint32_t size, chunk; /* octets; chunk 0: one chunk */
	bool is_closed;       /* --window: as many as outstanding says, always */
	double rate;          /* a second, of all that is done; 0: closed loop */
	double rates[FLOOD_LOADS_N]; /* its parts */
	double duration_s, warmup_s, drain_s, setup_timeout_s;
	double setup_rate; /* sessions a second; 0: as fast as they come up */
	bool is_push;      /* deferred: who comes back is called, and gets it over MSRP */
	double storm_s;    /* deferred: all come back within it */
	double idle_s;     /* after the traffic; then all users are registered before the first session; 0: none */
	bool connections_shared, answers_passive, json, quiet;
	pid_t server_pid;        /* 0: not measured */
	const char *record, *label; /* NULL: none */
};

/* Users A and B of each session, and of each pair without one. */
static inline uint32_t options_pairs(const struct flood_options *o)
{
	return o->sessions + o->pairs;
}

/* Who uses the session of that pair: A and B ('2'), in rooms one of them alone.  Ad-hoc the last of a room calls, and
 * the server calls the others; into a group all call. */
static inline char options_role(const struct flood_options *o, uint32_t index)
{
	if (o->workload != WORKLOAD_CONFERENCE)
		return '2';
	return o->group || index % o->members == o->members - 1 ? 'a' : 'b';
}

/* Reads the command line behind the name of the workload.  False: one line on stderr has said what is wrong. */
bool options_read(struct flood_options *o, int argc, char **argv);

/* The number in the names of a pair. */
static inline uint32_t options_user(const struct flood_options *o, uint32_t index)
{
	return o->first_user + index;
}

const char *workload_name(enum flood_workload workload);
extern const char imflood_help[];

#endif
