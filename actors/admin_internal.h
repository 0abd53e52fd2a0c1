/* What the files of the admin API share; actors/admin.h is its contract. */
#ifndef ACTORS_ADMIN_INTERNAL_H
#define ACTORS_ADMIN_INTERNAL_H

#include <jansson.h>
#include <time.h>

#include "actors/admin.h"
#include "actors/admin_token.h"

struct admin {
	struct admin_source source;
	struct timespec started;
	char token[ADMIN_TOKEN_MAX];
};

/* Takes `json` over; NULL: there was no memory for it. */
void admin_answer_json(struct admin_answer *answer, unsigned code, json_t *json);
void admin_answer_method(struct admin_answer *answer, const char *allow);

struct admin_user_name {
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
	char plain[IM_CANONICAL_MAX]; /* the user part as its owner types it: what the hash is over */
	size_t plain_n;
};

/* `alice`, `alice@example.com` or `sip:alice@example.com`. */
bool admin_read_name(const struct sip_home *home, const char *text, struct admin_user_name *name);
bool admin_read_user(const struct admin *admin, const char *text, struct admin_user_name *name);

/* ---- resources ---- */

void admin_on_status(struct admin *admin, const struct admin_request *request, struct admin_answer *answer);
void admin_on_document(struct admin *admin, const struct admin_request *request, struct admin_answer *answer);
void admin_on_mailbox(struct admin *admin, const struct admin_request *request, struct admin_answer *answer);
void admin_on_user(struct admin *admin, const struct admin_request *request, struct admin_answer *answer);

#endif
