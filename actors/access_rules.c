#include "actors/access_rules.h"

#include <stdlib.h>

#include "actors/common_policy.h"

/* In the order of what they permit. */
enum action { ACTION_NONE, ACTION_REJECT, ACTION_PASS, ACTION_ACCEPT };

enum { ACTION_SESSION, ACTION_PAGER, ACTIONS };

struct rule {
	uint8_t actions[ACTIONS]; /* enum action */
	struct policy_conditions when;
};

/* ---- looking at a caller ---- */

static const struct rule *rules_of(const struct access_rules *set)
{
	return (const struct rule *)set->room;
}

static struct policy_names names_of(const struct access_rules *set)
{
	const struct policy_matcher *matchers = (const struct policy_matcher *)(rules_of(set) + set->rule_count);

	return (struct policy_names){ matchers, (const char *)(matchers + set->matcher_count) };
}

static bool names(const struct access_rules *set, const struct rule *rule, struct slice caller)
{
	struct policy_names all = names_of(set);

	return policy_names_him(&all, &rule->when, caller);
}

static bool is_named_anywhere(const struct access_rules *set, struct slice caller)
{
	for (unsigned i = 0; i < set->rule_count; i++)
		if (rules_of(set)[i].when.by_identity && names(set, &rules_of(set)[i], caller))
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
	if (rule->when.never || (rule->when.when_anonymous && !caller->is_anonymous) ||
	    (rule->when.by_identity && !names(set, rule, caller->name)))
		return false;
	return !rule->when.when_other || (caller->name.n && is_other(set, caller));
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
		bool is_by_name = rule->when.by_identity || rule->when.when_other;
		if (action > best && !(is_anonymous && is_by_name && action > ACTION_REJECT) &&
		    counts(set, rule, &who))
			best = action;
	}
	return best == ACTION_REJECT ? USER_REJECTS : USER_ACCEPTS;
}

/* ---- compiling ---- */

struct access_rules_builder {
	struct policy_builder policy;
	struct policy_list rules;
};

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
	struct rule rule = { 0 };

	policy_add_rule(&b->policy, &rule.when, node);
	rule.when.never = rule.when.never || rule.when.membership; /* there is no list */
	for (const struct xml_node *n = xml_first(node); n; n = xml_next(n))
		if (slice_eq(xml_name(n), SLICE("actions")))
			add_actions(&rule, n);
	(void)policy_append(&b->policy, &b->rules, &rule, sizeof(rule)); /* the builder keeps that it failed */
}

struct access_rules_builder *access_rules_begin(const struct sip_home *home)
{
	struct access_rules_builder *b = calloc(1, sizeof(*b));

	if (b)
		b->policy.home = home;
	return b;
}

void access_rules_add(struct access_rules_builder *b, const struct xml *document)
{
	for (const struct xml_node *n = xml_first(xml_root(document)); n && !b->policy.failed; n = xml_next(n))
		if (slice_eq(xml_name(n), SLICE("rule")))
			add_rule(b, n);
}

static struct access_rules *pack(const struct access_rules_builder *b, struct slice owner)
{
	struct access_rules *set = calloc(1, sizeof(*set) + b->rules.n + b->policy.matchers.n + b->policy.text.n);
	struct buffer out;

	if (!set)
		return NULL;
	memcpy(set->owner, owner.p, owner.n);
	set->owner_n = owner.n;
	set->rule_count = (unsigned)(b->rules.n / sizeof(struct rule));
	set->matcher_count = (uint32_t)(b->policy.matchers.n / sizeof(struct policy_matcher));
	out = buffer_over(set->room, b->rules.n + b->policy.matchers.n + b->policy.text.n);
	buffer_put(&out, slice_of(b->rules.p, b->rules.n));
	buffer_put(&out, slice_of(b->policy.matchers.p, b->policy.matchers.n));
	buffer_put(&out, slice_of(b->policy.text.p, b->policy.text.n));
	return set;
}

struct access_rules *access_rules_finish(struct access_rules_builder *b, struct slice owner)
{
	struct access_rules *set = b->policy.failed ? NULL : pack(b, owner);

	free(b->rules.p);
	policy_builder_free(&b->policy);
	free(b);
	return set;
}
