/* The event package message-summary: what its NOTIFYs say is asked of the store. */
#include "actors/subscription.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actors/message_summary.h"
#include "actors/notifier.h"
#include "actors/store_actor.h"
#include "actors/user_internal.h"

#define PACE_T1 2 /* D2-27: a second between two NOTIFYs that nobody asked for */

struct subscription {
	struct notifier notifier;
	struct user *user;
	struct subscription *next; /* of the user */
	bool is_asking;            /* the store, for the next NOTIFY */
	bool is_over;              /* and only waits for that answer */
};

static struct subscription *of(struct notifier *n)
{
	return (struct subscription *)((char *)n - offsetof(struct subscription, notifier));
}

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_subscriptions, pool_used(&im->subscriptions));
}

/* ---- the beginning and the end ---- */

static void forget(struct subscription *s)
{
	struct im *im = s->notifier.im;
	struct user *user = s->user;
	struct subscription **link = &user->subscriptions;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	pool_give(&im->subscriptions, s);
	count(im);
	user_forget_if_empty(user);
}

static void on_over(struct notifier *n, enum reason why, unsigned status)
{
	struct subscription *s = of(n);

	if (why != REASON_COUNT)
		LOG(INFO, n->im->worker, "subscription", 0, "ended user=%.*s status=%u reason=%s",
			SLICE_ARG(user_name(s->user)), status, reason_label(why));
	s->is_over = true;
	if (!s->is_asking) /* else when the answer comes home */
		forget(s);
}

static unsigned count_of(const struct user *user)
{
	unsigned n = 0;

	for (const struct subscription *s = user->subscriptions; s; s = s->next)
		n++;
	return n;
}

/* Of a user, who is made if need be.  NULL: *why it may not be. */
static struct subscription *make(struct im *im, struct slice canonical, enum reason *why)
{
	struct user *user = user_find_or_make(im, canonical);
	bool is_full = user && count_of(user) == SUBSCRIPTIONS_OF_USER_MAX;
	struct subscription *s = user && !is_full ? pool_take(&im->subscriptions) : NULL;

	if (!s) {
		*why = is_full ? REASON_DIALOG_LIMIT : REASON_POOL_EXHAUSTED;
		if (user)
			user_forget_if_empty(user);
		return NULL;
	}
	s->notifier.im = im;
	s->user = user;
	s->next = user->subscriptions;
	user->subscriptions = s;
	count(im);
	return s;
}

/* ---- NOTIFY ---- */

/* 0 or ENOMEM. */
static int tell(struct subscription *s, const struct store_deferred_summary *summary)
{
	struct im *im = s->notifier.im;
	size_t room = message_summary_octets(im, summary);
	char *text = malloc(room);
	struct buffer body = buffer_over(text, room);

	if (!text)
		return ENOMEM;
	message_summary_write(&body, im, user_name(s->user), summary);
	if (!body.overflow)
		notifier_tell(&s->notifier, buffer_slice(&body));
	free(text);
	return body.overflow ? ENOMEM : 0;
}

static void on_summary(struct worker *worker, struct store_request *request)
{
	struct subscription *s = request->asker;
	int err = request->msg.err;

	s->is_asking = false;
	if (s->is_over) {
		free(request);
		forget(s);
		return;
	}
	if (err) {
		REFUSED(&worker->counters, REASON_STORE);
		LOG(WARN, worker, "subscription", 0, "mailbox-unreadable user=%.*s error=\"%s\" reason=%s",
			SLICE_ARG(user_name(s->user)), strerror(err), reason_label(REASON_STORE));
	}
	if (!err)
		err = tell(s, (struct store_deferred_summary *)request);
	free(request);
	if (err)
		notifier_has_nothing(&s->notifier);
}

static void on_due(struct notifier *n)
{
	struct subscription *s = of(n);
	struct store_deferred_summary *summary = store_deferred_summary_new(user_name(s->user), MESSAGE_SUMMARY_ROOM);

	if (!summary) {
		notifier_has_nothing(n);
		return;
	}
	summary->now_s = user_unix_s(n->im->worker);
	summary->most = MESSAGE_SUMMARY_MAX;
	summary->request.on_answer = on_summary;
	summary->request.asker = s;
	s->is_asking = true;
	(void)store_ask(n->im->worker, &summary->request); /* reads are never refused */
}

static const struct notifier_package package = { .event = MESSAGE_SUMMARY_EVENT, .type = MESSAGE_SUMMARY_TYPE,
	.contact = "automata", .pace_t1 = PACE_T1, .on_due = on_due, .on_over = on_over };

void subscription_start(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice canonical)
{
	enum reason why;
	uint32_t expires_s;

	if (!notifier_reads(im, &package, server, m, &expires_s))
		return;
	struct subscription *s = make(im, canonical, &why);
	if (!s) {
		notifier_refuse_for_want_of_room(im, server, why);
		return;
	}
	if (!notifier_open(&s->notifier, im, &package, &(struct notifier_start){ .server = server, .m = m })) {
		forget(s);
		return;
	}
	LOG(INFO, im->worker, "subscription", 0, "began user=%.*s event=" MESSAGE_SUMMARY_EVENT " expires=%u",
		SLICE_ARG(canonical), expires_s);
	notifier_accept(&s->notifier, server, expires_s);
}

void subscriptions_on_change(struct im *im, struct slice canonical)
{
	struct user *user = user_of(im, canonical);

	for (struct subscription *s = user ? user->subscriptions : NULL; s; s = s->next)
		if (!s->is_over && s->notifier.state == NOTIFIER_ACTIVE)
			notifier_changed(&s->notifier);
}

/* ---- per worker ---- */

int subscriptions_init(struct im *im)
{
	return pool_init(&im->subscriptions, "subscriptions", sizeof(struct subscription), SUBSCRIPTIONS_MAX);
}

void subscriptions_drain(struct im *im)
{
	for (uint32_t slot = 0; slot < im->subscriptions.made; slot++) {
		struct subscription *s = pool_at(&im->subscriptions, slot);
		if (s && !s->is_over)
			notifier_end(&s->notifier, "probation");
	}
}

/* The process ends: nobody is told any more, and no answer of the store comes. */
void subscriptions_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->subscriptions.made; slot++) {
		struct subscription *s = pool_at(&im->subscriptions, slot);
		if (!s)
			continue;
		s->notifier.notify = NULL;
		notifier_close(&s->notifier);
		forget(s);
	}
	pool_free(&im->subscriptions);
}
