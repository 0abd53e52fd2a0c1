/* A pager message to many as the files about it share it.  Private to actors/pager_list*.c; owning worker only. */
#ifndef ACTORS_PAGER_LIST_INTERNAL_H
#define ACTORS_PAGER_LIST_INTERNAL_H

#include "actors/group.h"
#include "actors/pager_content.h"
#include "actors/pager_internal.h"
#include "actors/pager_list.h"
#include "actors/recipients.h"

enum pager_list_kind { PAGER_LIST_ADHOC, PAGER_LIST_GROUP, PAGER_LIST_SESSION };

struct pager_list {
	struct actor actor;
	struct im *im;
	enum pager_list_kind kind;
	struct timer timer;        /* until it is answered: how long that may take; then the next try after ENOMEM */
	struct sip_server *server; /* NULL: answered */
	struct identity sender;
	uint32_t loop; /* of the message */
	bool may_leave;
	char target[IM_CANONICAL_MAX];
	size_t target_n;
	/* ---- until it is answered ---- */
	char *message; /* as received, while groups are asked for */
	size_t message_n;
	struct recipients groups; /* to ask for */
	unsigned next_group;
	/* ---- what is sent ---- */
	struct recipients recipients;
	struct pager_content *content;
	char *lines; /* header lines that all copies share */
	size_t lines_n;
	size_t charged; /* octets of im->pager_list_octets */
	unsigned next;  /* of the recipients: not begun yet */
	unsigned under_way, taken, failed;
	unsigned tries; /* of the next one */
	bool hides_anew; /* the message does not say that its sender hides: the session knows */
	bool is_sending; /* on the stack: what ends meanwhile begins nothing */
};

static inline struct slice pager_list_target(const struct pager_list *list)
{
	return slice_of(list->target, list->target_n);
}

/* What a URI among the recipients leads to. */
enum recipient_kind {
	RECIPIENT_USER,      /* of ours                                */
	RECIPIENT_GROUP,     /* of ours                                */
	RECIPIENT_ELSEWHERE, /* user or group of another domain        */
	RECIPIENT_SCHEME,    /* no sip, sips or tel URI                */
	RECIPIENT_NOBODY,    /* a function or session of ours, no user */
};

/* ---- pager_list.c ---- */

/* False: it is no URI.  `canonical`: IM_CANONICAL_MAX; of what has none it is empty. */
bool pager_list_classify(const struct im *im, struct slice uri, enum recipient_kind *kind, struct buffer *canonical);
/* Answers and ends. `warning` may be NULL. */
void pager_list_refuse(struct pager_list *list, unsigned status, enum reason why, const char *warning);
/* D1-20: the sender counts, wherever he is listed.  Leaves each recipient once. */
bool pager_list_is_too_long(struct pager_list *list);
/* All recipients are known: the rest of the checks, 202, and it begins. */
void pager_list_conclude(struct pager_list *list, const struct sip_message *m);
void pager_list_free(struct pager_list *list);

/* ---- pager_list_recipients.c ---- */

/* Finds the recipients by the kind of the list; it is refused, waits for a group, or goes on with
 * pager_list_conclude(). */
void pager_list_find_recipients(struct pager_list *list, const struct sip_message *m);
void pager_list_on_group(struct pager_list *list, struct group_find *find);

/* ---- pager_list_send.c ---- */

/* The lines that all copies share.  False: no memory, or more than a message of ours may have. */
bool pager_list_write_lines(struct pager_list *list, const struct sip_message *m);
/* Begins as many copies as may be under way; frees the list when all have ended. */
void pager_list_send(struct pager_list *list);

#endif
