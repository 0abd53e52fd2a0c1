/*
 * What the admin API asks of a worker: a question goes there by message, and the
 * thread that asked waits for it with a deadline.  Whoever comes last frees it.
 */
#ifndef ACTORS_ADMIN_WORKER_H
#define ACTORS_ADMIN_WORKER_H

#include <semaphore.h>

#include "actors/credentials.h"

#define ADMIN_WAIT_S       5
#define ADMIN_SESSIONS_MAX 200 /* a page */

enum admin_kind { ADMIN_SESSIONS, ADMIN_CONFERENCES, ADMIN_USER_PUT, ADMIN_USER_DELETE, ADMIN_DIGEST, ADMIN_MAILBOX_REMOVE };

struct admin_session {
	uint64_t id;
	char caller[IM_CANONICAL_MAX], callee[IM_CANONICAL_MAX]; /* terminated; empty: not to be told */
	const char *state;
	uint64_t age_ms, octets;
	unsigned participants, messages; /* of a conference: caller began it, callee is its URI, state its kind */
};

struct admin_question {
	struct msg msg;
	atomic_int owners; /* the asker and the worker */
	sem_t answered;
	struct credentials_asker asker;   /* on the worker */
	struct credentials_change change; /* on the worker */
	enum admin_kind kind;
	/* ---- users ---- */
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
	bool if_absent, if_present;
	struct user_facts facts;
	/* ---- digest: is this the owner of the name? ---- */
	enum digest_name name;
	char method[16];
	char header[DIGEST_VALUE_MAX]; /* the value with the credentials */
	size_t header_n;
	/* ---- mailbox ---- */
	uint64_t position; /* of the message that is to go */
	/* ---- sessions ---- */
	uint32_t from_slot;
	unsigned limit; /* at most ADMIN_SESSIONS_MAX */
	/* ---- written by the worker ---- */
	int err; /* users: 0, ENOENT, EEXIST, or what the store said;
		  * mailbox: as MSG_MAILBOX_REMOVED says;
		  * digest: 0, ENOENT wrong, ESTALE used before, ENOMEM, or what the store said */
	bool existed;
	uint32_t next_slot; /* 0: that was all */
	unsigned count;
	struct admin_session sessions[];
};

/* `limit`: room for so many sessions.  NULL: no memory. */
struct admin_question *admin_question_make(enum admin_kind kind, unsigned limit);
/* Asks and waits.  False: the worker did not answer in time; the asker still gives up its half. */
bool admin_question_ask(struct admin_question *question, struct worker_group *group, unsigned worker);
void admin_question_release(struct admin_question *question);

void admin_register_handlers(struct worker *worker);

#endif
