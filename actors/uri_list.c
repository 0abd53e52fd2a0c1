#include "actors/uri_list.h"

#include <stdlib.h>

#include "core/options.h"
#include "core/xml.h"
#include "sip/header.h"
#include "sip/multipart.h"

#define RESOURCE_LISTS "urn:ietf:params:xml:ns:resource-lists"
#define DEPTH_MAX      16 /* lists within lists */

/* ---- where it is ---- */

static bool is_list(struct slice type, struct slice disposition)
{
	struct slice word = slice_trim(slice_cut(disposition, ';', NULL));

	return sip_content_type_is(type, "application/resource-lists+xml") &&
	       (word.n == 0 || slice_case_eq(word, SLICE("recipient-list")));
}

static bool is_multipart(struct slice type)
{
	struct sip_content_type decoded;

	return sip_content_type_decode(type, &decoded) && slice_case_eq(decoded.type, SLICE("multipart"));
}

static enum uri_list_verdict find(struct slice type, struct slice disposition, struct slice body, unsigned depth,
	struct slice *xml)
{
	enum sip_part_verdict verdict;
	struct sip_parts parts;
	struct sip_part part;

	if (is_list(type, disposition)) {
		*xml = body;
		return URI_LIST_OK;
	}
	if (!is_multipart(type) || depth == 0)
		return URI_LIST_NONE;
	if (!sip_parts_begin(&parts, type, body))
		return URI_LIST_MALFORMED;
	while ((verdict = sip_parts_next(&parts, &part)) == SIP_PART_OK) {
		enum uri_list_verdict found = find(sip_part_header(&part, "Content-Type"),
			sip_part_header(&part, "Content-Disposition"), part.content, depth - 1, xml);
		if (found != URI_LIST_NONE)
			return found;
	}
	return verdict == SIP_PART_BAD ? URI_LIST_MALFORMED : URI_LIST_NONE;
}

/* ---- what it says ---- */

struct sum {
	unsigned count;
	size_t octets;
	bool is_malformed;
	struct slice *uris; /* NULL: only counted */
	char *text;
};

static void add(struct sum *sum, struct slice uri)
{
	if (sum->uris) {
		memcpy(sum->text, uri.p, uri.n);
		sum->uris[sum->count] = slice_of(sum->text, uri.n);
		sum->text += uri.n;
	}
	sum->count++;
	sum->octets += uri.n;
}

static void collect(struct sum *sum, const struct xml_node *parent, unsigned depth)
{
	struct slice uri;

	for (const struct xml_node *node = xml_first(parent); node && !sum->is_malformed; node = xml_next(node)) {
		if (xml_is(node, SLICE(RESOURCE_LISTS), SLICE("list"))) {
			sum->is_malformed = depth == 0;
			if (depth)
				collect(sum, node, depth - 1);
		} else if (xml_is(node, SLICE(RESOURCE_LISTS), SLICE("entry"))) {
			sum->is_malformed = !xml_attribute(node, SLICE_EMPTY, SLICE("uri"), &uri) || !slice_trim(uri).n;
			if (!sum->is_malformed)
				add(sum, slice_trim(uri));
		}
	}
}

static enum uri_list_verdict copy(struct uri_list *out, const struct xml_node *root, unsigned most)
{
	struct sum sum = { 0 };

	if (!xml_is(root, SLICE(RESOURCE_LISTS), SLICE("resource-lists")))
		return URI_LIST_MALFORMED;
	collect(&sum, root, DEPTH_MAX);
	if (sum.is_malformed || sum.count == 0)
		return URI_LIST_MALFORMED;
	if (sum.count > most)
		return URI_LIST_TOO_MANY;
	out->uris = malloc(sum.count * sizeof(*out->uris) + sum.octets);
	if (!out->uris)
		return URI_LIST_NO_MEMORY;
	out->count = sum.count;
	sum = (struct sum){ .uris = out->uris, .text = (char *)(out->uris + sum.count) };
	collect(&sum, root, DEPTH_MAX);
	return URI_LIST_OK;
}

enum uri_list_verdict uri_list_read(struct uri_list *out, const struct sip_message *m, const struct limits_options *limits)
{
	struct xml_limits bounds = { limits->xml_bytes, XML_DEPTH_MAX };
	struct slice text = SLICE_EMPTY;
	enum uri_list_verdict verdict;
	struct xml *xml;

	*out = (struct uri_list){ 0 };
	verdict = find(sip_header_value(m, SIP_HDR_CONTENT_TYPE), sip_header_value(m, SIP_HDR_CONTENT_DISPOSITION), m->body,
		limits->mime_depth, &text);
	if (verdict != URI_LIST_OK)
		return verdict;
	switch (xml_parse(&xml, text, &bounds)) {
	case XML_OK:
		break;
	case XML_TOO_LARGE:
		return URI_LIST_TOO_LARGE;
	case XML_NO_MEMORY:
		return URI_LIST_NO_MEMORY;
	case XML_TOO_DEEP:
	case XML_NOT_UTF8:
	case XML_DOCTYPE:
	case XML_MALFORMED:
		return URI_LIST_MALFORMED;
	}
	verdict = copy(out, xml_root(xml), limits->uri_list);
	xml_free(xml);
	return verdict;
}

void uri_list_free(struct uri_list *list)
{
	free(list->uris);
	*list = (struct uri_list){ 0 };
}
