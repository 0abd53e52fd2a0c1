/*
 * Who gets a copy of something that is sent to many: URIs in their order, each
 * user once (D2-41: URI comparison, which is that of the canonical form).
 *
 * Any thread; one set belongs to one thread.
 */
#ifndef ACTORS_RECIPIENTS_H
#define ACTORS_RECIPIENTS_H

#include <stdbool.h>

#include "core/slice.h"

struct recipient;

/* All zero: empty.  Freed by recipients_free(). */
struct recipients {
	struct recipient *list;
	unsigned count, room;
	char *text;
	size_t text_n, text_room;
};

/* Both are copied.  0, or ENOMEM and nothing has changed. */
int recipients_add(struct recipients *recipients, struct slice uri, struct slice canonical);
/* The first of those with one canonical form stays, in its place. */
void recipients_make_distinct(struct recipients *recipients);
void recipients_free(struct recipients *recipients);

/* As added; they live until the next recipients_add(). */
struct slice recipients_uri(const struct recipients *recipients, unsigned i);
struct slice recipients_canonical(const struct recipients *recipients, unsigned i);

bool recipients_have(const struct recipients *recipients, struct slice canonical);
/* Octets of memory, for whoever bounds them. */
size_t recipients_octets(const struct recipients *recipients);

#endif
