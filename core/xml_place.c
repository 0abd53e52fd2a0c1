#include "core/xml_place.h"

/* ---- tags ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The octet behind the next `what` from `at` on; 0: there is none. */
static size_t behind(struct slice text, size_t at, const char *what)
{
	struct slice rest = slice_skip(text, at);
	const char *found = rest.n ? memmem(rest.p, rest.n, what, strlen(what)) : NULL;

	return found ? (size_t)(found - text.p) + strlen(what) : 0;
}

static bool starts(struct slice text, size_t at, const char *what)
{
	return slice_starts(slice_skip(text, at), slice_str(what));
}

/* Behind the `>` of a tag that begins at `at`; one inside quotes does not count.  0: it has none. */
static size_t tag_end(struct slice text, size_t at)
{
	char quote = 0;

	for (size_t i = at; i < text.n; i++) {
		char c = text.p[i];
		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '>')
			return i + 1;
	}
	return 0;
}

/* From `at` the next `<` of a start or end tag; comments, CDATA and instructions are passed.  False: none. */
static bool find_tag(struct slice text, size_t *at)
{
	while (*at < text.n) {
		const char *open = memchr(text.p + *at, '<', text.n - *at);
		if (!open)
			return false;
		size_t here = (size_t)(open - text.p);
		const char *end = starts(text, here, "<!--") ? "-->" : starts(text, here, "<![CDATA[") ? "]]>" :
				  starts(text, here, "<?") ? "?>" : NULL;
		if (!end) {
			*at = here;
			return true;
		}
		/* `<!-->` is no comment yet */
		*at = behind(text, here + (end[0] == '-' ? 4 : 2), end);
		if (!*at)
			return false;
	}
	return false;
}

/* The start tag at `at`.  False: it is none. */
static bool read_start(struct slice text, size_t at, struct xml_place *place)
{
	size_t end = tag_end(text, at), name_end = at + 1;

	if (!end || end - at < 3)
		return false;
	*place = (struct xml_place){ .begin = at, .content = end, .is_one_tag = text.p[end - 2] == '/' };
	size_t inner_end = end - (place->is_one_tag ? 2 : 1);
	while (name_end < inner_end && !is_blank(text.p[name_end]))
		name_end++;
	place->name = slice_of(text.p + at + 1, name_end - at - 1);
	place->attributes = slice_of(text.p + name_end, inner_end - name_end);
	return place->name.n > 0 && place->name.p[0] != '!' && place->name.p[0] != '/';
}

/* The element whose start tag is at `at`, to its end. */
static bool read_element(struct slice text, size_t at, struct xml_place *place)
{
	struct xml_place inner;
	unsigned depth = 1;

	if (!read_start(text, at, place))
		return false;
	if (place->is_one_tag) {
		place->content_end = place->end = place->content;
		return true;
	}
	for (at = place->content; find_tag(text, &at);) {
		bool is_end = starts(text, at, "</");
		size_t end = is_end ? behind(text, at, ">") : read_start(text, at, &inner) ? inner.content : 0;
		if (!end)
			return false;
		depth += is_end ? -1u : !inner.is_one_tag;
		if (depth == 0) {
			place->content_end = at;
			place->end = end;
			return true;
		}
		at = end;
	}
	return false;
}

bool xml_place_root(struct slice text, struct xml_place *root)
{
	size_t at = 0;

	return find_tag(text, &at) && read_element(text, at, root);
}

static bool child_from(struct slice text, const struct xml_place *parent, size_t at, struct xml_place *child)
{
	struct slice content = slice_of(text.p, parent->content_end);

	return find_tag(content, &at) && read_element(content, at, child);
}

bool xml_place_first(struct slice text, const struct xml_place *parent, struct xml_place *child)
{
	return child_from(text, parent, parent->content, child);
}

bool xml_place_next(struct slice text, const struct xml_place *parent, struct xml_place *child)
{
	return child_from(text, parent, child->end, child);
}

/* ---- attributes ---- */

bool xml_place_attribute(struct slice *attributes, struct xml_attribute_place *a)
{
	const char *begin = attributes->p;
	struct slice rest = slice_trim(*attributes), value;

	a->name = slice_trim(slice_cut(rest, '=', &value));
	value = slice_trim(value);
	if (a->name.n == 0 || value.n < 2 || (value.p[0] != '"' && value.p[0] != '\''))
		return false;
	const char *end = memchr(value.p + 1, value.p[0], value.n - 1);
	if (!end)
		return false;
	a->value = slice_of(value.p + 1, (size_t)(end - value.p) - 1);
	a->whole = slice_of(begin, (size_t)(end + 1 - begin));
	*attributes = slice_skip(*attributes, a->whole.n);
	return true;
}

/* ---- values ---- */

static void put_utf8(struct buffer *out, uint32_t c)
{
	if (c < 0x80) {
		buffer_char(out, (char)c);
		return;
	}
	unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const unsigned char first[] = { 0, 0xc0, 0xe0, 0xf0 };
	buffer_char(out, (char)(first[more] | c >> 6 * more));
	while (more--)
		buffer_char(out, (char)(0x80 | (c >> 6 * more & 0x3f)));
}

static bool put_number(struct buffer *out, struct slice digits)
{
	bool is_hex = slice_starts(digits, SLICE("x"));
	uint32_t c = 0;

	digits = slice_skip(digits, is_hex);
	if (digits.n == 0)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		char d = digits.p[i];
		uint32_t value = d >= '0' && d <= '9' ? (uint32_t)(d - '0') :
			is_hex && (d | 0x20) >= 'a' && (d | 0x20) <= 'f' ? (uint32_t)((d | 0x20) - 'a' + 10) : 99;
		if (value == 99 || c > 0x10ffff)
			return false;
		c = c * (is_hex ? 16 : 10) + value;
	}
	if (c == 0 || c > 0x10ffff)
		return false;
	put_utf8(out, c);
	return true;
}

static bool put_reference(struct buffer *out, struct slice name)
{
	static const struct {
		const char *name;
		char c;
	} entities[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' } };

	if (slice_starts(name, SLICE("#")))
		return put_number(out, slice_skip(name, 1));
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
		if (slice_eq(name, slice_str(entities[i].name))) {
			buffer_char(out, entities[i].c);
			return true;
		}
	return false;
}

bool xml_place_decode(struct buffer *out, struct slice value)
{
	while (value.n) {
		struct slice rest, name;
		char c = value.p[0];
		if (c != '&') {
			buffer_char(out, is_blank(c) ? ' ' : c);
			value = slice_skip(value, 1);
			continue;
		}
		name = slice_cut(slice_skip(value, 1), ';', &rest);
		if (!rest.p || !put_reference(out, name))
			return false;
		value = rest;
	}
	return true;
}

void xml_place_escape(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		switch (text.p[i]) {
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
		default:
			buffer_char(out, text.p[i]);
			break;
		}
}
