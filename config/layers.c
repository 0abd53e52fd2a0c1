#include "config/layers.h"

#include <ctype.h>

#include "config/config.h"

/* `node` becomes what `over` is, but stays where it stands and keeps its key. */
static void replace(struct node *node, const struct node *over)
{
	node->kind = over->kind;
	node->place = over->place;
	node->text = over->text;
	node->is_null = over->is_null;
	node->first = over->first;
}

/* One step of merging: two mappings are to be merged further, else `over` has won. */
static bool merge_one(struct node *base, const struct node *over)
{
	if (base->kind == NODE_MAP && over->kind == NODE_SCALAR && over->is_null)
		return false;
	if (base->kind == NODE_MAP && over->kind == NODE_MAP)
		return true;
	replace(base, over);
	return false;
}

/* Recursion ends at TREE_DEPTH_MAX. */
void layers_merge(struct node *base, struct node *over)
{
	struct node *next;

	if (!merge_one(base, over))
		return;
	for (struct node *child = over->first; child; child = next) {
		struct node *before = node_entry(base, slice_str(child->key));

		next = child->next;
		if (before)
			layers_merge(before, child);
		else
			node_append(base, child);
	}
}

/* ---- --set ---- */

struct set {
	struct tree *tree;
	struct config_errors *errors;
	struct config_place place; /* the option, no line */
	struct node *at;	   /* reached so far      */
	char path[160];		   /* its name            */
};

static void extend_path(struct set *s, const char *before, struct slice name, const char *after)
{
	size_t n = strlen(s->path);

	snprintf(s->path + n, sizeof(s->path) - n, "%s%.*s%s", before, SLICE_ARG(name), after);
}

static bool new_node(struct set *s, struct node *parent, struct slice key)
{
	struct node *n = tree_node(s->tree, NODE_SCALAR, s->place, key);

	if (n)
		n->text = tree_text(s->tree, SLICE(""));
	if (!n || !n->text) {
		s->errors->out_of_memory = true;
		return false;
	}
	n->is_null = true;
	node_append(parent, n);
	s->at = n;
	return true;
}

/* Something that is not there yet becomes what the next step needs. */
static bool must_be(struct set *s, enum node_kind kind)
{
	if (s->at->kind == NODE_SCALAR && s->at->is_null)
		s->at->kind = kind;
	if (s->at->kind == kind)
		return true;
	config_error(s->errors, s->place, s->path, "not a %s",
		     kind == NODE_MAP ? "mapping: nothing has a name in it" : "list: it has no entries");
	return false;
}

static bool step_name(struct set *s, struct slice name)
{
	struct node *parent = s->at, *child;

	if (!must_be(s, NODE_MAP))
		return false;
	child = node_entry(parent, name);
	extend_path(s, s->path[0] ? "." : "", name, "");
	if (!child)
		return new_node(s, parent, name);
	s->at = child;
	return true;
}

static bool step_index(struct set *s, struct slice digits)
{
	struct node *parent = s->at, *child;
	unsigned count;
	uint64_t index;

	if (!must_be(s, NODE_LIST))
		return false;
	count = node_count(parent);
	if (!slice_u64(digits, CONFIG_LIST_MAX - 1, &index) || index > count) {
		config_error(s->errors, s->place, s->path,
			     "[%.*s]: expected an index from 0 to %u (which appends)",
			     SLICE_ARG(digits), count);
		return false;
	}
	extend_path(s, "[", digits, "]");
	if (index == count)
		return new_node(s, parent, SLICE_EMPTY);
	child = parent->first;
	while (index--)
		child = child->next;
	s->at = child;
	return true;
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_')
			return false;
	return s.n > 0 && s.n <= 64;
}

static bool bad_key(struct set *s)
{
	config_error(s->errors, s->place, "",
		     "expected KEY=VALUE with a KEY such as limits.unbound or listen[0].address");
	return false;
}

/* name[index]... up to the next dot. */
static bool step(struct set *s, struct slice segment)
{
	struct slice rest, name = slice_cut(segment, '[', &rest);

	if (!is_name(name))
		return bad_key(s);
	if (!step_name(s, name))
		return false;
	while (rest.p) {
		struct slice after, digits = slice_cut(rest, ']', &after);

		if (!after.p || (after.n && after.p[0] != '['))
			return bad_key(s);
		if (!step_index(s, digits))
			return false;
		rest = after.n ? slice_skip(after, 1) : SLICE_EMPTY;
	}
	return true;
}

/* "--set " before the option, as the operator typed it. */
static char *source_of(struct tree *tree, const char *option)
{
	size_t n = strlen(option);
	char *text = tree_text(tree, slice_of(NULL, n + sizeof("--set ")));

	if (text)
		snprintf(text, n + sizeof("--set "), "--set %s", option);
	return text;
}

void layers_set(struct tree *tree, struct node *root, const char *option,
		struct config_errors *errors)
{
	struct slice value, segment, rest = slice_cut(slice_str(option), '=', &value);
	struct set s = { .tree = tree, .errors = errors, .at = root };
	bool is_entry = rest.n && rest.p[rest.n - 1] == ']';
	struct node *node;

	s.place.source = source_of(tree, option);
	if (!s.place.source) {
		errors->out_of_memory = true;
		return;
	}
	if (!value.p) {
		bad_key(&s);
		return;
	}
	node = tree_parse(tree, value, s.place.source, false, errors);
	if (!node)
		return;
	do {
		segment = slice_cut(rest, '.', &rest);
		if (!step(&s, segment))
			return;
	} while (rest.p);
	if (is_entry)
		replace(s.at, node);
	else
		layers_merge(s.at, node);
}
