/*
 * What a change of an org.openmobilealliance.groups document means: which groups it defines, and whom it concerns
 * (actors/group.h).
 *
 * Any thread that is no worker.
 */
#ifndef ACTORS_GROUP_DOCUMENTS_H
#define ACTORS_GROUP_DOCUMENTS_H

#include "actors/group.h"

struct store_door;

/* One change of one document: made first, so that nothing can fail once it is committed. */
struct group_change {
	unsigned uri_count; /* groups that it defines from now on */
	struct slice uris[GROUPS_OF_DOCUMENT_MAX]; /* canonical */
	/* ---- group_documents.c ---- */
	unsigned news_count;
	struct group_news *news[2 * GROUPS_OF_DOCUMENT_MAX];
};

/* `before` and `now`: valid documents, p NULL: there is none.  0 and *out; ENOMEM; EEXIST: two groups of one name;
 * E2BIG: more than GROUPS_OF_DOCUMENT_MAX. */
int group_change_make(struct group_change **out, const struct sip_home *home, struct slice before, struct slice now);
/* It is on the disk in the version `etag` (or that one is gone): tells the groups' workers.  Takes the change over. */
void group_change_post(struct group_change *change, struct worker_group *group, uint64_t etag);
void group_change_free(struct group_change *change); /* NULL is allowed */

/* At the start: names the groups of documents that a version before had put there.  0 or errno, after a line on the
 * log. */
int groups_name_all(struct store_door *door, const struct sip_home *home);

#endif
