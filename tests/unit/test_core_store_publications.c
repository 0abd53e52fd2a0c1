/* core/store_publications.c: publications come, replace each other, go, expire and are read again. */
#include "core/store_publications.h"

#include <errno.h>

#include "core/log.h"
#include "tests/unit/test.h"

static const struct store_options options = { .synchronous = STORE_NORMAL, .wal_limit = 64 << 20 };
static struct store *store;

static int setup(void **state)
{
	log_reopen_level(LOG_ERROR);
	return store_open(&store, NULL, &options);
}

static int teardown(void **state)
{
	store_close(store);
	return 0;
}

static int ask(void *request)
{
	store_begin(store);
	store_execute(store, request);
	assert_ptr_equal(store_commit(store), request);
	return ((struct store_request *)request)->msg.err;
}

static void set_etag(char etag[STORE_ETAG_CHARS], unsigned number)
{
	char text[STORE_ETAG_CHARS + 1];

	snprintf(text, sizeof(text), "%032u", number);
	memcpy(etag, text, STORE_ETAG_CHARS);
}

static struct store_publication_request request_of(enum store_kind kind, const char *user, unsigned etag)
{
	struct store_publication_request r = { .request.kind = kind };

	r.publication.user_n = (uint16_t)strlen(user);
	memcpy(r.publication.user, user, r.publication.user_n);
	set_etag(r.publication.etag, etag);
	r.publication.known = etag + 1;
	r.publication.on = etag + 2;
	r.publication.updated = etag + 3;
	r.publication.expires_at_s = 1000 + etag;
	return r;
}

static int put(const char *user, unsigned etag)
{
	struct store_publication_request r = request_of(STORE_PUBLICATION_PUT, user, etag);

	return ask(&r);
}

static unsigned load(struct store_publication_load *page, uint64_t now_s)
{
	page->request.kind = STORE_PUBLICATION_LOAD;
	page->now_s = now_s;
	assert_int_equal(ask(page), 0);
	return page->count;
}

static void come_replace_and_go(void **state)
{
	struct store_publication_load page = { .after = 0 };

	assert_int_equal(put("alice@example.com", 1), 0);
	assert_int_equal(put("bob@example.com", 1), 0);
	assert_int_equal(put("alice@example.com", 2), 0);
	struct store_publication_request r = request_of(STORE_PUBLICATION_PUT, "alice@example.com", 3);
	r.gone_count = 2;
	set_etag(r.gone[0], 1);
	set_etag(r.gone[1], 99); /* nobody's: no error */
	assert_int_equal(ask(&r), 0);
	assert_int_equal(load(&page, 0), 3);
	const struct store_publication *row = &page.rows[2];
	assert_memory_equal(page.rows[0].user, "bob@example.com", page.rows[0].user_n);
	assert_memory_equal(row->user, "alice@example.com", row->user_n);
	assert_memory_equal(row->etag, r.publication.etag, STORE_ETAG_CHARS);
	assert_int_equal(row->known, 4);
	assert_int_equal(row->on, 5);
	assert_int_equal(row->updated, 6);
	assert_int_equal(row->expires_at_s, 1003);
	r = request_of(STORE_PUBLICATION_DELETE, "alice@example.com", 0);
	r.gone_count = 1;
	set_etag(r.gone[0], 3);
	assert_int_equal(ask(&r), 0);
	page.after = 0;
	assert_int_equal(load(&page, 0), 2);
	/* of one user a tag is there once: the whole request fails, and what it would have removed stays */
	r = request_of(STORE_PUBLICATION_PUT, "bob@example.com", 1);
	assert_int_not_equal(ask(&r), 0);
	page.after = 0;
	assert_int_equal(load(&page, 0), 2);
}

static void expired_ones_go_by_the_page(void **state)
{
	struct store_publication_load page = { .after = 0 };
	struct store_registration_sweep sweep = { .request.kind = STORE_REGISTRATION_SWEEP, .now_s = 1000 + STORE_SWEEP_MAX };
	unsigned n = 0;

	for (unsigned i = 0; i < STORE_SWEEP_MAX + 70; i++)
		assert_int_equal(put("alice@example.com", i), 0);
	while (load(&page, 1009) == STORE_PUBLICATIONS_PAGE)
		n += page.count;
	assert_int_equal(n + page.count, STORE_SWEEP_MAX + 60); /* those that expire at 1009 have expired */
	assert_int_equal(ask(&sweep), 0);
	assert_int_equal(sweep.removed, STORE_SWEEP_MAX);
	assert_int_equal(ask(&sweep), 0);
	assert_int_equal(sweep.removed, 1);
	page.after = 0;
	for (n = 0; load(&page, 0) == STORE_PUBLICATIONS_PAGE; n += page.count)
		;
	assert_int_equal(n + page.count, 69);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(come_replace_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(expired_ones_go_by_the_page, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
