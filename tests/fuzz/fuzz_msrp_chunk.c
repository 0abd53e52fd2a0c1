/*
 * The MSRP stream: whatever comes, the parser says the same of it in one piece and in small ones,
 * and a head that it understood is understood again when it was forwarded.
 */
#include <assert.h>
#include <stdlib.h>

#include "msrp/chunk_write.h"
#include "msrp/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

enum { HEAD_BYTES = 2048, NAMES_MAX = 4096 };

/* A hash of all that was said, content octet by octet so that its pieces do not matter. */
static uint64_t mix(uint64_t hash, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		hash = (hash ^ (uint8_t)s.p[i]) * 1099511628211u;
	return hash;
}

static void forward(const struct msrp_head *head)
{
	char out[HEAD_BYTES + NAMES_MAX];
	struct buffer b = buffer_over(out, sizeof(out));
	struct msrp_rewrite r = { SLICE("out1"), head->to_path, head->from_path,
		&head->byte_range };
	struct msrp_parser again;
	struct msrp_path path;
	size_t used;

	msrp_path_parse(head->to_path, &path); /* any verdict will do, as long as it comes back */
	if (!head->is_request || head->fault != MSRP_FAULT_NONE)
		return;
	msrp_write_forward(&b, head, &r);
	msrp_write_end_line(&b, r.transaction_id, '$', head->has_body);
	assert(!b.overflow);
	msrp_parser_init(&again, &(struct msrp_limits){ .head_bytes = sizeof(out) });
	assert(msrp_parse(&again, buffer_slice(&b), &used) == MSRP_HEAD);
	assert(again.head.fault == MSRP_FAULT_NONE && again.head.method == head->method);
	assert(slice_eq(again.head.message_id, head->message_id));
	assert(slice_eq(again.head.content_type, head->content_type));
	assert(slice_eq(again.head.to_path, head->to_path));
	assert(again.head.byte_range.end == head->byte_range.end);
	assert(again.head.has_body == head->has_body);
	assert(msrp_parse(&again, slice_skip(buffer_slice(&b), used), &used) == MSRP_END);
}

/* The whole input, `step` octets at a time. */
static uint64_t parse(const uint8_t *input, size_t n, size_t step)
{
	struct msrp_parser p;
	uint64_t hash = 14695981039346656037u;
	size_t done = 0, used;

	msrp_parser_init(&p, &(struct msrp_limits){ .head_bytes = HEAD_BYTES });
	for (size_t end = 0; end < n; end = end + step < n ? end + step : n) {
		size_t offered = end + step < n ? end + step : n;
		char *copy = malloc(offered - done ? offered - done : 1);
		struct slice in = slice_of(copy, offered - done);
		enum msrp_event event;

		assert(copy);
		if (in.n)
			memcpy(copy, input + done, in.n);
		while ((event = msrp_parse(&p, in, &used)) != MSRP_MORE && event != MSRP_BAD) {
			if (event != MSRP_BODY)
				hash = mix(hash, slice_of((char[]){ (char)('0' + event) }, 1));
			if (event == MSRP_HEAD) {
				hash = mix(hash, p.head.transaction_id);
				forward(&p.head);
				msrp_parser_avoid(&p, SLICE("out1"));
			}
			if (event == MSRP_BODY)
				hash = mix(hash, p.body);
			if (p.avoid_found)
				hash = mix(hash, SLICE("|"));
			in = slice_skip(in, used);
			done += used;
		}
		free(copy);
		if (event == MSRP_BAD)
			return mix(hash, slice_str(msrp_reason_text(p.reason)));
	}
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	uint64_t whole = parse(input, n, n ? n : 1);

	assert(parse(input, n, 1) == whole);
	assert(parse(input, n, 7) == whole);
	return 0;
}
