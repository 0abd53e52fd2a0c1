#include "core/admission.h"

#include "core/load.h"

#define GROWTH      0.04 /* of the share, an interval */
#define GROWTH_FAST 0.2  /* below a quarter of the mark, or of what it was before it fell last */
#define SATURATED   995  /* thousandths: how much more there is cannot be seen, ... */
#define FALL        0.85 /* ... so the share falls by this */
#define GROWN_MAX   100  /* intervals made up for after a sleep: enough from least to all */

void admission_init(struct admission *a)
{
	*a = (struct admission){ .share = 1 };
}

static bool is_over(const struct admission_interval *i)
{
	return i->busy > i->high_water * 10 && (i->is_waiting || i->high_water < ADMISSION_KEEPS_UP);
}

/* What the busy time is brought to while shedding, in thousandths. */
static double target_of(const struct admission_interval *i)
{
	return i->high_water < ADMISSION_KEEPS_UP ? i->high_water * 10.0 : (i->high_water * 10.0 + 2000) / 3;
}

static void lower(struct admission *a, const struct admission_interval *i)
{
	if (!a->is_falling)
		a->known = a->share / 2;
	a->is_falling = true;
	a->share *= i->busy >= SATURATED ? FALL : target_of(i) / i->busy;
	if (a->share < ADMISSION_LEAST)
		a->share = ADMISSION_LEAST;
}

static void raise(struct admission *a, const struct admission_interval *i)
{
	double target = target_of(i), spare = (target - i->busy) / target;
	double most = spare > 0.75 || a->share < a->known ? GROWTH_FAST : GROWTH, growth = spare / 2 < most ? spare / 2 : most;
	uint64_t times = i->us / LOAD_INTERVAL_US;

	for (uint64_t n = times < GROWN_MAX ? times : GROWN_MAX; n > 0 && a->share < 1; n--)
		a->share *= 1 + growth;
	a->is_falling = false;
}

enum admission_change admission_step(struct admission *a, const struct admission_interval *i)
{
	enum admission_change change = ADMISSION_SAME;

	a->taken = 0;
	if (i->high_water >= 100) { /* off, perhaps by a reload */
		change = a->is_shedding ? ADMISSION_ENDS : ADMISSION_SAME;
		admission_init(a);
		return change;
	}
	if (!a->is_shedding) {
		a->over = is_over(i) ? a->over + 1 : a->over ? a->over - 1 : 0;
		if (a->over < ADMISSION_PATIENCE)
			return ADMISSION_SAME;
		a->is_shedding = true;
		change = ADMISSION_BEGINS;
	}
	if (i->busy > target_of(i))
		lower(a, i);
	else
		raise(a, i);
	if (a->share < 1)
		return change;
	admission_init(a);
	return change == ADMISSION_BEGINS ? ADMISSION_SAME : ADMISSION_ENDS;
}

bool admission_take(struct admission *a, double share, uint64_t random)
{
	if (a->taken >= ADMISSION_ALWAYS && (double)(random >> 11) >= share * (double)(UINT64_C(1) << 53))
		return false;
	a->taken++;
	return true;
}
