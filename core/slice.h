/*
 * A slice points into bytes that somebody else owns: it is never terminated,
 * never freed, and lives as long as what it points into.  Any thread.
 */
#ifndef CORE_SLICE_H
#define CORE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char *p;
	size_t n;
};

/* For printf: log("%.*s", SLICE_ARG(s)). */
#define SLICE_ARG(s) (int)(s).n, (s).p
#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })
#define SLICE_EMPTY ((struct slice){ NULL, 0 })

static inline struct slice slice_of(const char *p, size_t n)
{
	return (struct slice){ p, n };
}

static inline struct slice slice_str(const char *text)
{
	return (struct slice){ text, text ? strlen(text) : 0 };
}

/* A string of its own from malloc(); NULL: no memory.  strndup() is for strings that are terminated. */
static inline char *slice_to_string(struct slice s)
{
	char *text = malloc(s.n + 1);

	if (text) {
		if (s.n)
			memcpy(text, s.p, s.n);
		text[s.n] = '\0';
	}
	return text;
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII only: protocol names, never what a person typed. */
static inline bool slice_case_eq(struct slice a, struct slice b)
{
	/* mostly they are the same to the letter, which costs a tenth to see */
	return a.n == b.n && (b.n == 0 || memcmp(a.p, b.p, b.n) == 0 || strncasecmp(a.p, b.p, b.n) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool slice_case_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || strncasecmp(s.p, prefix.p, prefix.n) == 0);
}

/* The rest of `s` after `n` octets; empty when there are fewer. */
static inline struct slice slice_skip(struct slice s, size_t n)
{
	if (!s.p) /* NULL + 0 is undefined in C */
		return s;
	return n >= s.n ? slice_of(s.p + s.n, 0) : slice_of(s.p + n, s.n - n);
}

/* Without blanks, tabs, CR and LF at either end. */
static inline struct slice slice_trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r' || s.p[0] == '\n'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

/* Splits at the first `c`: what stands before it is returned, *rest is what follows.
 * Without a `c` all of `s` is returned and *rest is empty with p == NULL. */
static inline struct slice slice_cut(struct slice s, char c, struct slice *rest)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	struct slice head = at ? slice_of(s.p, (size_t)(at - s.p)) : s;

	if (rest)
		*rest = at ? slice_of(at + 1, s.n - head.n - 1) : SLICE_EMPTY;
	return head;
}

/* Decimal digits only, the whole slice, at most `max`; false leaves *value alone.  RFC numbers
 * never wrap here: 4294967328 is refused by a limit below it, not read as 32. */
static inline bool slice_u64(struct slice s, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(s.p[i] - '0');
		if (digit > 9 || (i >= 19 && v > (UINT64_MAX - digit) / 10)) /* 19 digits always fit */
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*value = v;
	return true;
}

#endif
