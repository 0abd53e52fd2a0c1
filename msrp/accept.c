/* Accepted media types: see accept.h. */
#include "msrp/accept.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool next_type(struct slice *list, struct slice *type)
{
	size_t n = 0;

	while (list->n && is_blank(list->p[0]))
		*list = slice_skip(*list, 1);
	while (n < list->n && !is_blank(list->p[n]))
		n++;
	*type = msrp_accept_type(slice_of(list->p, n));
	*list = slice_skip(*list, n);
	return n > 0;
}

static bool has_star(struct slice list)
{
	struct slice type;

	while (next_type(&list, &type))
		if (slice_eq(type, SLICE("*")) || slice_eq(type, SLICE("*/*")))
			return true;
	return false;
}

/* Appends what has room; how many octets that makes. */
static uint16_t append(struct msrp_accept *accept, size_t at, struct slice list)
{
	size_t n = at;
	struct slice type;

	while (next_type(&list, &type)) {
		if (type.n == 0 || type.n + 1 > sizeof(accept->text) - n)
			continue;
		for (size_t i = 0; i < type.n; i++) {
			char c = type.p[i];
			accept->text[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		}
		accept->text[n++] = ' ';
	}
	return (uint16_t)(n - at);
}

void msrp_accept_set(struct msrp_accept *accept, struct slice types, struct slice wrapped)
{
	accept->types_n = accept->wrapped_n = 0;
	accept->looks_inside = false;
	if (!types.p || has_star(types))
		return; /* RFC 4975 8.6: any type may be the root, and what may be the root may be wrapped */
	accept->types_n = append(accept, 0, types);
	accept->looks_inside = accept->types_n && wrapped.p && !has_star(wrapped);
	if (accept->looks_inside)
		accept->wrapped_n = append(accept, accept->types_n, wrapped);
}

struct slice msrp_accept_type(struct slice content_type)
{
	return slice_trim(slice_cut(content_type, ';', NULL));
}

static bool names(struct slice entry, struct slice type)
{
	bool is_family = entry.n > 2 && entry.p[entry.n - 1] == '*' && entry.p[entry.n - 2] == '/';

	return slice_case_eq(entry, type) ||
	       (is_family && slice_case_starts(type, slice_of(entry.p, entry.n - 1)));
}

struct slice msrp_accept_find(struct slice list, struct slice type)
{
	while (list.n) {
		struct slice entry = slice_cut(list, ' ', &list);
		if (names(entry, type))
			return entry;
	}
	return SLICE_EMPTY;
}

/* The next whole line without its end; some write LF alone. */
static bool next_line(struct slice *text, struct slice *line)
{
	struct slice rest;

	*line = slice_cut(*text, '\n', &rest);
	if (!rest.p)
		return false;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	*text = rest;
	return true;
}

struct slice msrp_accept_wrapped_type(struct slice content)
{
	bool is_inside = false; /* behind the headers of the message, in those of what it holds */
	struct slice line, value;

	while (next_line(&content, &line)) {
		if (line.n == 0 && is_inside)
			return SLICE("text/plain");
		if (line.n == 0)
			is_inside = true;
		else if (is_inside && slice_case_eq(slice_trim(slice_cut(line, ':', &value)), SLICE("Content-Type")))
			return msrp_accept_type(value).n ? msrp_accept_type(value) : SLICE("text/plain");
	}
	return SLICE_EMPTY;
}
