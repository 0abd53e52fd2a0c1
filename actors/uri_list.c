#include "actors/uri_list.h"

#include <stdlib.h>

#include "core/options.h"
#include "core/xml.h"
#include "sip/header.h"
#include "sip/multipart.h"
#include "sip/uri.h"

#define RESOURCE_LISTS "urn:ietf:params:xml:ns:resource-lists"
#define DEPTH_MAX      16 /* lists within lists */

/* ---- where it is ---- */

bool uri_list_is_one(struct slice type, struct slice disposition)
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

/* Is it what a cid: URL names?  RFC 2392 2: the Content-ID without <>, escaped where a URL must be. */
static bool is_named(struct slice id, struct slice cid)
{
	char text[URI_LIST_CID_MAX];
	struct buffer plain = buffer_over(text, sizeof(text));

	id = slice_trim(id);
	if (id.n < 2 || id.p[0] != '<' || id.p[id.n - 1] != '>')
		return false;
	sip_unescape(&plain, cid);
	return !plain.overflow && slice_eq(slice_of(id.p + 1, id.n - 2), buffer_slice(&plain));
}

/* One body: a whole one, or a part. */
struct entity {
	struct slice type, disposition, id, content;
};

static bool is_wanted(const struct entity *entity, struct slice cid)
{
	if (cid.n) /* whoever names it has said what it is for */
		return is_named(entity->id, cid) && uri_list_is_one(entity->type, SLICE_EMPTY);
	return uri_list_is_one(entity->type, entity->disposition);
}

static enum uri_list_verdict find(const struct entity *entity, struct slice cid, unsigned depth, struct slice *xml)
{
	enum sip_part_verdict verdict;
	struct sip_parts parts;
	struct sip_part part;

	if (is_wanted(entity, cid)) {
		*xml = entity->content;
		return URI_LIST_OK;
	}
	if (!is_multipart(entity->type) || depth == 0)
		return URI_LIST_NONE;
	if (!sip_parts_begin(&parts, entity->type, entity->content))
		return URI_LIST_MALFORMED;
	while ((verdict = sip_parts_next(&parts, &part)) == SIP_PART_OK) {
		struct entity inner = { sip_part_header(&part, "Content-Type"),
			sip_part_header(&part, "Content-Disposition"), sip_part_header(&part, "Content-ID"), part.content };
		enum uri_list_verdict found = find(&inner, cid, depth - 1, xml);
		if (found != URI_LIST_NONE)
			return found;
	}
	return verdict == SIP_PART_BAD ? URI_LIST_MALFORMED : URI_LIST_NONE;
}

static struct slice content_id_of(const struct sip_message *m)
{
	for (unsigned i = 0; i < m->header_count; i++)
		if (slice_case_eq(m->headers[i].name, SLICE("Content-ID")))
			return m->headers[i].value;
	return SLICE_EMPTY;
}

static bool calls_itself_list(const struct entity *entity)
{
	return entity->disposition.n && uri_list_is_one(entity->type, entity->disposition);
}

static bool has_list(const struct entity *entity, unsigned depth)
{
	struct sip_parts parts;
	struct sip_part part;

	if (calls_itself_list(entity))
		return true;
	if (depth == 0 || !is_multipart(entity->type) || !sip_parts_begin(&parts, entity->type, entity->content))
		return false;
	while (sip_parts_next(&parts, &part) == SIP_PART_OK) {
		struct entity inner = { .type = sip_part_header(&part, "Content-Type"),
			.disposition = sip_part_header(&part, "Content-Disposition"), .content = part.content };
		if (has_list(&inner, depth - 1))
			return true;
	}
	return false;
}

bool uri_list_is_there(const struct sip_message *m, unsigned depth)
{
	struct entity whole = { .type = sip_header_value(m, SIP_HDR_CONTENT_TYPE),
		.disposition = sip_header_value(m, SIP_HDR_CONTENT_DISPOSITION), .content = m->body };

	return m->body.n && has_list(&whole, depth);
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
		/* nobody fetches what is defined elsewhere, and leaving it out would not be what was asked (D2-41) */
		sum->is_malformed = xml_is(node, SLICE(RESOURCE_LISTS), SLICE("entry-ref")) ||
				    xml_is(node, SLICE(RESOURCE_LISTS), SLICE("external"));
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

enum uri_list_verdict uri_list_read_named(struct uri_list *out, const struct sip_message *m, struct slice cid,
	const struct limits_options *limits)
{
	struct entity whole = { sip_header_value(m, SIP_HDR_CONTENT_TYPE), sip_header_value(m, SIP_HDR_CONTENT_DISPOSITION),
		content_id_of(m), m->body };
	struct xml_limits bounds = { limits->xml_bytes, XML_DEPTH_MAX };
	struct slice text = SLICE_EMPTY;
	enum uri_list_verdict verdict;
	struct xml *xml;

	*out = (struct uri_list){ 0 };
	verdict = find(&whole, cid, limits->mime_depth, &text);
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

enum uri_list_verdict uri_list_read(struct uri_list *out, const struct sip_message *m, const struct limits_options *limits)
{
	return uri_list_read_named(out, m, SLICE_EMPTY, limits);
}

void uri_list_free(struct uri_list *list)
{
	free(list->uris);
	*list = (struct uri_list){ 0 };
}
