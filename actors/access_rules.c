#include "actors/access_rules.h"

#include <stdlib.h>

#include "sip/owner.h"

/* In the order of what they permit. */
enum action { ACTION_NONE, ACTION_REJECT, ACTION_PASS, ACTION_ACCEPT };

enum { ACTION_SESSION, ACTION_PAGER, ACTIONS };

struct rule {
	uint8_t actions[ACTIONS]; /* enum action */
	bool never, by_identity, when_anonymous, when_other;
	uint32_t matchers, matcher_count; /* of its identity */
};

/* EXCEPT_*: of the MANY before it. */
enum matcher_kind { MATCH_ONE, MATCH_MANY, EXCEPT_ONE, EXCEPT_DOMAIN };
struct matcher {
	enum matcher_kind kind;
	uint32_t at, n; /* canonical name or domain, in the text; MATCH_MANY of n 0: everybody */
};

/* ---- looking at a caller ---- */

static const struct rule *rules_of(const struct access_rules *set)
{
	return (const struct rule *)set->room;
}

static const struct matcher *matchers_of(const struct access_rules *set)
{
	return (const struct matcher *)(rules_of(set) + set->rule_count);
}

static struct slice text_of(const struct access_rules *set, const struct matcher *m)
{
	return slice_of((const char *)(matchers_of(set) + set->matcher_count) + m->at, m->n);
}

/* A port does not make another domain. */
static bool is_in_domain(struct slice caller, struct slice domain)
{
	struct slice host = slice_skip(caller, sip_canonical_user(caller).n);

	if (host.n && host.p[0] == '@')
		host = slice_skip(host, 1);
	return slice_case_starts(host, domain) && (host.n == domain.n || host.p[domain.n] == ':');
}

static bool matches(const struct access_rules *set, const struct matcher *m, struct slice caller)
{
	bool is_domain = m->kind == MATCH_MANY || m->kind == EXCEPT_DOMAIN;

	return is_domain ? !m->n || is_in_domain(caller, text_of(set, m)) : slice_eq(text_of(set, m), caller);
}

/* Does the identity of the rule name him? */
static bool names(const struct access_rules *set, const struct rule *rule, struct slice caller)
{
	const struct matcher *m = matchers_of(set) + rule->matchers, *end = m + rule->matcher_count;

	while (caller.n && m < end) {
		bool is_named = matches(set, m, caller);
		for (m++; m < end && m->kind >= EXCEPT_ONE; m++)
			is_named = is_named && !matches(set, m, caller);
		if (is_named)
			return true;
	}
	return false;
}

static bool is_named_anywhere(const struct access_rules *set, struct slice caller)
{
	for (unsigned i = 0; i < set->rule_count; i++)
		if (rules_of(set)[i].by_identity && names(set, &rules_of(set)[i], caller))
			return true;
	return false;
}

/* Who asks.  All rules are gone through at most once for him, however many of them are about everybody else. */
struct caller {
	struct slice name;
	bool is_anonymous;
	enum { UNSEEN, NAMED, OTHER } seen;
};

static bool is_other(const struct access_rules *set, struct caller *caller)
{
	if (caller->seen == UNSEEN)
		caller->seen = is_named_anywhere(set, caller->name) ? NAMED : OTHER;
	return caller->seen == OTHER;
}

static bool counts(const struct access_rules *set, const struct rule *rule, struct caller *caller)
{
	if (rule->never || (rule->when_anonymous && !caller->is_anonymous) ||
	    (rule->by_identity && !names(set, rule, caller->name)))
		return false;
	return !rule->when_other || (caller->name.n && is_other(set, caller));
}

enum user_verdict access_rules_verdict(const struct access_rules *set, enum user_purpose purpose, struct slice caller,
	bool is_anonymous)
{
	int which = purpose == USER_FOR_SESSION ? ACTION_SESSION : ACTION_PAGER;
	struct caller who = { caller, is_anonymous, UNSEEN };
	enum action best = ACTION_NONE;

	if (!set || purpose == USER_FIND_ONLY)
		return USER_ACCEPTS;
	for (unsigned i = 0; i < set->rule_count; i++) {
		const struct rule *rule = &rules_of(set)[i];
		enum action action = rule->actions[which];
		bool is_by_name = rule->by_identity || rule->when_other;
		if (action > best && !(is_anonymous && is_by_name && action > ACTION_REJECT) &&
		    counts(set, rule, &who))
			best = action;
	}
	return best == ACTION_REJECT ? USER_REJECTS : USER_ACCEPTS;
}

/* ---- compiling ---- */

struct list {
	char *p;
	size_t n, size;
};

struct access_rules_builder {
	const struct sip_home *home;
	struct list rules, matchers, text;
	bool failed;
};

/* False: no memory, and the builder knows it. */
static bool append(struct access_rules_builder *b, struct list *list, const void *item, size_t n)
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

static void add_matcher(struct access_rules_builder *b, struct rule *rule, enum matcher_kind kind, struct slice text)
{
	struct matcher m = { kind, (uint32_t)b->text.n, (uint32_t)text.n };

	if (append(b, &b->text, text.p, text.n) && append(b, &b->matchers, &m, sizeof(m)))
		rule->matcher_count++;
}

/* A name that nobody can have names nobody: nothing is added. */
static void add_name(struct access_rules_builder *b, struct rule *rule, enum matcher_kind kind, struct slice id)
{
	char text[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct sip_uri uri;

	if (sip_uri_parse(slice_trim(id), &uri) && sip_uri_canonical(&out, &uri, b->home) && out.n)
		add_matcher(b, rule, kind, buffer_slice(&out));
}

/* In the form that it has in a canonical name; false: it can be none. */
static bool read_domain(const struct access_rules_builder *b, struct slice domain, struct buffer *out)
{
	char text[IM_CANONICAL_MAX + 8];
	struct buffer written = buffer_over(text, sizeof(text));
	struct sip_uri uri;

	buffer_lit(&written, "sip:");
	buffer_put(&written, slice_trim(domain));
	return !written.overflow && sip_uri_parse(buffer_slice(&written), &uri) && !uri.user.n &&
	       sip_uri_canonical(out, &uri, b->home) && out->n;
}

static void add_domain(struct access_rules_builder *b, struct rule *rule, enum matcher_kind kind, struct slice domain)
{
	char text[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	if (read_domain(b, domain, &out))
		add_matcher(b, rule, kind, buffer_slice(&out));
}

static void add_exceptions(struct access_rules_builder *b, struct rule *rule, const struct xml_node *many)
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

static void add_many(struct access_rules_builder *b, struct rule *rule, const struct xml_node *many)
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

static void add_identity(struct access_rules_builder *b, struct rule *rule, const struct xml_node *identity)
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

static void add_conditions(struct access_rules_builder *b, struct rule *rule, const struct xml_node *conditions)
{
	for (const struct xml_node *n = xml_first(conditions); n; n = xml_next(n)) {
		struct slice name = xml_name(n);
		if (slice_eq(name, SLICE("identity")) && !rule->by_identity)
			add_identity(b, rule, n);
		else if (slice_eq(name, SLICE("anonymous-request")) || slice_eq(name, SLICE("anonymous")))
			rule->when_anonymous = true;
		else if (slice_eq(name, SLICE("other-identity")))
			rule->when_other = true;
		else
			rule->never = true;
	}
}

static enum action read_action(struct slice text)
{
	text = slice_trim(text);
	return slice_eq(text, SLICE("accept")) ? ACTION_ACCEPT : slice_eq(text, SLICE("pass")) ? ACTION_PASS :
	       slice_eq(text, SLICE("reject")) ? ACTION_REJECT : ACTION_NONE;
}

static void add_actions(struct rule *rule, const struct xml_node *actions)
{
	static const struct slice action_names[ACTIONS] = { [ACTION_SESSION] = { "allow-session", 13 },
		[ACTION_PAGER] = { "allow-pager-mode-message", 24 } };

	for (const struct xml_node *n = xml_first(actions); n; n = xml_next(n))
		for (int i = 0; i < ACTIONS; i++) {
			enum action action = read_action(xml_text(n));
			if (slice_eq(xml_name(n), action_names[i]) && action > rule->actions[i])
				rule->actions[i] = (uint8_t)action;
		}
}

static void add_rule(struct access_rules_builder *b, const struct xml_node *node)
{
	struct rule rule = { .matchers = (uint32_t)(b->matchers.n / sizeof(struct matcher)) };

	for (const struct xml_node *n = xml_first(node); n; n = xml_next(n)) {
		if (slice_eq(xml_name(n), SLICE("conditions")))
			add_conditions(b, &rule, n);
		else if (slice_eq(xml_name(n), SLICE("actions")))
			add_actions(&rule, n);
	}
	(void)append(b, &b->rules, &rule, sizeof(rule)); /* the builder keeps that it failed */
}

struct access_rules_builder *access_rules_begin(const struct sip_home *home)
{
	struct access_rules_builder *b = calloc(1, sizeof(*b));

	if (b)
		b->home = home;
	return b;
}

void access_rules_add(struct access_rules_builder *b, const struct xml *document)
{
	for (const struct xml_node *n = xml_first(xml_root(document)); n && !b->failed; n = xml_next(n))
		if (slice_eq(xml_name(n), SLICE("rule")))
			add_rule(b, n);
}

static struct access_rules *pack(const struct access_rules_builder *b, struct slice owner)
{
	struct access_rules *set = calloc(1, sizeof(*set) + b->rules.n + b->matchers.n + b->text.n);
	struct buffer out;

	if (!set)
		return NULL;
	memcpy(set->owner, owner.p, owner.n);
	set->owner_n = owner.n;
	set->rule_count = (unsigned)(b->rules.n / sizeof(struct rule));
	set->matcher_count = (uint32_t)(b->matchers.n / sizeof(struct matcher));
	out = buffer_over(set->room, b->rules.n + b->matchers.n + b->text.n);
	buffer_put(&out, slice_of(b->rules.p, b->rules.n));
	buffer_put(&out, slice_of(b->matchers.p, b->matchers.n));
	buffer_put(&out, slice_of(b->text.p, b->text.n));
	return set;
}

struct access_rules *access_rules_finish(struct access_rules_builder *b, struct slice owner)
{
	struct access_rules *set = b->failed ? NULL : pack(b, owner);

	free(b->rules.p);
	free(b->matchers.p);
	free(b->text.p);
	free(b);
	return set;
}
