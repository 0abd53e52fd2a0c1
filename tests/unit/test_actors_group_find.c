/* actors/group_find.c: a group's worker reads it once, keeps it, and is not misled by answers of before a change. */
#include <errno.h>

#include "actors/group_documents.h"
#include "actors/group_internal.h"
#include "actors/store_actor.h"
#include "core/log.h"
#include "core/store_documents.h"
#include "sip/owner.h"

#include "tests/unit/test.h"

#define GROUP_URI "group1@example.com"
#define DOCUMENT(members) \
	"<group xmlns='urn:oma:xml:poc:list-service'><list-service uri='sip:" GROUP_URI "'><list>" members \
	"</list></list-service></group>"
#define BOB   "<entry uri='sip:bob@example.com'/>"
#define CAROL "<entry uri='sip:carol@example.com'/>"

static struct worker worker;
static struct worker_group group;
static struct im im;
static struct im_server server;

/* ---- a store that answers when the test says so ---- */

static struct store_document_request *asked; /* NULL: nothing is */
static unsigned times;

static void hold(struct store_door *door, struct worker *from, struct store_request *request)
{
	assert_null(asked);
	asked = (struct store_document_request *)request;
	assert_int_equal(request->kind, STORE_DOCUMENT_FIND);
	times++;
}

static struct store_door door = { .submit = hold };

static void turn(void)
{
	for (int i = 0; i < 3; i++)
		worker_turn(&worker, false);
}

/* `content` NULL: there is none. */
static void store_answers(const char *content, uint64_t etag, int err)
{
	struct store_document_request *r = asked;

	assert_non_null(r);
	asked = NULL;
	r->size = content ? strlen(content) : 0;
	if (!err && content && r->size > r->room)
		err = EMSGSIZE;
	if (!err && content) {
		memcpy(r->text, content, r->size);
		r->content = slice_of(r->text, r->size);
		r->etag = etag;
	}
	r->request.msg.err = err ? err : content ? 0 : ENOENT;
	worker_post(&worker, 0, &r->request.msg);
	turn();
}

/* ---- somebody who asks ---- */

static struct actor asker;
static struct group_find *found[8];
static unsigned found_n;

static void on_found(struct actor *actor, struct msg *msg)
{
	assert_int_equal(msg->kind, MSG_GROUP_FOUND);
	found[found_n++] = (struct group_find *)msg;
}

static const struct actor_type asker_type = { "asker", on_found };

static void ask(const char *canonical)
{
	assert_int_equal(group_find(&im, slice_str(canonical), asker.id), 0);
	turn();
}

/* The only answer: so many members, -1: there is no such group, -2: it is not known. */
static void check_answer(int members)
{
	assert_int_equal(found_n, 1);
	int got = found[0]->verdict == GROUP_FOUND ? (int)found[0]->group->member_count :
		  found[0]->verdict == GROUP_NONE ? -1 : -2;
	CHECK(got == members, "got %d instead of %d\n", got, members);
	group_find_free(found[0]);
	found_n = 0;
}

/* ---- who hears of changes ---- */

static int changes, last_members; /* -1: gone */

static void on_change(struct im *of, struct slice canonical, struct group *now)
{
	assert_ptr_equal(of, &im);
	assert_true(slice_eq(canonical, SLICE(GROUP_URI)));
	changes++;
	last_members = now ? (int)now->member_count : -1;
}

static void post_change(const char *before, const char *now, uint64_t etag)
{
	struct group_change *change = NULL;

	assert_int_equal(group_change_make(&change, &server.sip.home, slice_str(before), slice_str(now)), 0);
	group_change_post(change, &group, etag);
	turn();
}

/* ---- */

static int setup(void **state)
{
	static const struct slice patterns[] = { { "group*", 6 } };
	struct ring_options ring_options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };
	struct ring *ring;

	log_reopen_level(LOG_ERROR);
	group.count = 1;
	group.workers[0] = &worker;
	if (ring_open_epoll(&ring, &ring_options) != 0 || worker_init(&worker, 0, &group) != 0)
		return -1;
	worker_use_ring(&worker, ring);
	server.sip.home.home = SLICE("example.com");
	server.sip.group_patterns = patterns;
	server.sip.group_pattern_count = 1;
	im = (struct im){ .worker = &worker, .server = &server };
	worker.im = &im;
	worker.drop = group_message_free;
	times = found_n = 0;
	changes = 0;
	if (store_worker_init(&worker, &door) != 0 || groups_init(&im) != 0)
		return -1;
	group_register_handlers(&worker);
	groups_on_change(&im, on_change);
	return actor_open(&worker, &asker, &asker_type);
}

static int teardown(void **state)
{
	actor_close(&asker);
	free(asked);
	asked = NULL;
	groups_free(&im);
	store_worker_free(&worker);
	worker_free(&worker);
	return found_n;
}

static void it_is_read_once(void **state)
{
	ask(GROUP_URI);
	ask(GROUP_URI);
	assert_int_equal(times, 1);
	assert_int_equal(found_n, 0);
	store_answers(DOCUMENT(BOB), 5, 0);
	assert_int_equal(found_n, 2);
	assert_ptr_equal(found[0]->group, found[1]->group);
	assert_int_equal(found[0]->group->etag, 5);
	group_find_free(found[--found_n]);
	check_answer(1);
	ask(GROUP_URI);
	check_answer(1);
	assert_int_equal(times, 1);
	assert_int_equal(worker.counters.values[COUNTER_group_reads], 1);
	assert_int_equal(worker.counters.gauges[GAUGE_groups], 1);
}

static void what_is_none(void **state)
{
	ask("alice@example.com"); /* no name of a group: the store need not say */
	check_answer(-1);
	assert_int_equal(times, 0);
	for (int i = 1; i <= 2; i++) {
		ask(GROUP_URI);
		store_answers(NULL, 0, 0);
		check_answer(-1);
		assert_int_equal(times, i);
	}
	ask(GROUP_URI);
	store_answers("<group><list-service uri='sip:group2@example.com'/></group>", 5, 0);
	check_answer(-1);
	ask(GROUP_URI);
	store_answers("<group>", 5, 0);
	check_answer(-2);
	ask(GROUP_URI);
	store_answers(NULL, 0, EIO);
	check_answer(-2);
	ask(GROUP_URI);
	store_answers(DOCUMENT(BOB), 5, 0);
	check_answer(1);
}

static void a_large_document_is_asked_for_twice(void **state)
{
	size_t size = 20000;
	char *text = malloc(size);

	snprintf(text, size, "%s%*s", DOCUMENT(BOB), 19000 - (int)strlen(DOCUMENT(BOB)), "");
	ask(GROUP_URI);
	store_answers(text, 5, 0);
	assert_int_equal(times, 2);
	assert_int_equal(found_n, 0);
	store_answers(text, 5, 0);
	check_answer(1);
	free(text);
}

static void changes_are_heard_of(void **state)
{
	post_change(NULL, DOCUMENT(BOB), 5);
	assert_int_equal(changes, 1);
	assert_int_equal(last_members, 1);
	ask(GROUP_URI);
	check_answer(1);
	assert_int_equal(times, 0);
	post_change(DOCUMENT(BOB), DOCUMENT(BOB CAROL), 7);
	assert_int_equal(last_members, 2);
	post_change(DOCUMENT(BOB), DOCUMENT(BOB), 6); /* overtaken */
	post_change(DOCUMENT(BOB), NULL, 6);
	assert_int_equal(changes, 2);
	ask(GROUP_URI);
	check_answer(2);
	post_change(DOCUMENT(BOB), NULL, 7);
	assert_int_equal(changes, 3);
	assert_int_equal(last_members, -1);
	ask(GROUP_URI);
	store_answers(NULL, 0, 0);
	check_answer(-1);
}

static void an_answer_of_before_a_change_does_not_count(void **state)
{
	ask(GROUP_URI);
	post_change(NULL, DOCUMENT(BOB CAROL), 7);
	store_answers(DOCUMENT(BOB), 5, 0);
	check_answer(2);
	post_change(DOCUMENT(BOB CAROL), NULL, 7);
	ask(GROUP_URI);
	post_change(DOCUMENT(BOB), NULL, 8);
	store_answers(DOCUMENT(BOB), 8, 0); /* it went since then */
	assert_int_equal(found_n, 0);
	store_answers(NULL, 0, 0);
	check_answer(-1);
}

/* Of all that were asked for, those that were asked for last are kept, within 8 MiB. */
static void memory_is_bounded(void **state)
{
	enum { MEMBERS = 8000, GROUPS = 20 };
	char *text = malloc(MEMBERS * 48 + 512);

	for (unsigned g = 0; g < GROUPS; g++) {
		struct buffer out = buffer_over(text, MEMBERS * 48 + 512);
		char name[64];
		buffer_printf(&out, "<group><list-service uri='sip:group%u@example.com'><list>", g + 100);
		for (unsigned i = 0; i < MEMBERS; i++)
			buffer_printf(&out, "<entry uri='sip:u%u@example.com'/>", i);
		buffer_str(&out, "</list></list-service></group>");
		assert_false(out.overflow);
		text[out.n] = 0;
		snprintf(name, sizeof(name), "group%u@example.com", g + 100);
		ask(name);
		store_answers(text, 1, 0); /* needs more room */
		store_answers(text, 1, 0);
		check_answer(MEMBERS);
	}
	unsigned kept = (unsigned)worker.counters.gauges[GAUGE_groups];
	CHECK(kept > 2 && kept < GROUPS, "%u are kept\n", kept);
	times = 0;
	ask("group119@example.com");
	check_answer(MEMBERS);
	assert_int_equal(times, 0);
	ask("group100@example.com");
	assert_int_equal(times, 1);
	store_answers(NULL, 0, 0);
	check_answer(-1);
	free(text);
}

static void who_is_gone_gets_nothing(void **state)
{
	ask(GROUP_URI);
	ask(GROUP_URI);
	actor_close(&asker);
	store_answers(DOCUMENT(BOB), 5, 0);
	assert_int_equal(found_n, 0);
	assert_int_equal(actor_open(&worker, &asker, &asker_type), 0);
	ask("group2@example.com"); /* the end comes before the answer */
	assert_int_equal(group_find(&im, SLICE(GROUP_URI), asker.id), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_is_read_once),
		CASE(what_is_none),
		CASE(a_large_document_is_asked_for_twice),
		CASE(changes_are_heard_of),
		CASE(an_answer_of_before_a_change_does_not_count),
		CASE(memory_is_bounded),
		CASE(who_is_gone_gets_nothing),
	};

	sip_owner_init((const uint8_t[16]){ 0 });
	return cmocka_run_group_tests(tests, NULL, NULL);
}
