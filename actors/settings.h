/*
 * What one configuration means to the workers.  A reload makes another; each worker changes over between two
 * handlers, and the last that looks at the one of before frees it with its configuration.
 *
 * Listeners, names of the home domain and whatever else takes a restart are those of the start in all of them
 * (struct im_server), so pointers to these live as long as the server.  Pointers to anything else of a
 * configuration must not outlive the handler that read them.
 *
 * Thread: main makes and posts them; workers look at im->settings and im->config; any other thread takes them
 * and drops them again.  Read-only.
 */
#ifndef ACTORS_SETTINGS_H
#define ACTORS_SETTINGS_H

#include <semaphore.h>

#include "actors/im.h"
#include "core/tls.h"

struct im_settings {
	const struct config *config;
	struct sip_options sip;
	struct msrp_options msrp;
	struct im_hop hop;
	struct tls_set *tls;  /* NULL: no certificates */
	/* ---- settings.c ---- */
	struct config *owned;
	atomic_uint holders;
	sem_t taken;          /* once by each worker that changed over */
};

/* Those of `config`, with one holder.  On success it has taken over `config` unless `keeps_config`, and `tls`, which may
 * be NULL.  0, ENOMEM, or E2BIG of im_hop_read(). */
int settings_make(struct im_settings **out, const struct im_server *server, struct config *config, bool keeps_config,
	struct tls_set *tls);
void settings_drop(struct im_settings *settings); /* NULL is allowed */

/* Those in force, which the caller drops; never NULL between server start and stop.  No worker: it may wait a moment
 * for another such thread. */
struct im_settings *settings_take(struct im_server *server);
/* Main: takes `settings` over, and drops what was in force. */
void settings_replace(struct im_server *server, struct im_settings *settings);

/* The messages that bring them to all workers: made first, so that posting cannot fail.  0 or ENOMEM. */
struct settings_news;
int settings_news_make(struct settings_news *news[], unsigned workers, struct im_settings *settings);
void settings_news_drop(struct settings_news *news[], unsigned workers);
void settings_news_post(struct settings_news *news[], struct worker_group *group);
/* Waits until so many workers have changed over to them.  How many have not after `ms`. */
unsigned settings_wait(struct im_settings *settings, unsigned workers, unsigned ms);

void settings_register_handlers(struct worker *worker);

#endif
