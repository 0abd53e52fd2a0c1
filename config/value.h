/*
 * One value: how each schema type is read from YAML, checked, written back and freed.
 *
 * `section` is the struct the row's offset counts from.  A field is set at most once, starting from
 * zero, and what it holds is freed by value_free.
 * Thread: main.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/schema.h"

/* Sets the field, or adds an error under the name `path` and leaves the field zero. */
void value_read(const struct schema_key *key, const struct node *node, const char *path,
		void *section, struct config_errors *errors);

/* Sets the field to what the row says; a row without a default leaves it zero. */
void value_default(const struct schema_key *key, void *section, struct config_errors *errors);

/* As YAML that value_read takes back; nothing and false for a text that is NULL. */
bool value_write(const struct schema_key *key, const void *section, FILE *out);

/* "a time from 100ms to 1h": what errors and --print-config say about a key. */
void value_expectation(const struct schema_key *key, FILE *out);

void value_free(const struct schema_key *key, void *section);

#endif
