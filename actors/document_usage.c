#include "actors/document_usage.h"

#include <stdlib.h>

#include "actors/deferred_list.h"
#include "actors/group.h"
#include "sip/owner.h"

#define COMMON_POLICY  "urn:ietf:params:xml:ns:common-policy"
#define RESOURCE_LISTS "urn:ietf:params:xml:ns:resource-lists"
#define LIST_SERVICE   "urn:oma:xml:poc:list-service"

static void blame(struct document_fault *fault, enum document_fault_kind kind, const char *phrase)
{
	if (!fault->kind) /* the first thing that is wrong */
		*fault = (struct document_fault){ kind, phrase, NULL };
}

static void blame_schema(struct document_fault *fault, const char *phrase)
{
	blame(fault, DOCUMENT_AGAINST_SCHEMA, phrase);
}

static bool is_named(const struct xml_node *node, const char *name)
{
	return slice_eq(xml_name(node), slice_str(name));
}

static bool has(const struct xml_node *node, const char *attribute)
{
	struct slice value;

	return xml_attribute(node, SLICE_EMPTY, slice_str(attribute), &value) && slice_trim(value).n > 0;
}

/* ---- uniqueness ---- */

static int compare(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int order = n ? memcmp(x->p, y->p, n) : 0;

	return order ? order : x->n < y->n ? -1 : x->n > y->n;
}

/* No two children of that name may have the same attribute.  Sorted, since there may be thousands. */
static void check_unique(const struct xml_node *parent, const char *name, const char *attribute, const char *field,
	struct document_fault *fault)
{
	struct slice value, *values;
	size_t count = 0, n = 0;

	for (const struct xml_node *c = xml_first(parent); c; c = xml_next(c))
		count += is_named(c, name);
	if (count < 2 || fault->kind)
		return;
	if (!(values = calloc(count, sizeof(*values)))) {
		blame(fault, DOCUMENT_AGAINST_CONSTRAINT, "no memory to check it");
		return;
	}
	for (const struct xml_node *c = xml_first(parent); c; c = xml_next(c))
		if (is_named(c, name) && xml_attribute(c, SLICE_EMPTY, slice_str(attribute), &value))
			values[n++] = value;
	qsort(values, n, sizeof(*values), compare);
	for (size_t i = 1; i < n && !fault->kind; i++)
		if (slice_eq(values[i - 1], values[i]))
			*fault = (struct document_fault){ DOCUMENT_NOT_UNIQUE, "the same twice", field };
	free(values);
}

/* ---- common policy, RFC 4745, with the actions of design.md 13 ---- */

static bool is_choice(struct slice text)
{
	text = slice_trim(text);
	return slice_eq(text, SLICE("accept")) || slice_eq(text, SLICE("pass")) || slice_eq(text, SLICE("reject"));
}

static void check_action(const struct xml_node *action, struct document_fault *fault)
{
	static const char *const booleans[] = { "allow-initiate-conference", "join-handling", "allow-invite-users-dynamically",
		"allow-conference-state", "allow-anonymity" };
	bool value;

	if ((is_named(action, "allow-session") || is_named(action, "allow-pager-mode-message")) &&
	    !is_choice(xml_text(action)))
		blame_schema(fault, "allow-session and allow-pager-mode-message are accept, pass or reject");
	for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++)
		if (is_named(action, booleans[i]) && !xml_boolean(xml_text(action), &value))
			blame_schema(fault, "an action that is neither true nor false");
}

static void check_identity(const struct xml_node *identity, struct document_fault *fault)
{
	if (!xml_first(identity))
		blame_schema(fault, "an identity without one or many");
	for (const struct xml_node *n = xml_first(identity); n; n = xml_next(n))
		if (is_named(n, "one") && !has(n, "id"))
			blame_schema(fault, "one without id");
}

/* Empty by the schema; some clients write true. */
static void check_membership(const struct xml_node *condition, struct document_fault *fault)
{
	bool value;

	if (slice_trim(xml_text(condition)).n && !xml_boolean(xml_text(condition), &value))
		blame_schema(fault, "is-list-member is neither empty nor true nor false");
}

static void check_rule(const struct xml_node *rule, struct document_fault *fault)
{
	if (!has(rule, "id"))
		blame_schema(fault, "a rule without id");
	for (const struct xml_node *part = xml_first(rule); part; part = xml_next(part))
		for (const struct xml_node *n = xml_first(part); n; n = xml_next(n)) {
			if (is_named(part, "actions"))
				check_action(n, fault);
			else if (is_named(part, "conditions") && is_named(n, "identity"))
				check_identity(n, fault);
			else if (is_named(part, "conditions") && is_named(n, "is-list-member"))
				check_membership(n, fault);
		}
}

static void check_ruleset(const struct xml_node *ruleset, struct document_fault *fault)
{
	for (const struct xml_node *n = xml_first(ruleset); n && !fault->kind; n = xml_next(n)) {
		if (!is_named(n, "rule"))
			blame_schema(fault, "a ruleset has rules and nothing else");
		else
			check_rule(n, fault);
	}
	check_unique(ruleset, "rule", "id", "rule/@id", fault);
}

static void check_rules(const struct xml *document, const struct sip_options *sip, struct document_fault *fault)
{
	(void)sip;
	if (!xml_is(xml_root(document), SLICE(COMMON_POLICY), SLICE("ruleset")))
		blame_schema(fault, "the root is not ruleset in " COMMON_POLICY);
	else
		check_ruleset(xml_root(document), fault);
}

/* ---- resource lists, RFC 4826 3 ---- */

static void check_entries(const struct xml_node *list, struct document_fault *fault)
{
	static const struct {
		const char *name, *attribute, *phrase;
	} parts[] = {
		{ "entry", "uri", "an entry without uri" },
		{ "entry-ref", "ref", "an entry-ref without ref" },
	};

	for (const struct xml_node *n = xml_first(list); n; n = xml_next(n))
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
			if (is_named(n, parts[i].name) && !has(n, parts[i].attribute))
				blame_schema(fault, parts[i].phrase);
	check_unique(list, "entry", "uri", "entry/@uri", fault);
	check_unique(list, "entry-ref", "ref", "entry-ref/@ref", fault);
	check_unique(list, "external", "anchor", "external/@anchor", fault);
	check_unique(list, "list", "name", "list/@name", fault);
}

/* The nesting is bounded by that of the parser. */
static void check_lists(const struct xml_node *parent, struct document_fault *fault)
{
	for (const struct xml_node *n = xml_first(parent); n && !fault->kind; n = xml_next(n))
		if (is_named(n, "list")) {
			check_entries(n, fault);
			check_lists(n, fault);
		}
}

static void check_resource_lists(const struct xml *document, const struct sip_options *sip, struct document_fault *fault)
{
	const struct xml_node *root = xml_root(document);

	(void)sip;
	if (!xml_is(root, SLICE(RESOURCE_LISTS), SLICE("resource-lists"))) {
		blame_schema(fault, "the root is not resource-lists in " RESOURCE_LISTS);
		return;
	}
	for (const struct xml_node *n = xml_first(root); n; n = xml_next(n))
		if (slice_eq(xml_namespace(n), SLICE(RESOURCE_LISTS)) && !is_named(n, "list"))
			blame_schema(fault, "resource-lists has lists and nothing else");
	check_unique(root, "list", "name", "list/@name", fault);
	check_lists(root, fault);
}

/* ---- groups ---- */

/* domain.groups says which names are groups, so that nobody makes one of a user (design.md 9). */
static void check_group_name(struct slice text, const struct sip_options *sip, struct document_fault *fault)
{
	char canonical[512];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	struct sip_uri uri;

	if (!sip_uri_parse(slice_trim(text), &uri) || !sip_uri_is_home(&uri, &sip->home) ||
	    !sip_uri_canonical(&out, &uri, &sip->home) ||
	    !sip_name_is_group(sip_canonical_user(buffer_slice(&out)), sip))
		blame(fault, DOCUMENT_AGAINST_CONSTRAINT, "uri of the list-service is no name of domain.groups in the home domain");
}

/* bob@example.com is easily written, and would be no member. */
static void check_members(const struct xml_node *list, struct document_fault *fault)
{
	struct slice uri, rest;

	for (const struct xml_node *n = xml_first(list); n && !fault->kind; n = xml_next(n)) {
		if (is_named(n, "list")) {
			check_members(n, fault);
		} else if (is_named(n, "entry") && xml_attribute(n, SLICE_EMPTY, SLICE("uri"), &uri)) {
			(void)slice_cut(uri, ':', &rest);
			if (!rest.p)
				blame(fault, DOCUMENT_AGAINST_CONSTRAINT, "the uri of an entry has no scheme, as sip:alice@example.com has");
		}
	}
}

static void check_list_service(const struct xml_node *service, const struct sip_options *sip, struct document_fault *fault)
{
	struct slice uri;
	uint64_t number;
	bool value;

	if (!has(service, "uri") || !xml_attribute(service, SLICE_EMPTY, SLICE("uri"), &uri))
		blame_schema(fault, "a list-service without uri");
	else
		check_group_name(uri, sip, fault);
	for (const struct xml_node *n = xml_first(service); n; n = xml_next(n)) {
		if (is_named(n, "list")) {
			check_entries(n, fault);
			check_members(n, fault);
		} else if (is_named(n, "invite-members") && !xml_boolean(xml_text(n), &value))
			blame_schema(fault, "invite-members is neither true nor false");
		else if (is_named(n, "max-participant-count") && !slice_u64(slice_trim(xml_text(n)), UINT32_MAX, &number))
			blame_schema(fault, "max-participant-count is no number");
		else if (is_named(n, "ruleset"))
			check_ruleset(n, fault);
	}
}

static void check_group(const struct xml *document, const struct sip_options *sip, struct document_fault *fault)
{
	const struct xml_node *root = xml_root(document);
	unsigned services = 0;

	if (!xml_is(root, SLICE(LIST_SERVICE), SLICE("group"))) {
		blame_schema(fault, "the root is not group in " LIST_SERVICE);
		return;
	}
	for (const struct xml_node *n = xml_first(root); n; n = xml_next(n))
		if (xml_is(n, SLICE(LIST_SERVICE), SLICE("list-service"))) {
			services++;
			check_list_service(n, sip, fault);
		}
	if (services == 0)
		blame_schema(fault, "a group without list-service");
	check_unique(root, "list-service", "uri", "list-service/@uri", fault);
}

/* ---- all ---- */

static const struct document_usage usages[] = {
	{ "org.openmobilealliance.im-rules", "application/auth-policy+xml", COMMON_POLICY, check_rules, .has_access_rules = true },
	{ GROUPS_AUID, "application/vnd.oma.poc.groups+xml", LIST_SERVICE, check_group, .has_groups = true },
	{ "resource-lists", "application/resource-lists+xml", RESOURCE_LISTS, check_resource_lists },
	{ DEFERRED_LIST_AUID, "application/xml", DEFERRED_LIST_NAMESPACE, .is_made = true },
};

const struct document_usage *document_usage_of(struct slice auid)
{
	for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
		if (slice_eq(slice_str(usages[i].auid), auid))
			return &usages[i];
	return NULL;
}
