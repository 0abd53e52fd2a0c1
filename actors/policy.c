#include "actors/policy.h"

static struct slice without_parameters(struct slice type)
{
	return slice_trim(slice_cut(type, ';', NULL));
}

static bool is_any(struct slice pattern)
{
	return slice_eq(pattern, SLICE("*")) || slice_eq(pattern, SLICE("*/*"));
}

/* All subtypes of a type. */
static bool is_family(struct slice pattern)
{
	return pattern.n > 2 && !memcmp(pattern.p + pattern.n - 2, "/*", 2);
}

/* Does the wider one name all that the narrower one names? */
static bool covers(struct slice wider, struct slice narrower)
{
	return is_any(wider) || slice_case_eq(wider, narrower) ||
	       (is_family(wider) && slice_case_starts(narrower, slice_of(wider.p, wider.n - 1)));
}

bool policy_permits_every_type(const struct config *config)
{
	for (unsigned i = 0; i < config->policy.content_types.count; i++)
		if (is_any(slice_str(config->policy.content_types.list[i])))
			return true;
	return false;
}

bool policy_permits_type(const struct config *config, struct slice type)
{
	for (unsigned i = 0; i < config->policy.content_types.count; i++)
		if (covers(slice_str(config->policy.content_types.list[i]), without_parameters(type)))
			return true;
	return false;
}

static void put_word(struct buffer *out, struct slice word)
{
	if (out->n)
		buffer_char(out, ' ');
	buffer_put(out, word);
}

bool policy_permitted_types(const struct config *config, struct slice list, struct buffer *out)
{
	while (list.n) {
		struct slice type = slice_cut(list, ' ', &list);
		if (type.n == 0)
			continue;
		if (policy_permits_type(config, type)) {
			put_word(out, type);
			continue;
		}
		for (unsigned i = 0; i < config->policy.content_types.count; i++) {
			struct slice permitted = slice_str(config->policy.content_types.list[i]);
			if (covers(without_parameters(type), permitted))
				put_word(out, permitted);
		}
	}
	return out->n > 0 && !out->overflow;
}

static bool has_word(struct slice list, struct slice word)
{
	while (list.n)
		if (slice_case_eq(slice_cut(list, ' ', &list), word))
			return true;
	return false;
}

/* Of `other` what `type` covers. */
static void put_covered(struct buffer *out, struct slice type, struct slice other)
{
	while (other.n) {
		struct slice candidate = slice_cut(other, ' ', &other);
		if (candidate.n && covers(type, without_parameters(candidate)) && !has_word(buffer_slice(out), candidate))
			put_word(out, candidate);
	}
}

static bool is_covered(struct slice type, struct slice list)
{
	while (list.n) {
		struct slice candidate = slice_cut(list, ' ', &list);
		if (candidate.n && covers(without_parameters(candidate), type))
			return true;
	}
	return false;
}

bool policy_common_types(struct slice list, struct slice other, struct buffer *out)
{
	size_t before = out->n;

	while (list.n) {
		struct slice type = slice_cut(list, ' ', &list), bare = without_parameters(type);
		if (type.n == 0)
			continue;
		if (!is_covered(bare, other))
			put_covered(out, bare, other);
		else if (!has_word(buffer_slice(out), type))
			put_word(out, type);
	}
	return out->n > before && !out->overflow;
}
