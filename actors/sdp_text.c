#include "actors/sdp_text.h"

#include "core/siphash.h"

/* The digits of the version: the third word of the o= line.  False: there is none. */
static bool find_version(struct slice text, struct slice *digits)
{
	const char *at = text.p ? memmem(text.p, text.n, "\r\no=", 4) : NULL;
	struct slice rest;

	if (!at)
		return false;
	slice_cut(slice_skip(text, (size_t)(at + 4 - text.p)), ' ', &rest);
	slice_cut(rest, ' ', &rest);
	*digits = slice_cut(rest, ' ', NULL);
	return digits->n > 0;
}

static struct slice before(struct slice text, struct slice part)
{
	return slice_of(text.p, (size_t)(part.p - text.p));
}

static struct slice behind(struct slice text, struct slice part)
{
	return slice_skip(text, (size_t)(part.p - text.p) + part.n);
}

void sdp_text_with_version(struct buffer *out, struct slice text, uint64_t version)
{
	struct slice digits;

	if (!find_version(text, &digits)) {
		buffer_put(out, text);
		return;
	}
	buffer_put(out, before(text, digits));
	buffer_u64(out, version);
	buffer_put(out, behind(text, digits));
}

void sdp_text_with_setup(struct buffer *out, struct slice text, enum sdp_setup setup)
{
	static const char name[] = "\r\na=setup:";
	const char *at = text.p ? memmem(text.p, text.n, name, sizeof(name) - 1) : NULL;

	if (!at) {
		buffer_put(out, text);
		return;
	}
	struct slice value = slice_cut(slice_skip(text, (size_t)(at - text.p) + sizeof(name) - 1), '\r', NULL);
	buffer_put(out, before(text, value));
	buffer_str(out, sdp_setup_name(setup));
	buffer_put(out, behind(text, value));
}

/* m=message 4711 TCP/MSRP * */
static void put_declined(struct buffer *out, struct slice line)
{
	struct slice rest;

	buffer_put(out, slice_cut(line, ' ', &rest));
	buffer_lit(out, " 0 ");
	slice_cut(rest, ' ', &rest);
	buffer_put(out, rest);
}

void sdp_text_with_declined(struct buffer *out, struct slice text, uint32_t lines)
{
	bool is_dropped = false;
	unsigned index = 0;

	while (text.n) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end + 1 - text.p) : text.n;
		struct slice line = slice_of(text.p, n);
		bool is_media = slice_starts(line, SLICE("m="));
		if (is_media) {
			is_dropped = index < 32 && (lines >> index & 1);
			index++;
		}
		if (is_media && is_dropped)
			put_declined(out, line);
		else if (!is_dropped)
			buffer_put(out, line);
		text = slice_skip(text, n);
	}
}

bool sdp_text_says_same(struct slice a, struct slice b)
{
	struct slice version_of_a, version_of_b;

	if (!find_version(a, &version_of_a) || !find_version(b, &version_of_b))
		return slice_eq(a, b);
	return slice_eq(before(a, version_of_a), before(b, version_of_b)) &&
	       slice_eq(behind(a, version_of_a), behind(b, version_of_b));
}

static bool matters(struct slice line)
{
	return !slice_starts(line, SLICE("o=")) && !slice_case_starts(line, SLICE("a=setup:")) &&
	       !slice_case_starts(line, SLICE("a=connection:"));
}

uint64_t sdp_text_hash(const struct sdp *sdp)
{
	static const struct siphash_key key = { { 0x736470, 0x68617368 } };
	struct slice rest = sdp->text, line;
	uint64_t hash = 0;

	while (rest.n) {
		line = slice_trim(slice_cut(rest, '\n', &rest));
		if (matters(line))
			hash = (hash << 1 | hash >> 63) ^ siphash(&key, line);
	}
	return hash;
}
