#include "sip/lexical.h"

struct slice sip_take_token(struct slice *s)
{
	size_t n = 0;

	while (n < s->n && sip_is_token(slice_of(s->p + n, 1)))
		n++;
	struct slice token = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return token;
}

struct slice sip_take_quoted(struct slice *s)
{
	struct slice quoted;

	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '\\')
			i++;
		else if (s->p[i] == '"') {
			quoted = slice_of(s->p, i + 1);
			*s = slice_skip(*s, i + 1);
			return quoted;
		}
	}
	return SLICE_EMPTY;
}

bool sip_take_word(struct slice *s, const char *token)
{
	struct slice rest = sip_skip_lws(*s);

	if (!slice_case_starts(rest, slice_str(token)))
		return false;
	*s = sip_skip_lws(slice_skip(rest, strlen(token)));
	return true;
}

static bool is_number(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

bool sip_decode_seconds(struct slice value, uint32_t *seconds)
{
	uint64_t number;

	if (!is_number(value))
		return false;
	*seconds = slice_u64(value, UINT32_MAX, &number) ? (uint32_t)number : UINT32_MAX;
	return true;
}

/* Length of what stands before the first `separator` outside quotes and <>. */
static size_t before(struct slice s, char separator)
{
	bool in_quotes = false, in_brackets = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (in_quotes) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_quotes = false;
		} else if (c == '"' && !in_brackets) {
			in_quotes = true;
		} else if (c == '<') {
			in_brackets = true;
		} else if (c == '>') {
			in_brackets = false;
		} else if (c == separator && !in_brackets) {
			return i;
		}
	}
	return s.n;
}

bool sip_next_part(struct slice *rest, char separator, struct slice *part)
{
	while (rest->n) {
		size_t n = before(*rest, separator);
		*part = slice_trim(slice_of(rest->p, n));
		*rest = slice_skip(*rest, n + 1);
		if (part->n)
			return true;
	}
	return false;
}
