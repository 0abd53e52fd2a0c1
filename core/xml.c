#include "core/xml.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <pthread.h>
#include <stdlib.h>

/* What stops a parse beside the document's own faults; ctxt->_private points to it. */
struct watch {
	unsigned depth_max, namespaces;
	enum xml_verdict verdict;
	unsigned line; /* where it is malformed; 0: that is not known */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* struct xml and struct xml_node are libxml2's xmlDoc and xmlNode under names of our own. */
static const xmlNode *node_of(const struct xml_node *node)
{
	return (const xmlNode *)node;
}

static struct slice slice_of_xml(const xmlChar *text)
{
	return text ? slice_str((const char *)text) : SLICE_EMPTY;
}

/* ---- before libxml2 sees it ---- */

static unsigned sequence_octets(unsigned char first)
{
	return first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 :
		first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/* RFC 3629.  No octet 0: libxml2 would take that for an end. */
static bool is_utf8(struct slice text)
{
	const unsigned char *p = (const unsigned char *)text.p;

	for (size_t i = 0; i < text.n;) {
		unsigned n = sequence_octets(p[i]);
		if (!n || !p[i] || n > text.n - i)
			return false;
		for (unsigned k = 1; k < n; k++)
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
		if ((p[i] == 0xe0 && p[i + 1] < 0xa0) || (p[i] == 0xed && p[i + 1] > 0x9f) || /* overlong; surrogates */
		    (p[i] == 0xf0 && p[i + 1] < 0x90) || (p[i] == 0xf4 && p[i + 1] > 0x8f))
			return false;
		i += n;
	}
	return true;
}

static struct slice without_mark(struct slice text)
{
	return slice_starts(text, SLICE("\xef\xbb\xbf")) ? slice_skip(text, 3) : text;
}

/* What the XML declaration says; another encoding would make libxml2 convert what is UTF-8. */
static bool declares_utf8(struct slice text)
{
	text = without_mark(text);
	const char *end = text.p && slice_starts(text, SLICE("<?xml")) ? memmem(text.p, text.n, "?>", 2) : NULL;
	const char *at = end ? memmem(text.p, (size_t)(end - text.p), "encoding", 8) : NULL;

	if (!at)
		return true;
	struct slice value = slice_trim(slice_of(at + 8, (size_t)(end - at - 8)));
	if (!slice_starts(value, SLICE("=")))
		return true; /* malformed: libxml2 says so */
	value = slice_trim(slice_skip(value, 1));
	if (value.n < 2 || (value.p[0] != '"' && value.p[0] != '\''))
		return true;
	value = slice_cut(slice_skip(value, 1), value.p[0], NULL);
	return slice_case_eq(value, SLICE("utf-8")) || slice_case_eq(value, SLICE("us-ascii"));
}

/*
 * libxml2 compares each attribute of an element with all others of it before it tells anybody of them.  A '<' in an
 * attribute is not well-formed, so each one begins anew, whatever stood before.
 */
static bool has_few_attributes(struct slice text)
{
	unsigned count = 0;
	char quote = 0;
	bool is_tag = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '<') {
			is_tag = true;
			quote = 0;
			count = 0;
		} else if (!is_tag) {
			continue;
		} else if (quote) {
			quote = c == quote ? 0 : quote;
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '>') {
			is_tag = false;
		} else if (c == '=' && ++count > XML_ATTRIBUTES_MAX) {
			return false;
		}
	}
	return true;
}

/* ---- while it is parsed ---- */

static void stop(xmlParserCtxt *ctxt, enum xml_verdict verdict)
{
	struct watch *watch = ctxt->_private;

	watch->verdict = verdict;
	xmlStopParser(ctxt);
}

static void on_doctype(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	stop(arg, XML_DOCTYPE);
}

static void on_element(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespaces,
	const xmlChar **declared, int attributes, int defaulted, const xmlChar **values)
{
	xmlParserCtxt *ctxt = arg;
	struct watch *watch = ctxt->_private;

	watch->namespaces += (unsigned)namespaces;
	if ((unsigned)ctxt->nodeNr >= watch->depth_max || watch->namespaces > XML_NAMESPACES_MAX) {
		stop(ctxt, XML_TOO_DEEP);
		return;
	}
	xmlSAX2StartElementNs(arg, name, prefix, uri, namespaces, declared, attributes, defaulted, values);
}

static void ignore_instruction(void *arg, const xmlChar *target, const xmlChar *content)
{
}

static void ignore_comment(void *arg, const xmlChar *text)
{
}

static enum xml_verdict read_document(xmlParserCtxt *ctxt, struct slice text, struct xml **out)
{
	/* NOCDATA: as text; no NOENT, no DTDLOAD: see on_doctype() */
	int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | XML_PARSE_COMPACT;
	struct watch *watch = ctxt->_private;

	ctxt->sax->internalSubset = on_doctype;
	ctxt->sax->externalSubset = NULL;
	ctxt->sax->startElementNs = on_element;
	ctxt->sax->comment = ignore_comment;
	ctxt->sax->processingInstruction = ignore_instruction;
	xmlDoc *document = xmlCtxtReadMemory(ctxt, text.p, (int)text.n, NULL, NULL, options);
	bool is_good = document && ctxt->wellFormed && ctxt->nsWellFormed && !watch->verdict &&
		       xmlDocGetRootElement(document);
	bool is_memory = ctxt->errNo == XML_ERR_NO_MEMORY;
	if (is_good && !is_memory) {
		*out = (struct xml *)document;
		return XML_OK;
	}
	xmlFreeDoc(document);
	watch->line = ctxt->lastError.line > 0 ? (unsigned)ctxt->lastError.line : 0;
	return watch->verdict ? watch->verdict : is_memory ? XML_NO_MEMORY : XML_MALFORMED;
}

static enum xml_verdict parse(struct xml **out, struct slice text, const struct xml_limits *limits, unsigned *line)
{
	struct watch watch = { limits->depth, 0, XML_OK, 0 };

	if (text.n > limits->bytes || text.n > INT32_MAX)
		return XML_TOO_LARGE;
	if (!is_utf8(text) || !declares_utf8(text))
		return XML_NOT_UTF8;
	if (!has_few_attributes(text))
		return XML_TOO_DEEP;
	if (!text.n)
		return XML_MALFORMED;
	pthread_once(&once, xmlInitParser);
	xmlParserCtxt *ctxt = xmlNewParserCtxt();
	if (!ctxt)
		return XML_NO_MEMORY;
	ctxt->_private = &watch;
	enum xml_verdict verdict = read_document(ctxt, text, out);
	xmlFreeParserCtxt(ctxt);
	xmlResetLastError(); /* else the thread keeps what it said */
	*line = watch.line;
	return verdict;
}

enum xml_verdict xml_parse(struct xml **out, struct slice text, const struct xml_limits *limits)
{
	unsigned line;

	return parse(out, text, limits, &line);
}

unsigned xml_malformed_line(struct slice text, const struct xml_limits *limits)
{
	unsigned line = 0;
	struct xml *xml;
	enum xml_verdict verdict = parse(&xml, text, limits, &line);

	if (verdict == XML_OK)
		xml_free(xml);
	return verdict == XML_MALFORMED ? line : 0;
}

void xml_free(struct xml *xml)
{
	xmlFreeDoc((xmlDoc *)xml);
}

const char *xml_verdict_text(enum xml_verdict verdict)
{
	switch (verdict) {
	case XML_OK:
		return "good";
	case XML_TOO_LARGE:
		return "larger than limits.xml_bytes";
	case XML_TOO_DEEP:
		return "too many elements inside each other, attributes or namespaces";
	case XML_NOT_UTF8:
		return "not UTF-8";
	case XML_DOCTYPE:
		return "a document type declaration";
	case XML_MALFORMED:
		return "not well-formed";
	case XML_NO_MEMORY:
		return "no memory";
	}
	return "";
}

/* ---- looking at it ---- */

static const struct xml_node *element_from(const xmlNode *node)
{
	while (node && node->type != XML_ELEMENT_NODE)
		node = node->next;
	return (const struct xml_node *)node;
}

const struct xml_node *xml_root(const struct xml *xml)
{
	return (const struct xml_node *)xmlDocGetRootElement((const xmlDoc *)xml);
}

const struct xml_node *xml_first(const struct xml_node *parent)
{
	return element_from(node_of(parent)->children);
}

const struct xml_node *xml_next(const struct xml_node *node)
{
	return element_from(node_of(node)->next);
}

struct slice xml_name(const struct xml_node *node)
{
	return slice_of_xml(node_of(node)->name);
}

struct slice xml_namespace(const struct xml_node *node)
{
	return node_of(node)->ns ? slice_of_xml(node_of(node)->ns->href) : SLICE_EMPTY;
}

bool xml_is(const struct xml_node *node, struct slice name_space, struct slice name)
{
	return slice_eq(xml_name(node), name) && slice_eq(xml_namespace(node), name_space);
}

const struct xml_node *xml_child(const struct xml_node *parent, struct slice name_space, struct slice name)
{
	const struct xml_node *node = xml_first(parent);

	while (node && !xml_is(node, name_space, name))
		node = xml_next(node);
	return node;
}

bool xml_attribute(const struct xml_node *node, struct slice name_space, struct slice name, struct slice *value)
{
	for (const xmlAttr *a = node_of(node)->properties; a; a = a->next) {
		if (!slice_eq(slice_of_xml(a->name), name) ||
		    !slice_eq(a->ns ? slice_of_xml(a->ns->href) : SLICE_EMPTY, name_space))
			continue;
		*value = a->children ? slice_of_xml(a->children->content) : SLICE_EMPTY;
		return true;
	}
	return false;
}

struct slice xml_text(const struct xml_node *node)
{
	const xmlNode *child = node_of(node)->children;

	return child && child->type == XML_TEXT_NODE ? slice_of_xml(child->content) : SLICE_EMPTY;
}

bool xml_boolean(struct slice text, bool *value)
{
	text = slice_trim(text);
	*value = slice_eq(text, SLICE("true")) || slice_eq(text, SLICE("1"));
	return *value || slice_eq(text, SLICE("false")) || slice_eq(text, SLICE("0"));
}
