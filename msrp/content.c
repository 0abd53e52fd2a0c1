#include "msrp/content.h"

bool msrp_content_is_beyond(const struct msrp_leg *leg, uint64_t octet)
{
	return leg->max_octets && octet > leg->max_octets;
}

bool msrp_content_is_announced_beyond(const struct msrp_leg *leg, const struct msrp_byte_range *range)
{
	return (range->total != MSRP_RANGE_UNKNOWN && msrp_content_is_beyond(leg, range->total)) ||
	       (range->end != MSRP_RANGE_UNKNOWN && msrp_content_is_beyond(leg, range->end)) ||
	       msrp_content_is_beyond(leg, range->start - 1);
}
