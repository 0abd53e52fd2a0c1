#include "actors/poc_settings.h"

#define POC_NS     SLICE("urn:oma:params:xml:ns:poc:poc-settings")
#define SERVICE_NS SLICE("urn:oma:params:xml:ns:service-settings")

/* What settings elements there are, and where each has its value. */
static const struct row {
	enum poc_setting setting;
	const char *element, *child;
	bool is_poc;
} rows[] = {
	{ SETTING_SESSION_BARRING, "isb-settings", "incoming-session-barring", true },
	{ SETTING_PAGER_BARRING, "ipab-settings", "incoming-personal-alert-barring", true },
	{ SETTING_OFFLINE_DELIVERY, "deferred-settings", "offline-delivery", false },
	{ SETTING_VISIBLE, "vis-settings", "vis-status", false },
	{ SETTING_HISTORY, "hist-settings", "hist-activation", false },
};

static struct slice namespace_of(const struct row *row)
{
	return row->is_poc ? POC_NS : SERVICE_NS;
}

static const struct row *row_of(const struct xml_node *element)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (xml_is(element, namespace_of(&rows[i]), slice_str(rows[i].element)))
			return &rows[i];
	return NULL;
}

/* D2-34: the schema's attribute is qualified, the example's is not. */
static bool is_of_another_service(const struct xml_node *element)
{
	struct slice id;

	if (!xml_attribute(element, SLICE_EMPTY, SLICE("service-id"), &id) &&
	    !xml_attribute(element, SERVICE_NS, SLICE("service-id"), &id))
		return false;
	id = slice_trim(id);
	return !slice_eq(id, SLICE("IM")) && !slice_eq(id, SLICE("org.openmobilealliance:IM"));
}

static const struct xml_node *value_of(const struct xml_node *element, const struct row *row)
{
	const struct xml_node *child = xml_child(element, namespace_of(row), slice_str(row->child));

	if (!child && row->setting == SETTING_VISIBLE) /* D2-33: as the example of E.1.2 has it */
		child = xml_child(element, SERVICE_NS, SLICE("visibility-status"));
	return child;
}

/* False: the schema does not permit it. */
static bool read_element(struct poc_settings *settings, const struct xml_node *element, const char **why)
{
	const struct row *row = row_of(element);
	struct slice active;
	bool is_on;

	if (!row || is_of_another_service(element))
		return true;
	*why = "a settings element without a child";
	if (!xml_first(element))
		return false;
	const struct xml_node *value = value_of(element, row);
	if (!value)
		return true; /* extensions only */
	*why = "active is missing or neither true nor false";
	if (!xml_attribute(value, SLICE_EMPTY, SLICE("active"), &active) || !xml_boolean(active, &is_on))
		return false;
	settings->known |= 1u << row->setting;
	settings->on &= ~(1u << row->setting);
	settings->on |= (uint32_t)is_on << row->setting;
	return true;
}

static bool read_root(struct poc_settings *settings, const struct xml_node *root, const char **why)
{
	*why = "the root is not poc-settings in urn:oma:params:xml:ns:poc:poc-settings";
	if (!xml_is(root, POC_NS, SLICE("poc-settings")))
		return false;
	/* a client has one entity (RFC 4354 6); of several the last has the last word */
	for (const struct xml_node *entity = xml_first(root); entity; entity = xml_next(entity)) {
		if (!xml_is(entity, POC_NS, SLICE("entity")))
			continue;
		for (const struct xml_node *element = xml_first(entity); element; element = xml_next(element))
			if (!read_element(settings, element, why))
				return false;
	}
	return true;
}

enum xml_verdict poc_settings_read(struct poc_settings *out, struct slice text, const struct xml_limits *limits,
	const char **why)
{
	struct poc_settings settings = { 0 };
	struct xml *xml;
	enum xml_verdict verdict = xml_parse(&xml, text, limits);

	*why = xml_verdict_text(verdict);
	if (verdict != XML_OK)
		return verdict;
	if (read_root(&settings, xml_root(xml), why))
		*out = settings;
	else
		verdict = XML_MALFORMED;
	xml_free(xml);
	return verdict;
}
