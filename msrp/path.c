/* To-Path, From-Path and a=path: see path.h. */
#include "msrp/path.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool msrp_path_next(struct slice *rest, struct slice *uri)
{
	struct slice s = *rest;
	size_t n = 0;

	while (s.n && is_blank(s.p[0]))
		s = slice_skip(s, 1);
	while (n < s.n && !is_blank(s.p[n]))
		n++;
	if (n == 0)
		return false;
	*rest = slice_skip(s, n);
	*uri = slice_of(s.p, n);
	return true;
}

struct slice msrp_path_first(struct slice value)
{
	struct slice uri = SLICE_EMPTY;

	msrp_path_next(&value, &uri);
	return uri;
}

enum msrp_path_verdict msrp_path_parse(struct slice value, struct msrp_path *path)
{
	struct msrp_path found = { .text = value };
	struct slice rest = value, uri;

	while (msrp_path_next(&rest, &uri)) {
		if (found.count == MSRP_PATH_URIS_MAX)
			return MSRP_PATH_TOO_LONG;
		if (!msrp_uri_parse(uri, &found.last))
			return MSRP_PATH_BAD_URI;
		if (found.count++ == 0)
			found.first = found.last;
	}
	if (found.count == 0)
		return MSRP_PATH_EMPTY;
	*path = found;
	return MSRP_PATH_OK;
}

bool msrp_path_equal(struct slice a, struct slice b)
{
	struct slice left, right;
	struct msrp_uri one, other;
	unsigned count = 0;

	for (;;) {
		bool more = msrp_path_next(&a, &left);

		if (more != msrp_path_next(&b, &right))
			return false;
		if (!more)
			return count > 0;
		if (++count > MSRP_PATH_URIS_MAX || !msrp_uri_parse(left, &one) ||
			!msrp_uri_parse(right, &other) || !msrp_uri_equal(&one, &other))
			return false;
	}
}

bool msrp_path_same_session(struct slice a, struct slice b)
{
	struct msrp_path one, other;

	return msrp_path_parse(a, &one) == MSRP_PATH_OK && msrp_path_parse(b, &other) == MSRP_PATH_OK &&
	       one.count == 1 && other.count == 1 && one.first.session_id.n &&
	       slice_eq(one.first.session_id, other.first.session_id) && one.first.secure == other.first.secure &&
	       slice_case_eq(one.first.transport, other.first.transport);
}
