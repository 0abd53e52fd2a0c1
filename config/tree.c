#include "config/tree.h"

#include <stdlib.h>
#include <yaml.h>

#include "config/config.h"

struct tree_piece {
	struct tree_piece *next;
	max_align_t memory[];
};

static void *take(struct tree *tree, size_t n)
{
	struct tree_piece *piece = calloc(1, sizeof(*piece) + n);

	if (!piece)
		return NULL;
	piece->next = tree->pieces;
	tree->pieces = piece;
	return piece->memory;
}

char *tree_text(struct tree *tree, struct slice text)
{
	char *copy = take(tree, text.n + 1);

	if (copy && text.p)
		memcpy(copy, text.p, text.n);
	return copy;
}

struct node *tree_node(struct tree *tree, enum node_kind kind, struct config_place place,
		       struct slice key)
{
	struct node *n = take(tree, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = kind;
	n->place = place;
	if (key.p) {
		n->key = tree_text(tree, key);
		if (!n->key)
			return NULL;
	}
	return n;
}

struct node *node_entry(const struct node *map, struct slice key)
{
	for (struct node *n = map && map->kind == NODE_MAP ? map->first : NULL; n; n = n->next)
		if (slice_eq(slice_str(n->key), key))
			return n;
	return NULL;
}

struct config_place node_place(const struct node *root, const char *section, const char *key)
{
	const struct node *s = node_entry(root, slice_str(section));
	const struct node *k = node_entry(s, slice_str(key));

	return k ? k->place : s ? s->place : root->place;
}

unsigned node_count(const struct node *parent)
{
	unsigned count = 0;

	for (const struct node *n = parent->first; n; n = n->next)
		count++;
	return count;
}

void node_append(struct node *parent, struct node *child)
{
	struct node **at = &parent->first;

	while (*at)
		at = &(*at)->next;
	child->next = NULL;
	*at = child;
}

void tree_free(struct tree *tree)
{
	while (tree->pieces) {
		struct tree_piece *piece = tree->pieces;

		tree->pieces = piece->next;
		free(piece);
	}
}

/* ---- reading ---- */

struct reader {
	struct tree *tree;
	struct config_errors *errors;
	struct slice text;
	const char *source;
	bool is_file;
	yaml_document_t document;
};

static struct config_place place_of(const struct reader *r, yaml_mark_t mark)
{
	return (struct config_place){ r->source, r->is_file ? (unsigned)mark.line + 1 : 0 };
}

static bool refuse(struct reader *r, yaml_mark_t mark, const char *key, const char *text)
{
	config_error(r->errors, place_of(r, mark), key, "%s", text);
	return false;
}

static void refuse_syntax(struct reader *r, const yaml_parser_t *parser)
{
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR) {
		r->errors->out_of_memory = true;
		return;
	}
	if (parser->error == YAML_READER_ERROR) /* it knows an offset only */
		for (size_t i = 0; i < parser->problem_offset && i < r->text.n; i++)
			mark.line += r->text.p[i] == '\n';
	config_error(r->errors, place_of(r, mark), "", "not YAML: %s%s%s",
		     parser->problem ? parser->problem : "cannot be read",
		     parser->context ? " " : "", parser->context ? parser->context : "");
}

struct survey {
	unsigned depth, documents;
};

/* The document API resolves aliases and drops anchors, tags and styles, so they are looked for in
 * the events before it is asked. */
static bool survey_event(struct reader *r, const yaml_event_t *e, struct survey *s)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	bool is_flow = true;

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++s->documents > 1)
			return refuse(r, e->start_mark, "", "a second document: expected one");
		if (e->data.document_start.tag_directives.start !=
		    e->data.document_start.tag_directives.end)
			return refuse(r, e->start_mark, "", "a tag directive: tags are not supported");
		return true;
	case YAML_ALIAS_EVENT:
		return refuse(r, e->start_mark, "", "an alias: write the value out");
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		is_flow = e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
		s->depth++;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		is_flow = e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
		s->depth++;
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		s->depth--;
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return true;
	}
	if (anchor)
		return refuse(r, e->start_mark, "", "an anchor: anchors are not supported");
	if (tag)
		return refuse(r, e->start_mark, "", "a tag: tags are not supported");
	if (s->depth > TREE_DEPTH_MAX)
		return refuse(r, e->start_mark, "", "nested more deeply than any key is");
	if (!r->is_file && !is_flow)
		return refuse(r, e->start_mark, "", "block syntax: expected flow syntax such as "
						    "5, [a, b] or {key: value}");
	return true;
}

static bool survey(struct reader *r, unsigned *documents)
{
	yaml_parser_t parser;
	struct survey s = { 0 };
	bool is_good = true, is_end = false;

	if (!yaml_parser_initialize(&parser)) {
		r->errors->out_of_memory = true;
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)r->text.p, r->text.n);
	while (!is_end && s.depth <= TREE_DEPTH_MAX) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			refuse_syntax(r, &parser);
			is_good = false;
			break;
		}
		is_end = event.type == YAML_STREAM_END_EVENT;
		is_good = survey_event(r, &event, &s) && is_good;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	*documents = s.documents;
	return is_good;
}

static struct node *build(struct reader *r, const yaml_node_t *from, struct slice key);

static bool is_printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static struct slice scalar_of(const yaml_node_t *n)
{
	return slice_of((const char *)n->data.scalar.value, n->data.scalar.length);
}

static bool build_scalar(struct reader *r, struct node *n, const yaml_node_t *from)
{
	struct slice s = scalar_of(from);

	if (!is_printable(s)) /* they would also break the lines of a log */
		return refuse(r, from->start_mark, n->key, "control characters are not supported");
	n->text = tree_text(r->tree, s);
	if (!n->text) {
		r->errors->out_of_memory = true;
		return false;
	}
	n->is_null = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		     (s.n == 0 || slice_eq(s, SLICE("~")) || slice_eq(s, SLICE("null")));
	return true;
}

static bool build_list(struct reader *r, struct node *n, const yaml_node_t *from)
{
	struct node **at = &n->first;

	if (from->data.sequence.items.top - from->data.sequence.items.start > CONFIG_LIST_MAX)
		return refuse(r, from->start_mark, n->key, "more than 256 entries");
	for (yaml_node_item_t *i = from->data.sequence.items.start;
	     i < from->data.sequence.items.top; i++) {
		*at = build(r, yaml_document_get_node(&r->document, *i), SLICE_EMPTY);
		if (*at)
			at = &(*at)->next;
	}
	return true;
}

static bool key_is_good(struct reader *r, const struct node *map, const yaml_node_t *key)
{
	const struct node *before;
	struct slice s;

	if (key->type != YAML_SCALAR_NODE || !is_printable(scalar_of(key)))
		return refuse(r, key->start_mark, "", "a key that is not a plain text");
	s = scalar_of(key);
	if (slice_eq(s, SLICE("<<")))
		return refuse(r, key->start_mark, "<<", "a merge key: write the keys out");
	before = node_entry(map, s);
	if (!before)
		return true;
	if (r->is_file)
		config_error(r->errors, place_of(r, key->start_mark), before->key,
			     "given twice: expected once (before: line %u)", before->place.line);
	else
		config_error(r->errors, place_of(r, key->start_mark), before->key,
			     "given twice: expected once");
	return false;
}

static bool build_map(struct reader *r, struct node *n, const yaml_node_t *from)
{
	if (from->data.mapping.pairs.top - from->data.mapping.pairs.start > CONFIG_LIST_MAX)
		return refuse(r, from->start_mark, n->key, "more than 256 entries");
	for (yaml_node_pair_t *i = from->data.mapping.pairs.start;
	     i < from->data.mapping.pairs.top; i++) {
		const yaml_node_t *key = yaml_document_get_node(&r->document, i->key);
		struct node *child;

		if (!key_is_good(r, n, key))
			continue;
		child = build(r, yaml_document_get_node(&r->document, i->value), scalar_of(key));
		if (!child)
			continue;
		/* the key's line is the one to show when the value is a mapping below it */
		child->place = place_of(r, key->start_mark);
		node_append(n, child);
	}
	return true;
}

/* NULL after an error was added.  A mapping or list is built without what was wrong in it, so that
 * the rest is still looked at and all errors are found at once. */
static struct node *build(struct reader *r, const yaml_node_t *from, struct slice key)
{
	static const enum node_kind kinds[] = { [YAML_SCALAR_NODE] = NODE_SCALAR,
						[YAML_SEQUENCE_NODE] = NODE_LIST,
						[YAML_MAPPING_NODE] = NODE_MAP };
	struct node *n = tree_node(r->tree, kinds[from->type], place_of(r, from->start_mark), key);
	bool is_good = false;

	if (!n) {
		r->errors->out_of_memory = true;
		return NULL;
	}
	switch (n->kind) {
	case NODE_SCALAR:
		is_good = build_scalar(r, n, from);
		break;
	case NODE_LIST:
		is_good = build_list(r, n, from);
		break;
	case NODE_MAP:
		is_good = build_map(r, n, from);
		break;
	}
	return is_good ? n : NULL;
}

static struct node *load(struct reader *r)
{
	yaml_parser_t parser;
	struct node *root = NULL;

	if (!yaml_parser_initialize(&parser)) {
		r->errors->out_of_memory = true;
		return NULL;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)r->text.p, r->text.n);
	if (yaml_parser_load(&parser, &r->document)) {
		root = build(r, yaml_document_get_root_node(&r->document), SLICE_EMPTY);
		yaml_document_delete(&r->document);
	} else {
		refuse_syntax(r, &parser);
	}
	yaml_parser_delete(&parser);
	return root;
}

struct node *tree_parse(struct tree *tree, struct slice text, const char *source, bool is_file,
			struct config_errors *errors)
{
	struct reader r = { tree, errors, text, source, is_file };
	struct config_place start = { source, is_file ? 1 : 0 };
	unsigned documents = 0;
	struct node *root;

	if (text.n > CONFIG_FILE_BYTES_MAX) {
		config_error(errors, (struct config_place){ source, 0 }, "",
			     "larger than 1MiB: expected a configuration");
		return NULL;
	}
	if (!survey(&r, &documents))
		return NULL;
	if (documents)
		root = load(&r);
	else
		root = tree_node(tree, is_file ? NODE_MAP : NODE_SCALAR, start, SLICE_EMPTY);
	if (root && !documents && !is_file) {
		root->is_null = true;
		root->text = tree_text(tree, SLICE(""));
	}
	if (!root && !errors->errors)
		errors->out_of_memory = true;
	return root;
}
