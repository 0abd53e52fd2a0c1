/*
 * A Content-Type in the first line, a body behind it: the parts lie in it, one behind the other.
 */
#include "tests/fuzz/fuzz.h"

#include "sip/multipart.h"

enum { DEPTH_MAX = 4 };

static void take_apart(struct slice content_type, struct slice body, unsigned depth)
{
	const char *at = body.p;
	struct sip_parts parts;
	struct sip_part part;

	if (depth > DEPTH_MAX || !sip_parts_begin(&parts, content_type, body))
		return;
	assert(parts.boundary.n && parts.boundary.n <= SIP_BOUNDARY_MAX);
	while (sip_parts_next(&parts, &part) == SIP_PART_OK) {
		assert(fuzz_is_within(body, part.whole) && part.whole.p >= at);
		assert(fuzz_is_within(part.whole, part.headers) && fuzz_is_within(part.whole, part.content));
		struct slice type = sip_part_header(&part, "Content-Type");
		assert(fuzz_is_within(part.headers, type));
		take_apart(type, part.content, depth + 1);
		at = part.whole.p + part.whole.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	struct slice rest, line = slice_cut(slice_of((const char *)octets, n), '\n', &rest);
	struct slice type = fuzz_copy(line), body = fuzz_copy(rest);

	take_apart(type, body, 0);
	fuzz_free(type);
	fuzz_free(body);
	return 0;
}
