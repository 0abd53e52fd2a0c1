/*
 * Parts of documents as XCAP names them (RFC 4825 6.3, 8): an element by the
 * names, positions and attributes on the way to it, one of its attributes, or
 * the namespaces around it.  Reading, replacing, inserting and removing work on
 * the text, so that the rest of a document stays as it was written.
 *
 * Whether what comes out is well-formed and valid is for the caller to check (document_usage.h).
 * Any thread: pure functions.
 */
#ifndef ACTORS_XCAP_NODE_H
#define ACTORS_XCAP_NODE_H

#include "core/xml_place.h"

#define XCAP_STEPS_MAX    32 /* no document is deeper */
#define XCAP_BINDINGS_MAX 16

enum xcap_terminal { XCAP_ELEMENT, XCAP_ATTRIBUTE, XCAP_NAMESPACES };

struct xcap_name {
	bool is_any;                     /* `*` */
	struct slice name_space, local;  /* an attribute's may be empty: no namespace */
};

struct xcap_step {
	struct xcap_name name;
	uint64_t position;               /* 0: none is given */
	bool has_attribute;
	struct xcap_name attribute;
	struct slice value;              /* as in XML, references and all */
	size_t end;                      /* of the step in the selector, for whoever names an ancestor */
};

struct xcap_node {
	unsigned count;
	struct xcap_step steps[XCAP_STEPS_MAX];
	enum xcap_terminal terminal;
	struct xcap_name attribute;
	struct slice attribute_name; /* with its prefix */
};

/* Reads what is behind `/~~/`, decoded, and the query with its xmlns() parts; names without a prefix are of
 * `name_space`.  Slices point into these.  False: against the grammar, or a prefix that nothing binds. */
bool xcap_node_parse(struct xcap_node *node, struct slice selector, struct slice query, struct slice name_space);

enum xcap_verdict {
	XCAP_OK,
	XCAP_INSERTED,       /* OK, and it was not there before                                */
	XCAP_NOT_FOUND,      /* no such node, or more than one                                 */
	XCAP_NO_PARENT,      /* what it should be put into is not there                        */
	XCAP_NOT_FRAGMENT,   /* the body is not one element                                    */
	XCAP_NOT_VALUE,      /* the body is no value of an attribute                           */
	XCAP_CANNOT_INSERT,  /* the node would not be what the selector says (RFC 4825 8.2.7)  */
	XCAP_CANNOT_DELETE,  /* the selector would then select another                         */
	XCAP_NO_MEMORY,
};

/* The text of the node, from malloc(), the caller's.  XCAP_OK, NOT_FOUND or NO_MEMORY. */
enum xcap_verdict xcap_node_get(const struct xcap_node *node, struct slice text, struct buffer *out);
/* What the document becomes, in *out as above; out->p is NULL unless the verdict is OK or INSERTED. */
enum xcap_verdict xcap_node_put(const struct xcap_node *node, struct slice text, struct slice body, struct buffer *out);
enum xcap_verdict xcap_node_delete(const struct xcap_node *node, struct slice text, struct buffer *out);

/* How many of its steps, from the first on, are there. */
unsigned xcap_node_depth(const struct xcap_node *node, struct slice text);

#endif
