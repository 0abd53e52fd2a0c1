#include "config/schema.h"

#include <ctype.h>

#define KIB(n)	   ((uint64_t)(n) << 10)
#define MIB(n)	   ((uint64_t)(n) << 20)
#define GIB(n)	   ((uint64_t)(n) << 30)
#define SECONDS(n) ((uint64_t)(n) * 1000)
#define HOURS(n)   SECONDS((n) * 3600)
#define DAYS(n)	   HOURS((n) * 24)

#define CHOICES(name, ...) \
	static const struct schema_choice name[] = { __VA_ARGS__, { NULL, 0 } }

CHOICES(io_kinds, { "auto", IO_AUTO }, { "io_uring", IO_URING }, { "epoll", IO_EPOLL });
CHOICES(listen_protos, { "udp", LISTEN_UDP }, { "tcp", LISTEN_TCP }, { "tls", LISTEN_TLS },
	{ "msrp", LISTEN_MSRP }, { "msrps", LISTEN_MSRPS }, { "http", LISTEN_HTTP });
CHOICES(listen_roles, { "both", ROLE_BOTH }, { "originating", ROLE_ORIGINATING },
	{ "terminating", ROLE_TERMINATING });
CHOICES(serves, { "metrics", SERVE_METRICS }, { "admin", SERVE_ADMIN }, { "xcap", SERVE_XCAP });
CHOICES(client_auths, { "none", TLS_CLIENT_NONE }, { "optional", TLS_CLIENT_OPTIONAL },
	{ "required", TLS_CLIENT_REQUIRED });
CHOICES(core_modes, { "standalone", MODE_STANDALONE }, { "ims", MODE_IMS });
CHOICES(authenticates, { "none", AUTHENTICATE_NONE }, { "digest", AUTHENTICATE_DIGEST });
CHOICES(users_kinds, { "open", USERS_OPEN }, { "provisioned", USERS_PROVISIONED });
CHOICES(connect_tos, { "auto", CONNECT_TO_AUTO }, { "any", CONNECT_TO_ANY },
	{ "signalled", CONNECT_TO_SIGNALLED });
CHOICES(feature_tags, { "ims", FEATURE_TAG_IMS }, { "always", FEATURE_TAG_ALWAYS },
	{ "never", FEATURE_TAG_NEVER });
CHOICES(anonymous_invitees, { "release", ANONYMOUS_RELEASE }, { "ignore", ANONYMOUS_IGNORE });
CHOICES(offlines, { "defer", OFFLINE_DEFER }, { "reject", OFFLINE_REJECT });
CHOICES(adhoc_adders, { "participants", ADDERS_PARTICIPANTS }, { "originator", ADDERS_ORIGINATOR });
CHOICES(auto_bools, { "auto", PUSH_AUTO }, { "true", PUSH_TRUE }, { "false", PUSH_FALSE });
CHOICES(fallbacks, { "message", FALLBACK_MESSAGE }, { "none", FALLBACK_NONE });
CHOICES(store_engines, { "sqlite", STORE_SQLITE });
CHOICES(store_synchronouses, { "full", STORE_FULL }, { "normal", STORE_NORMAL });
CHOICES(log_levels, { "error", LOG_ERROR }, { "warn", LOG_WARN }, { "info", LOG_INFO },
	{ "debug", LOG_DEBUG });
CHOICES(log_formats, { "text", LOG_TEXT }, { "json", LOG_JSON });

#define SECTION(section, help) static const struct schema_key section##_keys[] = {
#define LIST(section, help)    SECTION(section, help)
#define KEY(section, name, type, field, fallback, min, max, flags, choices, help)            \
	{ #name, TYPE_##type, offsetof(struct section##_options, field),                     \
	  sizeof(((struct section##_options *)NULL)->field), fallback, min, max, flags,      \
	  choices, help },
#define END { .name = NULL } };
#include "config/schema.def"

const struct schema_section schema_sections[] = {
#define SECTION(section, help) { #section, help, section##_keys, offsetof(struct config, section), 0 },
#define LIST(section, help)                                                     \
	{ #section, help, section##_keys, offsetof(struct config, section),     \
	  sizeof(struct section##_options) },
#define KEY(...)
#define END
#include "config/schema.def"
	{ .name = NULL }
};

/* ---- did you mean ---- */

#define NAME_MAX_NEAR 40

/* Levenshtein's distance of two names, case ignored; a big number for long ones. */
static unsigned distance(struct slice a, struct slice b)
{
	unsigned row[NAME_MAX_NEAR + 1];

	if (a.n > NAME_MAX_NEAR || b.n > NAME_MAX_NEAR)
		return 1000;
	for (unsigned j = 0; j <= b.n; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned above = row[j];
			unsigned best = diagonal + (tolower((unsigned char)a.p[i - 1]) !=
						    tolower((unsigned char)b.p[j - 1]));

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[b.n];
}

/* A third of the letters may be wrong. */
static bool is_nearer(struct slice name, const char *candidate, unsigned *best)
{
	unsigned d = distance(name, slice_str(candidate));

	if (d >= *best || d * 3 > strlen(candidate) + 1)
		return false;
	*best = d;
	return true;
}

const char *schema_nearest_key(const struct schema_key *keys, struct slice name)
{
	const char *nearest = NULL;
	unsigned best = 1000;

	for (; keys->name; keys++)
		if (is_nearer(name, keys->name, &best))
			nearest = keys->name;
	return nearest;
}

const char *schema_nearest_section(struct slice name)
{
	const char *nearest = NULL;
	unsigned best = 1000;

	for (const struct schema_section *s = schema_sections; s->name; s++)
		if (is_nearer(name, s->name, &best))
			nearest = s->name;
	return nearest;
}
