/*
 * What every unit test needs: cmocka, REQ() to cite a requirement beside the
 * assertion that shows it, CHECK() with a message, and exact-size heap copies
 * so that AddressSanitizer sees the first octet too many.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/slice.h"

#define REQ(...) /* read by tools/coverage */

#define CHECK(condition, ...)                                  \
	do {                                                   \
		if (!(condition)) {                            \
			print_error("%s:%d: ", __FILE__, __LINE__); \
			print_error(__VA_ARGS__);              \
			fail();                                \
		}                                              \
	} while (0)

/* A heap copy of exactly n octets (never NULL, even for 0); the caller frees. */
static inline char *exact_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	if (copy && n)
		memcpy(copy, p, n);
	return copy;
}

#endif
