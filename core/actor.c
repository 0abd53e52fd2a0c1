#include "core/actor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/worker.h"

#define GENERATION_MASK ((1u << 28) - 1)
#define SLOTS_MAX       (1u << 24)

static int grow(struct actor_table *table)
{
	uint32_t size = table->size ? table->size * 2 : 64;

	if (table->size == SLOTS_MAX)
		return ENOMEM;
	struct actor_slot *slots = realloc(table->slots, size * sizeof(*slots));
	if (!slots)
		return ENOMEM;
	table->slots = slots;
	table->size = size;
	return 0;
}

int actor_open(struct worker *worker, struct actor *actor, const struct actor_type *type)
{
	struct actor_table *table = &worker->actors;
	struct actor_slot *slot;
	uint32_t at;

	if (table->free_head) {
		at = table->free_head - 1;
		slot = &table->slots[at];
		table->free_head = slot->next_free;
	} else {
		if (table->made == table->size && grow(table) != 0)
			return ENOMEM;
		at = table->made++;
		slot = &table->slots[at];
		*slot = (struct actor_slot){ 0 };
	}
	slot->generation = (slot->generation + 1) & GENERATION_MASK;
	if (slot->generation == 0)
		slot->generation = 1;
	slot->actor = actor;
	table->open++;
	actor->type = type;
	actor->worker = worker;
	actor->id = (uint64_t)worker->index << 52 | (uint64_t)at << 28 | slot->generation;
	return 0;
}

static struct actor_slot *slot_of(struct worker *worker, actor_id id)
{
	uint32_t at = (uint32_t)(id >> 28) & (SLOTS_MAX - 1);

	if (id == 0 || actor_worker(id) != worker->index || at >= worker->actors.made)
		return NULL;
	struct actor_slot *slot = &worker->actors.slots[at];
	return slot->actor && slot->generation == (id & GENERATION_MASK) ? slot : NULL;
}

void actor_close(struct actor *actor)
{
	struct actor_table *table = &actor->worker->actors;
	struct actor_slot *slot = slot_of(actor->worker, actor->id);

	assert(slot && slot->actor == actor);
	slot->actor = NULL;
	slot->next_free = table->free_head;
	table->free_head = (uint32_t)(slot - table->slots) + 1;
	table->open--;
	actor->id = 0;
}

struct actor *actor_find(struct worker *worker, actor_id id)
{
	struct actor_slot *slot = slot_of(worker, id);

	return slot ? slot->actor : NULL;
}

void actor_post(struct worker *from, actor_id to, struct msg *msg)
{
	msg->actor = to;
	worker_post(from, actor_worker(to), msg);
}

void actor_table_free(struct actor_table *table)
{
	assert(table->open == 0);
	free(table->slots);
	*table = (struct actor_table){ 0 };
}
