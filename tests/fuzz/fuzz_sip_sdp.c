/*
 * One description as offer, or two behind an empty line as offer and answer: what a B2BUA makes of them
 * parses again, with as many m= lines and our path in place of theirs.
 */
#include "tests/fuzz/fuzz.h"

#include "sip/sdp.h"

#define PATH "msrp://192.0.2.1:2855/ours;tcp"

static char written[1 << 20];

static struct sdp_own ours(const struct sdp_media *media)
{
	return (struct sdp_own){ .session_id = 1, .version = 2, .address = SLICE("192.0.2.1"), .media = media, .port = 2855,
		.path = SLICE(PATH), .setup = SDP_SETUP_PASSIVE };
}

static void try_written(const struct buffer *out, unsigned media_count, bool is_msrp)
{
	static struct sdp again;

	assert(sdp_parse(&again, buffer_slice(out)) == SDP_OK);
	assert(again.media_count == media_count);
	assert(!is_msrp || slice_eq(sdp_msrp_media(&again)->path, SLICE(PATH)));
}

static void try_offer(const struct sdp *sdp, const struct sdp_media *media)
{
	struct buffer out = buffer_over(written, sizeof(written));
	struct sdp_own own = ours(media);

	for (unsigned turn = 0; turn < 4; turn++) {
		out.n = 0;
		own.is_alone = media && turn & 1;
		own.is_nameless = turn & 2;
		if (sdp_rewrite(&out, sdp, &own))
			try_written(&out, own.is_alone ? 1 : sdp->media_count, media);
	}
}

static const struct sdp_media *parse(struct sdp *sdp, struct slice text, bool *is_good)
{
	*is_good = sdp_parse(sdp, text) == SDP_OK;
	if (!*is_good)
		return NULL;
	assert(sdp->media_count <= SDP_MEDIA_MAX);
	for (unsigned i = 0; i < sdp->media_count; i++) {
		const struct sdp_media *media = &sdp->media[i];
		struct slice value;
		assert(fuzz_is_within(text, media->whole) && fuzz_is_within(media->whole, media->path));
		assert(fuzz_is_one_line(media->path) && fuzz_is_one_line(media->formats));
		assert(!sdp_attribute(media->whole, "path", &value) || fuzz_is_within(media->whole, value));
		assert(sdp_media_direction(sdp, media) != SDP_UNSAID);
	}
	return sdp_msrp_media(sdp);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	static struct sdp offer, answer;
	struct slice input = slice_of((const char *)octets, n), rest = SLICE_EMPTY;
	const char *middle = n ? memmem(octets, n, "\n\n", 2) : NULL;
	bool has_offer, has_answer;

	if (middle) {
		rest = slice_of(middle + 2, (size_t)(input.p + n - middle - 2));
		input.n = (size_t)(middle + 1 - input.p);
	}
	struct slice first = fuzz_copy(input), second = fuzz_copy(rest);
	const struct sdp_media *offered = parse(&offer, first, &has_offer);
	const struct sdp_media *answered = parse(&answer, second, &has_answer);
	if (has_offer)
		try_offer(&offer, offered);
	if (has_answer && offered && answered) {
		struct buffer out = buffer_over(written, sizeof(written));
		struct sdp_own own = ours(answered);
		own.offer = &offer;
		own.offered = offered;
		if (sdp_rewrite(&out, &answer, &own))
			try_written(&out, offer.media_count, true);
	}
	fuzz_free(first);
	fuzz_free(second);
	return 0;
}
