#include "msrp/room_internal.h"

/* Bare line feeds count too: who reads the message may take them for line ends, and then they must not hide a From. */
static struct slice next_line(struct slice *rest)
{
	const char *at = memchr(rest->p, '\n', rest->n);
	size_t n = at ? (size_t)(at - rest->p) + 1 : 0;
	struct slice line = slice_of(rest->p, n);

	*rest = slice_skip(*rest, n);
	return line;
}

size_t room_cpim_head(struct slice content)
{
	struct slice rest = content, line;

	while (rest.n && (line = next_line(&rest)).n) {
		if (slice_trim(line).n == 0)
			return content.n - rest.n;
	}
	return 0;
}

/* "From:", also where a namespace stands before it (RFC 3862 3.4: "prefix.From"). */
static bool is_from(struct slice line)
{
	struct slice name = slice_trim(slice_cut(line, ':', NULL));

	return name.n >= 4 && slice_case_eq(slice_skip(name, name.n - 4), SLICE("From")) &&
	       (name.n == 4 || name.p[name.n - 5] == '.');
}

void room_cpim_write(struct buffer *b, struct slice block, struct slice from)
{
	bool was_from = false, is_written = false;

	while (block.n) {
		struct slice line = next_line(&block);
		bool continues = was_from && (line.p[0] == ' ' || line.p[0] == '\t') && slice_trim(line).n;
		was_from = continues || is_from(line);
		if (!was_from) {
			buffer_put(b, line);
		} else if (!is_written) {
			bool is_bare = !memchr(from.p, '<', from.n); /* RFC 3862 2.1: a URI stands in brackets */
			buffer_str(b, is_bare ? "From: <" : "From: ");
			buffer_put(b, from);
			buffer_str(b, is_bare ? ">\r\n" : "\r\n");
			is_written = true;
		}
	}
}
