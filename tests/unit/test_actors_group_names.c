/* actors/group_documents.c: documents that an earlier version stored get their groups' names at the start. */
#include <errno.h>

#include "actors/group_documents.h"
#include "actors/store_actor.h"
#include "core/log.h"
#include "core/store_documents.h"

#include "tests/unit/test.h"

static const struct store_options options = { .synchronous = STORE_NORMAL, .wal_limit = 64 << 20 };
static const struct sip_home home = { .home = { "example.com", 11 } };
static struct worker_group group;
static struct store_door *door;

static int setup(void **state)
{
	log_reopen_level(LOG_ERROR);
	return store_actor_start(&door, NULL, &options, &group);
}

static int teardown(void **state)
{
	store_actor_stop(door);
	return 0;
}

/* As before there were names. */
static void put(const char *owner, const char *services)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "<group xmlns='urn:oma:xml:poc:list-service'>%s</group>", services);
	struct store_document_request r = { .request.kind = STORE_DOCUMENT_PUT, .auid = SLICE(GROUPS_AUID),
		.owner = slice_str(owner), .name = SLICE("index"), .content = slice_of(text, (size_t)n) };

	assert_int_equal(store_ask_and_wait(door, &r.request), 0);
}

#define SERVICE(uri) "<list-service uri='" uri "'/>"

/* Whose group it is; NULL: nobody's. */
static void check_owner(const char *uri, const char *owner)
{
	struct store_document_request *r = calloc(1, sizeof(*r) + 1024);

	assert_non_null(r);
	*r = (struct store_document_request){ .request.kind = STORE_DOCUMENT_FIND, .auid = SLICE(GROUPS_AUID),
		.uri = slice_str(uri), .room = 1024 };
	assert_int_equal(store_ask_and_wait(door, &r->request), owner ? 0 : ENOENT);
	if (owner)
		CHECK(slice_eq(r->owner, slice_str(owner)), "%s is of %.*s\n", uri, SLICE_ARG(r->owner));
	free(r);
}

static void those_of_before_get_names(void **state)
{
	put("alice@example.com", SERVICE("sip:group1@example.com") SERVICE("sip:Group2@EXAMPLE.com"));
	put("bob@example.com", SERVICE("sip:group1@example.com"));                                      /* alice has it */
	put("carol@example.com", SERVICE("sip:group3@example.com") SERVICE("sip:group3@example.com;x")); /* twice */
	put("dave@example.com", "");
	put("eve@example.com", SERVICE("sip:group4@example.com"));
	check_owner("group1@example.com", NULL);
	for (int i = 0; i < 2; i++) { /* the next start finds the same */
		assert_int_equal(groups_name_all(door, &home), 0);
		check_owner("group1@example.com", "alice@example.com");
		check_owner("Group2@example.com", "alice@example.com");
		check_owner("group3@example.com", NULL);
		check_owner("group4@example.com", "eve@example.com");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(those_of_before_get_names, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
