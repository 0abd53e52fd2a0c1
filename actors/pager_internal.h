/* A pager message as the files about it share it.  Private to actors/pager*.c; owning worker only. */
#ifndef ACTORS_PAGER_INTERNAL_H
#define ACTORS_PAGER_INTERNAL_H

#include "actors/pager.h"
#include "actors/user.h"

/*
 * LOOKUP: where is he?  RELAYED: the client (or the core) has it.  STORING: the store has it, the sender waits for the
 * commit.  STORED: he has his 202; a client that was silent may answer still (design.md 13, "Messages").
 */
enum pager_state { PAGER_LOOKUP, PAGER_RELAYED, PAGER_STORING, PAGER_STORED };

/* What the call detail record says. */
struct pager_record {
	uint64_t start_us, octets;
	uint32_t to_n;
	char to[];
};

struct pager {
	struct actor actor;
	struct im *im;
	enum pager_state state;
	struct timer deadline;
	struct sip_server *server; /* NULL: answered */
	struct sip_client *client;
	uint32_t loop; /* of the message: what ours must not come back with */
	struct identity sender;
	char recipient[IM_CANONICAL_MAX];
	size_t recipient_n;
	char *message; /* as received, as long as somebody may still get it, the store included */
	size_t message_n;
	struct user_find *found; /* the contacts, one after the other; NULL: the core gets it, or nobody yet */
	unsigned next;           /* of them */
	struct pager_record *record; /* NULL: none is wanted, or it is written */
	bool is_to_client; /* only the leg to the client has timers.client_answer (design.md 13) */
	uint64_t registration; /* of the recipient when he was looked for: struct user_find */
	uint64_t position;     /* STORED: in his mailbox */
};

/* ---- pager.c ---- */
void pager_free(struct pager *p);
/* Both answer the sender and end.  refuse: with 503 a Retry-After. */
void pager_answer(struct pager *p, const struct sip_reply *reply);
void pager_refuse(struct pager *p, unsigned status, enum reason why);
void pager_on_deadline(struct timer *timer);
/* False: it was parsed before, so this cannot be. */
bool pager_read(const struct pager *p, struct sip_message *m);

/* ---- pager_record.c ---- */
void pager_record_begin(struct pager *p, const struct sip_message *m);
/* `is_taken`: by the recipient or by the store. */
void pager_record_end(struct pager *p, bool is_taken, const char *reason);
/* Of one that the function itself refuses. */
void pager_record_attempt(struct im *im, const struct sip_message *m, const struct pager_start *start,
	const char *reason);

/* ---- pager_defer.c ---- */

/* May it be stored, should nobody take it? */
bool pager_may_wait(const struct pager *p);
/* Nobody takes it now: it is stored, or refused because that failed.  False: it is never stored, or nothing is; the
 * caller answers. */
bool pager_defer(struct pager *p);
/* The client has it after all, or will never: while it is being stored, or afterwards. */
void pager_on_late_response(struct pager *p, const struct sip_message *m);
void pager_on_late_failure(struct pager *p);
/* The deadline of a store that does not answer. */
void pager_on_store_silent(struct pager *p);

#endif
