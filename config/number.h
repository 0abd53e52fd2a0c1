/*
 * Numbers with the units of design.md 9: sizes `KiB MiB GiB` (none: octets), times `us ms s m h d`,
 * rates `/s`.  Pure functions, any thread.
 */
#ifndef CONFIG_NUMBER_H
#define CONFIG_NUMBER_H

#include "config/schema.h"

/* Decimal digits and a unit of the type; a time of 0 needs none, TYPE_TIME knows no us.  False when
 * it is anything else (a sign, a fraction, a leading zero, more than 64 bits). */
bool number_read(enum schema_type type, struct slice text, uint64_t *number);

/* So that number_read gives the same back, in the largest unit that divides it; times stay in
 * seconds below a day, as people write them. */
void number_write(enum schema_type type, uint64_t value, FILE *out);

bool number_is_time(enum schema_type type);

#endif
