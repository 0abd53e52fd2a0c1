/*
 * What YAML says, before anybody asks what it means: mappings, lists and scalars, each with the
 * place it came from, so that layers can be laid over each other and errors still name the line.
 *
 * Refused here, for every source alike: anything libyaml refuses, texts over 1 MiB, more than one
 * document, anchors, aliases, tags, merge keys, duplicate keys, keys that are not plain text,
 * control characters, more than TREE_DEPTH_MAX levels or CONFIG_LIST_MAX entries of anything.
 *
 * Thread: main.  Owner: all nodes belong to the tree and die with it.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/errors.h"
#include "core/slice.h"

#define TREE_DEPTH_MAX 8u

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_kind kind;
	struct config_place place;
	char *key;	    /* in a mapping: terminated; NULL elsewhere */
	char *text;	    /* of a scalar: terminated                  */
	bool is_null;	    /* a plain `null`, `~` or nothing at all    */
	struct node *first; /* entries of a mapping or list, in order   */
	struct node *next;
};

struct tree_piece;

struct tree {
	struct tree_piece *pieces; /* the memory of all nodes */
};

/* The document of `text`; NULL after at least one error was added that leaves nothing to look at.  The
 * caller goes by the count of errors: what was refused is left out.  No document is an empty
 * mapping when `is_file`, a null otherwise (a --set VALUE, which must use flow syntax).  `source` is
 * kept in the places, not copied. */
struct node *tree_parse(struct tree *tree, struct slice text, const char *source, bool is_file,
			struct config_errors *errors);

/* NULL when out of memory. */
struct node *tree_node(struct tree *tree, enum node_kind kind, struct config_place place,
		       struct slice key);
/* A terminated copy; room for n octets when p is NULL. */
char *tree_text(struct tree *tree, struct slice text);

/* The entry of a mapping, or NULL. */
struct node *node_entry(const struct node *map, struct slice key);
/* The place of `section.key`, else of what is there of it. */
struct config_place node_place(const struct node *root, const char *section, const char *key);
unsigned node_count(const struct node *parent);
void node_append(struct node *parent, struct node *child);

void tree_free(struct tree *tree);

#endif
