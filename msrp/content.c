#include "msrp/content.h"

bool msrp_content_is_announced_beyond(const struct msrp_leg *leg, const struct msrp_byte_range *range)
{
	return (range->total != MSRP_RANGE_UNKNOWN && msrp_content_is_beyond(leg, range->total)) ||
	       (range->end != MSRP_RANGE_UNKNOWN && msrp_content_is_beyond(leg, range->end)) ||
	       msrp_content_is_beyond(leg, range->start - 1);
}

static struct slice types_of(const struct msrp_leg *far)
{
	return slice_of(far->peer_path + far->peer_path_n, far->accept_n);
}

static struct slice wrapped_of(const struct msrp_leg *far)
{
	return slice_of(far->peer_path + far->peer_path_n + far->accept_n, far->accept_wrapped_n);
}

/* What came before mostly comes again: to the letter, with or without parameters. */
static bool is_as_before(const struct msrp_leg *far, struct slice type)
{
	struct slice before = slice_of(types_of(far).p + far->accepted_at, far->accepted_n);

	return before.n && slice_starts(type, before) && (type.n == before.n || type.p[before.n] == ';');
}

bool msrp_content_suits(struct msrp_leg *far, struct slice content_type)
{
	if (!far->accept_n || is_as_before(far, content_type))
		return true;
	struct slice entry = msrp_accept_find(types_of(far), msrp_accept_type(content_type));
	if (!entry.n)
		return false;
	far->accepted_at = (uint16_t)(entry.p - types_of(far).p);
	far->accepted_n = (uint16_t)entry.n;
	return true;
}

bool msrp_content_is_taken(const struct msrp_leg *leg, struct slice content_type)
{
	return !leg->pair || msrp_content_suits(leg->pair, content_type);
}

bool msrp_content_is_wrapper(const struct msrp_leg *leg, struct slice content_type)
{
	return leg->pair && leg->pair->looks_inside &&
	       slice_case_eq(msrp_accept_type(content_type), SLICE("message/cpim"));
}

enum msrp_inside msrp_content_inside(const struct msrp_leg *leg, struct slice content)
{
	const struct msrp_leg *far = leg->pair;
	struct slice visible = slice_of(content.p, content.n < MSRP_INSIDE_MAX ? content.n : MSRP_INSIDE_MAX);
	struct slice type = msrp_accept_wrapped_type(visible);

	if (!type.p && visible.n < MSRP_INSIDE_MAX)
		return MSRP_INSIDE_UNSEEN;
	if (!type.p || !far || !far->looks_inside) /* the receiver will see */
		return MSRP_INSIDE_TAKEN;
	return msrp_accept_find(types_of(far), type).n || msrp_accept_find(wrapped_of(far), type).n ?
		MSRP_INSIDE_TAKEN : MSRP_INSIDE_REFUSED;
}
