#include "tests/sim/rfc4975_table.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/buffer.h"

#define FILE_MAX (4 * 1024 * 1024)

/* ---- reading ---- */

static void *grown(void *array, size_t count, size_t size)
{
	/* at powers of two */
	if (count & (count - 1))
		return array;
	array = realloc(array, (count ? 2 * count : 1) * size);
	assert(array);
	return array;
}

static struct step *add_step(struct table_case *c, enum step_kind kind, unsigned side, unsigned line_number)
{
	c->steps = grown(c->steps, c->step_count, sizeof(*c->steps));
	struct step *step = &c->steps[c->step_count++];
	*step = (struct step){ .kind = kind, .side = side, .line_number = line_number };
	return step;
}

static void add_line(struct table_case *c, enum step_kind kind, unsigned side, struct slice line, unsigned line_number)
{
	struct step *step = c->step_count ? &c->steps[c->step_count - 1] : NULL;

	if (!step || step->kind != kind || step->side != side)
		step = add_step(c, kind, side, line_number);
	step->lines = grown(step->lines, step->line_count, sizeof(*step->lines));
	step->lines[step->line_count++] = line;
}

static bool read_setup(struct table_case *c, struct slice words)
{
	while (words.n) {
		struct slice word = slice_cut(words, ' ', &words);
		if (slice_eq(word, SLICE("unbound")))
			c->is_unbound[0] = true;
		else if (slice_eq(word, SLICE("unbound-far")))
			c->is_unbound[1] = true;
		else if (slice_eq(word, SLICE("passive")))
			c->is_passive = true;
		else if (slice_eq(word, SLICE("relay")))
			c->has_relay = true;
		else
			return false;
	}
	return true;
}

static bool read_step(struct table_case *c, struct slice text, unsigned line_number)
{
	struct slice rest, word = slice_cut(text, ' ', &rest);
	bool is_side = word.n && word.p[0] >= 'A' && word.p[0] <= 'C';
	unsigned side = is_side ? (unsigned)(word.p[0] - 'A') : 0;

	if (is_side && word.n == 2 && (word.p[1] == '>' || word.p[1] == '<'))
		add_line(c, word.p[1] == '>' ? STEP_WRITES : STEP_HEARS, side, rest, line_number);
	else if (is_side && word.n == 1 && slice_eq(rest, SLICE("closed")))
		add_step(c, STEP_IS_CLOSED, side, line_number);
	else if (is_side && word.n == 1 && slice_eq(rest, SLICE("closes")))
		add_step(c, STEP_CLOSES, side, line_number);
	else if (slice_eq(text, SLICE("over")))
		add_step(c, STEP_OVER, 0, line_number);
	else if (slice_eq(text, SLICE("then")))
		add_step(c, STEP_THEN, 0, line_number);
	else if (slice_eq(word, SLICE("after")))
		add_step(c, STEP_AFTER, 0, line_number)->seconds = (unsigned)strtoul(rest.p, NULL, 10);
	else
		return false;
	return true;
}

static bool read_line(struct table *table, struct slice text, unsigned line_number)
{
	struct slice rest, word = slice_cut(text, ' ', &rest);
	struct table_case *c = table->case_count ? &table->cases[table->case_count - 1] : NULL;

	if (text.n == 0 || text.p[0] == '#' || slice_eq(word, SLICE("elsewhere")) || slice_eq(word, SLICE("none")))
		return true;
	if (slice_eq(word, SLICE("case"))) {
		table->cases = grown(table->cases, table->case_count, sizeof(*table->cases));
		table->cases[table->case_count++] = (struct table_case){ .name = rest, .line_number = line_number };
		return true;
	}
	if (!c)
		return false;
	if (slice_eq(word, SLICE("rule"))) {
		c->rules++;
		return true;
	}
	if (slice_eq(word, SLICE("setup")))
		return read_setup(c, rest);
	return read_step(c, text, line_number);
}

bool table_read(struct table *table, const char *path, const char **why, unsigned *line_number)
{
	FILE *file = fopen(path, "r");

	*table = (struct table){ .text = calloc(1, FILE_MAX + 1) };
	assert(table->text);
	*line_number = 0;
	*why = "it cannot be read";
	if (!file)
		return false;
	size_t n = fread(table->text, 1, FILE_MAX, file);
	fclose(file);
	for (struct slice all = slice_of(table->text, n); all.n;) {
		struct slice text = slice_cut(all, '\n', &all);
		++*line_number;
		*why = "no such line";
		if (!read_line(table, text, *line_number))
			return false;
	}
	*why = "no case";
	for (size_t i = 0; i < table->case_count; i++) {
		*line_number = table->cases[i].line_number;
		*why = "a case without rule, without steps, or with too many";
		if (!table->cases[i].rules || !table->cases[i].step_count || table->cases[i].step_count > TABLE_STEPS_MAX)
			return false;
	}
	return table->case_count > 0;
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->case_count; i++) {
		for (size_t k = 0; k < table->cases[i].step_count; k++)
			free(table->cases[i].steps[k].lines);
		free(table->cases[i].steps);
	}
	free(table->cases);
	free(table->text);
}

bool table_case_lives(const struct table_case *c)
{
	for (size_t i = 0; i < c->step_count; i++) {
		const struct step *step = &c->steps[i];
		if (step->kind == STEP_OVER || (step->side < 2 && (step->kind == STEP_IS_CLOSED || step->kind == STEP_CLOSES)))
			return false;
	}
	return true;
}

/* ---- what lines stand for ---- */

/* The lines of a step with the short ones written out, each with its CRLF. */
static void write_out(struct buffer *out, const struct step *step)
{
	bool hears = step->kind == STEP_HEARS;

	for (size_t i = 0; i < step->line_count; i++) {
		struct slice line = step->lines[i], id, rest;
		if (slice_eq(line, SLICE("{paths}"))) {
			buffer_printf(out, "To-Path: {%s}\r\nFrom-Path: {%s}\r\n", hears ? "me" : "to", hears ? "to" : "me");
		} else if (slice_starts(line, SLICE("{answer "))) {
			line = slice_skip(slice_of(line.p, line.n - 1), 8);
			id = slice_cut(line, ' ', &rest);
			buffer_printf(out, "MSRP %.*s %.*s%s\r\nTo-Path: {%s}\r\nFrom-Path: {%s}\r\n-------%.*s$\r\n",
				SLICE_ARG(id), SLICE_ARG(rest), hears ? "{any}" : "", hears ? "me1" : "to",
				hears ? "to" : "me1", SLICE_ARG(id));
		} else {
			bool is_open = line.n && line.p[line.n - 1] == '\\' && (line.n < 2 || line.p[line.n - 2] != '\\');
			buffer_put(out, is_open ? slice_of(line.p, line.n - 1) : line);
			if (!is_open && !slice_eq(line, SLICE("{lines}")))
				buffer_lit(out, "\r\n");
		}
	}
	assert(!out->overflow);
}

enum token_kind { TOKEN_END, TOKEN_OCTETS, TOKEN_REPEATED, TOKEN_NEW, TOKEN_ANY, TOKEN_LINES };

struct token {
	enum token_kind kind;
	struct slice octets, name;
	char octet;              /* of an escape, or the one that is repeated */
	size_t count;
};

static struct slice side_value(const struct play *play, unsigned side, struct slice name)
{
	const struct side_names *s;
	struct slice what = name;

	if (name.n > 2 && name.p[1] == '.') {
		side = (unsigned)(name.p[0] - 'A');
		what = slice_skip(name, 2);
	}
	if (side > 1)
		return SLICE_EMPTY;
	s = &play->sides[side];
	const struct {
		struct slice name;
		const char *value;
	} all[] = { { SLICE("to"), s->to }, { SLICE("me"), s->me }, { SLICE("me1"), s->me1 }, { SLICE("host"), s->host },
		{ SLICE("id"), s->id }, { SLICE("ID"), s->ID }, { SLICE("my_host"), s->my_host }, { SLICE("my_id"), s->my_id },
		{ SLICE("scheme"), "msrp" }, { SLICE("SCHEME"), "MSRP" } };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (slice_eq(what, all[i].name))
			return slice_str(all[i].value);
	return SLICE_EMPTY;
}

static void place(const struct play *play, unsigned side, struct slice inner, struct token *token)
{
	struct slice rest;

	*token = (struct token){ .kind = TOKEN_OCTETS };
	if (slice_eq(inner, SLICE("empty")))
		return;
	if (inner.n > 2 && inner.p[1] == '*') {
		*token = (struct token){ .kind = TOKEN_REPEATED, .octet = inner.p[0], .count = strtoul(inner.p + 2, NULL, 10) };
		return;
	}
	if (slice_eq(inner, SLICE("any")) || slice_eq(inner, SLICE("lines"))) {
		token->kind = inner.p[0] == 'a' ? TOKEN_ANY : TOKEN_LINES;
		return;
	}
	token->octets = side_value(play, side, inner);
	token->name = slice_cut(inner, ':', &rest);
	for (size_t i = 0; i < play->name_count && !token->octets.n; i++)
		if (slice_eq(token->name, slice_str(play->names[i].name)))
			token->octets = slice_of(play->names[i].octets, play->names[i].n);
	if (token->octets.n)
		return;
	token->kind = TOKEN_NEW;
	token->count = rest.n ? strtoul(rest.p, NULL, 10) : 8;
}

static void escape(struct slice *text, struct token *token)
{
	char c = text->p[1];
	char digits[3] = { 0 };

	*token = (struct token){ .kind = TOKEN_REPEATED, .count = 1, .octet = c == 'r' ? '\r' : c == 'n' ? '\n' : c };
	if (c != 'x') {
		*text = slice_skip(*text, 2);
		return;
	}
	memcpy(digits, text->p + 2, 2);
	token->octet = (char)strtoul(digits, NULL, 16);
	*text = slice_skip(*text, 4);
}

/* Takes the next piece off the text of write_out(). */
static struct token next_token(const struct play *play, unsigned side, struct slice *text)
{
	struct token token = { TOKEN_END };
	size_t n = 0;

	if (text->n == 0)
		return token;
	if (text->p[0] == '{') {
		struct slice inner = slice_cut(slice_skip(*text, 1), '}', text);
		place(play, side, inner, &token);
	} else if (text->p[0] == '\\') {
		escape(text, &token);
	} else {
		while (n < text->n && text->p[n] != '{' && text->p[n] != '\\')
			n++;
		token = (struct token){ .kind = TOKEN_OCTETS, .octets = slice_of(text->p, n) };
		*text = slice_skip(*text, n);
	}
	return token;
}

static void add_name(struct play *play, struct slice name, struct slice octets, bool was_heard)
{
	size_t i = play->name_count++;

	assert(i < TABLE_NAMES_MAX && octets.n <= sizeof(play->names[i].octets));
	snprintf(play->names[i].name, sizeof(play->names[i].name), "%.*s", SLICE_ARG(name));
	memcpy(play->names[i].octets, octets.p, octets.n);
	play->names[i].n = octets.n;
	play->names[i].was_heard = was_heard;
}

/* ---- writing ---- */

struct slice play_octets(struct play *play, const struct step *step)
{
	static char source[65536], octets[256 * 1024];
	struct buffer written_out = buffer_over(source, sizeof(source));
	struct buffer out = buffer_over(octets, sizeof(octets));
	struct token token;
	char *copy;

	write_out(&written_out, step);
	for (struct slice text = buffer_slice(&written_out);
		(token = next_token(play, step->side, &text)).kind != TOKEN_END;) {
		if (token.kind == TOKEN_NEW) {
			char ident[40];
			snprintf(ident, sizeof(ident), "t%08xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ++*play->fresh);
			assert(token.count < sizeof(ident));
			/* what differs stands at the end of the number */
			if (token.count < 9)
				memmove(ident + 1, ident + 1 + 9 - token.count, token.count - 1);
			add_name(play, token.name, slice_of(ident, token.count), false);
			buffer_put(&out, slice_of(ident, token.count));
		}
		for (size_t i = 0; token.kind == TOKEN_REPEATED && i < token.count; i++)
			buffer_char(&out, token.octet);
		buffer_put(&out, token.octets);
	}
	assert(!out.overflow);
	copy = malloc(out.n);
	assert(copy);
	memcpy(copy, out.p, out.n);
	return slice_of(copy, out.n);
}

/* ---- comparing ---- */

static bool is_ident_octet(char c)
{
	return isalnum((unsigned char)c) || memchr(".-+%=", c, 5) != NULL;
}

/* Header lines up to one that is none; false: its end is not there yet. */
static bool skip_lines(struct slice octets, size_t *at)
{
	for (;;) {
		struct slice rest = slice_skip(octets, *at);
		const char *end = rest.n ? memmem(rest.p, rest.n, "\r\n", 2) : NULL;
		if (rest.n && (rest.p[0] == '-' || rest.p[0] == '\r'))
			return true;
		if (!end)
			return false;
		*at += (size_t)(end - rest.p) + 2;
	}
}

/* An ident, or any text; what follows it must be there, too. */
static enum match skip_text(struct slice octets, size_t *at, bool is_ident)
{
	size_t from = *at;

	while (*at < octets.n && (is_ident ? is_ident_octet(octets.p[*at]) : octets.p[*at] != '\r' && octets.p[*at] != '\n'))
		++*at;
	if (*at == octets.n)
		return MATCH_MORE;
	return is_ident && (*at - from < 4 || *at - from > 32) ? MATCH_WRONG : MATCH_WHOLE;
}

static enum match skip_same(struct slice octets, size_t *at, const struct token *token)
{
	bool is_repeated = token->kind == TOKEN_REPEATED;
	size_t count = is_repeated ? token->count : token->octets.n;

	for (size_t i = 0; i < count; i++, ++*at) {
		if (*at == octets.n)
			return MATCH_MORE;
		if (octets.p[*at] != (is_repeated ? token->octet : token->octets.p[i]))
			return MATCH_WRONG;
	}
	return MATCH_WHOLE;
}

enum match play_match(struct play *play, const struct step *step, struct slice octets, size_t *used)
{
	static char source[65536];
	struct buffer written_out = buffer_over(source, sizeof(source));
	size_t known = play->name_count;
	enum match match = MATCH_WHOLE;
	struct token token;

	*used = 0;
	write_out(&written_out, step);
	struct slice text = buffer_slice(&written_out);
	while (match == MATCH_WHOLE && (token = next_token(play, step->side, &text)).kind != TOKEN_END) {
		size_t from = *used;
		if (token.kind == TOKEN_LINES)
			match = skip_lines(octets, used) ? MATCH_WHOLE : MATCH_MORE;
		else if (token.kind == TOKEN_NEW || token.kind == TOKEN_ANY)
			match = skip_text(octets, used, token.kind == TOKEN_NEW);
		else
			match = skip_same(octets, used, &token);
		if (token.kind == TOKEN_NEW && match == MATCH_WHOLE)
			add_name(play, token.name, slice_of(octets.p + from, *used - from), true);
	}
	if (match != MATCH_WHOLE) /* it is looked at again from its beginning */
		play->name_count = known;
	return match;
}
