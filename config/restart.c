#include "config/restart.h"

#include <errno.h>
#include <stdlib.h>

#include "config/layers.h"
#include "config/schema.h"
#include "config/value.h"

/* Every list is a pointer and a count (struct listen_list, struct tls_list). */
struct any_list {
	char *list;
	unsigned count;
};

static int add(struct text_list *names, const char *name)
{
	char **list = realloc(names->list, (names->count + 1) * sizeof(*list));

	if (!list)
		return ENOMEM;
	names->list = list;
	if (!(list[names->count] = strdup(name)))
		return ENOMEM;
	names->count++;
	return 0;
}

void text_list_free(struct text_list *names)
{
	for (unsigned i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
	*names = (struct text_list){ 0 };
}

/* As it is written; "" for a text that is not there.  NULL: no memory. */
static char *text_of(const struct schema_key *key, const void *fields)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return NULL;
	(void)value_write(key, fields, out); /* false: nothing was written, which is a value too */
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* Of one mapping; `path` is its name. */
static int compare(const struct schema_key *keys, const void *a, const void *b, const char *path,
	struct text_list *names)
{
	char name[160];
	int err = 0;

	for (const struct schema_key *k = keys; k->name && !err; k++) {
		if (!(k->flags & RESTART_ONLY))
			continue;
		char *texts[2] = { text_of(k, a), text_of(k, b) };
		snprintf(name, sizeof(name), "%s.%s", path, k->name);
		if (!texts[0] || !texts[1])
			err = ENOMEM;
		else if (strcmp(texts[0], texts[1]) != 0)
			err = add(names, name);
		free(texts[0]);
		free(texts[1]);
	}
	return err;
}

static bool is_restart_only(const struct schema_key *keys)
{
	for (; keys->name; keys++)
		if (keys->flags & RESTART_ONLY)
			return true;
	return false;
}

static int compare_lists(const struct schema_section *s, const struct any_list *a, const struct any_list *b,
	struct text_list *names)
{
	char path[64];
	int err = 0;

	if (a->count != b->count && is_restart_only(s->keys))
		return add(names, s->name);
	for (unsigned i = 0; i < a->count && i < b->count && !err; i++) {
		snprintf(path, sizeof(path), "%s[%u]", s->name, i);
		err = compare(s->keys, a->list + i * s->entry_size, b->list + i * s->entry_size, path, names);
	}
	return err;
}

int restart_changes(const struct config *written, const struct config *running, struct text_list *names)
{
	int err = 0;

	*names = (struct text_list){ 0 };
	for (const struct schema_section *s = schema_sections; s->name && !err; s++) {
		const void *a = (const char *)written + s->offset, *b = (const char *)running + s->offset;
		err = s->entry_size ? compare_lists(s, a, b, names) : compare(s->keys, a, b, s->name, names);
	}
	if (err)
		text_list_free(names);
	return err;
}

/* ---- the values that stay ---- */

static bool is_named(const struct text_list *names, const char *section, const char *key)
{
	size_t n = strlen(section);

	for (unsigned i = 0; i < names->count; i++)
		if (strncmp(names->list[i], section, n) == 0 &&
		    (key ? names->list[i][n] == '.' && strcmp(names->list[i] + n + 1, key) == 0 :
			   names->list[i][n] == '[' || names->list[i][n] == '\0'))
			return true;
	return false;
}

static void write_entry(const struct schema_key *keys, const void *fields, FILE *out)
{
	fputc('{', out);
	for (const struct schema_key *k = keys; k->name; k++) {
		if (!k->fallback && !(k->flags & REQUIRED) && !*(char *const *)((const char *)fields + k->offset))
			continue; /* a text that was not given */
		fprintf(out, "%s: ", k->name);
		value_write(k, fields, out); /* true: not NULL */
		fputs(", ", out);
	}
	fputs("}, ", out);
}

/* As one value in flow syntax; lists whole. */
static void write_kept(const struct text_list *names, const struct config *running, FILE *out)
{
	fputc('{', out);
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		const char *at = (const char *)running + s->offset;
		const struct any_list *list = (const void *)at;

		if (s->entry_size && !is_named(names, s->name, NULL))
			continue;
		fprintf(out, "%s: %c", s->name, s->entry_size ? '[' : '{');
		for (unsigned i = 0; s->entry_size && i < list->count; i++)
			write_entry(s->keys, list->list + i * s->entry_size, out);
		for (const struct schema_key *k = s->keys; !s->entry_size && k->name; k++) {
			if (!is_named(names, s->name, k->name))
				continue;
			fprintf(out, "%s: ", k->name);
			value_write(k, at, out); /* true: sections have a default for each text */
			fputs(", ", out);
		}
		fprintf(out, "%c, ", s->entry_size ? ']' : '}');
	}
	fputc('}', out);
}

int restart_keep(struct tree *tree, struct node *root, const struct text_list *names, const struct config *running,
	struct config_errors *errors)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	struct node *kept = NULL;

	if (!out)
		return ENOMEM;
	write_kept(names, running, out);
	if (fclose(out) == 0)
		kept = tree_parse(tree, slice_of(text, n), RESTART_SOURCE, false, errors);
	free(text);
	if (!kept)
		return ENOMEM; /* it was good when it was read: only memory can be missing */
	layers_merge(root, kept);
	return 0;
}
