/* What the files of the retrieval share.  Private to actors/retrieval*.c; owning worker only. */
#ifndef ACTORS_RETRIEVAL_INTERNAL_H
#define ACTORS_RETRIEVAL_INTERNAL_H

#include "actors/delivery.h"
#include "actors/retrieval.h"
#include "actors/uri_list.h"
#include "actors/virtual_user_agent.h"

enum { RETRIEVAL_LOOKUP_MS = 10000 }; /* for each question to the store or another worker */

struct retrieval {
	struct actor actor;
	struct im *im;
	struct sip_server *invite;        /* NULL: answered */
	struct virtual_user_agent *agent; /* NULL: not yet, or no more */
	struct delivery *delivery;        /* likewise */
	struct timer timer;               /* of a question */
	char *request;                    /* the INVITE; heap */
	size_t request_n;
	char user[IM_CANONICAL_MAX];      /* who asks, and whose messages they are */
	size_t user_n;
	char other[IM_CANONICAL_MAX];     /* whose account the Request-URI may be; 0 octets: it is his own, or a message */
	size_t other_n;
	char key[IM_CANONICAL_MAX];       /* what the store is asked for now */
	size_t key_n;
	bool target_is_known;
	bool is_all;                      /* without list: everything in the account */
	bool has_looked;                  /* the name in the Request-URI is found */
	bool is_bound;                    /* the delivery has begun */
	struct uri_list list;
	unsigned next;                    /* entry to be looked up */
	unsigned delivered;
	uint64_t start_us;
	uint64_t *positions;              /* heap: of the messages that are meant */
	unsigned count;
};

static inline struct slice retrieval_user(const struct retrieval *r)
{
	return slice_of(r->user, r->user_n);
}

/* ---- retrieval.c ---- */

/* Refuses the INVITE; the pointer is dead. */
void retrieval_refuse(struct retrieval *r, unsigned status, enum reason why);
/* The INVITE again. */
bool retrieval_read(const struct retrieval *r, struct sip_message *invite);
/* The Request-URI names something. */
void retrieval_check(struct retrieval *r);
/* All that is meant is known. */
void retrieval_accept(struct retrieval *r);

/* ---- retrieval_lookup.c ---- */

/* The name in the Request-URI: 404, or retrieval_check(). */
void retrieval_look_up_target(struct retrieval *r, const struct sip_uri *target);
/* The entries of the list: 404 when there is none that he has, or retrieval_accept(). */
void retrieval_look_up_list(struct retrieval *r);
/* A user's worker says whether he is registered. */
void retrieval_on_found(struct retrieval *r, bool is_registered);

#endif
