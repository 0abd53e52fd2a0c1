#include "actors/publication.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/store_actor.h"
#include "sip/owner.h"

/* ---- the list of a user ---- */

static void count_publications(struct im *im, int by)
{
	struct counters *counters = &im->worker->counters;

	pool_gauge_set(counters, POOL_publications, counters->pools[POOL_publications] + by);
}

struct publication *publication_find(const struct user *user, struct slice etag)
{
	for (struct publication *p = user->publications; p; p = p->next)
		if (slice_eq(slice_of(p->etag, sizeof(p->etag)), etag))
			return p;
	return NULL;
}

struct publication *publication_displaced(const struct user *user)
{
	struct publication *last = user->publications;
	unsigned count = 0;

	for (struct publication *p = user->publications; p; p = p->next, count++)
		last = p;
	return count < PUBLICATIONS_MAX ? NULL : last;
}

static void on_expired(struct timer *timer)
{
	struct publication *p = (struct publication *)((char *)timer - offsetof(struct publication, expiry));
	struct user *user = p->user;

	LOG(INFO, user->im->worker, "user", 0, "settings-expired user=%.*s", SLICE_ARG(user_name(user)));
	user_store_sweep_soon(user->im);
	publication_drop(p);
	user_forget_if_empty(user);
}

void publication_add(struct user *user, struct publication *p, uint64_t left_ms)
{
	struct publication **link = &user->publications;

	while (*link && (*link)->updated > p->updated)
		link = &(*link)->next;
	p->user = user;
	p->next = *link;
	*link = p;
	count_publications(user->im, 1);
	worker_arm(user->im->worker, &p->expiry, left_ms, on_expired);
	user_changed(user);
}

void publication_drop(struct publication *p)
{
	struct user *user = p->user;
	struct publication **link = &user->publications;

	while (*link != p)
		link = &(*link)->next;
	*link = p->next;
	worker_disarm(user->im->worker, &p->expiry);
	count_publications(user->im, -1);
	user_changed(user);
	free(p);
}

void publications_free(struct user *user)
{
	publishings_free(user);
	while (user->publications)
		publication_drop(user->publications);
}

/* ---- what they come to ---- */

static const struct publication *decisive(const struct user *user, enum poc_setting setting)
{
	const struct publication *p = user ? user->publications : NULL;

	while (p && !(p->settings.known & 1u << setting))
		p = p->next;
	return p;
}

static bool default_of(const struct im *im, enum poc_setting setting)
{
	const struct settings_options *defaults = &im->config->settings;

	switch (setting) {
	case SETTING_SESSION_BARRING:
	case SETTING_PAGER_BARRING:
		return false;
	case SETTING_OFFLINE_DELIVERY:
		return defaults->offline_delivery;
	case SETTING_VISIBLE:
		return defaults->visible;
	case SETTING_HISTORY:
		return defaults->history;
	}
	return false; /* cannot be: all are above */
}

bool publication_setting(const struct im *im, const struct user *user, enum poc_setting setting)
{
	const struct publication *p = decisive(user, setting);

	return p ? p->settings.on >> setting & 1 : default_of(im, setting);
}

void publication_settings(const struct im *im, const struct user *user, struct user_settings *settings)
{
	*settings = (struct user_settings){ .offline_delivery = publication_setting(im, user, SETTING_OFFLINE_DELIVERY),
		.visible = publication_setting(im, user, SETTING_VISIBLE),
		.history = publication_setting(im, user, SETTING_HISTORY),
		.has_offline_delivery = decisive(user, SETTING_OFFLINE_DELIVERY) != NULL };
}

/* ---- reading at the start ---- */

static int load_row(struct worker_group *group, const struct store_publication *from, uint64_t now_s)
{
	struct slice name = slice_of(from->user, from->user_n);
	uint64_t left_s = from->expires_at_s - now_s;
	struct publication *p = calloc(1, sizeof(*p));

	if (!p || from->user_n > IM_CANONICAL_MAX) {
		free(p);
		return p ? 0 : ENOMEM;
	}
	struct im *im = im_of(group->workers[sip_owner_of_name(name, group->count)]);
	struct user *user = user_find_or_make(im, name);
	if (!user) {
		free(p);
		return ENOMEM;
	}
	if (left_s > REGISTER_EXPIRES_MAX_S) /* the clock was set back meanwhile */
		left_s = REGISTER_EXPIRES_MAX_S;
	if (im->users->updates < from->updated)
		im->users->updates = from->updated;
	p->updated = from->updated;
	p->expires_at_s = from->expires_at_s;
	p->settings = (struct poc_settings){ from->known & ~PUBLICATION_OF_CORE, from->on };
	user->is_core_known |= (from->known & PUBLICATION_OF_CORE) != 0;
	memcpy(p->etag, from->etag, sizeof(p->etag));
	publication_add(user, p, left_s * 1000);
	return 0;
}

int publications_load(struct worker_group *group, struct store_door *door)
{
	struct store_publication_load *page = calloc(1, sizeof(*page));
	uint64_t now_s = user_unix_s(group->workers[0]);
	unsigned rows = 0;
	int err = page ? 0 : ENOMEM;

	while (!err) {
		page->request.kind = STORE_PUBLICATION_LOAD;
		page->now_s = now_s;
		err = store_ask_and_wait(door, &page->request);
		for (unsigned i = 0; i < page->count && !err; i++, rows++)
			err = load_row(group, &page->rows[i], now_s);
		if (page->count < STORE_PUBLICATIONS_PAGE)
			break;
	}
	free(page);
	if (err)
		LOG(ERROR, NULL, "store", 0, "publications-unreadable error=\"%s\"", strerror(err));
	else if (rows)
		LOG(INFO, NULL, "store", 0, "publications-loaded publications=%u", rows);
	return err;
}
