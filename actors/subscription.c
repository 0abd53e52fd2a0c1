/* The life of a subscription, and its NOTIFYs; SUBSCRIBE is subscribe.c. */
#include "actors/subscription_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/message_summary.h"
#include "actors/store_actor.h"
#include "sip/write.h"

#define PACE_MS	 1000 /* D2-27: between two NOTIFYs that nobody asked for */
#define AGAIN_MS 5000 /* after the machine or the store said no */

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_subscriptions, pool_used(&im->subscriptions));
}

/* ---- the end ---- */

void subscription_free(struct subscription *s)
{
	struct user *user = s->user;
	struct im *im = s->im;

	if (user) {
		struct subscription **link = &user->subscriptions;
		while (*link != s)
			link = &(*link)->next;
		*link = s->next;
	}
	worker_disarm(im->worker, &s->expiry);
	worker_disarm(im->worker, &s->pace);
	if (s->notify)
		sip_client_forget(s->notify);
	if (s->dialog)
		sip_dialog_close(s->dialog);
	pool_give(&im->subscriptions, s);
	count(im);
	if (user)
		user_forget_if_empty(user);
}

/* Without another word: he is not there, or does not want it. */
static void drop(struct subscription *s, enum reason why, unsigned status)
{
	LOG(INFO, s->im->worker, "subscription", 0, "ended user=%.*s status=%u reason=%s", SLICE_ARG(user_name(s->user)),
		status, reason_label(why));
	s->state = SUBSCRIPTION_ENDING;
	s->end_reason = NULL;
	if (!s->is_asking) /* else when the answer comes home */
		subscription_free(s);
}

/* With a last NOTIFY. */
void subscription_end(struct subscription *s, const char *reason)
{
	if (s->state == SUBSCRIPTION_ENDING)
		return;
	s->state = SUBSCRIPTION_ENDING;
	s->end_reason = reason;
	s->is_due = true;
	worker_disarm(s->im->worker, &s->expiry);
	subscription_notify(s);
}

static void on_expired(struct timer *timer)
{
	subscription_end((struct subscription *)((char *)timer - offsetof(struct subscription, expiry)), "timeout");
}

/* ---- the beginning ---- */

static unsigned count_of(const struct user *user)
{
	unsigned n = 0;

	for (const struct subscription *s = user->subscriptions; s; s = s->next)
		n++;
	return n;
}

struct subscription *subscription_make(struct im *im, struct slice canonical, enum reason *why)
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
	s->im = im;
	s->user = user;
	s->next = user->subscriptions;
	user->subscriptions = s;
	count(im);
	return s;
}

void subscription_extend(struct subscription *s, uint32_t expires_s)
{
	s->expires_at_ms = worker_now_ms(s->im->worker) + (uint64_t)expires_s * 1000;
	worker_arm(s->im->worker, &s->expiry, (uint64_t)expires_s * 1000, on_expired);
}

/* ---- NOTIFY ---- */

static void on_pace(struct timer *timer)
{
	subscription_notify((struct subscription *)((char *)timer - offsetof(struct subscription, pace)));
}

/* Later, without harm: a NOTIFY tells how it is then. */
static void notify_again(struct subscription *s)
{
	s->is_due = true;
	worker_arm(s->im->worker, &s->pace, AGAIN_MS, on_pace);
}

static void on_answered(struct subscription *s, unsigned status)
{
	sip_client_forget(s->notify);
	s->notify = NULL;
	if (status >= 300) /* RFC 6665 4.2.2 */
		drop(s, REASON_REJECTED, status);
	else if (s->state == SUBSCRIPTION_ENDING && !s->is_changed)
		subscription_free(s);
	else if (s->is_changed)
		subscription_notify(s);
}

static void on_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct subscription *s = arg;

	(void)client;
	if (m->status < 200)
		return;
	if (m->status >= 300)
		REFUSED(&s->im->worker->counters, REASON_REJECTED);
	else
		COUNT(&s->im->worker->counters, notifies);
	on_answered(s, m->status);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct subscription *s = arg;

	(void)client;
	REFUSED(&s->im->worker->counters, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED);
	sip_client_forget(s->notify);
	s->notify = NULL;
	drop(s, status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED, status);
}

static const struct sip_client_events client_events = { on_response, on_failed, NULL };

void subscription_write_contact(const struct subscription *s, struct buffer *out, const struct sip_flow *flow)
{
	struct outgoing_self self = { slice_of(s->contact, sizeof(s->contact)), s->is_sips };

	buffer_lit(out, "Contact: <");
	outgoing_contact_uri(out, s->im, flow, self);
	buffer_lit(out, ">;automata;" IM_FEATURE_TAG "\r\n");
}

static unsigned left_s(const struct subscription *s)
{
	uint64_t now_ms = worker_now_ms(s->im->worker);

	return s->expires_at_ms > now_ms ? (unsigned)((s->expires_at_ms - now_ms + 999) / 1000) : 0;
}

static void write_headers(struct subscription *s, struct buffer *out)
{
	struct sip_flow flow = outgoing_flow(s->im, &s->dialog->next);

	sip_dialog_write(s->dialog, out, "NOTIFY", 0);
	buffer_lit(out, "Accept-Contact: *;" IM_FEATURE_TAG "\r\n"); /* D2-28 */
	subscription_write_contact(s, out, &flow);
	buffer_lit(out, "Event: " MESSAGE_SUMMARY_EVENT);
	if (s->event_id_n) {
		buffer_lit(out, ";id=");
		sip_write_text(out, slice_of(s->event_id, s->event_id_n));
	}
	if (s->state == SUBSCRIPTION_ACTIVE)
		buffer_printf(out, "\r\nSubscription-State: active;expires=%u\r\n", left_s(s));
	else
		buffer_printf(out, "\r\nSubscription-State: terminated;reason=%s\r\n", s->end_reason);
	outgoing_date(out, s->im->worker);
}

/* `summary` NULL: nothing is known, but that it is over must be said.  0 or ENOMEM. */
static int send_notify(struct subscription *s, const struct store_deferred_summary *summary)
{
	char headers_text[SIP_DIALOG_HEADERS_MAX + 2048];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));
	size_t room = summary ? message_summary_octets(s->im, summary) : 1;
	char *body_text = malloc(room);
	struct buffer body = buffer_over(body_text, room);

	if (!body_text)
		return ENOMEM;
	write_headers(s, &headers);
	if (summary)
		message_summary_write(&body, s->im, user_name(s->user), summary);
	struct sip_outgoing request = { .method = SLICE("NOTIFY"), .uri = sip_dialog_uri(s->dialog),
		.headers = buffer_slice(&headers), .content_type = summary ? SLICE(MESSAGE_SUMMARY_TYPE) : SLICE_EMPTY,
		.body = buffer_slice(&body), .target = s->dialog->next };
	int err = headers.overflow || body.overflow ? ENOMEM :
		  sip_client_send(&s->notify, s->im->worker, &request, &client_events, s);
	free(body_text);
	if (err) {
		s->notify = NULL;
		return err;
	}
	s->notified_at_ms = worker_now_ms(s->im->worker);
	if (s->state == SUBSCRIPTION_ENDING) /* this is the last, whatever changed meanwhile */
		s->is_changed = false;
	return 0;
}

static void on_summary(struct worker *worker, struct store_request *request)
{
	struct subscription *s = request->asker;
	int err = request->msg.err;

	s->is_asking = false;
	if (s->state == SUBSCRIPTION_ENDING && !s->end_reason) { /* dropped meanwhile */
		free(request);
		subscription_free(s);
		return;
	}
	if (err) {
		REFUSED(&worker->counters, REASON_STORE);
		LOG(WARN, worker, "subscription", 0, "mailbox-unreadable user=%.*s error=\"%s\" reason=%s",
			SLICE_ARG(user_name(s->user)), strerror(err), reason_label(REASON_STORE));
	}
	if (!err)
		err = send_notify(s, (struct store_deferred_summary *)request);
	else if (s->state == SUBSCRIPTION_ENDING)
		err = send_notify(s, NULL);
	free(request);
	if (err && s->state == SUBSCRIPTION_ENDING)
		drop(s, REASON_NO_MEMORY, 0);
	else if (err)
		notify_again(s);
}

static int ask(struct subscription *s)
{
	struct store_deferred_summary *summary = store_deferred_summary_new(user_name(s->user), MESSAGE_SUMMARY_ROOM);

	if (!summary)
		return ENOMEM;
	summary->now_s = user_unix_s(s->im->worker);
	summary->most = MESSAGE_SUMMARY_MAX;
	summary->request.on_answer = on_summary;
	summary->request.asker = s;
	s->is_asking = true;
	(void)store_ask(s->im->worker, &summary->request); /* reads are never refused */
	return 0;
}

void subscription_notify(struct subscription *s)
{
	uint64_t now_ms = worker_now_ms(s->im->worker), next_ms = s->notified_at_ms + PACE_MS;

	s->is_changed = s->is_asking || s->notify;
	if (s->is_changed)
		return;
	if (!s->is_due && now_ms < next_ms) {
		worker_arm(s->im->worker, &s->pace, next_ms - now_ms, on_pace);
		return;
	}
	worker_disarm(s->im->worker, &s->pace);
	s->is_due = false;
	if (ask(s) == 0)
		return;
	if (s->state == SUBSCRIPTION_ENDING)
		drop(s, REASON_NO_MEMORY, 0);
	else
		notify_again(s);
}

void subscriptions_on_change(struct im *im, struct slice canonical)
{
	struct user *user = user_of(im, canonical);

	for (struct subscription *s = user ? user->subscriptions : NULL; s; s = s->next)
		if (s->state == SUBSCRIPTION_ACTIVE)
			subscription_notify(s);
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
		if (s)
			subscription_end(s, "probation");
	}
}

/* The process ends: nobody is told any more, and no answer of the store comes. */
void subscriptions_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->subscriptions.made; slot++) {
		struct subscription *s = pool_at(&im->subscriptions, slot);
		if (!s)
			continue;
		s->notify = NULL;
		subscription_free(s);
	}
	pool_free(&im->subscriptions);
}
