/*
 * The power fails at each sync, and at each acknowledgement, of a seeded workload of deferred messages; what no
 * sync followed is lost, kept or torn.  After reopening: each message that was acknowledged and whose removal
 * nobody asked for is there, once and whole; each whose removal was acknowledged is gone; uploads are whole or
 * absent; the counts are right.  And with syncs that are left out the same checks find losses.
 *
 *	test_core_store_crash [SEEDS]     default 1
 */
#include <errno.h>

#include "core/store_internal.h"
#include "tests/unit/disk.h"
#include "tests/unit/store_file.h"

#define MESSAGES  400
#define MAILBOXES 3
#define UPLOADS	  2
#define GROUPS	  24
#define NOBODY	  UINT32_MAX

/* Of one message, the notes after which something holds; 0: never. */
static struct {
	unsigned asked, acknowledged, removal_asked, removal_acknowledged;
	uint64_t position;
	size_t size;
} messages[MESSAGES];
static unsigned message_count, last_note;

static struct upload {
	unsigned message; /* NOBODY: free */
	uint64_t id, sent;
} uploads[UPLOADS];

static uint64_t random_state;
static char octets[4 * STORE_PIECE_MAX], crash_path[PATH_MAX + 32];
static unsigned violations, cuts;
static bool is_quiet; /* violations are expected */

static unsigned below(unsigned n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % n;
}

static struct slice mailbox_of(unsigned message)
{
	static const char *const names[MAILBOXES] = { "bob@example.com", "carol@example.com", "dave@example.com" };

	return slice_str(names[message % MAILBOXES]);
}

static struct slice content_of(unsigned message)
{
	for (size_t i = 0; i < messages[message].size; i++)
		octets[i] = (char)(message * 131 + i * 7 + i / 256);
	return slice_of(octets, messages[message].size);
}

/* ---- the workload: requests made, and what their answers mean ---- */

static struct store_deferred_put *put_request(enum store_kind kind, size_t size)
{
	struct store_deferred m = { .expires_at_s = 1u << 30, .head = SLICE("MESSAGE sip:bob@example.com SIP/2.0\r\n") };
	char id[16];

	assert_true(message_count < MESSAGES);
	messages[message_count].size = size;
	messages[message_count].asked = last_note;
	m.id = slice_of(id, (size_t)snprintf(id, sizeof(id), "m%u", message_count));
	m.size = size;
	m.content = kind == STORE_DEFERRED_PUT ? content_of(message_count) : SLICE_EMPTY;
	struct store_deferred_put *r = store_deferred_put_new(kind, mailbox_of(message_count), &m);
	assert_non_null(r);
	r->request.asker = (void *)(uintptr_t)message_count++;
	return r;
}

static struct store_request *remove_request(void)
{
	unsigned message = below(message_count + 1);

	if (message == message_count || !messages[message].acknowledged || messages[message].removal_asked)
		return NULL;
	struct store_deferred_remove *r = store_deferred_remove_new(mailbox_of(message));
	r->count = 1;
	r->positions[0] = messages[message].position;
	r->request.asker = (void *)(uintptr_t)message;
	messages[message].removal_asked = last_note;
	return &r->request;
}

/* The next step of an upload. */
static struct store_request *upload_request(struct upload *u)
{
	static const size_t sizes[] = { 0, 900, STORE_PIECE_MAX, 3 * STORE_PIECE_MAX + 5 };
	size_t n = 1 + below(STORE_PIECE_MAX);
	struct store_request *request;

	if (u->message == NOBODY) {
		u->message = message_count;
		u->sent = 0;
		return &put_request(STORE_DEFERRED_OPEN, sizes[below(4)])->request;
	}
	struct slice rest = slice_skip(content_of(u->message), u->sent);
	if (below(12) == 0) {
		request = &store_deferred_abort_new(u->id)->request;
	} else if (rest.n > n) {
		request = &store_content_put_new(u->id, u->sent, slice_of(rest.p, n))->request;
	} else {
		struct store_deferred_close *r = store_deferred_close_new(u->id, u->sent, rest.n > STORE_PIECE_MAX ?
			slice_of(rest.p, 0) : rest, SLICE("MSRP a786hjs2 SEND\r\n"));
		r->size = messages[u->message].size;
		r->expires_at_s = 1u << 30;
		request = &r->request;
	}
	request->asker = u;
	return request;
}

static void on_put(struct store_request *r)
{
	unsigned message = (unsigned)(uintptr_t)r->asker;

	if (r->kind == STORE_DEFERRED_PUT) {
		messages[message].acknowledged = last_note;
		messages[message].position = ((struct store_deferred_put *)r)->message.position;
	}
	for (unsigned i = 0; i < UPLOADS; i++)
		if (r->kind == STORE_DEFERRED_OPEN && uploads[i].message == message)
			uploads[i].id = ((struct store_deferred_put *)r)->upload;
}

static void on_answer(struct store_request *r)
{
	struct upload *u = r->asker;

	assert_int_equal(r->msg.err, 0);
	switch ((unsigned)r->kind) {
	case STORE_DEFERRED_PUT:
	case STORE_DEFERRED_OPEN:
		on_put(r);
		break;
	case STORE_CONTENT_PUT:
		u->sent += ((struct store_content_put *)r)->piece.n;
		break;
	case STORE_DEFERRED_CLOSE:
		messages[u->message].acknowledged = last_note;
		messages[u->message].position = ((struct store_deferred_close *)r)->position;
		u->message = NOBODY;
		break;
	case STORE_DEFERRED_ABORT:
		messages[u->message].asked = NOBODY; /* it never was */
		u->message = NOBODY;
		break;
	case STORE_DEFERRED_REMOVE:
		messages[(unsigned)(uintptr_t)r->asker].removal_acknowledged = last_note;
	}
}

static void run_group(void)
{
	struct store_request *request, *next;

	disk_note(++last_note);
	store_begin(store);
	for (unsigned i = 0, n = 1 + below(5); i < n; i++)
		store_execute(store, &put_request(STORE_DEFERRED_PUT, below(6) ? 10 + below(3000) : 70000)->request);
	for (unsigned i = 0; i < 3; i++)
		if ((request = remove_request()))
			store_execute(store, request);
	for (unsigned i = 0; i < UPLOADS; i++)
		if (below(2))
			store_execute(store, upload_request(&uploads[i]));
	request = store_commit(store);
	++last_note; /* before the note: what a cut behind it must find */
	for (; request; request = next) {
		next = request->next;
		on_answer(request);
		free(request);
	}
	disk_note(last_note);
}

static void run_workload(uint64_t seed)
{
	random_state = seed;
	memset(messages, 0, sizeof(messages));
	message_count = last_note = 0;
	for (unsigned i = 0; i < UPLOADS; i++)
		uploads[i].message = NOBODY;
	disk_record(path);
	for (unsigned i = 0; i < GROUPS; i++)
		run_group();
	disk_stop_recording();
}

/* ---- what a cut left ---- */

#define WRONG(...)                                        \
	do {                                              \
		violations++;                             \
		if (!is_quiet && violations < 20)         \
			print_error(__VA_ARGS__);         \
	} while (0)

static uint64_t listed, listed_octets;

/* False: the store says no. */
static bool is_whole(const struct store_deferred *m, unsigned message)
{
	struct slice content = content_of(message);
	uint64_t have = m->content.n;

	if (m->size != content.n || have > content.n || (have && memcmp(m->content.p, content.p, have) != 0))
		return false;
	while (have < content.n) {
		struct store_content_get *r = store_content_get_new(m->position, have);
		bool is_good = ask(r) == 0 && r->piece.n <= content.n - have &&
			       memcmp(r->piece.p, content.p + have, r->piece.n) == 0;
		have += r->piece.n;
		free(r);
		if (!is_good)
			return false;
	}
	return true;
}

static void on_listed(const struct store_deferred *m, unsigned *seen, unsigned note)
{
	char id[32];

	snprintf(id, sizeof(id), "%.*s", SLICE_ARG(m->id));
	unsigned message = (unsigned)strtoul(id + 1, NULL, 10);
	if (m->id.n > 8 || message >= message_count || messages[message].asked > note) {
		WRONG("note %u: message %s from nowhere\n", note, id);
		return;
	}
	if (seen[message]++)
		WRONG("note %u: message %s twice\n", note, id);
	if (!is_whole(m, message))
		WRONG("note %u: message %s is not whole\n", note, id);
	listed++;
	listed_octets += m->size;
}

static void list_mailbox(unsigned mailbox, unsigned *seen, unsigned note)
{
	struct store_deferred_summary *s = store_deferred_summary_new(mailbox_of(mailbox), 0);
	uint64_t after = 0, before = listed, octets_before = listed_octets;

	for (bool is_last = false; !is_last;) {
		struct store_deferred_next *r = store_deferred_next_new(mailbox_of(mailbox), STORE_HEAD_ROOM);
		r->most = STORE_NEXT_MAX;
		r->after = after;
		int err = ask(r);
		for (unsigned i = 0; i < r->count && !err; i++) {
			on_listed(&r->messages[i], seen, note);
			after = r->messages[i].position;
		}
		is_last = r->is_last || err;
		if (err)
			WRONG("note %u: cannot read: %s\n", note, strerror(err));
		free(r);
	}
	if (ask(s) != 0 || s->counts.messages != listed - before || s->counts.octets != listed_octets - octets_before)
		WRONG("note %u: the counts of a mailbox are wrong\n", note);
	free(s);
}

static void check_messages(const unsigned *seen, unsigned note)
{
	for (unsigned i = 0; i < message_count; i++) {
		bool was_acknowledged = messages[i].acknowledged && messages[i].acknowledged <= note;
		bool may_be_gone = messages[i].removal_asked && messages[i].removal_asked <= note;
		bool is_gone = messages[i].removal_acknowledged && messages[i].removal_acknowledged <= note;
		if (was_acknowledged && !may_be_gone && !seen[i])
			WRONG("note %u: message %u is lost\n", note, i);
		if (is_gone && seen[i])
			WRONG("note %u: message %u is back\n", note, i);
	}
}

static void remove_files(void)
{
	static const char *const names[] = { "", "-wal", "-shm", ".lock" };
	char name[PATH_MAX + 64];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", crash_path, names[i]);
		unlink(name);
	}
}

static void cut(enum disk_unsynced unsynced, uint64_t seed, unsigned note)
{
	static const struct store_options normal = { .synchronous = STORE_NORMAL, .wal_limit = 64 << 20 };
	struct store *running = store;
	unsigned seen[MESSAGES] = { 0 };
	uint64_t all, all_octets, left;

	cuts++;
	remove_files();
	disk_make_files(crash_path, unsynced, seed);
	listed = listed_octets = 0;
	if (store_open(&store, crash_path, &normal) != 0) {
		store = running;
		WRONG("note %u: cannot be opened\n", note);
		return;
	}
	for (unsigned i = 0; i < MAILBOXES; i++)
		list_mailbox(i, seen, note);
	check_messages(seen, note);
	store_deferred_totals(store, &all, &all_octets);
	if (all != listed || all_octets != listed_octets)
		WRONG("note %u: the totals are wrong\n", note);
	if (store_ask_number(store, "SELECT count(*) FROM upload", &left) != 0 || left)
		WRONG("note %u: an upload was not swept\n", note);
	store_close(store);
	store = running;
}

static void cut_everywhere(uint64_t seed, unsigned of)
{
	enum disk_event event;
	unsigned noted, note = 0;
	uint64_t random = seed;

	disk_rewind();
	while (disk_step(&event, &noted)) {
		if (event == DISK_NOTED)
			note = noted;
		if (event == DISK_WRITTEN || (random = random * 6364136223846793005u + 1) >> 33 & (of - 1))
			continue;
		if (event == DISK_SYNCING) { /* the commit itself is torn */
			cut(DISK_MIXED, random, note);
			cut(random & 1u << 30 ? DISK_KEPT : DISK_LOST, random, note);
		} else { /* what it acknowledged is safe; checkpoints may be torn */
			cut(event == DISK_NOTED ? DISK_LOST : DISK_MIXED, random, note);
		}
	}
}

/* ---- the tests ---- */

static unsigned seeds = 1;

static void open_as(enum store_synchronous synchronous)
{
	struct store_options as = { .synchronous = synchronous, .wal_limit = 1 << 20 };

	snprintf(crash_path, sizeof(crash_path), "%s/cut.db", directory);
	assert_int_equal(store_open(&store, path, &as), 0);
	violations = cuts = 0;
}

static int no_store(void **state)
{
	disk_forget_syncs(false);
	is_quiet = false;
	return make_directory(state);
}

static int remove_all(void **state)
{
	remove_files();
	return teardown(state);
}

static void nothing_acknowledged_is_lost(void **state)
{
	for (unsigned seed = 1; seed <= seeds; seed++) {
		open_as(STORE_FULL);
		run_workload(seed);
		cut_everywhere(seed, 1);
		CHECK(violations == 0, "seed %u: %u violations in %u cuts\n", seed, violations, cuts);
		CHECK(disk_syncs(DISK_LOG) >= GROUPS && disk_syncs(DISK_DATABASE) > 2,
			"seed %u: %u and %u syncs: log and checkpoints\n", seed, disk_syncs(DISK_LOG),
			disk_syncs(DISK_DATABASE));
		close_store();
		unlink(path);
	}
}

/* The checks above can fail, as with synchronous=off: a commit that is not synced is not on the disk. */
static void synchronous_normal_loses_what_was_acknowledged(void **state)
{
	is_quiet = true;
	open_as(STORE_NORMAL);
	run_workload(1);
	cut_everywhere(1, 4);
	CHECK(violations > 0, "nothing was found in %u cuts\n", cuts);
}

static void a_disk_that_forgets_syncs_loses_what_was_acknowledged(void **state)
{
	is_quiet = true;
	open_as(STORE_FULL);
	disk_forget_syncs(true);
	run_workload(1);
	cut_everywhere(1, 4);
	CHECK(violations > 0, "nothing was found in %u cuts\n", cuts);
}

#undef CASE
#define CASE(name) cmocka_unit_test_setup_teardown(name, no_store, remove_all)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_acknowledged_is_lost),
		CASE(synchronous_normal_loses_what_was_acknowledged),
		CASE(a_disk_that_forgets_syncs_loses_what_was_acknowledged),
	};

	if (argc > 1)
		seeds = (unsigned)strtoul(argv[1], NULL, 10);
	disk_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
