/*
 * What the fuzz targets share.  Each target is LLVMFuzzerTestOneInput(); main() is libFuzzer's, or
 * corpus_main.c's where there is none.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>

#include "core/buffer.h"
#include "core/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

/* A copy of the exact size, so that the sanitizer sees the first octet too many.  The caller frees ->p. */
static inline struct slice fuzz_copy(struct slice s)
{
	char *copy = malloc(s.n ? s.n : 1);

	assert(copy);
	if (s.n)
		memcpy(copy, s.p, s.n);
	return slice_of(copy, s.n);
}

static inline void fuzz_free(struct slice s)
{
	free((char *)s.p);
}

static inline bool fuzz_is_within(struct slice outer, struct slice s)
{
	return !s.n || (s.p >= outer.p && s.p + s.n <= outer.p + outer.n);
}

/* Nothing that ends a line. */
static inline bool fuzz_is_one_line(struct slice s)
{
	return !s.n || (!memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) && !memchr(s.p, 0, s.n));
}

#endif
