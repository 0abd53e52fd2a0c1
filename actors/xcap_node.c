#include "actors/xcap_node.h"

#include <stdlib.h>

#define VALUE_MAX 4096 /* an attribute longer than that matches nothing but itself to the octet */

/* ---- looking ---- */

/* The elements from the root to the one in question. */
struct way {
	struct slice text;
	unsigned count;
	struct xml_place places[XCAP_STEPS_MAX];
};

/* What the prefix means at the last element of the way; empty: no namespace. */
static struct slice namespace_of(const struct way *way, struct slice prefix)
{
	if (slice_eq(prefix, SLICE("xml")))
		return SLICE("http://www.w3.org/XML/1998/namespace");
	for (unsigned i = way->count; i-- > 0;) {
		struct slice rest = way->places[i].attributes;
		for (struct xml_attribute_place a; xml_place_attribute(&rest, &a);) {
			struct slice declared, xmlns = slice_cut(a.name, ':', &declared);
			if (slice_eq(xmlns, SLICE("xmlns")) && slice_eq(declared, prefix))
				return a.value;
		}
	}
	return SLICE_EMPTY;
}

/* `is_attribute`: without a prefix it is in no namespace. */
static bool has_name(const struct way *way, struct slice qualified, const struct xcap_name *name, bool is_attribute)
{
	struct slice local, prefix = slice_cut(qualified, ':', &local);

	if (name->is_any)
		return true;
	if (!local.p) {
		local = qualified;
		prefix = SLICE_EMPTY;
	}
	if (!slice_eq(local, name->local))
		return false;
	return slice_eq(is_attribute && !prefix.n ? SLICE_EMPTY : namespace_of(way, prefix), name->name_space);
}

static bool same_value(struct slice a, struct slice b)
{
	char a_text[VALUE_MAX], b_text[VALUE_MAX];
	struct buffer a_out = buffer_over(a_text, sizeof(a_text)), b_out = buffer_over(b_text, sizeof(b_text));

	if (slice_eq(a, b))
		return true;
	return xml_place_decode(&a_out, a) && xml_place_decode(&b_out, b) && !a_out.overflow && !b_out.overflow &&
	       slice_eq(buffer_slice(&a_out), buffer_slice(&b_out));
}

/* Of the last element of the way.  A declaration of a namespace is none. */
static bool find_attribute(const struct way *way, const struct xcap_name *name, struct xml_attribute_place *found)
{
	struct slice rest = way->places[way->count - 1].attributes;

	while (xml_place_attribute(&rest, found))
		if (!slice_eq(slice_cut(found->name, ':', NULL), SLICE("xmlns")) && has_name(way, found->name, name, true))
			return true;
	return false;
}

static bool has_attribute(const struct way *way, const struct xcap_step *step)
{
	struct xml_attribute_place a;

	return !step->has_attribute || (find_attribute(way, &step->attribute, &a) && same_value(a.value, step->value));
}

/* The first child of the way's last element, or the root; then what follows. */
static bool next_child(struct way *way, bool is_first, struct xml_place *child)
{
	const struct xml_place *parent = way->count ? &way->places[way->count - 1] : NULL;

	if (!parent)
		return is_first && xml_place_root(way->text, child);
	return is_first ? xml_place_first(way->text, parent, child) : xml_place_next(way->text, parent, child);
}

/* Goes one step further if exactly one element is meant. */
static bool go(struct way *way, const struct xcap_step *step)
{
	struct xml_place child, found;
	unsigned matches = 0;
	uint64_t position = 0;

	for (bool is_first = true; next_child(way, is_first, &child); is_first = false) {
		way->places[way->count++] = child;
		if (has_name(way, child.name, &step->name, false) && (++position == step->position || !step->position) &&
		    has_attribute(way, step) && matches++ == 0)
			found = child;
		way->count--;
	}
	if (matches != 1)
		return false;
	way->places[way->count++] = found;
	return true;
}

/* As many of `count` steps as there are. */
static void go_to(struct way *way, const struct xcap_node *node, struct slice text, unsigned count)
{
	way->text = text;
	way->count = 0;
	while (way->count < count && go(way, &node->steps[way->count]))
		;
}

unsigned xcap_node_depth(const struct xcap_node *node, struct slice text)
{
	struct way way;

	go_to(&way, node, text, node->count);
	return way.count;
}

/* ---- reading ---- */

static bool make(struct buffer *out, size_t size)
{
	char *p = malloc(size ? size : 1);

	*out = buffer_over(p, p ? size : 0);
	return p;
}

static bool is_declared_below(const struct way *way, unsigned level, struct slice name)
{
	for (unsigned i = way->count; i-- > level + 1;) {
		struct slice rest = way->places[i].attributes;
		for (struct xml_attribute_place a; xml_place_attribute(&rest, &a);)
			if (slice_eq(a.name, name))
				return true;
	}
	return false;
}

/* RFC 4825 7.10: the element without content, and with all declarations that hold there. */
static enum xcap_verdict get_namespaces(const struct way *way, struct buffer *out)
{
	const struct xml_place *last = &way->places[way->count - 1];

	if (!make(out, last->content + last->name.n + 8)) /* all start tags on the way are before its content */
		return XCAP_NO_MEMORY;
	buffer_char(out, '<');
	buffer_put(out, last->name);
	for (unsigned i = way->count; i-- > 0;) {
		struct slice rest = way->places[i].attributes;
		for (struct xml_attribute_place a; xml_place_attribute(&rest, &a);)
			if (slice_eq(slice_cut(a.name, ':', NULL), SLICE("xmlns")) && !is_declared_below(way, i, a.name))
				buffer_put(out, a.whole);
	}
	buffer_lit(out, "/>");
	return XCAP_OK;
}

static enum xcap_verdict get(struct buffer *out, struct slice what)
{
	if (!make(out, what.n))
		return XCAP_NO_MEMORY;
	buffer_put(out, what);
	return XCAP_OK;
}

enum xcap_verdict xcap_node_get(const struct xcap_node *node, struct slice text, struct buffer *out)
{
	struct xml_attribute_place attribute;
	struct way way;

	go_to(&way, node, text, node->count);
	if (way.count < node->count)
		return XCAP_NOT_FOUND;
	const struct xml_place *place = &way.places[way.count - 1];
	switch (node->terminal) {
	case XCAP_ELEMENT:
		return get(out, slice_of(text.p + place->begin, place->end - place->begin));
	case XCAP_ATTRIBUTE:
		return find_attribute(&way, &node->attribute, &attribute) ? get(out, attribute.value) : XCAP_NOT_FOUND;
	case XCAP_NAMESPACES:
		return get_namespaces(&way, out);
	}
	return XCAP_NOT_FOUND;
}

/* ---- changing ---- */

/* The text with `new` in place of what is from `begin` to `end`, between `before` and `after`. */
struct change {
	size_t begin, end;
	struct slice before, new, after;
};

static bool apply(struct buffer *out, struct slice text, const struct change *c)
{
	if (!make(out, text.n - (c->end - c->begin) + c->before.n + c->new.n + c->after.n))
		return false;
	buffer_put(out, slice_of(text.p, c->begin));
	buffer_put(out, c->before);
	buffer_put(out, c->new);
	buffer_put(out, c->after);
	buffer_put(out, slice_skip(text, c->end));
	return true;
}

static enum xcap_verdict give_up(struct buffer *out, enum xcap_verdict why)
{
	free(out->p);
	*out = buffer_over(NULL, 0);
	return why;
}

/* Where the parent is one tag it becomes two; `tag` has room for the end one. */
static void close_tag(struct change *c, const struct xml_place *parent, struct buffer *tag)
{
	c->begin = parent->content - 2; /* at the slash */
	c->end = parent->content;
	c->before = SLICE(">");
	buffer_lit(tag, "</");
	buffer_put(tag, parent->name);
	buffer_char(tag, '>');
	c->after = buffer_slice(tag);
}

/* Where a new child goes (RFC 4825 8.2.3): behind the last of its name, or where its position says.  False: it
 * cannot have that position. */
static bool find_gap(struct way *parent, const struct xcap_step *step, size_t *at)
{
	struct xml_place child;
	uint64_t count = 0;

	*at = parent->places[parent->count - 1].content_end;
	for (bool is_first = true; next_child(parent, is_first, &child); is_first = false) {
		parent->places[parent->count++] = child;
		bool is_same = has_name(parent, child.name, &step->name, false);
		parent->count--;
		if (!is_same)
			continue;
		if (++count == step->position) {
			*at = child.begin; /* it is there, but has not the attribute: this one comes before it */
			return true;
		}
		*at = child.end;
	}
	return !step->position || count + 1 == step->position;
}

static enum xcap_verdict insert_element(const struct xcap_node *node, struct way *way, struct slice body, struct buffer *out)
{
	const struct xml_place *parent = &way->places[way->count - 1];
	struct change c = { .new = body };
	struct buffer tag;

	if (!make(&tag, parent->name.n + 3))
		return XCAP_NO_MEMORY;
	if (!find_gap(way, &node->steps[way->count], &c.begin)) {
		free(tag.p);
		return XCAP_CANNOT_INSERT;
	}
	c.end = c.begin;
	if (parent->is_one_tag)
		close_tag(&c, parent, &tag);
	bool is_made = apply(out, way->text, &c);
	free(tag.p);
	if (!is_made)
		return XCAP_NO_MEMORY;
	/* what a GET of the same selector brings must be what was put (8.2.7) */
	go_to(way, node, buffer_slice(out), node->count);
	bool is_it = way->count == node->count && way->places[way->count - 1].begin == c.begin + c.before.n;
	return is_it ? XCAP_INSERTED : give_up(out, XCAP_CANNOT_INSERT);
}

static enum xcap_verdict put_element(const struct xcap_node *node, struct way *way, struct slice body, struct buffer *out)
{
	struct slice fragment = slice_trim(body);
	struct xml_place root;

	if (!xml_place_root(fragment, &root) || root.begin != 0 || root.end != fragment.n)
		return XCAP_NOT_FRAGMENT;
	if (way->count == 0)
		return XCAP_CANNOT_INSERT; /* a document has one root */
	if (way->count + 1 < node->count)
		return XCAP_NO_PARENT;
	if (way->count < node->count)
		return insert_element(node, way, fragment, out);
	const struct xml_place *old = &way->places[way->count - 1];
	struct change c = { old->begin, old->end, SLICE_EMPTY, fragment, SLICE_EMPTY };
	if (!apply(out, way->text, &c))
		return XCAP_NO_MEMORY;
	go_to(way, node, buffer_slice(out), node->count);
	bool is_it = way->count == node->count && way->places[way->count - 1].begin == c.begin;
	return is_it ? XCAP_OK : give_up(out, XCAP_CANNOT_INSERT);
}

/* `value` as it may stand between double and single quotes. */
static bool write_value(struct buffer *out, struct slice value)
{
	if (!make(out, 6 * value.n + 1))
		return false;
	for (size_t i = 0; i < value.n; i++)
		buffer_put(out, value.p[i] == '"' ? SLICE("&quot;") : value.p[i] == '\'' ? SLICE("&apos;") : slice_of(value.p + i, 1));
	return true;
}

/* The prefix of the selector and that of the document need not be the same; only the document's will do. */
static bool is_usable(const struct way *way, const struct xcap_node *node)
{
	return has_name(way, node->attribute_name, &node->attribute, true);
}

static enum xcap_verdict change_attribute(const struct xcap_node *node, struct way *way, struct slice value, struct buffer *out)
{
	const struct xml_place *place = &way->places[way->count - 1];
	struct xml_attribute_place old;
	bool is_there = find_attribute(way, &node->attribute, &old);
	struct change c = { .new = value };
	struct buffer name;

	if (!is_there && !is_usable(way, node))
		return XCAP_CANNOT_INSERT;
	if (!make(&name, node->attribute_name.n + 3))
		return XCAP_NO_MEMORY;
	if (is_there) {
		c.begin = (size_t)(old.value.p - way->text.p);
		c.end = c.begin + old.value.n;
	} else {
		buffer_printf(&name, " %.*s=", SLICE_ARG(node->attribute_name));
		buffer_char(&name, '"');
		c.begin = c.end = (size_t)(place->name.p - way->text.p) + place->name.n;
		c.before = buffer_slice(&name);
		c.after = SLICE("\"");
	}
	bool is_made = apply(out, way->text, &c);
	free(name.p);
	if (!is_made)
		return XCAP_NO_MEMORY;
	go_to(way, node, buffer_slice(out), node->count);
	bool is_it = way->count == node->count && find_attribute(way, &node->attribute, &old) && slice_eq(old.value, value);
	return !is_it ? give_up(out, XCAP_CANNOT_INSERT) : is_there ? XCAP_OK : XCAP_INSERTED;
}

static enum xcap_verdict put_attribute(const struct xcap_node *node, struct way *way, struct slice body, struct buffer *out)
{
	struct buffer value, decoded;

	if (way->count < node->count)
		return XCAP_NO_PARENT;
	if (memchr(body.n ? body.p : "", '<', body.n))
		return XCAP_NOT_VALUE;
	if (!make(&decoded, body.n + 4)) /* a reference is never shorter than what it means */
		return XCAP_NO_MEMORY;
	bool is_value = xml_place_decode(&decoded, body);
	free(decoded.p);
	if (!is_value)
		return XCAP_NOT_VALUE;
	if (!write_value(&value, body))
		return XCAP_NO_MEMORY;
	enum xcap_verdict verdict = change_attribute(node, way, buffer_slice(&value), out);
	free(value.p);
	return verdict;
}

enum xcap_verdict xcap_node_put(const struct xcap_node *node, struct slice text, struct slice body, struct buffer *out)
{
	struct way way;

	*out = buffer_over(NULL, 0);
	go_to(&way, node, text, node->count);
	return node->terminal == XCAP_ELEMENT ? put_element(node, &way, body, out) : put_attribute(node, &way, body, out);
}

enum xcap_verdict xcap_node_delete(const struct xcap_node *node, struct slice text, struct buffer *out)
{
	struct xml_attribute_place attribute;
	struct change c = { 0 };
	struct way way;

	*out = buffer_over(NULL, 0);
	go_to(&way, node, text, node->count);
	if (way.count < node->count)
		return XCAP_NOT_FOUND;
	if (node->terminal == XCAP_ATTRIBUTE) {
		if (!find_attribute(&way, &node->attribute, &attribute))
			return XCAP_NOT_FOUND;
		c.begin = (size_t)(attribute.whole.p - text.p);
		c.end = c.begin + attribute.whole.n;
	} else {
		if (way.count == 1)
			return XCAP_CANNOT_DELETE; /* a document has a root */
		c.begin = way.places[way.count - 1].begin;
		c.end = way.places[way.count - 1].end;
	}
	if (!apply(out, text, &c))
		return XCAP_NO_MEMORY;
	go_to(&way, node, buffer_slice(out), node->count);
	if (node->terminal == XCAP_ELEMENT && way.count == node->count)
		return give_up(out, XCAP_CANNOT_DELETE);
	return XCAP_OK;
}
