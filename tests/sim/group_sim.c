#include "tests/sim/group_sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "actors/group_documents.h"
#include "core/store_documents.h"
#include "tests/sim/scenario.h"
#include "tests/sim/store_sim.h"

static struct slice text_of(const char *content)
{
	return content ? slice_str(content) : SLICE_EMPTY;
}

static void change(struct world *w, struct group_sim *group, char *now)
{
	struct store *store = store_sim_database(w->im.store);
	struct store_document_request r = { .request.kind = now ? STORE_DOCUMENT_PUT : STORE_DOCUMENT_DELETE,
		.auid = SLICE(GROUPS_AUID), .owner = SLICE("owner@example.com"), .name = slice_str(group->uri),
		.content = text_of(now) };
	struct group_change *news;
	int err = group_change_make(&news, &w->im.sip.home, text_of(group->content), text_of(now));

	if (err)
		world_fail(w, "a group cannot be changed: %s", strerror(err));
	r.uris = news->uris;
	r.uri_count = news->uri_count;
	store_begin(store);
	store_execute(store, &r.request);
	(void)store_commit(store);
	if (r.request.msg.err)
		world_fail(w, "the store does not take a group: %s", strerror(r.request.msg.err));
	group_change_post(news, &w->group, r.etag);
	free(group->content);
	group->content = now;
}

void group_sim_put(struct world *w, struct group_sim *group, struct ua *const *members, unsigned count, bool invites)
{
	char *now = malloc(1024 + 80 * (size_t)count);
	size_t size = 1024 + 80 * (size_t)count, n;

	assert(now);
	n = (size_t)snprintf(now, size, "<group xmlns=\"urn:oma:xml:poc:list-service\" "
		"xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"><list-service uri=\"%s\"><list>", group->uri);
	for (unsigned i = 0; i < count; i++)
		n += (size_t)snprintf(now + n, size - n, "<rl:entry uri=\"sip:%s@example.com\"/>", members[i]->name);
	snprintf(now + n, size - n, "</list><invite-members>%s</invite-members></list-service></group>",
		invites ? "true" : "false");
	change(w, group, now);
}

void group_sim_remove(struct world *w, struct group_sim *group)
{
	if (group->content)
		change(w, group, NULL);
}
