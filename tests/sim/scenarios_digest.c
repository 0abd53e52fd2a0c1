/* Digest authentication in the simulator: every request outside dialogs waits for the worker of its user, and the
 * first of each user for the store behind it. */
#include <assert.h>

#include "sip/digest.h"
#include "tests/sim/scenario.h"
#include "tests/sim/store_sim.h"
#include "tests/sim/ua_internal.h"

#define DIGEST_SET { "core.authenticate=digest", "core.users=provisioned" }

/* Into the database at once; what the store may lose is the server's business. */
static void provision(struct world *w, const char *name)
{
	struct store *store = store_sim_database(w->im.store);
	struct store_user_request put = { .request.kind = STORE_USER_PUT, .user.has_password = true };
	struct digest_secret secret;

	put.user.name_n = (uint16_t)snprintf(put.user.name, sizeof(put.user.name), "%s@example.com", name);
	assert(digest_secret_make(&secret, slice_str(name), SLICE("example.com"), SLICE(UA_PASSWORD)) == 0);
	memcpy(put.user.ha1_md5, secret.md5, sizeof(secret.md5));
	memcpy(put.user.ha1_sha256, secret.sha256, sizeof(secret.sha256));
	store_begin(store);
	store_execute(store, &put.request);
	(void)store_commit(store);
	assert(put.request.msg.err == 0);
}

SCENARIO(digest, "clients that log in, talk, and find nobody under an unknown name", .set = DIGEST_SET, .signs = true)
{
	provision(w, "alice");
	provision(w, "carl");
	struct ua *alice = ua_registered(w, "alice"), *carl = ua_registered(w, "carl"), *nobody = ua_new(w, "nobody");
	struct message *first = ua_pager(alice, carl, 20), *second = ua_pager(carl, alice, 20);

	expect_status(ua_register(nobody, 600), 401);
	expect_pager(ua_pager(alice, nobody, 20), 404);
	expect_pager(first, 200);
	expect_pager(second, 200);
	struct call *call = ua_invite(alice, carl);
	expect_bound(call);
	ua_bye(call);
	expect_over(call);
}

SCENARIO(digest_store_fails, "a store that loses a third of what it is asked", .set = DIGEST_SET, .signs = true,
	.store_fails = 300)
{
	provision(w, "alice");
	provision(w, "carl");
	struct ua *alice = ua_registered_at_last(w, "alice"), *carl = ua_registered_at_last(w, "carl");

	for (unsigned i = 0; i < 6; i++) {
		struct message *m = ua_pager(i % 2 ? alice : carl, i % 2 ? carl : alice, 20);
		expect_final(m->request);
		if (m->request->status != 200 && m->request->status != 503)
			world_miss(w, "MESSAGE gets %u", m->request->status);
	}
}

SCENARIO(digest_ends_early, "calls given up while they wait for the store", .set = DIGEST_SET, .signs = true,
	.may_lose = true)
{
	provision(w, "alice");
	provision(w, "carl");
	struct ua *alice = ua_registered(w, "alice"), *carl = ua_registered(w, "carl");

	for (unsigned i = 0; i < 4; i++) {
		struct call *call = ua_invite(alice, carl);
		world_moment(w, 3000);
		ua_cancel(call);
		expect_final(call->invite);
	}
}
