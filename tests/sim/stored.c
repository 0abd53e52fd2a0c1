/* What the store of the simulated server has, for the checks at the end. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/store_deferred.h"
#include "tests/sim/scenario.h"
#include "tests/sim/store_sim.h"
#include "tests/sim/world.h"

#define ROOM (256 * 1024)

/* One page of a mailbox, whatever has expired. */
static struct store_deferred_next *page_of(struct world *w, const char *user, uint64_t after)
{
	struct store *store = store_sim_database(w->im.store);
	char name[80];
	int n = snprintf(name, sizeof(name), "%s@example.com", user);
	struct store_deferred_next *page = store_deferred_next_new(slice_of(name, (size_t)n), ROOM);

	assert(page);
	page->after = after;
	page->most = STORE_NEXT_MAX;
	store_begin(store);
	store_execute(store, &page->request);
	(void)store_commit(store);
	if (page->request.msg.err)
		world_fail(w, "the store does not tell the messages of %s", user);
	return page;
}

/* Of a large message by MSRP its Message-ID says which it is, of a pager message its Subject. */
static bool is_named(const struct store_deferred *row, const struct message *message)
{
	struct slice where = message->from ? row->msrp : row->head;
	char line[40];
	int n = snprintf(line, sizeof(line), message->from ? "\r\nMessage-ID: m%u\r\n" : "\r\nSubject: m%u\r\n",
		message->number);

	return memmem(where.p, where.n, line, (size_t)n) != NULL;
}

/* What the page had no room for. */
static bool has_rest(struct world *w, const struct store_deferred *row, const struct message *message)
{
	struct store *store = store_sim_database(w->im.store);
	uint64_t at = row->content.n;
	bool is_same = true;

	while (is_same && at < row->size) {
		struct store_content_get *get = store_content_get_new(row->position, at);
		assert(get);
		store_begin(store);
		store_execute(store, &get->request);
		(void)store_commit(store);
		is_same = !get->request.msg.err && get->piece.n &&
			  slice_eq(get->piece, slice_of(message->octets + at, get->piece.n));
		at += get->piece.n;
		free(get);
	}
	return is_same;
}

static bool is_it(struct world *w, const struct store_deferred *row, const struct message *message)
{
	return is_named(row, message) && row->size == message->n &&
	       slice_eq(row->content, slice_of(message->octets, row->content.n)) && has_rest(w, row, message);
}

bool world_is_stored(struct world *w, const struct message *message)
{
	bool found = false, is_last = false;
	uint64_t after = 0;

	while (!found && !is_last) {
		struct store_deferred_next *page = page_of(w, (message->from ? message->from->to : message->to)->name, after);
		for (unsigned i = 0; i < page->count; i++) {
			found |= is_it(w, &page->messages[i], message);
			after = page->messages[i].position;
		}
		is_last = page->is_last;
		free(page);
	}
	return found;
}

unsigned world_stored_count(struct world *w, const char *user)
{
	unsigned count = 0;
	bool is_last = false;
	uint64_t after = 0;

	while (!is_last) {
		struct store_deferred_next *page = page_of(w, user, after);
		count += page->count;
		if (page->count)
			after = page->messages[page->count - 1].position;
		is_last = page->is_last;
		free(page);
	}
	return count;
}
