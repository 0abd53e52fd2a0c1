#include "load-tests/record.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const column_names[RECORD_COLUMNS_N] = {
#define X(NAME, name) name,
	RECORD_COLUMNS(X)
#undef X
};

static bool bad(const char *path, unsigned line, const char *why)
{
	fprintf(stderr, "imflood: %s:%u: %s\n", path, line, why);
	return false;
}

static bool grow(struct record *r, size_t *room)
{
	if (r->n < *room)
		return true;
	size_t more = *room ? *room * 2 : 256;
	for (int i = 0; i < RECORD_COLUMNS_N; i++) {
		double *grown = realloc(r->columns[i], more * sizeof(double));
		if (!grown)
			return false;
		r->columns[i] = grown;
	}
	*room = more;
	return true;
}

static void take_line(struct record *r, const json_t *line)
{
	const char *phase = json_string_value(json_object_get(line, "phase"));

	for (int i = 0; i < RECORD_COLUMNS_N; i++) {
		const json_t *value = json_object_get(line, column_names[i]);
		r->columns[i][r->n] = json_is_number(value) ? json_number_value(value) : NAN;
	}
	double t = r->columns[COLUMN_T][r->n];
	if (phase && strcmp(phase, "measure") == 0) {
		if (r->measure_to == 0)
			r->measure_from = r->n ? r->columns[COLUMN_T][r->n - 1] : t - 1;
		r->measure_to = t;
	}
	r->n++;
}

/* One line of the file; takes over `line`. */
static bool take(struct record *r, json_t *line, size_t *room, const char **why)
{
	json_t *report = json_object_get(line, "report");
	bool is_second = json_is_number(json_object_get(line, "t"));

	*why = "not a line of a record of imflood";
	if (!r->head && json_is_integer(json_object_get(line, "imflood"))) {
		r->head = line;
		return true;
	}
	if (r->head && json_is_object(report) && !r->report) {
		r->report = json_incref(report);
	} else if (r->head && is_second) {
		*why = r->n == RECORD_SECONDS_MAX ? "too long" : "no memory";
		is_second = r->n < RECORD_SECONDS_MAX && grow(r, room);
		if (is_second)
			take_line(r, line);
	} else {
		is_second = false;
	}
	json_decref(line);
	return is_second || (report && r->report);
}

bool record_read(struct record *r, const char *path)
{
	char *text = NULL;
	const char *why = "not JSON";
	size_t size = 0, room = 0;
	unsigned number = 0;
	bool right = true;

	*r = (struct record){ .head = NULL };
	FILE *f = fopen(path, "re");
	if (!f) {
		fprintf(stderr, "imflood: %s: %s\n", path, strerror(errno));
		return false;
	}
	while (right && getline(&text, &size, f) > 0) {
		json_t *line = json_loads(text, 0, NULL);
		number++;
		/* the last line may be cut off: imflood was killed */
		if (!line && feof(f) && r->head)
			break;
		right = (line && take(r, line, &room, &why)) || bad(path, number, why);
	}
	free(text);
	fclose(f);
	if (right && !r->head)
		right = bad(path, 1, "not a record of imflood");
	return right;
}

void record_close(struct record *r)
{
	json_decref(r->head);
	json_decref(r->report);
	for (int i = 0; i < RECORD_COLUMNS_N; i++)
		free(r->columns[i]);
}

bool record_has(const struct record *r, enum record_column column)
{
	for (size_t i = 0; i < r->n; i++)
		if (!isnan(r->columns[column][i]) && r->columns[column][i] != 0)
			return true;
	return false;
}
