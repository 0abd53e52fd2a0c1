/*
 * actors/conference_state.c, conference_notify.c: whatever happens in a conference and whenever each watcher may be told,
 * what his documents make together is what is there.  The notifier (RFC 6665) and groups are played here.
 */
#include "actors/conference_state.h"

#include "actors/group.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/xml.h"
#include "tests/unit/test.h"

#define USERS    200 /* more than are remembered when they go */
#define WATCHERS 12
#define STEPS    2000

static struct worker worker;
static struct worker_group workers;
static struct im im;
static struct config config;
static bool group_lets_see;

/* One who watches, as he understands what he is told. */
static struct client {
	struct notifier *notifier; /* NULL: he does not watch */
	bool is_due, has_version;
	uint32_t version;
	bool is_full; /* the last document */
	bool knows[USERS], rings[USERS];
} clients[WATCHERS];

static unsigned documents, fulls;

/* ---- the notifier as it is played: one NOTIFY may be due, and goes when the test says so ---- */

static struct client *client_of(const struct notifier *n)
{
	for (unsigned i = 0; i < WATCHERS; i++)
		if (clients[i].notifier == n)
			return &clients[i];
	fail();
	return NULL;
}

static unsigned number_in(struct slice entity)
{
	unsigned i = 0;

	assert_true(slice_starts(entity, SLICE("sip:u")));
	for (const char *at = entity.p + 5; *at != '@'; at++)
		i = i * 10 + (unsigned)(*at - '0');
	assert_true(i < USERS);
	return i;
}

static struct slice attribute(const struct xml_node *node, const char *name)
{
	struct slice value = SLICE_EMPTY;

	assert_true(xml_attribute(node, SLICE_EMPTY, slice_str(name), &value));
	return value;
}

static void apply_user(struct client *c, const struct xml_node *user, bool named[USERS])
{
	const struct xml_node *endpoint = xml_first(user);

	while (xml_next(endpoint))
		endpoint = xml_next(endpoint);
	unsigned i = number_in(attribute(user, "entity"));
	struct slice status = xml_text(xml_first(endpoint));
	assert_false(named[i]); /* each once (RFC 4575 4.4) */
	named[i] = true;
	c->knows[i] = !slice_eq(status, SLICE("disconnected"));
	c->rings[i] = slice_eq(status, SLICE("alerting"));
	assert_true(c->knows[i] || !c->is_full);
}

void notifier_tell(struct notifier *n, struct slice body)
{
	struct client *c = client_of(n);
	struct xml *xml;
	bool named[USERS] = { false };
	char version[16];

	assert_int_equal(xml_parse(&xml, body, &(struct xml_limits){ 1 << 20, 8 }), XML_OK);
	snprintf(version, sizeof(version), "%u", c->version + 1);
	if (c->has_version)
		assert_true(slice_eq(attribute(xml_root(xml), "version"), slice_str(version)));
	c->is_full = slice_eq(attribute(xml_root(xml), "state"), SLICE("full"));
	assert_true(c->has_version || c->is_full);
	c->version++;
	c->has_version = true;
	n->notify = (struct sip_client *)c; /* it is on its way: nobody looks into it */
	if (c->is_full) {
		memset(c->knows, 0, sizeof(c->knows));
		memset(c->rings, 0, sizeof(c->rings));
	}
	for (const struct xml_node *user = xml_first(xml_first(xml_root(xml))); user; user = xml_next(user))
		apply_user(c, user, named);
	documents++;
	fulls += c->is_full;
	xml_free(xml);
}

void notifier_changed(struct notifier *n)
{
	assert_int_equal(n->state, NOTIFIER_ACTIVE);
	client_of(n)->is_due = true;
}

void notifier_end(struct notifier *n, const char *reason)
{
	struct client *c = client_of(n);

	assert_string_equal(reason, "noresource");
	n->state = NOTIFIER_ENDING;
	n->end_reason = reason;
	n->package->on_due(n);
	c->notifier = NULL;
	n->package->on_over(n, REASON_COUNT, 200);
}

bool notifier_open(struct notifier *n, struct im *of, const struct notifier_package *package,
	const struct notifier_start *start)
{
	struct client *c = client_of(NULL);

	*c = (struct client){ .notifier = n };
	*n = (struct notifier){ .im = of, .package = package };
	return true;
}

void notifier_accept(struct notifier *n, struct sip_server *server, uint32_t expires_s)
{
	n->package->on_due(n);
}

void notifier_has_nothing(struct notifier *n)
{
	fail();
}

void notifier_close(struct notifier *n)
{
	client_of(n)->notifier = NULL;
}

void notifier_refuse_for_want_of_room(struct im *of, struct sip_server *server, enum reason why)
{
	fail();
}

void conference_questions_free(struct im *of)
{
}

/* ---- groups as they are played ---- */

static group_changed on_change;

bool group_permits(const struct group *group, enum group_action action, const struct identity *who)
{
	assert_int_equal(action, GROUP_SEE_STATE);
	return group_lets_see;
}

struct group *group_hold(struct group *group)
{
	return group;
}

void group_drop(struct group *group)
{
}

void groups_on_change(struct im *of, group_changed listener)
{
	on_change = listener;
}

/* ---- the conference ---- */

static struct {
	struct conference_user shown;
	char canonical[32], entity[32];
} users[USERS];
static uint64_t seed;

static unsigned below(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static void watch(struct conference_state *state, unsigned who)
{
	struct identity identity = { .canonical_n = strlen(users[who].canonical) };

	memcpy(identity.canonical, users[who].canonical, identity.canonical_n);
	if (conference_state_permits(state, &identity))
		conference_watch(state, NULL, NULL, &identity, NULL, 600);
}

static void leave(struct conference_state *state, unsigned i)
{
	conference_state_left(state, &users[i].shown);
}

static bool is_there(unsigned i)
{
	return users[i].shown.changed != 0;
}

static void check_client(const struct client *c)
{
	for (unsigned i = 0; i < USERS; i++) {
		CHECK(c->knows[i] == is_there(i), "user %u is %s there\n", i, is_there(i) ? "" : "not");
		CHECK(c->rings[i] == (is_there(i) && users[i].shown.status == CONFERENCE_ALERTING), "user %u\n", i);
	}
}

/* From then on he knows what is there, no more and no less. */
static void tell(struct client *c)
{
	if (c->notifier && c->is_due) {
		c->is_due = false;
		c->notifier->package->on_due(c->notifier);
		check_client(c);
	}
}

static bool is_free(void)
{
	for (unsigned i = 0; i < WATCHERS; i++)
		if (!clients[i].notifier)
			return true;
	return false;
}

static void step(struct conference_state *state)
{
	unsigned i = below(USERS), what = below(100);
	struct client *c = &clients[below(WATCHERS)];

	if (what < 35)
		conference_state_changed(state, &users[i].shown, below(4) ? CONFERENCE_CONNECTED : CONFERENCE_ALERTING);
	else if (what < 60)
		leave(state, i);
	else if (what < 62) { /* another leg takes his place: what he watches goes on */
		bool was_connected = is_there(i) && users[i].shown.status == CONFERENCE_CONNECTED;
		leave(state, i);
		if (was_connected)
			conference_state_changed(state, &users[i].shown, CONFERENCE_CONNECTED);
	} else if (what < 64) {
		bool come = below(2);
		for (i = 0; i < USERS; i++) /* all of them, more than are remembered */
			if (come)
				conference_state_changed(state, &users[i].shown, CONFERENCE_CONNECTED);
			else
				leave(state, i);
	} else if (what < 69 && is_free())
		watch(state, i);
	else if (what < 71 && c->notifier)
		c->notifier->package->on_refresh(c->notifier);
	else
		tell(c);
	worker_turn(&worker, false);
}

static const struct conference_state_start adhoc = { .entity = SLICE("sip:s@example.com"),
	.session_user = SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") };
static const struct conference_state_start of_group = { .entity = SLICE("sip:group1@example.com"),
	.group = SLICE("group1@example.com"), .session_user = SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") };
static struct group group;

static void play(const struct conference_state_start *start)
{
	struct conference_state *state = conference_state_begin(&im, start);

	assert_non_null(state);
	group_lets_see = true;
	if (start->group.n) /* else those who leave take what they watched with them */
		conference_state_hold_group(state, &group);
	for (unsigned i = 0; i < STEPS; i++)
		step(state);
	for (unsigned i = 0; i < WATCHERS; i++) {
		tell(&clients[i]);
		if (clients[i].notifier) /* who had nothing to be told too */
			check_client(&clients[i]);
	}
	conference_state_end(state);
	for (unsigned i = 0; i < WATCHERS; i++)
		assert_null(clients[i].notifier);
	for (unsigned i = 0; i < USERS; i++)
		assert_false(is_there(i)); /* and nobody is looked at any more */
	assert_true(LIST_EMPTY(&im.conference_states->all));
	assert_int_equal(pool_used(&im.conference_states->watchers), 0);
}

static void everybody_knows_what_is_there(void **state)
{
	for (unsigned i = 1; i < 6; i++) {
		seed = i;
		play(&adhoc);
		play(&of_group);
	}
	/* and that was no idle talk */
	CHECK(documents > 800 && fulls > 80 && fulls < documents / 2, "%u documents, %u full\n", documents, fulls);
	REQ("IM-7.2.2.11-3");
}

/* In an ad-hoc conference who is not connected watches nothing (D1-23), ringing or gone. */
static void who_leaves_sees_no_more(void **unused)
{
	struct conference_state *state = conference_state_begin(&im, &adhoc);

	conference_state_changed(state, &users[1].shown, CONFERENCE_ALERTING);
	watch(state, 1);
	assert_true(is_free() && !clients[0].notifier);
	conference_state_changed(state, &users[1].shown, CONFERENCE_CONNECTED);
	watch(state, 1);
	assert_non_null(clients[0].notifier);
	leave(state, 1);
	assert_non_null(clients[0].notifier); /* until the turn ends */
	worker_turn(&worker, false);
	assert_null(clients[0].notifier);
	assert_false(clients[0].knows[1]);
	conference_state_end(state);
}

/* A group is watched while nobody is in it, its session or not; it ends with the right, the group or the session. */
static void groups_are_watched_idle(void **unused)
{
	const struct conference_state_start start = of_group;
	struct conference_state *state = conference_state_make(&im, start.group, start.entity);

	conference_state_hold_group(state, &group);
	group_lets_see = true;
	watch(state, 2);
	assert_ptr_equal(conference_state_of_group(&im, start.group), state);
	assert_ptr_equal(conference_state_begin(&im, &start), state);
	assert_ptr_equal(conference_state_of_session(&im, start.session_user), state);
	conference_state_changed(state, &users[2].shown, CONFERENCE_CONNECTED);
	leave(state, 2);
	worker_turn(&worker, false);
	assert_non_null(clients[0].notifier); /* the group lets him */
	conference_state_end(state);
	assert_null(clients[0].notifier);
	assert_null(conference_state_of_group(&im, start.group));
	for (int is_gone = 0; is_gone < 2; is_gone++) {
		state = conference_state_make(&im, start.group, start.entity);
		conference_state_hold_group(state, &group);
		group_lets_see = true;
		watch(state, 2);
		group_lets_see = false;
		on_change(&im, start.group, is_gone ? NULL : &group);
		assert_null(clients[0].notifier);
		assert_true(LIST_EMPTY(&im.conference_states->all));
	}
}

static int set_up(void **unused)
{
	const struct ring_options options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };
	struct ring *ring;

	workers.count = 1;
	workers.workers[0] = &worker;
	if (ring_open_epoll(&ring, &options) != 0 || worker_init(&worker, 0, &workers) != 0)
		return -1;
	worker_use_ring(&worker, ring);
	log_reopen_level(LOG_ERROR);
	im = (struct im){ .worker = &worker, .config = &config };
	for (unsigned i = 0; i < USERS; i++) {
		snprintf(users[i].canonical, sizeof(users[i].canonical), "u%u@example.com", i);
		snprintf(users[i].entity, sizeof(users[i].entity), "sip:u%u@example.com", i);
		users[i].shown.canonical = slice_str(users[i].canonical);
		users[i].shown.entity = slice_str(users[i].entity);
		users[i].shown.display_text = i % 2 ? SLICE("A <name>") : SLICE_EMPTY;
	}
	return conference_events_init(&im);
}

static int tear_down(void **unused)
{
	conference_events_free(&im);
	worker_free(&worker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_knows_what_is_there),
		cmocka_unit_test(who_leaves_sees_no_more),
		cmocka_unit_test(groups_are_watched_idle),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
