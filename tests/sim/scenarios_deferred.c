/* Deferred messages in the simulator: users who come and go, clients that are silent, a store that fails. What got its
 * 202 is in the store or was delivered (ua_check()). */
#include <assert.h>
#include <stdlib.h>

#include "actors/mailbox.h"
#include "core/store_deferred.h"
#include "sip/owner.h"
#include "tests/sim/scenario.h"
#include "tests/sim/store_sim.h"
#include "tests/sim/ua_internal.h"

#define USERS 4
#define STEPS 24

static bool is_honest(unsigned status)
{
	return status == 200 || status == 202 || status == 480 || status == 503 || status == 408;
}

static void come_or_go(struct world *w, struct ua *user)
{
	expect_final(ua_register(user, world_chance(w, 60) ? 600 : 0));
}

static void change_manners(struct world *w, struct ua *user)
{
	static const unsigned away[] = { 408, 480, 430, 503 };

	user->manners.refuse_pager = world_chance(w, 30) ? away[world_below(w, 4)] : 0;
	user->manners.holds_pagers = world_chance(w, 30);
	if (!user->manners.holds_pagers)
		ua_release_pagers(user);
}

static void live(struct world *w, struct ua *users[USERS])
{
	static const char names[USERS][8] = { "alice", "bob", "carol", "dave" };
	struct message *messages[STEPS];
	unsigned sent = 0;

	for (unsigned i = 0; i < USERS; i++) {
		users[i] = ua_new(w, names[i]);
		users[i]->manners.is_ordinary = true;
	}
	for (unsigned i = 0; i < STEPS; i++) {
		struct ua *from = users[world_below(w, USERS)], *to = users[world_below(w, USERS)];
		if (world_chance(w, 25))
			come_or_go(w, to);
		else if (world_chance(w, 25))
			change_manners(w, to);
		else if (from != to)
			messages[sent++] = ua_pager(from, to, 1 + world_below(w, 1000));
		world_moment(w, world_chance(w, 10) ? 30000000 : 200000);
	}
	for (unsigned i = 0; i < USERS; i++)
		ua_release_pagers(users[i]);
	for (unsigned i = 0; i < sent; i++) {
		expect_final(messages[i]->request);
		if (!is_honest(messages[i]->request->status))
			world_miss(w, "a message gets %u", messages[i]->request->status);
	}
}

SCENARIO(deferred, "users who come and go, and clients that are silent or away", .may_repeat = true)
{
	struct ua *users[USERS];

	live(w, users);
}

SCENARIO(deferred_store_fails, "the same with a store that loses a fifth of its groups", .may_repeat = true,
	.store_fails = 200)
{
	struct ua *users[USERS];

	live(w, users);
}

static bool all_have_all(void *arg)
{
	struct ua **users = arg;

	for (unsigned i = 0; i < USERS; i++)
		if (world_stored_count(users[i]->host->world, users[i]->name))
			return false;
	return true;
}

/* By MESSAGE: the clients are ordinary ones. */
SCENARIO(deferred_push, "users who come back get what waits for them", .may_repeat = true, .is_calm = true,
	.set = { "deferred.push_on_register=true" })
{
	struct ua *users[USERS];

	live(w, users);
	for (unsigned i = 0; i < USERS; i++) {
		users[i]->manners.refuse_pager = 0;
		users[i]->manners.holds_pagers = false;
		ua_release_pagers(users[i]);
		expect_final(ua_register(users[i], 600));
	}
	if (!world_until(w, all_have_all, users, 120000) && world_is_strict(w))
		world_miss(w, "not all is delivered");
}

SCENARIO(deferred_login_race, "who comes back while a message is being stored for him gets it", .may_repeat = true,
	.is_calm = true, .set = { "deferred.push_on_register=true" })
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");

	bob->manners.is_ordinary = true;
	store_sim_stall(w->im.store, world_below(w, 3000));
	struct message *message = ua_pager(alice, bob, 1 + world_below(w, 1000));
	world_ms(w, world_below(w, 50));
	struct request *registration = ua_register(bob, 600);
	expect_status(registration, 200);
	expect_final(message->request);
	struct ua *all[USERS] = { bob, bob, bob, bob };
	if (!world_until(w, all_have_all, all, 60000) && world_is_strict(w))
		world_miss(w, "a message waits for one who is there");
	if (message->request->status / 100 != 2 || message->deliveries == 0)
		world_miss(w, "a message gets %u and arrives %u times", message->request->status, message->deliveries);
}

SCENARIO(deferred_late, "a silent client that answers after its message was stored: no copy is left", .may_repeat = true,
	.is_calm = true, .set = { "timers.client_answer=2s" })
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct message *messages[4];

	bob->manners.holds_pagers = true;
	for (unsigned i = 0; i < 4; i++)
		messages[i] = ua_pager(alice, bob, 1 + world_below(w, 1000));
	/* sometimes when it is just being stored */
	world_ms(w, 1990 + world_below(w, world_chance(w, 70) ? 40 : 20000));
	ua_release_pagers(bob);
	for (unsigned i = 0; i < 4; i++) {
		expect_final(messages[i]->request);
		if (messages[i]->request->status / 100 != 2)
			world_miss(w, "a message gets %u", messages[i]->request->status);
	}
	world_ms(w, 1000);
	if (world_stored_count(w, "bob") && world_is_strict(w))
		world_miss(w, "%u copies are left of what arrived", world_stored_count(w, "bob"));
}

SCENARIO(deferred_disk_hangs, "a disk that hangs longer than a sender waits: no false 202, and no copy afterwards",
	.is_calm = true, .set = { "timers.client_answer=2s" })
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *carol = ua_new(w, "carol");
	bool is_silent = world_chance(w, 50);

	bob->manners.holds_pagers = true;
	if (is_silent) { /* he has it after all, while it is being stored */
		struct message *message = ua_pager(alice, bob, 100);
		world_ms(w, 1500);
		store_sim_stall(w->im.store, 25000);
		world_ms(w, 1000 + world_below(w, 15000));
		if (message->request->status)
			world_miss(w, "a message gets %u before anything is known", message->request->status);
		ua_release_pagers(bob);
		expect_pager(message, 200);
	} else {
		store_sim_stall(w->im.store, 25000);
		expect_pager(ua_pager(alice, carol, 100), 503);
	}
	world_ms(w, 40000);
	if (world_stored_count(w, "bob") + world_stored_count(w, "carol"))
		world_miss(w, "a copy is left of what nobody was promised");
}

/* ---- who may deliver what ---- */

#define VISITORS 5
#define MESSAGES 30

struct lease_test {
	struct world *w;
	struct slice mailbox;
	uint64_t positions[MESSAGES];
	struct visitor *holder[MESSAGES]; /* as the visitors see it */
	bool is_removed[MESSAGES];        /* as one of them was told */
	bool is_delivered[MESSAGES];
	bool is_doomed[MESSAGES];         /* to be removed, whoever has it */
};

struct visitor {
	struct actor actor;
	struct lease_test *test;
	struct im *im;
	struct mailbox_visit *visit;
	bool is_asking;
	uint64_t after;
	unsigned ending; /* answers to come */
};

static unsigned index_of(const struct lease_test *t, uint64_t position)
{
	for (unsigned i = 0; i < MESSAGES; i++)
		if (t->positions[i] == position)
			return i;
	world_fail(t->w, "a message at position %llu that nobody put there", (unsigned long long)position);
}

static void on_leased(struct visitor *v, struct mailbox_lease *lease)
{
	uint64_t before = v->after;

	v->is_asking = false;
	for (unsigned i = 0; i < lease->count; i++) {
		unsigned which = index_of(v->test, lease->messages[i]->position);
		if (v->test->holder[which])
			world_fail(v->test->w, "message %u is handed out twice", which);
		if (v->test->is_removed[which])
			world_fail(v->test->w, "message %u is handed out after it was removed", which);
		if (lease->messages[i]->position <= before)
			world_fail(v->test->w, "message %u is out of order", which);
		before = lease->messages[i]->position;
		v->test->holder[which] = v;
	}
	if (lease->msg.err == 0)
		v->after = lease->is_last ? 0 : lease->last;
	mailbox_lease_free(lease);
}

/* Of those that were delivered nobody gets one before that is true. */
static void on_ended(struct visitor *v, struct mailbox_end *end)
{
	v->ending--;
	for (unsigned i = 0; i < end->count; i++) {
		unsigned which = index_of(v->test, end->positions[i]);
		v->test->is_removed[which] |= end->is_delivered && end->msg.err == 0;
	}
	free(end);
}

static void on_visitor_message(struct actor *actor, struct msg *msg)
{
	struct visitor *v = (struct visitor *)actor;

	if (msg->kind == MSG_MAILBOX_LEASED)
		on_leased(v, (struct mailbox_lease *)msg);
	else
		on_ended(v, (struct mailbox_end *)msg);
}

static const struct actor_type visitor_type = { "visitor", on_visitor_message };

static void visitor_begin(struct visitor *v, struct lease_test *t)
{
	struct worker *worker = t->w->group.workers[world_below(t->w, t->w->group.count)];

	memset(v, 0, sizeof(*v));
	v->test = t;
	v->im = im_of(worker);
	assert(actor_open(worker, &v->actor, &visitor_type) == 0);
	v->visit = mailbox_enter(v->im, t->mailbox, v->actor.id);
	assert(v->visit);
}

static void visitor_leave(struct visitor *v)
{
	for (unsigned i = 0; i < MESSAGES; i++)
		if (v->test->holder[i] == v)
			v->test->holder[i] = NULL;
	mailbox_leave(v->im, v->visit);
	actor_close(&v->actor);
}

static void visitor_end_some(struct visitor *v)
{
	bool is_delivered = world_chance(v->test->w, 15);
	uint64_t positions[MAILBOX_LEASE_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < MESSAGES && count < MAILBOX_LEASE_MAX; i++) {
		if (v->test->holder[i] != v || world_chance(v->test->w, 50))
			continue;
		v->test->holder[i] = NULL;
		v->test->is_delivered[i] |= is_delivered;
		positions[count++] = v->test->positions[i];
	}
	if (count && mailbox_end(v->im, v->visit, positions, count, is_delivered) == 0)
		v->ending++;
}

/* Its owner deletes it, or it turned out that it had arrived. */
static void remove_one(struct visitor *v)
{
	unsigned which = world_below(v->test->w, MESSAGES);

	if (mailbox_remove(v->im, v->test->mailbox, &v->test->positions[which], 1, 0) == 0)
		v->test->is_doomed[which] = true;
}

static void visitor_act(struct visitor *v)
{
	struct lease_test *t = v->test;
	unsigned draw = world_below(t->w, 100);

	if (draw < 8) {
		visitor_leave(v); /* whatever is under way for it */
		visitor_begin(v, t);
	} else if (draw < 50 && !v->is_asking) {
		int err = draw < 15 ? mailbox_lease_one(v->im, v->visit, t->positions[world_below(t->w, MESSAGES)]) :
				      mailbox_lease(v->im, v->visit, v->after, 1 + world_below(t->w, 6));
		if (draw < 15)
			v->after = 0;
		v->is_asking = err == 0;
	} else if (draw < 53) {
		remove_one(v);
	} else {
		visitor_end_some(v);
	}
}

static void put_messages(struct world *w, struct lease_test *t)
{
	struct store *store = store_sim_database(w->im.store);
	char id[40];

	for (unsigned i = 0; i < MESSAGES; i++) {
		struct store_deferred message = { .type = STORE_PAGER, .size = 5, .content = SLICE("hello"),
			.head = SLICE("MESSAGE sip:bob@example.com SIP/2.0\r\n"), .expires_at_s = INT64_MAX };
		message.id = slice_of(id, (size_t)snprintf(id, sizeof(id), "message-%016u", i));
		struct store_deferred_put *put = store_deferred_put_new(STORE_DEFERRED_PUT, t->mailbox, &message);
		assert(put);
		store_begin(store);
		store_execute(store, &put->request);
		(void)store_commit(store);
		assert(put->request.msg.err == 0);
		t->positions[i] = put->message.position;
		free(put);
	}
}

static void visit(struct world *w)
{
	struct lease_test t = { .w = w, .mailbox = SLICE("bob@example.com") };
	struct visitor visitors[VISITORS];
	unsigned left = 0;

	put_messages(w, &t);
	for (unsigned i = 0; i < VISITORS; i++)
		visitor_begin(&visitors[i], &t);
	for (unsigned i = 0; i < 400; i++) {
		visitor_act(&visitors[world_below(w, VISITORS)]);
		if (world_chance(w, 60))
			world_moment(w, 40000);
	}
	for (unsigned i = 0; i < VISITORS; i++)
		visitor_leave(&visitors[i]);
	world_ms(w, 2000);
	for (unsigned i = 0; i < MESSAGES; i++)
		left += !t.is_delivered[i] && !t.is_doomed[i];
	if (world_stored_count(w, "bob") < left)
		world_fail(w, "%u messages are left, %u were delivered to nobody", world_stored_count(w, "bob"), left);
	if (!w->scenario->store_fails && !w->is_memory_short && world_stored_count(w, "bob") != left)
		world_fail(w, "%u messages are left, should be %u", world_stored_count(w, "bob"), left);
}

SCENARIO(deferred_leases, "many who want to deliver the same mailbox, and leave at any time")
{
	visit(w);
}

SCENARIO(deferred_leases_store_fails, "the same with a store that loses a fifth of its groups", .store_fails = 200)
{
	visit(w);
}
