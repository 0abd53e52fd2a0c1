/*
 * What this worker knows of the users that live on it (design.md 13, "Users"):
 * do they exist, and what proves them.  The store is asked once for a name;
 * after that its answer is kept, also that there is no such user.
 *
 * Bounded: the name asked for longest ago makes room.
 * Thread: the worker of the name (sip_owner_of_name); others ask by message.
 */
#ifndef ACTORS_CREDENTIALS_H
#define ACTORS_CREDENTIALS_H

#include "actors/im.h"
#include "sip/digest.h"

#define CREDENTIALS_MAX 16384 /* names of one worker */

struct credentials; /* of one worker */

int credentials_init(struct im *im);
void credentials_free(struct im *im);

struct user_facts {
	bool exists, has_password;
	struct digest_secret secret; /* with has_password */
};

/* Whoever wants to know; lives until `ready` was called, which may be inside credentials_ask(). */
struct credentials_asker {
	struct credentials_asker *next;
	/* `err`: 0, or why the store did not answer; then `facts` is NULL.  ECANCELED: the worker ends, and
	 * nothing may be posted any more. */
	void (*ready)(struct im *im, struct credentials_asker *asker, const struct user_facts *facts, int err);
};

void credentials_ask(struct im *im, struct slice canonical, struct credentials_asker *asker);

/*
 * Changes a user, on the disk first.  `done` comes later, never inside the call; what was known before holds
 * until then.  ENOENT: there was nobody to delete.
 */
struct credentials_change {
	bool is_delete;
	struct user_facts facts; /* of a put; exists need not be set */
	void (*done)(struct im *im, struct credentials_change *change, int err);
};
/* 0, or EAGAIN, ENOMEM: nothing was begun and `done` will not come. */
int credentials_change(struct im *im, struct slice canonical, struct credentials_change *change);

/* For tests: names known here. */
unsigned credentials_count(const struct im *im);

#endif
