/*
 * The settings that a user published (RFC 3903, RFC 4354; 6.2.5, CR002 6.1.1.5): soft state, one publication for
 * each device that publishes.  For each setting the publication counts that was changed last of those which have
 * it; without any it is as config `settings` says (D1-27).
 *
 * Thread: the user's worker.  Owner: the user.
 */
#ifndef ACTORS_PUBLICATION_H
#define ACTORS_PUBLICATION_H

#include "actors/poc_settings.h"
#include "actors/user_internal.h"
#include "core/store_publications.h"

#define PUBLICATIONS_MAX 8 /* of one user; one more displaces the one that was changed longest ago */

/* Beside the settings in the store's row: the core has registered him once, so that his publication alone does not make
 * him one who is there (D1-28), after a restart either. */
#define PUBLICATION_OF_CORE (1u << 31)

struct publication {
	struct user *user;
	struct publication *next; /* of the user, the last change first */
	struct timer expiry;
	uint64_t updated;      /* order of the changes; a refresh is none */
	uint64_t expires_at_s; /* since 1970, for the store */
	struct poc_settings settings;
	char etag[STORE_ETAG_CHARS];
};

/* A PUBLISH of poc-settings on the worker of the user whom it is for, and who may send it; answers it. */
void user_on_publish(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice canonical);
void publishings_free(struct user *user);

/* NULL: he has none with that tag. */
struct publication *publication_find(const struct user *user, struct slice etag);
/* The one to be displaced by another; NULL: there is room. */
struct publication *publication_displaced(const struct user *user);
/* Links it, and arms its timer. */
void publication_add(struct user *user, struct publication *publication, uint64_t left_ms);
void publication_drop(struct publication *publication);
void publications_free(struct user *user);

/* At the start, while all workers wait.  0 or errno, after a line on the log. */
int publications_load(struct worker_group *group, struct store_door *door);

/* What a user wants, by publication or configuration.  `user` NULL: nothing is known of him. */
bool publication_setting(const struct im *im, const struct user *user, enum poc_setting setting);
void publication_settings(const struct im *im, const struct user *user, struct user_settings *settings);

#endif
