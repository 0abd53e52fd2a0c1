/*
 * An actor is a struct, an id (worker, slot, generation) and a handler.  It
 * lives on one worker for all its life; whoever wants something of it posts a
 * message to its id.  Stale ids are expected: the generation does not match and
 * the message comes home with ENOENT.
 *
 * Thread: owning worker only; ids may be kept and sent anywhere.
 */
#ifndef CORE_ACTOR_H
#define CORE_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mailbox.h"

typedef uint64_t actor_id; /* worker (12 bits), slot (24), generation (28); 0 is nobody */

struct actor;
struct worker;

struct actor_type {
	const char *name;
	void (*on_message)(struct actor *, struct msg *); /* takes the message over */
};

struct actor {
	const struct actor_type *type;
	struct worker *worker;
	actor_id id;
};

struct actor_slot {
	struct actor *actor;
	uint32_t generation;
	uint32_t next_free; /* slot + 1 */
};

struct actor_table {
	struct actor_slot *slots;
	uint32_t size, made, free_head, open;
};

static inline unsigned actor_worker(actor_id id)
{
	return (unsigned)(id >> 52);
}

/* Gives the actor its id.  0 or ENOMEM. */
int actor_open(struct worker *worker, struct actor *actor, const struct actor_type *type);

/* The id is stale from here on; the memory is the caller's. */
void actor_close(struct actor *actor);

/* The actor, when it lives on this worker and still exists; else NULL. */
struct actor *actor_find(struct worker *worker, actor_id id);

/* Posts to the actor's worker. */
void actor_post(struct worker *from, actor_id to, struct msg *msg);

void actor_table_free(struct actor_table *table);

#endif
