/* Byte-Range: see byte_range.h. */
#include "msrp/byte_range.h"

/* A number or, where `star` allows it, "*". */
static enum msrp_range_verdict parse_number(struct slice s, bool star, uint64_t *value)
{
	if (star && s.n == 1 && s.p[0] == '*') {
		*value = MSRP_RANGE_UNKNOWN;
		return MSRP_RANGE_OK;
	}
	if (slice_u64(s, MSRP_RANGE_MAX, value))
		return MSRP_RANGE_OK;
	if (s.n == 0)
		return MSRP_RANGE_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return MSRP_RANGE_SYNTAX;
	}
	return MSRP_RANGE_NUMBER;
}

static enum msrp_range_verdict verdict_of(const struct msrp_byte_range *r)
{
	if (r->start == 0)
		return MSRP_RANGE_START_ZERO;
	if (r->end < r->start - 1)
		return MSRP_RANGE_END;
	/* With an unknown end the chunk has at least the place before its first octet. */
	if ((r->end == MSRP_RANGE_UNKNOWN ? r->start - 1 : r->end) > r->total)
		return MSRP_RANGE_TOTAL;
	return MSRP_RANGE_OK;
}

enum msrp_range_verdict msrp_byte_range_parse(struct slice value, struct msrp_byte_range *range)
{
	struct slice end, total, start = slice_cut(value, '-', &end);
	struct msrp_byte_range r;
	enum msrp_range_verdict verdict;

	end = slice_cut(end, '/', &total);
	if ((verdict = parse_number(start, false, &r.start)) != MSRP_RANGE_OK ||
		(verdict = parse_number(end, true, &r.end)) != MSRP_RANGE_OK ||
		(verdict = parse_number(total, true, &r.total)) != MSRP_RANGE_OK ||
		(verdict = verdict_of(&r)) != MSRP_RANGE_OK)
		return verdict;
	*range = r;
	return MSRP_RANGE_OK;
}

static void write_number(struct buffer *b, uint64_t value)
{
	if (value == MSRP_RANGE_UNKNOWN)
		buffer_char(b, '*');
	else
		buffer_u64(b, value);
}

void msrp_byte_range_write(struct buffer *b, const struct msrp_byte_range *range)
{
	buffer_u64(b, range->start);
	buffer_char(b, '-');
	write_number(b, range->end);
	buffer_char(b, '/');
	write_number(b, range->total);
}
