#include "core/xml_text.h"

#include "core/utf8.h"

static bool is_allowed(struct slice character)
{
	unsigned char first = (unsigned char)*character.p;

	if (character.n == 1)
		return first >= ' ' || first == '\t' || first == '\n' || first == '\r';
	return !slice_eq(character, SLICE("\xef\xbf\xbe")) && !slice_eq(character, SLICE("\xef\xbf\xbf"));
}

static void put(struct buffer *out, struct slice character)
{
	switch (*character.p) {
	case '&':
		buffer_lit(out, "&amp;");
		break;
	case '<':
		buffer_lit(out, "&lt;");
		break;
	case '>':
		buffer_lit(out, "&gt;");
		break;
	case '"':
		buffer_lit(out, "&quot;");
		break;
	case '\'':
		buffer_lit(out, "&apos;");
		break;
	case '\r': /* a parser would make a line feed of it, of each in an attribute a space */
		buffer_lit(out, "&#13;");
		break;
	case '\n':
		buffer_lit(out, "&#10;");
		break;
	case '\t':
		buffer_lit(out, "&#9;");
		break;
	default:
		buffer_put(out, character);
		break;
	}
}

void xml_put_text(struct buffer *out, struct slice text)
{
	while (text.n) {
		size_t n = utf8_character(text);
		if (n && is_allowed(slice_of(text.p, n)))
			put(out, slice_of(text.p, n));
		else
			buffer_lit(out, "\xef\xbf\xbd");
		text = slice_skip(text, n ? n : 1);
	}
}
