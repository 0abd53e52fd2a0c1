#include <string.h>

#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

static void write_comment(const struct schema_key *key, FILE *out)
{
	fputs("  # ", out);
	if (key->flags & NOT_YET)
		fputs("not yet in effect; ", out);
	value_expectation(key, out);
	if (key->flags & RESTART_ONLY)
		fputs("; restart to change", out);
	fprintf(out, "; %s\n", key->help);
}

/* `indent` goes before the first key, its blanks before the others. */
static void write_keys(const struct schema_key *keys, const void *fields, const char *indent,
		       FILE *out)
{
	for (const struct schema_key *k = keys; k->name; k++) {
		const char *text = k->fallback || k->flags & REQUIRED
					   ? "" : *(char *const *)((const char *)fields + k->offset);

		fprintf(out, "%s%s%s:%s", k == keys ? indent : &"    "[4 - strlen(indent)],
			text ? "" : "# ", k->name, text ? " " : "");
		if (text)
			value_write(k, fields, out); /* true: not NULL */
		write_comment(k, out);
	}
}

static void write_section(const struct schema_section *s, const void *at, FILE *out)
{
	const struct listen_list *list = at; /* all lists look alike */

	fprintf(out, "# %s\n%s:", s->help, s->name);
	if (!s->entry_size) {
		fputc('\n', out);
		write_keys(s->keys, at, "  ", out);
		return;
	}
	fputs(list->count ? "\n" : " []\n", out);
	for (unsigned i = 0; i < list->count; i++)
		write_keys(s->keys, (const char *)list->list + i * s->entry_size, "  - ", out);
	if (!list->count) /* the keys of an entry, for the reader only */
		for (const struct schema_key *k = s->keys; k->name; k++) {
			fprintf(out, "#   %s", k->name);
			write_comment(k, out);
		}
}

void config_print(const struct config *config, FILE *out)
{
	struct config written = *config;

	if (written.policy.unavailable_session_code_auto)
		written.policy.unavailable_session_code = 0;
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		if (s != schema_sections)
			fputc('\n', out);
		write_section(s, (const char *)&written + s->offset, out);
	}
}
