#include "config/errors.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void forget(struct config_error *e)
{
	free(e->source);
	free(e->key);
	free(e->text);
}

static int keep(struct config_errors *errors, struct config_error e)
{
	struct config_error *list;

	if (!e.source || !e.key || !e.text)
		return -1;
	list = realloc(errors->list, (errors->count + 1) * sizeof(*list));
	if (!list)
		return -1;
	errors->list = list;
	list[errors->count++] = e;
	return 0;
}

__attribute__((format(printf, 5, 0))) static void add(struct config_errors *errors,
	bool is_warning, struct config_place place, const char *key, const char *format, va_list ap)
{
	struct config_error e = { .is_warning = is_warning, .line = place.line };

	if (is_warning)
		errors->warnings++;
	else
		errors->errors++;
	if (errors->count >= CONFIG_ERRORS_MAX)
		return; /* counted above, and the print says how many are not shown */
	e.source = strdup(place.source ? place.source : "");
	e.key = strdup(key ? key : "");
	if (vasprintf(&e.text, format, ap) < 0)
		e.text = NULL;
	if (keep(errors, e)) {
		errors->out_of_memory = true;
		forget(&e);
	}
}

void config_error(struct config_errors *errors, struct config_place place, const char *key,
		  const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(errors, false, place, key, format, ap);
	va_end(ap);
}

void config_warning(struct config_errors *errors, struct config_place place, const char *key,
		    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(errors, true, place, key, format, ap);
	va_end(ap);
}

void config_errors_print(const struct config_errors *errors, FILE *out)
{
	for (unsigned i = 0; i < errors->count; i++) {
		const struct config_error *e = &errors->list[i];

		fputs(e->source, out);
		if (e->line)
			fprintf(out, ":%u", e->line);
		fprintf(out, ": %s%s%s%s\n", e->key, e->key[0] ? ": " : "",
			e->is_warning ? "warning: " : "", e->text);
	}
	if (errors->errors + errors->warnings > errors->count)
		fprintf(out, "and %u more\n", errors->errors + errors->warnings - errors->count);
}

void config_errors_take(struct config_errors *errors, struct config_errors *from)
{
	for (unsigned i = 0; i < from->count; i++) {
		const struct config_error *e = &from->list[i];

		if (!e->is_warning)
			config_error(errors, (struct config_place){ e->source, e->line }, e->key, "%s", e->text);
	}
	errors->out_of_memory = errors->out_of_memory || from->out_of_memory;
	config_errors_free(from);
}

void config_errors_free(struct config_errors *errors)
{
	for (unsigned i = 0; i < errors->count; i++)
		forget(&errors->list[i]);
	free(errors->list);
	*errors = (struct config_errors){ 0 };
}
