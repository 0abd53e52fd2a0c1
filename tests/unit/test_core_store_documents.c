/* core/store_documents.c: versions, conditions, quota, and documents larger than the room for them. */
#include "core/store_documents.h"

#include <errno.h>

#include "core/log.h"
#include "tests/unit/test.h"

#define ROOM 64

static struct store *store;

static int setup(void **state)
{
	static const struct store_options options = { .synchronous = STORE_NORMAL, .wal_limit = 64 << 20 };

	log_reopen_level(LOG_ERROR);
	return store_open(&store, NULL, &options);
}

static int teardown(void **state)
{
	store_close(store);
	return 0;
}

static struct store_document_request *request(enum store_kind kind, const char *owner, const char *name)
{
	struct store_document_request *r = calloc(1, sizeof(*r) + ROOM);

	assert_non_null(r);
	r->request.kind = kind;
	r->auid = SLICE("usage");
	r->owner = slice_str(owner);
	r->name = slice_str(name);
	r->room = ROOM;
	return r;
}

static int ask(struct store_document_request *r)
{
	store_begin(store);
	store_execute(store, &r->request);
	assert_ptr_equal(store_commit(store), r);
	return r->request.msg.err;
}

/* The new version, 0 with *err. */
static uint64_t put(const char *owner, const char *name, const char *content, int *err)
{
	struct store_document_request *r = request(STORE_DOCUMENT_PUT, owner, name);
	uint64_t etag;

	r->content = slice_str(content);
	*err = ask(r);
	etag = *err ? 0 : r->etag;
	free(r);
	return etag;
}

static void check_content(const char *owner, const char *name, const char *want, uint64_t etag)
{
	struct store_document_request *r = request(STORE_DOCUMENT_GET, owner, name);

	assert_int_equal(ask(r), want ? 0 : ENOENT);
	if (want) {
		CHECK(slice_eq(r->content, slice_str(want)), "got \"%.*s\"\n", SLICE_ARG(r->content));
		assert_int_equal(r->etag, etag);
	}
	free(r);
}

static void versions_never_come_again(void **state)
{
	int err;
	uint64_t first = put("alice@example.com", "index", "<a/>", &err), second;

	assert_int_equal(err, 0);
	check_content("alice@example.com", "index", "<a/>", first);
	second = put("alice@example.com", "index", "", &err);
	assert_true(second > first);
	check_content("alice@example.com", "index", "", second);
	check_content("bob@example.com", "index", NULL, 0);
	struct store_document_request *r = request(STORE_DOCUMENT_DELETE, "alice@example.com", "index");
	assert_int_equal(ask(r), 0);
	assert_int_equal(r->etag, second);
	assert_int_equal(ask(r), ENOENT);
	free(r);
	assert_true(put("alice@example.com", "index", "<a/>", &err) > second);
}

static int change(enum store_kind kind, enum store_document_condition condition, uint64_t expected, uint64_t *found)
{
	struct store_document_request *r = request(kind, "alice@example.com", "index");

	r->content = SLICE("<b/>");
	r->condition = condition;
	r->expected = expected;
	int err = ask(r);
	*found = r->etag;
	free(r);
	return err;
}

static void conditions_are_checked_where_it_is_written(void **state)
{
	uint64_t found, etag;
	int err;

	assert_int_equal(change(STORE_DOCUMENT_PUT, STORE_DOCUMENT_IS, 1, &found), EEXIST);
	assert_int_equal(found, 0);
	etag = put("alice@example.com", "index", "<a/>", &err);
	assert_int_equal(change(STORE_DOCUMENT_PUT, STORE_DOCUMENT_ABSENT, 0, &found), EEXIST);
	assert_int_equal(found, etag);
	assert_int_equal(change(STORE_DOCUMENT_PUT, STORE_DOCUMENT_IS, etag + 1, &found), EEXIST);
	check_content("alice@example.com", "index", "<a/>", etag);
	assert_int_equal(change(STORE_DOCUMENT_PUT, STORE_DOCUMENT_IS, etag, &found), 0);
	assert_true(found > etag);
	assert_int_equal(change(STORE_DOCUMENT_DELETE, STORE_DOCUMENT_IS, etag, &found), EEXIST);
	assert_int_equal(change(STORE_DOCUMENT_DELETE, STORE_DOCUMENT_IS, found, &found), 0);
	assert_int_equal(change(STORE_DOCUMENT_PUT, STORE_DOCUMENT_ABSENT, 0, &found), 0);
}

static void one_owner_has_a_quota(void **state)
{
	char name[16];
	int err;

	for (unsigned i = 0; i < STORE_DOCUMENTS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_true(put("alice@example.com", name, "<a/>", &err));
	}
	assert_int_equal(put("alice@example.com", "more", "<a/>", &err), 0);
	assert_int_equal(err, EDQUOT);
	assert_true(put("alice@example.com", "0", "<b/>", &err)); /* replaced, not one more */
	assert_true(put("bob@example.com", "more", "<a/>", &err));
}

static void a_room_too_small_is_told(void **state)
{
	char large[ROOM + 1];
	int err;

	memset(large, 'x', ROOM);
	large[ROOM] = 0;
	put("alice@example.com", "index", large, &err);
	assert_int_equal(err, 0);
	struct store_document_request *r = request(STORE_DOCUMENT_GET, "alice@example.com", "index");
	assert_int_equal(ask(r), EMSGSIZE);
	assert_int_equal(r->size, ROOM + 17 + 5);
	free(r);
}

static void they_come_one_after_the_other(void **state)
{
	static const char *const rows[][2] = { { "a@x", "1" }, { "a@x", "2" }, { "b@x", "1" } };
	struct store_document_request *r = request(STORE_DOCUMENT_NEXT, "", "");
	int err;

	for (unsigned i = 0; i < 3; i++)
		put(rows[2 - i][0], rows[2 - i][1], "<a/>", &err);
	r->has_any_owner = true;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask(r), 0); /* owner and name are those of the last answer, in the same block */
		assert_true(slice_eq(r->owner, slice_str(rows[i][0])));
		assert_true(slice_eq(r->name, slice_str(rows[i][1])));
	}
	assert_int_equal(ask(r), ENOENT);
	r->has_any_owner = false;
	r->owner = SLICE("a@x");
	r->name = SLICE("1");
	assert_int_equal(ask(r), 0);
	assert_true(slice_eq(r->name, SLICE("2")));
	r->owner = SLICE("a@x");
	assert_int_equal(ask(r), ENOENT);
	free(r);
}

static int put_with_uris(const char *owner, const char *name, const struct slice *uris, unsigned count)
{
	struct store_document_request *r = request(STORE_DOCUMENT_PUT, owner, name);

	r->uris = uris;
	r->uri_count = count;
	int err = ask(r);
	if (err == EADDRINUSE)
		assert_true(slice_eq(r->uri, uris[count - 1])); /* in these tests the last one */
	free(r);
	return err;
}

/* Whose document defines it; NULL: nobody's. */
static void check_uri(struct slice uri, const char *owner, const char *name)
{
	struct store_document_request *r = request(STORE_DOCUMENT_FIND, "", "");

	r->uri = uri;
	assert_int_equal(ask(r), owner ? 0 : ENOENT);
	if (owner) {
		CHECK(slice_eq(r->owner, slice_str(owner)), "owner %.*s\n", SLICE_ARG(r->owner));
		CHECK(slice_eq(r->name, slice_str(name)), "name %.*s\n", SLICE_ARG(r->name));
	}
	free(r);
}

static void a_uri_is_of_one_document(void **state)
{
	static const struct slice ab[] = { { "a", 1 }, { "b", 1 } }, cb[] = { { "c", 1 }, { "b", 1 } }, b[] = { { "b", 1 } };

	assert_int_equal(put_with_uris("alice@x", "1", ab, 2), 0);
	assert_int_equal(put_with_uris("alice@x", "1", ab, 2), 0); /* they are its own */
	assert_int_equal(put_with_uris("alice@x", "2", cb, 2), EADDRINUSE);
	assert_int_equal(put_with_uris("bob@x", "1", cb, 2), EADDRINUSE);
	check_content("bob@x", "1", NULL, 0);
	check_uri(ab[0], "alice@x", "1");
	check_uri(ab[1], "alice@x", "1");
	check_uri(cb[0], NULL, NULL);
	assert_int_equal(put_with_uris("alice@x", "1", ab, 1), 0); /* b is free */
	check_uri(b[0], NULL, NULL);
	assert_int_equal(put_with_uris("bob@x", "1", cb, 2), 0);
	check_uri(b[0], "bob@x", "1");
	struct store_document_request *r = request(STORE_DOCUMENT_DELETE, "bob@x", "1");
	assert_int_equal(ask(r), 0);
	free(r);
	check_uri(b[0], NULL, NULL);
	r = request(STORE_DOCUMENT_PUT, "bob@x", "1"); /* of another usage it is another */
	r->auid = SLICE("other");
	r->uris = ab;
	r->uri_count = 1;
	assert_int_equal(ask(r), 0);
	free(r);
	check_uri(ab[0], "alice@x", "1");
}

static void documents_without_uris_are_found(void **state)
{
	static const struct slice a[] = { { "a", 1 } };
	struct store_document_request *r = request(STORE_DOCUMENT_NEXT, "", "");

	assert_int_equal(put_with_uris("alice@x", "1", a, 1), 0);
	assert_int_equal(put_with_uris("alice@x", "2", NULL, 0), 0);
	assert_int_equal(put_with_uris("bob@x", "1", NULL, 0), 0);
	r->has_any_owner = r->without_uris = true;
	assert_int_equal(ask(r), 0);
	assert_true(slice_eq(r->owner, SLICE("alice@x")) && slice_eq(r->name, SLICE("2")));
	assert_int_equal(ask(r), 0);
	assert_true(slice_eq(r->owner, SLICE("bob@x")));
	assert_int_equal(ask(r), ENOENT);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(versions_never_come_again, setup, teardown),
		cmocka_unit_test_setup_teardown(conditions_are_checked_where_it_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(one_owner_has_a_quota, setup, teardown),
		cmocka_unit_test_setup_teardown(a_room_too_small_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(they_come_one_after_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_uri_is_of_one_document, setup, teardown),
		cmocka_unit_test_setup_teardown(documents_without_uris_are_found, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
