/*
 * A push's life: begun by a trigger, its turn, what the user wants and has, the
 * call, the end.
 */
#include "actors/push_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/session_sdp.h"
#include "core/log.h"
#include "sip/write.h"

#define PUSHES_MAX (1u << 20) /* a user has one, a worker that many users */
#define LOOKUP_MS  5000
#define LOOKING_MS 60000 /* the store is behind in a login storm, but it answers */

/* How many begin in one turn of the clock.  A worker that is busy has other users to serve first. */
#define BEGIN_AT_ONCE   16
#define BEGIN_AFTER_MS  1
#define BUSY_THOUSANDTHS 700
#define BEGIN_WHEN_BUSY_MS 4
#define PACED_MAX 64 /* begun ones that wait for deferred.push_rate: more would only hold sessions open */

static void begin_more(struct push_table *table);

/* ---- the table ---- */

static uint64_t hash_of_name(const struct push_table *table, struct slice name)
{
	return siphash(&table->key, name);
}

static uint64_t hash_of(const void *item, const void *arg)
{
	return hash_of_name(arg, push_name(item));
}

static struct push *find(const struct push_table *table, struct slice name)
{
	struct push *push = chains_first(&table->by_name, hash_of_name(table, name));

	while (push && !slice_eq(push_name(push), name))
		push = push->table_next;
	return push;
}

static void count(const struct push_table *table)
{
	gauge_set(&table->pace.im->worker->counters, GAUGE_pushes, table->by_name.used);
}

static void on_message(struct actor *actor, struct msg *msg);
static const struct actor_type push_type = { "push", on_message };
static void on_turn(struct push_turn *turn);

static struct push *push_make(struct im *im, struct slice canonical, enum push_cause cause)
{
	struct push_table *table = im->pushes;
	struct push *push = table->by_name.used < PUSHES_MAX ? calloc(1, sizeof(*push) + canonical.n) : NULL;

	if (!push || actor_open(im->worker, &push->actor, &push_type) != 0) {
		free(push);
		return NULL;
	}
	push->im = im;
	push->cause = cause;
	push->turn.on_turn = on_turn;
	push->canonical_n = (uint16_t)canonical.n;
	memcpy(push->canonical, canonical.p, canonical.n);
	chains_add(&table->by_name, push);
	LIST_INSERT_HEAD(&table->all, push, of_worker);
	TAILQ_INSERT_TAIL(&table->waiting, push, link);
	count(table);
	return push;
}

static void push_free(struct push *push)
{
	struct push_table *table = push->im->pushes;

	if (push->state == PUSH_WAITING)
		TAILQ_REMOVE(&table->waiting, push, link);
	else
		table->under_way--;
	worker_disarm(push->im->worker, &push->deadline);
	push_pace_leave(&table->pace, &push->turn);
	push_message_free(push->message);
	mailbox_leave(push->im, push->visit);
	chains_remove(&table->by_name, push);
	count(table);
	LIST_REMOVE(push, of_worker);
	actor_close(&push->actor);
	free(push->found);
	free(push);
}

void push_end(struct push *push, const char *why)
{
	struct push_table *table = push->im->pushes;
	struct virtual_user_agent *agent = push->agent;

	LOG(INFO, push->im->worker, "push", push->actor.id, "ended why=%s", why);
	if (push->delivery)
		delivery_stop(push->delivery);
	if (agent)
		virtual_user_agent_end(agent, push->delivery ? why : NULL);
	push_free(push);
	begin_more(table);
}

/* It may have looked before he was registered, or before something was stored, which is why it was asked again. */
void push_over(struct push *push, const char *why)
{
	struct im *im = push->im;
	enum push_cause cause = push->next_cause;
	bool is_asked_again = push->is_asked_again;
	char name[IM_CANONICAL_MAX];
	struct slice canonical = slice_of(name, push->canonical_n);

	memcpy(name, push->canonical, push->canonical_n);
	push_end(push, why);
	if (is_asked_again)
		push_start(im, canonical, cause);
}

/* It waits for the next trigger (D2-26).  That was there already if he registered anew meanwhile: a client that starts
 * again is silent where it was. */
void push_fail(struct push *push, enum reason why)
{
	bool is_his_word = why == REASON_REJECTED || why == REASON_MSRP_CONTENT_TYPE;
	bool is_ours = why == REASON_NO_MEMORY || why == REASON_STORE || why == REASON_DRAINING;

	if (push->next_cause == PUSH_REGISTERED && !is_his_word && !is_ours)
		push_over(push, reason_label(why));
	else
		push_end(push, reason_label(why));
}

static void fail(struct push *push, enum reason why)
{
	REFUSED(&push->im->worker->counters, why);
	push_fail(push, why);
}

static void on_late(struct timer *timer)
{
	fail((struct push *)((char *)timer - offsetof(struct push, deadline)), REASON_TIMEOUT);
}

/* ---- the call ---- */

/* A silence, or nobody there: another contact may be. */
static bool is_unreachable(unsigned status)
{
	return status == 408 || status == 430 || status == 480 || status == 503;
}

/* One who signals over TLS may take messages only so too.  What is offered first is what all clients understand; an
 * operator who wants no other has no listener for it. */
static bool may_be_secure(const struct push *push)
{
	const struct user_find *found = push->found;
	struct worker *worker = push->im->worker;

	return push->im->config->core.mode == MODE_STANDALONE && push->secure_contact != push->next_contact &&
	       found->contacts[(push->next_contact - 1) % found->contact_count].flow.protocol == SIP_TLS &&
	       (msrp_leg_has_listener(worker, AF_INET, true) || msrp_leg_has_listener(worker, AF_INET6, true));
}

static void on_refused(struct virtual_user_agent *agent, const struct virtual_user_agent_refusal *refusal, void *arg)
{
	struct push *push = arg;
	unsigned status = refusal->received;

	(void)agent;
	push->agent = NULL;
	worker_disarm(push->im->worker, &push->deadline);
	LOG(INFO, push->im->worker, "push", push->actor.id, "refused status=%u", status);
	if (status == 488 && may_be_secure(push)) {
		push->secure_contact = push->next_contact--; /* the same once more */
		push_try_next(push);
	} else if (is_unreachable(status)) {
		push_try_next(push);
	} else {
		fail(push, REASON_REJECTED); /* D2-26: all stays, until the next trigger */
	}
}

static void on_silent(struct timer *timer)
{
	struct push *push = (struct push *)((char *)timer - offsetof(struct push, deadline));
	struct virtual_user_agent *agent = push->agent;

	push->agent = NULL;
	virtual_user_agent_end(agent, NULL); /* CANCEL */
	REFUSED(&push->im->worker->counters, REASON_TIMEOUT);
	LOG(INFO, push->im->worker, "push", push->actor.id, "refused reason=%s", reason_label(REASON_TIMEOUT));
	push_try_next(push);
}

static void on_done(const struct delivery_outcome *outcome, void *arg)
{
	struct push *push = arg;
	struct virtual_user_agent *agent = push->agent;

	push->delivery = NULL;
	push->agent = NULL;
	if (outcome->is_complete)
		COUNT(&push->im->worker->counters, pushes_completed);
	virtual_user_agent_end(agent, outcome->is_complete ? NULL : reason_label(outcome->why));
	if (outcome->is_complete)
		push_over(push, "complete");
	else
		push_fail(push, outcome->why);
}

static const struct delivery_events delivery_events = { on_done };

static void on_answered(struct virtual_user_agent *agent, const struct session_peer *said, void *arg)
{
	struct push *push = arg;
	struct delivery_start start = { .canonical = push_name(push), .leg = virtual_user_agent_leg(agent),
		.is_paced = true, .events = &delivery_events, .arg = push };

	worker_disarm(push->im->worker, &push->deadline);
	push->state = PUSH_DELIVERING;
	(void)slice_u64(slice_trim(said->media->max_size), UINT64_MAX, &start.max_octets); /* unsaid: any */
	if (!delivery_is_acceptable(said->media)) { /* D2-23 */
		push->agent = NULL;
		virtual_user_agent_end(agent, "the content types of the messages are not accepted");
		fail(push, REASON_MSRP_CONTENT_TYPE);
	} else if (!delivery_start(&push->delivery, push->im, &start)) {
		push->agent = NULL;
		virtual_user_agent_end(agent, NULL);
		fail(push, REASON_NO_MEMORY);
	}
}

static void on_bound(struct virtual_user_agent *agent, void *arg)
{
	struct push *push = arg;

	(void)agent;
	delivery_go(push->delivery);
}

/* D2-24: the rest waits for the next trigger. */
static void on_lost(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	(void)agent;
	fail(arg, why);
}

static void on_ended(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	struct push *push = arg;

	(void)agent;
	if (push->delivery)
		delivery_stop(push->delivery);
	push->delivery = NULL;
	push->agent = NULL; /* it says its BYE alone */
	fail(push, why);
}

static const struct virtual_user_agent_events agent_events = { .on_bound = on_bound, .on_lost = on_lost,
	.on_ended = on_ended, .on_answered = on_answered, .on_refused = on_refused };

/* False: it could not be sent. */
static bool call(struct push *push, const struct user_contact *contact)
{
	struct im *im = push->im;
	char user_text[IM_CANONICAL_MAX + 8], to_text[IM_CANONICAL_MAX + 8], from_text[320];
	struct buffer user = buffer_over(user_text, sizeof(user_text)), to = buffer_over(to_text, sizeof(to_text)),
		      from = buffer_over(from_text, sizeof(from_text));

	buffer_lit(&user, "sip:");
	sip_write_text(&user, push_name(push));
	buffer_printf(&to, "<%.*s>", SLICE_ARG(buffer_slice(&user)));
	buffer_printf(&from, "<sip:Deferred@%s>", im->config->domain.store_host);
	if (user.overflow || to.overflow || from.overflow)
		return false;
	struct virtual_user_agent_call asked = { .uri = buffer_slice(&user), .local = buffer_slice(&from),
		.remote = buffer_slice(&to), .asserted = slice_of(from_text + 1, from.n - 2), .user = push_name(push),
		.media = { .direction = SDP_SENDONLY, .accept_wrapped_types = "*",
			.accept_types = "multipart/mixed message/sip message/sipfrag message/msrpfrag" },
		.is_secure = contact && push->secure_contact == push->next_contact, .events = &agent_events,
		.arg = push };
	if (contact) {
		asked.uri = slice_of(contact->uri, contact->uri_n);
		asked.path = slice_of(contact->path, contact->path_n);
		asked.target = (struct sip_target){ .has_flow = true, .flow_only = true, .flow = contact->flow };
	} else {
		asked.target = im_next_hop(im);
	}
	if (!virtual_user_agent_call(&push->agent, im, &asked))
		return false;
	push->state = PUSH_CALLING;
	worker_arm(im->worker, &push->deadline, im->config->timers.client_answer_ms, on_silent);
	return true;
}

static bool has_fallback(const struct im *im)
{
	return im->config->core.mode == MODE_STANDALONE && im->config->deferred.fallback == FALLBACK_MESSAGE;
}

/* The best that understands a push, then the best ordinary one. */
static const struct user_contact *next_contact(struct push *push)
{
	const struct user_find *found = push->found;

	while (push->next_contact < 2 * found->contact_count) {
		unsigned i = push->next_contact++;
		const struct user_contact *contact = &found->contacts[i % found->contact_count];
		if (i < found->contact_count ? contact->has_feature_tag : !contact->has_feature_tag && has_fallback(push->im))
			return contact;
	}
	return NULL;
}

static bool has_contact(struct push *push)
{
	bool has = next_contact(push) != NULL;

	push->next_contact = 0;
	return has;
}

/* Where is he?  Also when all whom he named before are gone, and he has named another since. */
static void look_up(struct push *push)
{
	free(push->found);
	push->found = NULL;
	push->has_come_again = false;
	push->next_contact = push->secure_contact = 0;
	push->state = PUSH_LOOKUP;
	worker_arm(push->im->worker, &push->deadline, LOOKUP_MS, on_late);
	if (user_find(push->im, push_name(push), false, push->actor.id) != 0)
		fail(push, REASON_NO_MEMORY);
}

void push_try_next(struct push *push)
{
	const struct user_contact *contact;
	bool is_sent;

	if (push->im->config->core.mode == MODE_IMS) {
		if (push->next_contact++ || !call(push, NULL))
			fail(push, REASON_CONNECT_FAILED);
		return;
	}
	while ((contact = next_contact(push))) {
		is_sent = contact->has_feature_tag ? call(push, contact) : push_message_begin(push, contact);
		if (is_sent)
			return;
	}
	if (push->has_come_again)
		look_up(push);
	else
		fail(push, REASON_CONNECT_FAILED);
}

/* ---- is there something to push? ---- */

static void on_turn(struct push_turn *turn)
{
	struct push *push = (struct push *)((char *)turn - offsetof(struct push, turn));

	COUNT(&push->im->worker->counters, pushes_begun);
	push_try_next(push);
}

static void on_looked(struct push *push, struct mailbox_lease *lease)
{
	unsigned count = lease->count;
	int err = lease->msg.err;

	worker_disarm(push->im->worker, &push->deadline);
	mailbox_lease_free(lease);
	mailbox_leave(push->im, push->visit); /* a retrieval may have it while he is being called */
	push->visit = NULL;
	if (err) {
		fail(push, REASON_STORE);
		return;
	}
	if (!count) {
		push_over(push, "nothing-stored");
		return;
	}
	push->state = PUSH_PACED;
	push->turn.on_turn = on_turn; /* MESSAGEs to another contact may have taken it */
	if (push_pace_take(&push->im->pushes->pace, &push->turn))
		on_turn(&push->turn);
}

static void look(struct push *push)
{
	push->state = PUSH_LOOKING;
	worker_arm(push->im->worker, &push->deadline, LOOKING_MS, on_late);
	push->visit = mailbox_enter(push->im, push_name(push), push->actor.id);
	if (!push->visit || mailbox_lease(push->im, push->visit, 0, 1) != 0)
		fail(push, REASON_NO_MEMORY);
}

/* ---- does he want it? ---- */

static bool pushes_on_register(const struct im *im)
{
	switch (im->config->deferred.push_on_register) {
	case PUSH_TRUE:
		return true;
	case PUSH_FALSE:
		return false;
	case PUSH_AUTO:
		break;
	}
	return im->config->core.mode == MODE_STANDALONE;
}

/* D2-25; design.md 13, "Push in standalone". */
static bool is_wanted(const struct push *push)
{
	const struct user_settings *settings = &push->found->settings;
	bool on_register = pushes_on_register(push->im) &&
			   (settings->offline_delivery || !settings->has_offline_delivery);

	switch (push->cause) {
	case PUSH_PUBLISHED:
		return settings->offline_delivery;
	case PUSH_REGISTERED:
		return on_register;
	case PUSH_STORED:
		break;
	}
	return on_register || settings->offline_delivery;
}

static void on_found(struct push *push)
{
	bool is_ims = push->im->config->core.mode == MODE_IMS;

	worker_disarm(push->im->worker, &push->deadline);
	if (!push->found->is_registered)
		push_over(push, "not-registered");
	else if (!is_wanted(push))
		push_over(push, "not-wanted");
	else if (!is_ims && !has_contact(push))
		push_over(push, "no-contact-for-it");
	else
		look(push);
}

static void on_message(struct actor *actor, struct msg *msg)
{
	struct push *push = (struct push *)actor;

	if (msg->kind == MSG_USER_FOUND && push->state == PUSH_LOOKUP && !push->found) {
		push->found = (struct user_find *)msg;
		on_found(push);
	} else if (msg->kind == MSG_MAILBOX_LEASED && push->state == PUSH_LOOKING) {
		on_looked(push, (struct mailbox_lease *)msg);
	} else {
		assert(push->state == PUSH_MESSAGING);
		push_message_on_mailbox(push, msg);
	}
}

/* ---- beginning ---- */

static void begin(struct push *push)
{
	struct push_table *table = push->im->pushes;

	TAILQ_REMOVE(&table->waiting, push, link);
	table->under_way++;
	look_up(push);
}

static bool may_begin(const struct push_table *table)
{
	return !TAILQ_EMPTY(&table->waiting) && table->under_way < PUSHES_UNDER_WAY && table->pace.count < PACED_MAX;
}

static void on_next(struct timer *timer)
{
	struct push_table *table = (struct push_table *)((char *)timer - offsetof(struct push_table, next));
	bool is_busy = table->pace.im->worker->load.thousandths > BUSY_THOUSANDTHS;

	for (unsigned i = is_busy ? BEGIN_AT_ONCE - 1 : 0; i < BEGIN_AT_ONCE && may_begin(table); i++)
		begin(TAILQ_FIRST(&table->waiting));
	begin_more(table);
}

static void begin_more(struct push_table *table)
{
	struct worker *worker = table->pace.im->worker;

	if (!may_begin(table) || timer_is_armed(&table->next)) /* when it is too many, the next end begins another */
		return;
	worker_arm(worker, &table->next,
		worker->load.thousandths > BUSY_THOUSANDTHS ? BEGIN_WHEN_BUSY_MS : BEGIN_AFTER_MS, on_next);
}

void push_start(struct im *im, struct slice canonical, enum push_cause cause)
{
	struct push_table *table = im->pushes;
	struct push *push = find(table, canonical);

	if (table->is_draining || atomic_load_explicit(&im->server->is_draining, memory_order_relaxed) ||
	    (cause == PUSH_REGISTERED && !pushes_on_register(im)))
		return;
	if (push && push->state == PUSH_WAITING && cause == PUSH_PUBLISHED)
		push->cause = cause; /* the last word on what he wants is his settings */
	if (push && push->state != PUSH_WAITING) {
		push->is_asked_again = true;
		push->next_cause = cause;
	}
	if (push) {
		push->has_come_again = push->found != NULL;
		return;
	}
	push = push_make(im, canonical, cause);
	if (!push) {
		REFUSED(&im->worker->counters, REASON_NO_MEMORY);
		LOG(WARN, im->worker, "push", 0, "not-begun reason=%s", reason_label(REASON_NO_MEMORY));
		return;
	}
	LOG(DEBUG, im->worker, "push", push->actor.id, "begun user=%.*s", SLICE_ARG(canonical));
	begin_more(table);
}

/* ---- per worker ---- */

int pushes_init(struct im *im)
{
	struct push_table *table = calloc(1, sizeof(*table));

	if (!table)
		return ENOMEM;
	worker_random(im->worker, &table->key, sizeof(table->key));
	if (chains_init(&table->by_name, PUSHES_MAX, offsetof(struct push, table_next), hash_of, table) != 0) {
		free(table);
		return ENOMEM;
	}
	TAILQ_INIT(&table->waiting);
	push_pace_init(&table->pace, im);
	im->pushes = table;
	return 0;
}

void pushes_drain(struct im *im)
{
	struct push_table *table = im->pushes;
	struct push *push, *following;

	table->is_draining = true;
	for (push = LIST_FIRST(&table->all); push; push = following) {
		following = LIST_NEXT(push, of_worker);
		if (push->state < PUSH_CALLING || push->state == PUSH_MESSAGING)
			push_end(push, reason_label(REASON_DRAINING));
	}
}

void pushes_free(struct im *im)
{
	struct push_table *table = im->pushes;
	struct push *push;

	if (!table)
		return;
	deliveries_free(im);
	while ((push = LIST_FIRST(&table->all))) {
		push->delivery = NULL;
		push_message_forget_client(push->message);
		push_free(push);
	}
	worker_disarm(im->worker, &table->next);
	push_pace_free(&table->pace);
	chains_free(&table->by_name);
	free(table);
	im->pushes = NULL;
}
