/*
 * Writes text into memory of the caller.  What does not fit is not written and
 * sets `overflow`, which the caller checks once at the end instead of after
 * every piece.  Any thread; owns nothing.
 */
#ifndef CORE_BUFFER_H
#define CORE_BUFFER_H

#include <stdarg.h>
#include <stdio.h>

#include "core/slice.h"

struct buffer {
	char *p;
	size_t n, size;
	bool overflow;
};

static inline struct buffer buffer_over(void *memory, size_t size)
{
	return (struct buffer){ memory, 0, size, false };
}

static inline void buffer_put(struct buffer *b, struct slice s)
{
	if (s.n > b->size - b->n) {
		b->overflow = true;
		return;
	}
	if (s.n)
		memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
}

#define buffer_lit(b, literal) buffer_put((b), SLICE(literal))

static inline void buffer_str(struct buffer *b, const char *text)
{
	buffer_put(b, slice_str(text));
}

static inline void buffer_char(struct buffer *b, char c)
{
	buffer_put(b, slice_of(&c, 1));
}

static inline void buffer_u64(struct buffer *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buffer_put(b, slice_of(digits + at, sizeof(digits) - at));
}

__attribute__((format(printf, 2, 3))) static inline void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list ap;
	size_t room = b->size - b->n;

	va_start(ap, format);
	int n = vsnprintf(b->p + b->n, room, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room) /* the terminator needs a place too */
		b->overflow = true;
	else
		b->n += (size_t)n;
}

static inline struct slice buffer_slice(const struct buffer *b)
{
	return slice_of(b->p, b->n);
}

#endif
