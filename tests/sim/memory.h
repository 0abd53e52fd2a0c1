/*
 * The heap as the server under test sees it: each allocation is counted, the
 * chosen one fails, and what was not given back at the end is known.  Linked
 * with --wrap=malloc and friends; the simulator itself and the clients are
 * compiled past it (memory_exempt in meson.build) and never run short.
 */
#ifndef TESTS_SIM_MEMORY_H
#define TESTS_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From here on allocations are remembered. */
void memory_begin(void);

/* Allocations made now may fail, and are counted: the server runs. */
void memory_enter(void);
void memory_leave(void);

/* The n-th counted one from memory_begin() on fails, and `more` after it; 0: none. */
void memory_fail(uint64_t n, unsigned more);
bool memory_has_failed(void);
uint64_t memory_counted(void);

/* What was allocated since memory_begin() and not freed: number of pieces; *octets. */
size_t memory_left(size_t *octets);
/* Of these, the pieces that are smaller. */
size_t memory_left_below(size_t size, size_t *octets);
void memory_end(void);

#endif
