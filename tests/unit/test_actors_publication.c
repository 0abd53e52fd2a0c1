/* actors/publication.c: what a user wants, of several publications, and by default. */
#include "actors/publication.h"

#include "tests/unit/test.h"

static struct config config;
static struct im im = { .config = &config };

#define BIT(setting) (1u << SETTING_##setting)

static bool is(const struct user *user, enum poc_setting setting)
{
	return publication_setting(&im, user, setting);
}

static void defaults(void **state)
{
	struct user user = { .im = &im };
	struct user_settings settings;

	/* as the embedded configuration has them */
	config.settings = (struct settings_options){ .offline_delivery = false, .visible = true, .history = false };
	assert_false(is(NULL, SETTING_OFFLINE_DELIVERY));
	REQ("IM-E.1.1-2");
	assert_true(is(NULL, SETTING_VISIBLE));
	REQ("IM-E.1.1-3");
	assert_false(is(NULL, SETTING_HISTORY));
	REQ("IM-E.1.1-4");
	assert_false(is(&user, SETTING_SESSION_BARRING) || is(&user, SETTING_PAGER_BARRING));
	/* local policy */
	config.settings = (struct settings_options){ .offline_delivery = true, .visible = false, .history = true };
	publication_settings(&im, &user, &settings);
	assert_true(settings.offline_delivery && !settings.visible && settings.history && !settings.has_offline_delivery);
	assert_false(is(&user, SETTING_SESSION_BARRING) || is(&user, SETTING_PAGER_BARRING));
}

static void the_last_change_of_each_counts(void **state)
{
	struct publication old = { .settings = { BIT(VISIBLE) | BIT(HISTORY) | BIT(SESSION_BARRING), BIT(SESSION_BARRING) } };
	struct publication new = { .settings = { BIT(OFFLINE_DELIVERY) | BIT(SESSION_BARRING), BIT(OFFLINE_DELIVERY) },
		.next = &old };
	struct user user = { .im = &im, .publications = &new };
	struct user_settings settings;

	config.settings = (struct settings_options){ .offline_delivery = false, .visible = true, .history = true };
	publication_settings(&im, &user, &settings);
	assert_true(settings.offline_delivery && settings.has_offline_delivery);
	assert_false(settings.visible);
	REQ("IM-E.1.2-5");
	assert_false(settings.history);
	assert_false(is(&user, SETTING_SESSION_BARRING)); /* the new one says so, the old one said otherwise */
	user.publications = &old;
	assert_true(is(&user, SETTING_SESSION_BARRING));
	publication_settings(&im, &user, &settings);
	assert_false(settings.offline_delivery || settings.has_offline_delivery);
}

static void what_is_displaced(void **state)
{
	struct publication all[PUBLICATIONS_MAX] = { 0 };
	struct user user = { .im = &im };

	for (unsigned i = 0; i < PUBLICATIONS_MAX; i++) {
		assert_null(publication_displaced(&user));
		memset(all[i].etag, 'a' + (int)i, sizeof(all[i].etag));
		all[i].next = user.publications;
		user.publications = &all[i];
	}
	assert_ptr_equal(publication_displaced(&user), &all[0]);
	assert_ptr_equal(publication_find(&user, slice_of(all[3].etag, sizeof(all[3].etag))), &all[3]);
	assert_null(publication_find(&user, slice_of(all[3].etag, sizeof(all[3].etag) - 1)));
	assert_null(publication_find(&user, SLICE_EMPTY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(the_last_change_of_each_counts),
		cmocka_unit_test(what_is_displaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
