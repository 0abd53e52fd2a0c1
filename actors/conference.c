/* The life of a conference: the table by which it is found, its beginning and its end. */
#include "actors/conference.h"

#include <errno.h>
#include <stdlib.h>

#include "core/chains.h"
#include "sip/owner.h"

#define CONFERENCES_MAX (1u << 20)

/* Two ways to find one: by the user part of S, and by the group. */
struct conference_table {
	struct chains by_user, by_canonical;
};

static uint64_t hash_of_user(const void *item, const void *arg)
{
	const struct conference *conference = item;

	(void)arg;
	return minted_hash(slice_of(conference->user, MINTED_CHARS));
}

static uint64_t hash_of_canonical(const void *item, const void *arg)
{
	const struct conference *conference = item;

	(void)arg;
	return minted_hash(slice_of(conference->canonical, conference->canonical_n));
}

struct conference *conference_find(struct im *im, struct slice user)
{
	struct conference *c = chains_first(&im->conference_table->by_user, minted_hash(user));

	while (c && !slice_eq(slice_of(c->user, MINTED_CHARS), user))
		c = c->next_by_user;
	return c;
}

struct conference *conference_find_group(struct im *im, struct slice canonical)
{
	struct conference *c = chains_first(&im->conference_table->by_canonical, minted_hash(canonical));

	while (c && !slice_eq(slice_of(c->canonical, c->canonical_n), canonical))
		c = c->next_by_canonical;
	return c;
}

int conferences_init(struct im *im)
{
	struct conference_table *table = im->conference_table = calloc(1, sizeof(*table));

	if (!table)
		return ENOMEM;
	if (chains_init(&table->by_user, CONFERENCES_MAX, offsetof(struct conference, next_by_user), hash_of_user, NULL) != 0 ||
	    chains_init(&table->by_canonical, CONFERENCES_MAX, offsetof(struct conference, next_by_canonical),
		    hash_of_canonical, NULL) != 0)
		return ENOMEM;
	return pool_init(&im->conferences, "conferences", sizeof(struct conference), im->config->limits.sessions) != 0 ?
		       ENOMEM :
		       pool_init(&im->participants, "participants", sizeof(struct participant), im->config->limits.sessions);
}

void conferences_free(struct im *im)
{
	pool_free(&im->participants);
	pool_free(&im->conferences);
	chains_free(&im->conference_table->by_user);
	chains_free(&im->conference_table->by_canonical);
	free(im->conference_table);
}
