#include "core/admission.h"

#include "core/load.h"

#define GROWTH      0.04 /* of the share, an interval; more with much time to spare */
#define GROWTH_FAST 0.35 /* below KNOWN */
#define KNOWN       0.85 /* of the share that was too much */
#define SATURATED   995  /* thousandths: how much more there is cannot be seen, so the share falls by ... */
#define FALL_LITTLE 0.97 /* ... this while nothing waits: it may be just enough, */
#define FALL        0.85 /* this, or */
#define FALL_FAST   0.6  /* this with a backlog of more than LATE_US, which is soon refused and late as it is */
#define LATE_US     500000
#define SAVED_IN_US 10000000 /* of calm, from nothing */
#define GROWN_MAX   100  /* intervals made up for after a sleep: enough from least to all */

void admission_init(struct admission *a)
{
	*a = (struct admission){ .share = 1, .may_refuse = ADMISSION_SAVED };
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

static double fall_of(const struct admission_interval *i)
{
	if (i->busy < SATURATED)
		return target_of(i) / i->busy;
	if (i->high_water >= ADMISSION_KEEPS_UP && !i->is_waiting)
		return FALL_LITTLE;
	return i->backlog_us > LATE_US ? FALL_FAST : FALL;
}

static void lower(struct admission *a, const struct admission_interval *i)
{
	double fall = fall_of(i), least = i->backlog_us > LATE_US ? ADMISSION_LEAST_LATE : ADMISSION_LEAST;

	if (!a->is_falling && fall <= FALL)
		a->known = a->share * KNOWN;
	a->is_falling = true;
	a->share *= fall;
	if (a->share < least)
		a->share = least;
	/* less is not to be had: the streams are read as they can be served */
	if (a->was_forced && a->share * (a->taken + a->refused) < a->taken)
		a->share = (double)a->taken / (a->taken + a->refused);
}

static double growth_of(const struct admission *a, const struct admission_interval *i)
{
	double target = target_of(i), spare = (target - i->busy) / target, most = spare * spare / 3;

	if (a->share < a->known)
		most = GROWTH_FAST;
	if (most < GROWTH)
		most = GROWTH;
	return spare / 2 < most ? spare / 2 : most;
}

static void raise(struct admission *a, const struct admission_interval *i)
{
	double growth = growth_of(a, i);
	uint64_t times = i->us / LOAD_INTERVAL_US;

	for (uint64_t n = times < GROWN_MAX ? times : GROWN_MAX; n > 0 && a->share < 1; n--)
		a->share *= 1 + growth;
	a->is_falling = false;
}

static void count_anew(struct admission *a)
{
	a->taken = a->refused = 0;
	a->was_forced = false;
}

static void save(struct admission *a, double more)
{
	a->may_refuse += more;
	if (a->may_refuse > ADMISSION_SAVED)
		a->may_refuse = ADMISSION_SAVED;
}

/* What was saved up is spent: shedding that ends and begins again each second must not have it each time. */
static void end(struct admission *a)
{
	double may_refuse = a->may_refuse;

	admission_init(a);
	a->may_refuse = may_refuse;
}

static enum admission_change step(struct admission *a, const struct admission_interval *i)
{
	enum admission_change change = ADMISSION_SAME;

	if (i->high_water >= 100) { /* off, perhaps by a reload */
		change = a->is_shedding ? ADMISSION_ENDS : ADMISSION_SAME;
		end(a);
		return change;
	}
	if (!a->is_shedding) {
		save(a, (double)i->us * ADMISSION_SAVED / SAVED_IN_US);
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
	end(a);
	return change == ADMISSION_BEGINS ? ADMISSION_SAME : ADMISSION_ENDS;
}

enum admission_change admission_step(struct admission *a, const struct admission_interval *i)
{
	enum admission_change change = step(a, i);

	a->is_bounded = i->high_water >= ADMISSION_KEEPS_UP;
	count_anew(a);
	return change;
}

static bool is_by_chance(double share, uint64_t random)
{
	return (double)(random >> 11) < share * (double)(UINT64_C(1) << 53);
}

bool admission_take(struct admission *a, double share, uint64_t random)
{
	if (a->taken >= ADMISSION_ALWAYS && !is_by_chance(share, random))
		return false;
	a->taken++;
	return true;
}

bool admission_would_refuse(struct admission *a, double share, uint64_t random)
{
	if (a->taken < ADMISSION_ALWAYS || is_by_chance(share, random))
		return false;
	if (!a->is_bounded || a->may_refuse >= 1)
		return true;
	a->was_forced = true;
	return false;
}

void admission_refused(struct admission *a)
{
	a->refused++;
	a->may_refuse -= a->is_bounded;
}

void admission_took(struct admission *a, unsigned earns)
{
	a->taken++;
	save(a, earns * ADMISSION_PART);
}
