#include "actors/common_policy.h"

#include <stdlib.h>

#include "sip/owner.h"

/* ---- looking at a caller ---- */

static struct slice text_of(const struct policy_names *names, const struct policy_matcher *m)
{
	return slice_of(names->text + m->at, m->n);
}

/* A port does not make another domain. */
static bool is_in_domain(struct slice caller, struct slice domain)
{
	struct slice host = slice_skip(caller, sip_canonical_user(caller).n);

	if (host.n && host.p[0] == '@')
		host = slice_skip(host, 1);
	return slice_case_starts(host, domain) && (host.n == domain.n || host.p[domain.n] == ':');
}

static bool matches(const struct policy_names *names, const struct policy_matcher *m, struct slice caller)
{
	bool is_domain = m->kind == MATCH_MANY || m->kind == EXCEPT_DOMAIN;

	return is_domain ? !m->n || is_in_domain(caller, text_of(names, m)) : slice_eq(text_of(names, m), caller);
}

bool policy_names_him(const struct policy_names *names, const struct policy_conditions *rule, struct slice caller)
{
	const struct policy_matcher *m = names->matchers + rule->matchers, *end = m + rule->matcher_count;

	while (caller.n && m < end) {
		bool is_named = matches(names, m, caller);
		for (m++; m < end && m->kind >= EXCEPT_ONE; m++)
			is_named = is_named && !matches(names, m, caller);
		if (is_named)
			return true;
	}
	return false;
}

bool policy_names_him_alone(const struct policy_names *names, const struct policy_conditions *rule, struct slice caller)
{
	const struct policy_matcher *m = names->matchers + rule->matchers;

	for (uint32_t i = 0; i < rule->matcher_count; i++)
		if (m[i].kind == MATCH_ONE && matches(names, &m[i], caller))
			return true;
	return false;
}

/* ---- compiling ---- */

bool policy_append(struct policy_builder *b, struct policy_list *list, const void *item, size_t n)
{
	if (list->size - list->n < n) {
		size_t size = 2 * list->size + n;
		char *p = realloc(list->p, size);
		if (!p) {
			b->failed = true;
			return false;
		}
		list->p = p;
		list->size = size;
	}
	if (n)
		memcpy(list->p + list->n, item, n);
	list->n += n;
	return true;
}

static void add_matcher(struct policy_builder *b, struct policy_conditions *rule, enum policy_matcher_kind kind, struct slice text)
{
	struct policy_matcher m = { kind, (uint32_t)b->text.n, (uint32_t)text.n };

	if (policy_append(b, &b->text, text.p, text.n) && policy_append(b, &b->matchers, &m, sizeof(m)))
		rule->matcher_count++;
}

/* A name that nobody can have names nobody: nothing is added. */
static void add_name(struct policy_builder *b, struct policy_conditions *rule, enum policy_matcher_kind kind, struct slice id)
{
	char text[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct sip_uri uri;

	if (sip_uri_parse(slice_trim(id), &uri) && sip_uri_canonical(&out, &uri, b->home) && out.n)
		add_matcher(b, rule, kind, buffer_slice(&out));
}

/* In the form that it has in a canonical name; false: it can be none. */
static bool read_domain(const struct policy_builder *b, struct slice domain, struct buffer *out)
{
	char text[IM_CANONICAL_MAX + 8];
	struct buffer written = buffer_over(text, sizeof(text));
	struct sip_uri uri;

	buffer_lit(&written, "sip:");
	buffer_put(&written, slice_trim(domain));
	return !written.overflow && sip_uri_parse(buffer_slice(&written), &uri) && !uri.user.n &&
	       sip_uri_canonical(out, &uri, b->home) && out->n;
}

static void add_domain(struct policy_builder *b, struct policy_conditions *rule, enum policy_matcher_kind kind, struct slice domain)
{
	char text[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	if (read_domain(b, domain, &out))
		add_matcher(b, rule, kind, buffer_slice(&out));
}

static void add_exceptions(struct policy_builder *b, struct policy_conditions *rule, const struct xml_node *many)
{
	struct slice value;

	for (const struct xml_node *n = xml_first(many); n; n = xml_next(n)) {
		if (!slice_eq(xml_name(n), SLICE("except")))
			continue;
		if (xml_attribute(n, SLICE_EMPTY, SLICE("id"), &value))
			add_name(b, rule, EXCEPT_ONE, value);
		if (xml_attribute(n, SLICE_EMPTY, SLICE("domain"), &value))
			add_domain(b, rule, EXCEPT_DOMAIN, value);
	}
}

static void add_many(struct policy_builder *b, struct policy_conditions *rule, const struct xml_node *many)
{
	uint32_t before = rule->matcher_count;
	struct slice domain;

	if (xml_attribute(many, SLICE_EMPTY, SLICE("domain"), &domain))
		add_domain(b, rule, MATCH_MANY, domain);
	else
		add_matcher(b, rule, MATCH_MANY, SLICE_EMPTY);
	if (rule->matcher_count > before)
		add_exceptions(b, rule, many);
}

static void add_identity(struct policy_builder *b, struct policy_conditions *rule, const struct xml_node *identity)
{
	struct slice id;

	rule->by_identity = true;
	for (const struct xml_node *n = xml_first(identity); n; n = xml_next(n)) {
		if (slice_eq(xml_name(n), SLICE("one")) && xml_attribute(n, SLICE_EMPTY, SLICE("id"), &id))
			add_name(b, rule, MATCH_ONE, id);
		else if (slice_eq(xml_name(n), SLICE("many")))
			add_many(b, rule, n);
	}
}

static void add_conditions(struct policy_builder *b, struct policy_conditions *rule, const struct xml_node *conditions)
{
	bool value;

	for (const struct xml_node *n = xml_first(conditions); n; n = xml_next(n)) {
		struct slice name = xml_name(n);
		if (slice_eq(name, SLICE("identity")) && !rule->by_identity)
			add_identity(b, rule, n);
		else if (slice_eq(name, SLICE("anonymous-request")) || slice_eq(name, SLICE("anonymous")))
			rule->when_anonymous = true;
		else if (slice_eq(name, SLICE("other-identity")))
			rule->when_other = true;
		else if (slice_eq(name, SLICE("is-list-member")))
			rule->membership = xml_boolean(xml_text(n), &value) && !value ? POLICY_NO_MEMBERS : POLICY_MEMBERS;
		else
			rule->never = true;
	}
}

void policy_add_rule(struct policy_builder *b, struct policy_conditions *rule, const struct xml_node *node)
{
	rule->matchers = (uint32_t)(b->matchers.n / sizeof(struct policy_matcher));
	for (const struct xml_node *n = xml_first(node); n; n = xml_next(n))
		if (slice_eq(xml_name(n), SLICE("conditions")))
			add_conditions(b, rule, n);
}

void policy_builder_free(struct policy_builder *b)
{
	free(b->matchers.p);
	free(b->text.p);
}
