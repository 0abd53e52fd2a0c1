#include "actors/group_advertisement.h"

#include "core/xml.h"

/* D2-37: that of schema and example, and those of the text and of a note. */
static bool is_ours(struct slice name_space)
{
	return slice_eq(name_space, SLICE("urn:oma:params:xml:ns:IM:group-advertisement")) ||
	       slice_eq(name_space, SLICE("urn:oma:params:xml:ns:IM:groupadvertisement")) ||
	       slice_eq(name_space, SLICE("urn:oma:params:xml:ns:im:group-advertisement"));
}

static bool is_type(struct slice type)
{
	return slice_eq(type, SLICE("dialed-in")) || slice_eq(type, SLICE("dialed-out")) || slice_eq(type, SLICE("other"));
}

/* display-name{0,1}, then uri{1,n}; foreign elements behind them. */
static bool is_group(const struct xml_node *group)
{
	struct slice name_space = xml_namespace(group), type;
	unsigned names = 0, uris = 0;

	if (xml_attribute(group, SLICE_EMPTY, SLICE("type"), &type) && !is_type(slice_trim(type)))
		return false;
	for (const struct xml_node *node = xml_first(group); node; node = xml_next(node)) {
		if (!slice_eq(xml_namespace(node), name_space))
			continue;
		if (slice_eq(xml_name(node), SLICE("display-name")) && !uris)
			names++;
		else if (slice_eq(xml_name(node), SLICE("uri")) && slice_trim(xml_text(node)).n)
			uris++;
		else
			return false;
	}
	return names <= 1 && uris > 0;
}

/* note{0,1}, then group{1,n}. */
static bool is_advertisement(const struct xml_node *root)
{
	struct slice name_space = xml_namespace(root);
	unsigned notes = 0, groups = 0;

	if (!is_ours(name_space) || !slice_eq(xml_name(root), SLICE("group-advertisement")))
		return false;
	for (const struct xml_node *node = xml_first(root); node; node = xml_next(node)) {
		if (xml_is(node, name_space, SLICE("note")) && !groups)
			notes++;
		else if (xml_is(node, name_space, SLICE("group")) && is_group(node))
			groups++;
		else
			return false;
	}
	return notes <= 1 && groups > 0;
}

bool group_advertisement_is_valid(struct slice document, size_t xml_bytes)
{
	struct xml_limits limits = { xml_bytes, XML_DEPTH_MAX };
	struct xml *xml;

	switch (xml_parse(&xml, document, &limits)) {
	case XML_OK:
		break;
	case XML_NO_MEMORY:
		return true;
	case XML_TOO_LARGE:
	case XML_TOO_DEEP:
	case XML_NOT_UTF8:
	case XML_DOCTYPE:
	case XML_MALFORMED:
		return false;
	}
	bool is_valid = is_advertisement(xml_root(xml));
	xml_free(xml);
	return is_valid;
}
