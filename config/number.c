#include "config/number.h"

#include <ctype.h>

struct unit {
	const char *name;
	uint64_t factor;
	bool is_written; /* so that 90s, 1800s and 7d look as people write them */
};

static const struct unit counts[] = { { "", 1, true }, { NULL } };
static const struct unit rates[] = { { "/s", 1, true }, { NULL } };
static const struct unit sizes[] = { { "GiB", 1 << 30, true }, { "MiB", 1 << 20, true },
				     { "KiB", 1 << 10, true }, { "", 1, true }, { NULL } };
static const struct unit times[] = { { "d", 86400000, true }, { "h", 3600000 }, { "m", 60000 },
				     { "s", 1000, true }, { "ms", 1, true }, { NULL } };
static const struct unit times_us[] = { { "d", 86400000000 }, { "h", 3600000000 },
					{ "m", 60000000 }, { "s", 1000000, true },
					{ "ms", 1000, true }, { "us", 1, true }, { NULL } };

static const struct unit *units_of(enum schema_type type)
{
	return type == TYPE_RATE    ? rates
	       : type == TYPE_SIZE  ? sizes
	       : type == TYPE_TIME  ? times
	       : type == TYPE_TIME_US ? times_us
				      : counts;
}

bool number_is_time(enum schema_type type)
{
	return type == TYPE_TIME || type == TYPE_TIME_US;
}

bool number_read(enum schema_type type, struct slice text, uint64_t *number)
{
	struct slice digits = text, unit;
	uint64_t value;

	digits.n = 0;
	while (digits.n < text.n && isdigit((unsigned char)text.p[digits.n]))
		digits.n++;
	unit = slice_skip(text, digits.n);
	/* 010 is 8 to some readers of YAML and 10 to others */
	if (!slice_u64(digits, UINT64_MAX, &value) || (digits.n > 1 && digits.p[0] == '0'))
		return false;
	*number = value;
	if (unit.n == 0 && value == 0 && number_is_time(type))
		return true;
	for (const struct unit *u = units_of(type); u->name; u++)
		if (slice_eq(unit, slice_str(u->name)))
			return !__builtin_mul_overflow(value, u->factor, number);
	return false;
}

void number_write(enum schema_type type, uint64_t value, FILE *out)
{
	const struct unit *u = units_of(type);

	if (value == 0 && number_is_time(type)) {
		fputs("0s", out);
		return;
	}
	if (value == 0)
		while (u[1].name)
			u++;
	while (!u->is_written || value % u->factor)
		u++; /* the last one is written and has the factor 1 */
	fprintf(out, "%llu%s", (unsigned long long)(value / u->factor), u->name);
}
