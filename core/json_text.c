#include "core/json_text.h"

#include <time.h>

#include "core/utf8.h"

void json_put_string(struct buffer *out, struct slice text)
{
	buffer_char(out, '"');
	while (text.n) {
		size_t n = utf8_character(text);
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
