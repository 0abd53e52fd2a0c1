#include "actors/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "actors/large_upload.h"
#include "core/log.h"
#include "sip/dialog.h"

struct settings_news {
	struct msg msg; /* MSG_SETTINGS_CHANGE */
	struct im_settings *settings; /* a holder's, which the worker takes over */
	char *scratch;  /* see sip_worker_set_options() */
};

/* ---- making them ---- */

int settings_make(struct im_settings **out, const struct im_server *server, struct config *config, bool keeps_config,
	struct tls_set *tls)
{
	struct im_settings *s = calloc(1, sizeof(*s));
	int err = s ? 0 : ENOMEM;

	if (s) {
		s->sip = server->sip;
		s->msrp = server->msrp;
		im_options_set(&s->sip, &s->msrp, config);
		err = im_hop_read(&s->hop, config);
	}
	if (err) {
		free(s);
		return err;
	}
	s->config = config;
	s->owned = keeps_config ? NULL : config;
	s->tls = tls;
	atomic_init(&s->holders, 1);
	sem_init(&s->taken, 0, 0);
	*out = s;
	return 0;
}

static struct im_settings *share(struct im_settings *settings)
{
	atomic_fetch_add_explicit(&settings->holders, 1, memory_order_relaxed);
	return settings;
}

void settings_drop(struct im_settings *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) != 1)
		return;
	config_free(s->owned);
	tls_set_drop(s->tls);
	sem_destroy(&s->taken);
	free(s);
}

/* ---- those in force ---- */

struct im_settings *settings_take(struct im_server *server)
{
	pthread_mutex_lock(&server->settings_mutex);
	struct im_settings *settings = share(server->settings);
	pthread_mutex_unlock(&server->settings_mutex);
	return settings;
}

void settings_replace(struct im_server *server, struct im_settings *settings)
{
	pthread_mutex_lock(&server->settings_mutex);
	struct im_settings *old = server->settings;
	server->settings = settings;
	pthread_mutex_unlock(&server->settings_mutex);
	settings_drop(old);
}

/* ---- the way to the workers ---- */

int settings_news_make(struct settings_news *news[], unsigned workers, struct im_settings *settings)
{
	for (unsigned i = 0; i < workers; i++) {
		struct settings_news *n = calloc(1, sizeof(*n));
		char *scratch = n ? malloc(sip_scratch_octets(&settings->sip)) : NULL;
		if (!scratch) {
			free(n);
			settings_news_drop(news, i);
			return ENOMEM;
		}
		*n = (struct settings_news){ .msg.kind = MSG_SETTINGS_CHANGE, .settings = share(settings),
			.scratch = scratch };
		news[i] = n;
	}
	return 0;
}

void settings_news_drop(struct settings_news *news[], unsigned workers)
{
	for (unsigned i = 0; i < workers; i++) {
		settings_drop(news[i]->settings);
		free(news[i]->scratch);
		free(news[i]);
	}
}

void settings_news_post(struct settings_news *news[], struct worker_group *group)
{
	for (unsigned i = 0; i < group->count; i++)
		worker_post_from_outside(group, i, &news[i]->msg);
}

unsigned settings_wait(struct im_settings *settings, unsigned workers, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	while (workers > 0) {
		if (sem_timedwait(&settings->taken, &until) == 0)
			workers--;
		else if (errno != EINTR)
			break;
	}
	return workers;
}

/* ---- a worker changes over ---- */

/* Between two handlers: nothing on the stack points into what was in force. */
static void on_change(struct worker *worker, struct msg *msg)
{
	struct settings_news *news = (struct settings_news *)msg;
	struct im_settings *s = news->settings, *old;
	struct im *im = im_of(worker);

	tls_set_drop(worker->tls);
	worker->tls = s->tls ? tls_set_share(s->tls) : NULL;
	old = im->settings;
	im->settings = s;
	im->config = s->config;
	im->hop = &s->hop;
	sip_worker_set_options(worker, &s->sip, news->scratch);
	if (msrp_worker_set_options(worker, &s->msrp) != 0 ||
	    sip_dialogs_raise(worker, im_dialogs_max(s->config)) != 0 ||
	    pool_raise(&im->sessions, s->config->limits.sessions) != 0 ||
	    pool_raise(&im->virtual_user_agents, s->config->limits.sessions) != 0 ||
	    pool_raise(&im->large_messages, s->config->limits.sessions) != 0 ||
	    pool_raise(&im->retrievals, s->config->limits.sessions) != 0 ||
	    pool_raise(&im->large_uploads, large_uploads_max(s->config)) != 0)
		LOG(ERROR, worker, "config", 0, "no-room limits.sessions=%u error=\"%s\"", s->config->limits.sessions,
			strerror(ENOMEM)); /* what is beyond the limit of before gets 503 */
	im_look_up_next_hop(im);
	sem_post(&s->taken);
	settings_drop(old);
	free(news);
}

void settings_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_SETTINGS_CHANGE] = on_change;
}
