/*
 * What the names in a retrieval stand for: messages in the mailbox of who asks, one question to the store
 * at a time; and whether a name that is none of them is somebody else's account.
 */
#include "actors/retrieval_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/retrieval_name.h"
#include "actors/store_actor.h"
#include "actors/user.h"
#include "core/log.h"
#include "core/store_deferred.h"

static void on_time(struct timer *timer)
{
	struct retrieval *r = (struct retrieval *)((char *)timer - offsetof(struct retrieval, timer));

	retrieval_refuse(r, 503, REASON_STORE_BUSY);
}

static uint64_t now_s(const struct retrieval *r)
{
	struct ring *ring = r->im->worker->ring;

	return ring->ops->wall_us(ring) / 1000000;
}

/* The request is the store's, or it was refused: then 503 was said. */
static void ask(struct retrieval *r, struct store_request *request,
	void (*on_answer)(struct worker *, struct store_request *))
{
	if (request) {
		request->on_answer = on_answer;
		request->asker = (void *)(uintptr_t)r->actor.id;
	}
	if (!request || store_ask(r->im->worker, request) != 0) {
		free(request);
		retrieval_refuse(r, 503, REASON_NO_MEMORY);
		return;
	}
	worker_arm(r->im->worker, &r->timer, RETRIEVAL_LOOKUP_MS, on_time);
}

/* NULL: it has ended meanwhile. */
static struct retrieval *answered(struct worker *worker, const struct store_request *request)
{
	struct retrieval *r = (struct retrieval *)actor_find(worker, (actor_id)(uintptr_t)request->asker);

	if (!r || !r->invite)
		return NULL;
	worker_disarm(worker, &r->timer);
	return r;
}

/* ---- messages ---- */

static void on_message_found(struct worker *worker, struct store_request *request);

static void find_message(struct retrieval *r)
{
	struct store_deferred_find *find = store_deferred_find_new(retrieval_user(r), slice_of(r->key, r->key_n), STORE_HEAD_ROOM);

	if (find)
		find->now_s = now_s(r);
	ask(r, find ? &find->request : NULL, on_message_found);
}

/* In the order of reception, each once (D2-04). */
static void take_message(struct retrieval *r, uint64_t position)
{
	unsigned at = r->count;

	while (at && r->positions[at - 1] > position)
		at--;
	if (at && r->positions[at - 1] == position)
		return;
	memmove(r->positions + at + 1, r->positions + at, (r->count - at) * sizeof(*r->positions));
	r->positions[at] = position;
	r->count++;
}

void retrieval_look_up_list(struct retrieval *r)
{
	while (r->next < r->list.count) {
		struct buffer key = buffer_over(r->key, sizeof(r->key));
		struct sip_uri uri;
		if (sip_uri_parse(r->list.uris[r->next++], &uri) && retrieval_key(r->im, &uri, &key)) {
			r->key_n = key.n;
			find_message(r);
			return;
		}
		COUNT(&r->im->worker->counters, retrieval_entries_skipped);
	}
	if (r->count || r->is_all)
		retrieval_accept(r);
	else
		retrieval_refuse(r, 404, REASON_MESSAGE_UNKNOWN);
}

static void look_for_account(struct retrieval *r);

static void on_message_found(struct worker *worker, struct store_request *request)
{
	struct store_deferred_find *find = (struct store_deferred_find *)request;
	struct retrieval *r = answered(worker, request);
	int err = request->msg.err;
	uint64_t position = err ? 0 : find->message.position;

	free(find);
	if (!r)
		return;
	if (!err) {
		take_message(r, position);
	} else if (err != ENOENT) {
		retrieval_refuse(r, 503, REASON_STORE);
		return;
	}
	if (r->has_looked) {
		if (err)
			COUNT(&worker->counters, retrieval_entries_skipped);
		retrieval_look_up_list(r);
	} else if (err) {
		look_for_account(r);
	} else {
		r->other_n = 0;
		retrieval_check(r);
	}
}

/* ---- somebody else's account ---- */

/* He is known: by his messages, his registration, or provisioning. */
static void on_counted(struct worker *worker, struct store_request *request)
{
	struct store_deferred_summary *summary = (struct store_deferred_summary *)request;
	struct retrieval *r = answered(worker, request);
	bool has_messages = !request->msg.err && summary->counts.messages;
	int err = request->msg.err;

	free(summary);
	if (!r)
		return;
	if (err) {
		retrieval_refuse(r, 503, REASON_STORE);
	} else if (has_messages) {
		retrieval_check(r);
	} else if (user_find(r->im, slice_of(r->other, r->other_n), false, r->actor.id) != 0) {
		retrieval_refuse(r, 503, REASON_NO_MEMORY);
	} else {
		worker_arm(worker, &r->timer, RETRIEVAL_LOOKUP_MS, on_time);
	}
}

void retrieval_on_found(struct retrieval *r, bool is_registered)
{
	worker_disarm(r->im->worker, &r->timer);
	if (is_registered)
		retrieval_check(r);
	else
		retrieval_refuse(r, 404, REASON_MESSAGE_UNKNOWN);
}

static void look_for_account(struct retrieval *r)
{
	struct store_deferred_summary *summary;

	if (r->other_n == 0) {
		retrieval_refuse(r, 404, REASON_MESSAGE_UNKNOWN);
		return;
	}
	if (r->target_is_known) {
		retrieval_check(r);
		return;
	}
	summary = store_deferred_summary_new(slice_of(r->other, r->other_n), 0);
	if (summary)
		summary->now_s = now_s(r);
	ask(r, summary ? &summary->request : NULL, on_counted);
}

void retrieval_look_up_target(struct retrieval *r, const struct sip_uri *target)
{
	struct buffer account = buffer_over(r->other, sizeof(r->other)), key = buffer_over(r->key, sizeof(r->key));

	r->other_n = retrieval_account(r->im, target, &account) ? account.n : 0;
	if (slice_eq(slice_of(r->other, r->other_n), retrieval_user(r))) {
		r->other_n = 0;
		r->is_all = true;
		retrieval_check(r);
	} else if (retrieval_key(r->im, target, &key)) {
		r->key_n = key.n;
		find_message(r);
	} else {
		retrieval_refuse(r, 404, REASON_MESSAGE_UNKNOWN);
	}
}
