/*
 * XML documents from peers (settings, lists, policies): libxml2 behind an interface that has no
 * network, no DTD and no entities but the five of XML itself.  The work and the memory of a parse
 * are bounded by the size of its input: whatever could make them grow beyond that (a document type,
 * attributes or namespaces by the thousand, nesting) is refused.
 *
 * Comments and processing instructions are left out, so the text between two tags is one piece.
 *
 * Any thread; one document belongs to one thread.
 */
#ifndef CORE_XML_H
#define CORE_XML_H

#include "core/slice.h"

#define XML_DEPTH_MAX      32 /* elements inside each other, where the caller has no limit of his own */
#define XML_ATTRIBUTES_MAX 64 /* of one element, its namespace declarations among them */
#define XML_NAMESPACES_MAX 64 /* declarations of one document */

enum xml_verdict {
	XML_OK,
	XML_TOO_LARGE, /* more octets than the limit */
	XML_TOO_DEEP,  /* nesting, attributes or namespaces beyond the limits */
	XML_NOT_UTF8,  /* other octets, or a declaration of another encoding than UTF-8 or US-ASCII */
	XML_DOCTYPE,   /* it has a document type declaration */
	XML_MALFORMED, /* not well-formed, or names with prefixes that nothing declares */
	XML_NO_MEMORY,
};

struct xml_limits {
	size_t bytes;   /* limits.xml_bytes */
	unsigned depth;
};

struct xml;      /* a document; owner: who parsed it */
struct xml_node; /* an element of it; lives as long as the document */

/* XML_OK: *out is the caller's, to be freed by xml_free().  Otherwise *out is not touched.  `text` may go afterwards. */
enum xml_verdict xml_parse(struct xml **out, struct slice text, const struct xml_limits *limits);
void xml_free(struct xml *xml); /* NULL is allowed */
/* Of what is XML_MALFORMED the line, from 1, in which that was seen; 0: not known.  It is parsed once more. */
unsigned xml_malformed_line(struct slice text, const struct xml_limits *limits);
/* For the log. */
const char *xml_verdict_text(enum xml_verdict verdict);

const struct xml_node *xml_root(const struct xml *xml);
/* Elements only; NULL: there is none, or no other. */
const struct xml_node *xml_first(const struct xml_node *parent);
const struct xml_node *xml_next(const struct xml_node *node);

struct slice xml_name(const struct xml_node *node);      /* without prefix */
struct slice xml_namespace(const struct xml_node *node); /* its URI; empty: none */
bool xml_is(const struct xml_node *node, struct slice name_space, struct slice name);
/* The first child with that name; NULL: none. */
const struct xml_node *xml_child(const struct xml_node *parent, struct slice name_space, struct slice name);

/* Empty `name_space`: an attribute without prefix.  False: it has none such. */
bool xml_attribute(const struct xml_node *node, struct slice name_space, struct slice name, struct slice *value);
/* Up to the first child element, references decoded, blanks kept. */
struct slice xml_text(const struct xml_node *node);

/* xs:boolean: true, false, 1 or 0, blanks around it allowed.  False: it is none. */
bool xml_boolean(struct slice text, bool *value);

#endif
