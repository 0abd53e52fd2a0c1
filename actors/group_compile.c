/* What a list-service says, in one block of memory. */
#include <errno.h>
#include <stdlib.h>

#include "actors/group_internal.h"

/* What was read; text is that of the document but for the canonical names. */
struct draft_member {
	struct slice uri, display_name, canonical;
	size_t canonical_at, canonical_n;
	unsigned position; /* in the list, of those that are kept */
	bool is_repeated;
};

struct draft {
	const struct xml_node *service;
	struct slice uri, display_name;
	bool has_rules, are_about_members;
	struct policy_builder policy;
	struct policy_list rules, members, names;
	struct draft_member **by_name;
	unsigned kept;
};

static bool is_named(const struct xml_node *node, const char *name)
{
	return slice_eq(xml_name(node), slice_str(name));
}

static const struct xml_node *child(const struct xml_node *parent, const char *name)
{
	const struct xml_node *n = xml_first(parent);

	while (n && !is_named(n, name))
		n = xml_next(n);
	return n;
}

static struct slice text_of_child(const struct xml_node *parent, const char *name)
{
	const struct xml_node *n = child(parent, name);

	return n ? slice_trim(xml_text(n)) : SLICE_EMPTY;
}

/* ---- the list ---- */

/* Without what RFC 3261 19.1.5 forbids in a Request-URI. */
static struct slice without_headers(struct slice text, const struct sip_uri *uri)
{
	const char *end = uri->headers.p > text.p ? uri->headers.p - 1 : NULL;

	return end && *end == '?' ? slice_of(text.p, (size_t)(end - text.p)) : text;
}

/* An address that nobody could be reached at is no member. */
static void add_member(struct draft *d, const struct xml_node *entry)
{
	char canonical[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	struct draft_member member = { .display_name = text_of_child(entry, "display-name"), .canonical_at = d->names.n };
	struct slice text;
	struct sip_uri uri;

	if (!xml_attribute(entry, SLICE_EMPTY, SLICE("uri"), &text))
		return;
	text = slice_trim(text);
	if (!sip_uri_parse(text, &uri) || !sip_uri_canonical(&out, &uri, d->policy.home) || !out.n)
		return;
	member.uri = without_headers(text, &uri);
	member.canonical_n = out.n;
	if (policy_append(&d->policy, &d->names, out.p, out.n))
		(void)policy_append(&d->policy, &d->members, &member, sizeof(member)); /* the builder keeps that it failed */
}

/* Lists within lists count as one; the nesting is bounded by that of the parser. */
static void add_list(struct draft *d, const struct xml_node *list)
{
	for (const struct xml_node *n = xml_first(list); n; n = xml_next(n)) {
		if (is_named(n, "entry"))
			add_member(d, n);
		else if (is_named(n, "list"))
			add_list(d, n);
	}
}

/* The first of the list is the first of its name. */
static int compare(const void *a, const void *b)
{
	const struct draft_member *x = *(struct draft_member *const *)a, *y = *(struct draft_member *const *)b;
	int order = group_name_order(x->canonical, y->canonical);

	return order ? order : x < y ? -1 : x > y;
}

/* Sorts them, and finds those that were there before.  False: no memory. */
static bool sort_members(struct draft *d)
{
	size_t count = d->members.n / sizeof(struct draft_member);
	struct draft_member *members = (struct draft_member *)d->members.p;

	if (!count)
		return true;
	if (!(d->by_name = malloc(count * sizeof(*d->by_name))))
		return false;
	for (size_t i = 0; i < count; i++) {
		members[i].canonical = slice_of(d->names.p + members[i].canonical_at, members[i].canonical_n);
		d->by_name[i] = &members[i];
	}
	qsort(d->by_name, count, sizeof(*d->by_name), compare);
	for (size_t i = 1; i < count; i++)
		d->by_name[i]->is_repeated = slice_eq(d->by_name[i]->canonical, d->by_name[i - 1]->canonical);
	for (size_t i = 0; i < count; i++)
		if (!members[i].is_repeated)
			members[i].position = d->kept++;
	return true;
}

/* ---- the ruleset ---- */

static void add_actions(struct group_rule *rule, const struct xml_node *actions)
{
	static const char *const names[GROUP_ACTIONS] = {
		[GROUP_INITIATE] = "allow-initiate-conference", [GROUP_JOIN] = "join-handling",
		[GROUP_ADD_USERS] = "allow-invite-users-dynamically", [GROUP_SEE_STATE] = "allow-conference-state",
		[GROUP_BE_ANONYMOUS] = "allow-anonymity",
	};
	bool value;

	for (const struct xml_node *n = xml_first(actions); n; n = xml_next(n))
		for (int i = 0; i < GROUP_ACTIONS; i++) {
			if (!is_named(n, names[i]) || !xml_boolean(xml_text(n), &value))
				continue;
			uint8_t says = value ? GROUP_RULE_TRUE : GROUP_RULE_FALSE;
			if (says > rule->actions[i])
				rule->actions[i] = says;
		}
}

static void add_ruleset(struct draft *d, const struct xml_node *ruleset)
{
	d->has_rules = true;
	for (const struct xml_node *node = xml_first(ruleset); node && !d->policy.failed; node = xml_next(node)) {
		struct group_rule rule = { 0 };
		if (!is_named(node, "rule"))
			continue;
		policy_add_rule(&d->policy, &rule.when, node);
		for (const struct xml_node *n = xml_first(node); n; n = xml_next(n))
			if (is_named(n, "actions"))
				add_actions(&rule, n);
		d->are_about_members = d->are_about_members || rule.when.membership != POLICY_ANYBODY;
		(void)policy_append(&d->policy, &d->rules, &rule, sizeof(rule)); /* the builder keeps that it failed */
	}
}

/* ---- all in one block ---- */

/* Objects first, then text, which needs no alignment. */
struct packing {
	char *objects;
	struct buffer text;
};

static void *place(struct packing *p, size_t n)
{
	void *at = p->objects;

	p->objects += (n + 7) & ~(size_t)7;
	return at;
}

static struct slice put_text(struct packing *p, struct slice text)
{
	const char *at = p->text.p + p->text.n;

	buffer_put(&p->text, text);
	return slice_of(at, text.n);
}

/* For header fields, where a control character would end more than a word. */
static struct slice put_line(struct packing *p, struct slice text)
{
	char *at = p->text.p + p->text.n;
	struct slice line = put_text(p, text);

	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)at[i] < ' ' || at[i] == 0x7f)
			at[i] = ' ';
	return line;
}

static size_t octets_of(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static size_t text_octets(const struct draft *d, struct slice canonical)
{
	const struct draft_member *members = (const struct draft_member *)d->members.p;
	size_t n = d->policy.text.n + canonical.n + d->uri.n + d->display_name.n;

	for (size_t i = 0; i < d->members.n / sizeof(*members); i++)
		if (!members[i].is_repeated)
			n += members[i].uri.n + members[i].display_name.n + members[i].canonical_n;
	return n;
}

static void pack_members(struct group *group, const struct draft *d, struct packing *p)
{
	struct group_member *members = place(p, d->kept * sizeof(*members));
	const struct group_member **by_name = place(p, d->kept * sizeof(*by_name));
	const struct draft_member *from = (const struct draft_member *)d->members.p;
	size_t count = d->members.n / sizeof(*from), n = 0;

	for (size_t i = 0; i < count; i++)
		if (!from[i].is_repeated)
			members[from[i].position] = (struct group_member){ .uri = put_text(p, from[i].uri),
				.canonical = put_text(p, from[i].canonical), .display_name = put_line(p, from[i].display_name) };
	for (size_t i = 0; i < count; i++)
		if (!d->by_name[i]->is_repeated)
			by_name[n++] = &members[d->by_name[i]->position];
	group->member_count = d->kept;
	group->members = members;
	group->by_name = by_name;
}

static void pack_rules(struct group *group, const struct draft *d, struct packing *p)
{
	struct group_rules *rules = place(p, sizeof(*rules));
	void *matchers = place(p, d->policy.matchers.n), *all = place(p, d->rules.n);

	if (d->rules.n)
		memcpy(all, d->rules.p, d->rules.n);
	if (d->policy.matchers.n)
		memcpy(matchers, d->policy.matchers.p, d->policy.matchers.n);
	rules->rules = all;
	rules->count = (unsigned)(d->rules.n / sizeof(struct group_rule));
	rules->are_about_members = d->are_about_members;
	rules->names = (struct policy_names){ matchers, put_text(p, slice_of(d->policy.text.p, d->policy.text.n)).p };
	group->rules = rules;
}

static struct group *pack(const struct draft *d, struct slice canonical)
{
	size_t objects = octets_of(sizeof(struct group)) + octets_of(d->kept * sizeof(struct group_member)) +
			 octets_of(d->kept * sizeof(struct group_member *)) + octets_of(sizeof(struct group_rules)) +
			 octets_of(d->policy.matchers.n) + octets_of(d->rules.n);
	size_t text = text_octets(d, canonical);
	char *block = calloc(1, objects + text);
	struct packing p = { block, buffer_over(block ? block + objects : NULL, text) };
	struct group *group;

	if (!block)
		return NULL;
	group = place(&p, sizeof(*group));
	group->octets = objects + text;
	atomic_init(&group->holders, 1);
	group->canonical = put_text(&p, canonical);
	group->uri = put_text(&p, d->uri);
	group->display_name = put_line(&p, d->display_name);
	pack_members(group, d, &p);
	if (d->has_rules)
		pack_rules(group, d, &p);
	return group;
}

/* ---- reading ---- */

static void read_service(struct draft *d)
{
	for (const struct xml_node *n = xml_first(d->service); n && !d->policy.failed; n = xml_next(n)) {
		if (is_named(n, "list"))
			add_list(d, n);
		else if (is_named(n, "ruleset"))
			add_ruleset(d, n);
	}
	d->display_name = text_of_child(d->service, "display-name");
}

static void read_values(struct group *group, const struct xml_node *service)
{
	uint64_t most;

	if (!xml_boolean(text_of_child(service, "invite-members"), &group->invite_members))
		group->invite_members = false;
	group->max_participants = slice_u64(text_of_child(service, "max-participant-count"), UINT32_MAX, &most) ?
		(uint32_t)most : UINT32_MAX;
}

bool group_service_name(const struct xml_node *service, const struct sip_home *home, struct buffer *out)
{
	struct slice text;
	struct sip_uri uri;

	return xml_attribute(service, SLICE_EMPTY, SLICE("uri"), &text) && sip_uri_parse(slice_trim(text), &uri) &&
	       sip_uri_canonical(out, &uri, home) && out->n;
}

int group_compile(struct group **out, const struct xml_node *service, const struct sip_home *home, uint64_t etag)
{
	char name[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(name, sizeof(name));
	struct draft d = { .service = service, .policy.home = home };
	struct group *group = NULL;

	if (!group_service_name(service, home, &canonical))
		return EINVAL;
	(void)xml_attribute(service, SLICE_EMPTY, SLICE("uri"), &d.uri); /* it is there */
	d.uri = slice_trim(d.uri);
	read_service(&d);
	if (!d.policy.failed && sort_members(&d))
		group = pack(&d, buffer_slice(&canonical));
	if (group) {
		group->etag = etag;
		read_values(group, service);
		*out = group;
	}
	free(d.by_name);
	free(d.rules.p);
	free(d.members.p);
	free(d.names.p);
	policy_builder_free(&d.policy);
	return group ? 0 : ENOMEM;
}
