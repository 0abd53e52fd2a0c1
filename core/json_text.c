#include "core/json_text.h"

#include <time.h>

/* Octets of the UTF-8 character that `text` begins with; 0: it begins with none. */
static size_t character(struct slice text)
{
	const unsigned char *c = (const unsigned char *)text.p;
	size_t n = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if (n == 1)
		return 1;
	if (n > text.n || c[0] < 0xc2 || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* longer than needed, half of a surrogate pair, beyond Unicode */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf0 && c[1] < 0x90) ||
	    (c[0] == 0xf4 && c[1] >= 0x90))
		return 0;
	return n;
}

void json_put_string(struct buffer *out, struct slice text)
{
	buffer_char(out, '"');
	while (text.n) {
		size_t n = character(text);
		if (n == 0)
			buffer_lit(out, "\xef\xbf\xbd");
		else if (n == 1 && ((unsigned char)*text.p < ' ' || *text.p == 0x7f))
			buffer_printf(out, "\\u%04x", (unsigned char)*text.p);
		else if (*text.p == '"' || *text.p == '\\')
			buffer_printf(out, "\\%c", *text.p);
		else
			buffer_put(out, slice_of(text.p, n));
		text = slice_skip(text, n ? n : 1);
	}
	buffer_char(out, '"');
}

void json_put_time(struct buffer *out, uint64_t wall_us)
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	gmtime_r(&s, &tm);
	buffer_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_us / 1000 % 1000));
}
