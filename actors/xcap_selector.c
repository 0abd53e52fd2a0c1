/* The grammar of node selectors, RFC 4825 6.3. */
#include "actors/xcap_node.h"

struct binding {
	struct slice prefix, uri;
};

struct bindings {
	unsigned count;
	struct binding list[XCAP_BINDINGS_MAX];
	struct slice unprefixed; /* the namespace of elements without a prefix */
};

/* ---- xmlns(prefix=uri)... ---- */

/* A `^` escapes what follows it (XPointer framework 3.3): namespaces that need it are not supported. */
static bool read_bindings(struct bindings *b, struct slice query)
{
	struct slice rest = slice_trim(query);

	while (rest.n) {
		struct slice uri, inner, part = slice_cut(rest, '(', &inner);
		const char *end = inner.n ? memchr(inner.p, ')', inner.n) : NULL;
		if (!end)
			return false;
		rest = slice_trim(slice_skip(inner, (size_t)(end - inner.p) + 1));
		if (!slice_eq(slice_trim(part), SLICE("xmlns")))
			continue; /* other schemes are not ours to know */
		inner.n = (size_t)(end - inner.p);
		struct slice prefix = slice_trim(slice_cut(inner, '=', &uri));
		if (b->count == XCAP_BINDINGS_MAX || prefix.n == 0 || !uri.p)
			return false;
		b->list[b->count++] = (struct binding){ prefix, slice_trim(uri) };
	}
	return true;
}

static bool is_name(struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (strchr(" \t\r\n<>&'\"/=[]()*@:", text.p[i]))
			return false;
	return text.n > 0;
}

/* `unprefixed`: the namespace without one. */
static bool read_name(const struct bindings *b, struct slice text, struct slice unprefixed, struct xcap_name *name)
{
	struct slice local, prefix = slice_cut(text, ':', &local);

	*name = (struct xcap_name){ .name_space = unprefixed, .local = text };
	if (!local.p)
		return is_name(text);
	if (!is_name(prefix) || !is_name(local))
		return false;
	name->local = local;
	for (unsigned i = 0; i < b->count; i++)
		if (slice_eq(b->list[i].prefix, prefix)) {
			name->name_space = b->list[i].uri;
			return true;
		}
	return false;
}

/* ---- steps ---- */

/* The end of a step: the next slash that is in no quotes. */
static size_t step_length(struct slice text)
{
	char quote = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '/')
			return i;
	}
	return text.n;
}

/* `[...]` at the beginning of *text: what is inside, taken off.  False: it does not end. */
static bool cut_predicate(struct slice *text, struct slice *inside)
{
	char quote = 0;

	for (size_t i = 1; i < text->n; i++) {
		char c = text->p[i];
		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == ']') {
			*inside = slice_of(text->p + 1, i - 1);
			*text = slice_skip(*text, i + 1);
			return true;
		}
	}
	return false;
}

static bool read_attribute_test(const struct bindings *b, struct slice inside, struct xcap_step *step)
{
	struct slice value, name = slice_trim(slice_cut(slice_skip(inside, 1), '=', &value));

	value = slice_trim(value);
	if (value.n < 2 || (value.p[0] != '"' && value.p[0] != '\'') || value.p[value.n - 1] != value.p[0] ||
	    memchr(value.p + 1, value.p[0], value.n - 2))
		return false;
	step->has_attribute = true;
	step->value = slice_of(value.p + 1, value.n - 2);
	return read_name(b, name, SLICE_EMPTY, &step->attribute);
}

/* by-name, by-pos, by-attr or by-pos-attr: a position comes before an attribute. */
static bool read_step(const struct bindings *b, struct slice text, struct xcap_step *step)
{
	struct slice name = slice_cut(text, '[', NULL), rest = slice_skip(text, name.n), inside;

	*step = (struct xcap_step){ .name.is_any = slice_eq(name, SLICE("*")) };
	if (!step->name.is_any && !read_name(b, name, b->unprefixed, &step->name))
		return false;
	while (rest.n) {
		if (rest.p[0] != '[' || !cut_predicate(&rest, &inside) || step->has_attribute)
			return false;
		inside = slice_trim(inside);
		if (slice_starts(inside, SLICE("@"))) {
			if (!read_attribute_test(b, inside, step))
				return false;
		} else if (step->position || !slice_u64(inside, UINT32_MAX, &step->position) || !step->position) {
			return false;
		}
	}
	return true;
}

static bool read_terminal(const struct bindings *b, struct slice text, struct xcap_node *node)
{
	if (slice_eq(text, SLICE("namespace::*"))) {
		node->terminal = XCAP_NAMESPACES;
		return true;
	}
	node->terminal = XCAP_ATTRIBUTE;
	node->attribute_name = slice_skip(text, 1);
	return read_name(b, node->attribute_name, SLICE_EMPTY, &node->attribute);
}

bool xcap_node_parse(struct xcap_node *node, struct slice selector, struct slice query, struct slice name_space)
{
	struct bindings b = { .unprefixed = name_space };
	size_t at = 0;

	*node = (struct xcap_node){ 0 };
	if (!read_bindings(&b, query))
		return false;
	for (;;) {
		struct slice rest = slice_skip(selector, at), text = slice_of(rest.p, step_length(rest));
		bool is_last = text.n == rest.n;
		if (node->count && (slice_starts(text, SLICE("@")) || slice_starts(text, SLICE("namespace::"))))
			return is_last && read_terminal(&b, text, node);
		if (node->count == XCAP_STEPS_MAX || !read_step(&b, text, &node->steps[node->count]))
			return false;
		at += text.n;
		node->steps[node->count++].end = at;
		if (is_last)
			return true;
		at++;
	}
}
