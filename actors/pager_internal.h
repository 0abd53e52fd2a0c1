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

struct pager_content;
struct pager_list;

struct pager {
	struct actor actor;
	struct im *im;
	enum pager_state state;
	struct timer deadline;
	struct sip_server *server; /* NULL: answered, or a copy */
	struct pager_list *list;   /* whose copy it is, as long as it waits for its end; or NULL */
	struct pager_content *content; /* of a copy: its body, which is not in `message` */
	struct sip_client *client;
	uint32_t loop; /* of the message: what ours must not come back with */
	struct identity sender;
	char recipient[IM_CANONICAL_MAX];
	size_t recipient_n;
	char *message; /* as received (a copy: its head), as long as somebody may still get it, the store included */
	size_t message_n;
	struct user_find *found; /* the contacts, one after the other; NULL: the core gets it, or nobody yet */
	unsigned next;           /* of them */
	struct pager_record *record; /* NULL: none is wanted, or it is written */
	bool is_from_session; /* From is as in `message`: a session's, which names nobody */
	bool is_to_client; /* only the leg to the client has timers.client_answer (design.md 13) */
	uint64_t registration; /* of the recipient when he was looked for: struct user_find */
	uint64_t position;     /* STORED: in his mailbox */
};

/* ---- pager.c ---- */
void pager_free(struct pager *p);
/* What of the message was kept, goes. */
void pager_forget_message(struct pager *p);
/* Is there somebody to hear what becomes of it? */
static inline bool pager_is_waited_for(const struct pager *p)
{
	return p->server || p->list;
}
/* He hears it, once: the sender as an answer, a list as the end of its copy. */
void pager_tell(struct pager *p, const struct sip_reply *reply);
/* Both tell and end.  refuse: with 503 a Retry-After. */
void pager_answer(struct pager *p, const struct sip_reply *reply);
void pager_refuse(struct pager *p, unsigned status, enum reason why);
void pager_on_deadline(struct timer *timer);
/* `message` is copied.  NULL: *why says what is missing. */
struct pager *pager_open(struct im *im, const struct pager_start *start, struct slice message, enum reason *why);
/* Looks for the recipient, or sends it at once; it may be over inside the call. */
void pager_go(struct pager *p, enum pager_route route, bool is_sips);
/* False: it was parsed before, so this cannot be. */
bool pager_read(const struct pager *p, struct sip_message *m);

/* ---- pager_copy.c ---- */

/*
 * One recipient's copy of what was sent to many.  `head`: the whole head of a MESSAGE to him but Content-Length and the
 * empty line behind it; copied.  The end is told by pager_list_on_copy_end(), also inside this call.
 */
struct pager_copy {
	struct pager_list *list;
	const struct identity *sender;
	enum pager_route route;
	struct slice recipient; /* canonical */
	struct slice head;
	struct pager_content *content;
	uint32_t loop;
	bool is_sips;
	bool is_from_session; /* From is that of the session, which names nobody */
};
/* 0; ENOMEM: nothing was begun and nothing will be told. */
int pager_copy_start(struct im *im, const struct pager_copy *copy);
/* Counts and logs what becomes of a copy that fails. */
void pager_copy_refused(const struct im *im, uint64_t id, struct slice recipient, unsigned status, enum reason why);

/* ---- pager_list_send.c ---- */
void pager_list_on_copy_end(struct pager_list *list, bool is_taken);

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
