#include "actors/sdp_kept.h"

#include <assert.h>

/* The octets from 0x80 on stand for these; a text that was packed begins with the first. */
static const struct slice words[] = {
	SLICE("v=0\r\no=- "),
	SLICE(" IN IP4 "),
	SLICE(" IN IP6 "),
	SLICE("\r\ns=-\r\nc=IN IP4 "),
	SLICE("\r\ns=-\r\nc=IN IP6 "),
	SLICE("\r\nt=0 0\r\nm=message "),
	SLICE(" TCP/MSRP *\r\n"),
	SLICE(" TCP/TLS/MSRP *\r\n"),
	SLICE("a=accept-types:"),
	SLICE("a=accept-wrapped-types:"),
	SLICE("a=path:"),
	SLICE("a=setup:"),
	SLICE("a=sendrecv\r\n"),
	SLICE("a=max-size:"),
	SLICE("a=msrp-cema\r\n"),
	SLICE("a=fingerprint:SHA-256 "),
	SLICE("actpass\r\n"),
	SLICE("active\r\n"),
	SLICE("passive\r\n"),
	SLICE("text/plain"),
	SLICE("message/cpim"),
	SLICE("\r\na="),
	SLICE("\r\n"),
};

enum { WORDS = sizeof(words) / sizeof(words[0]), WORD = 0x80, PATH = 0xff };

_Static_assert(WORD + WORDS <= PATH, "one octet each");

static bool is_plain(struct slice text)
{
	if (!slice_starts(text, words[0]))
		return true;
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= WORD)
			return true;
	return false;
}

/* The octet that stands for what `text` begins with; *n: how long that is.  Nothing: its first octet itself. */
static unsigned char octet_for(struct slice text, struct slice path, size_t *n)
{
	if (path.n && slice_starts(text, path)) {
		*n = path.n;
		return PATH;
	}
	for (unsigned i = 0; i < WORDS; i++) {
		if (slice_starts(text, words[i])) {
			*n = words[i].n;
			return (unsigned char)(WORD + i);
		}
	}
	*n = 1;
	return (unsigned char)text.p[0];
}

size_t sdp_kept_pack(char *text, size_t n, struct slice path)
{
	size_t to = 0, taken;

	if (is_plain(slice_of(text, n)))
		return n;
	for (size_t from = 0; from < n; from += taken)
		text[to++] = (char)octet_for(slice_of(text + from, n - from), path, &taken);
	return to;
}

struct slice sdp_kept_text(struct slice kept, struct slice path, char *room)
{
	struct buffer out = buffer_over(room, SDP_TEXT_MAX);

	if (kept.n == 0 || (unsigned char)kept.p[0] != WORD)
		return kept;
	for (size_t i = 0; i < kept.n; i++) {
		unsigned char octet = (unsigned char)kept.p[i];
		if (octet == PATH)
			buffer_put(&out, path);
		else if (octet >= WORD)
			buffer_put(&out, words[octet - WORD]);
		else
			buffer_char(&out, kept.p[i]);
	}
	assert(!out.overflow); /* it came from a buffer of that size */
	return buffer_slice(&out);
}
