#include "config/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/address.h"
#include "config/tls_files.h"

struct check {
	struct config *config;
	const struct node *root;
	struct config_errors *errors;
	bool is_insecure;
};

#define FAIL(c, section, key, ...) \
	config_error((c)->errors, node_place((c)->root, section, key), section "." key, __VA_ARGS__)
#define WARN(c, section, key, ...) \
	config_warning((c)->errors, node_place((c)->root, section, key), section "." key, __VA_ARGS__)

/* A key with an error of its own is zero, which must not be taken for what the operator meant. */
static bool is_reported(const struct config_errors *errors, const char *key)
{
	for (unsigned i = 0; i < errors->count; i++)
		if (!errors->list[i].is_warning && strcmp(errors->list[i].key, key) == 0)
			return true;
	return false;
}

/* The default is the lowest layer, so its document is the root. */
static bool is_default(const struct check *c, const char *section, const char *key)
{
	return node_place(c->root, section, key).source == c->root->place.source;
}

/* ---- listen ---- */

static bool is_sip(enum listen_proto proto)
{
	return proto == LISTEN_UDP || proto == LISTEN_TCP || proto == LISTEN_TLS;
}

static bool is_msrp(enum listen_proto proto)
{
	return proto == LISTEN_MSRP || proto == LISTEN_MSRPS;
}

static bool is_secured(enum listen_proto proto)
{
	return proto == LISTEN_TLS || proto == LISTEN_MSRPS;
}

/* One entry of listen: its place and name for errors. */
struct entry {
	const struct listen_options *options;
	const struct node *node;
	char path[32];
};

static struct config_place entry_place(const struct entry *e, const char *key)
{
	const struct node *n = node_entry(e->node, slice_str(key));

	return n ? n->place : e->node->place;
}

__attribute__((format(printf, 4, 5))) static void entry_fail(struct check *c, const struct entry *e,
	const char *key, const char *format, ...)
{
	char path[64], text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s.%s", e->path, key);
	config_error(c->errors, entry_place(e, key), path, "%s", text);
}

static bool is_given(const struct entry *e, const char *key)
{
	return node_entry(e->node, slice_str(key)) != NULL;
}

/* A default may stand anywhere: --print-config writes every key of every entry. */
static void check_misplaced(struct check *c, const struct entry *e)
{
	const struct listen_options *o = e->options;
	enum listen_proto proto = o->proto;

	if (o->role != ROLE_BOTH && !is_sip(proto))
		entry_fail(c, e, "role", "only for udp, tcp and tls");
	else if (o->role != ROLE_BOTH && c->config->core.mode == MODE_STANDALONE &&
		 !is_reported(c->errors, "core.mode"))
		entry_fail(c, e, "role", "only with core.mode: ims");
	if (o->tls && !is_secured(proto))
		entry_fail(c, e, "tls", "only for tls and msrps");
	if (o->per_worker_ports && !is_msrp(proto))
		entry_fail(c, e, "per_worker_ports", "only for msrp and msrps");
	if (o->serve != (SERVE_METRICS | SERVE_ADMIN | SERVE_XCAP) && is_given(e, "serve") &&
	    proto != LISTEN_HTTP)
		entry_fail(c, e, "serve", "only for http");
	if (o->advertise && proto == LISTEN_HTTP)
		entry_fail(c, e, "advertise", "not for http");
}

static void check_tls_name(struct check *c, const struct entry *e)
{
	const struct tls_list *tls = &c->config->tls;
	const char *name = e->options->tls;

	if (!is_secured(e->options->proto))
		return;
	if (!name) {
		if (!is_given(e, "tls"))
			entry_fail(c, e, "tls", "missing: expected the name of an entry of tls");
		return;
	}
	for (unsigned i = 0; i < tls->count; i++)
		if (tls->list[i].name && strcmp(tls->list[i].name, name) == 0)
			return;
	entry_fail(c, e, "tls", "\"%.80s\": expected the name of an entry of tls", name);
}

static unsigned port_of(const struct sockaddr_storage *bind)
{
	return ntohs(bind->ss_family == AF_INET ? ((const struct sockaddr_in *)bind)->sin_port
						: ((const struct sockaddr_in6 *)bind)->sin6_port);
}

/* udp has a port space of its own; everything else shares that of TCP. */
static void check_twice(struct check *c, const struct entry *e, unsigned index)
{
	for (unsigned i = 0; i < index; i++) {
		const struct listen_options *other = &c->config->listen.list[i];

		if ((other->proto == LISTEN_UDP) != (e->options->proto == LISTEN_UDP) ||
		    port_of(&e->options->bind) == 0 ||
		    memcmp(&other->bind, &e->options->bind, sizeof(other->bind)) != 0)
			continue;
		entry_fail(c, e, "address", "\"%s\" is taken by listen[%u]", e->options->address, i);
		return;
	}
}

/* Anybody who reaches the port could speak for any user (design.md 9). */
static void check_exposed(struct check *c, const struct entry *e)
{
	const struct core_options *core = &c->config->core;

	if (core->mode != MODE_STANDALONE || core->authenticate != AUTHENTICATE_NONE ||
	    c->is_insecure || address_is_loopback((const struct sockaddr *)&e->options->bind) ||
	    is_reported(c->errors, "core.mode") || is_reported(c->errors, "core.authenticate"))
		return;
	entry_fail(c, e, "address",
		   "\"%s\" is not loopback and core.authenticate is none: anybody could speak for "
		   "any user (--insecure permits it)",
		   e->options->address);
}

static void check_entry(struct check *c, const struct node *node, unsigned index)
{
	struct listen_options *options = &c->config->listen.list[index];
	struct entry e = { options, node, "" };

	snprintf(e.path, sizeof(e.path), "listen[%u]", index);
	if (!node_entry(node, SLICE("proto")))
		return; /* reported as missing; its zero is not a proto to judge by */
	check_misplaced(c, &e);
	check_tls_name(c, &e);
	if (!options->address)
		return;
	if (!address_parse(slice_str(options->address), &options->bind))
		return; /* reported: the row has refused it */
	check_twice(c, &e, index);
	check_exposed(c, &e);
}

static void check_listen(struct check *c)
{
	const struct node *list = node_entry(c->root, SLICE("listen"));
	const struct node *n = list ? list->first : NULL;
	bool has_sip = false, has_msrp = false;

	for (unsigned i = 0; i < c->config->listen.count && n; i++, n = n->next) {
		check_entry(c, n, i);
		has_sip = has_sip || is_sip(c->config->listen.list[i].proto);
		has_msrp = has_msrp || is_msrp(c->config->listen.list[i].proto);
	}
	if (!list || list->kind != NODE_LIST)
		return;
	if (!has_sip)
		config_error(c->errors, list->place, "listen", "no SIP listener: expected udp, tcp or tls");
	if (!has_msrp)
		config_warning(c->errors, list->place, "listen",
			       "no MSRP listener: sessions need one");
}

static struct config_place tls_place(const struct check *c, unsigned index, const char *key)
{
	const struct node *list = node_entry(c->root, SLICE("tls"));
	const struct node *n = list ? list->first : NULL;

	while (n && index--)
		n = n->next;
	const struct node *value = n ? node_entry(n, slice_str(key)) : NULL;
	return value ? value->place : n ? n->place : c->root->place;
}

static void on_tls_complaint(void *arg, unsigned entry, const char *key, const char *text)
{
	struct check *c = arg;
	char path[32];

	snprintf(path, sizeof(path), "tls[%u].%s", entry, key);
	config_error(c->errors, tls_place(c, entry, key), path, "%s", text);
}

/* Read once to say now what would fail at the start. */
static void check_tls_files(struct check *c)
{
	struct tls_set *set = NULL;

	if (config_tls_open(&set, c->config, on_tls_complaint, c) == ENOMEM)
		c->errors->out_of_memory = true;
	tls_set_drop(set);
}

static void check_tls(struct check *c)
{
	const struct tls_list *tls = &c->config->tls;
	const struct node *list = node_entry(c->root, SLICE("tls"));
	const struct node *n = list ? list->first : NULL;
	char path[32];

	for (unsigned i = 0; i < tls->count && n; i++, n = n->next) {
		const char *min = tls->list[i].min;

		if (min && strcmp(min, "1.2") != 0 && strcmp(min, "1.3") != 0) {
			snprintf(path, sizeof(path), "tls[%u].min", i);
			config_error(c->errors, n->place, path, "\"%s\": expected 1.2 or 1.3", min);
		}
		if (tls->list[i].client_auth != TLS_CLIENT_NONE && !tls->list[i].ca) {
			snprintf(path, sizeof(path), "tls[%u].client_auth", i);
			config_error(c->errors, n->place, path, "expected none, or a ca to verify clients by");
		}
		for (unsigned j = 0; j < i; j++) {
			if (!tls->list[i].name || !tls->list[j].name ||
			    strcmp(tls->list[i].name, tls->list[j].name) != 0)
				continue;
			snprintf(path, sizeof(path), "tls[%u].name", i);
			config_error(c->errors, n->place, path, "\"%s\" is the name of tls[%u] too",
				     tls->list[i].name, j);
			break;
		}
	}
}

/* ---- core ---- */

/* 0.0.0.0/1 and 128.0.0.0/1 together trust everybody as surely as 0.0.0.0/0 does, but nobody
 * writes that by mistake. */
static void check_trusted(struct check *c)
{
	const struct network_list *trusted = &c->config->core.trusted;
	const struct node *core = node_entry(c->root, SLICE("core"));
	const struct node *node = node_entry(core, SLICE("trusted"));

	for (unsigned i = 0; i < trusted->count; i++)
		if (trusted->list[i].bits == 0)
			FAIL(c, "core", "trusted",
			     "\"%s\" covers all addresses: expected the networks of the core",
			     trusted->list[i].text);
	if (trusted->count == 0 && node && node->kind == NODE_LIST && !node->first)
		WARN(c, "core", "trusted", "empty: no peer's identity counts, every request gets 403");
}

static bool has_ca(const struct check *c)
{
	for (unsigned i = 0; i < c->config->tls.count; i++)
		if (c->config->tls.list[i].ca)
			return true;
	return false;
}

static void check_hop(struct check *c)
{
	struct core_options *core = &c->config->core;
	struct slice host;

	if (!core->next_hop)
		return;
	if (!core->next_hop[0]) {
		if (core->mode == MODE_IMS && is_default(c, "core", "next_hop"))
			FAIL(c, "core", "mode", "ims needs core.next_hop: sip:HOST[:PORT][;transport=udp|tcp|tls]");
		else if (core->mode == MODE_IMS)
			FAIL(c, "core", "next_hop", "empty: ims mode needs sip:HOST[:PORT]"
						    "[;transport=udp|tcp|tls]");
		return;
	}
	if (!next_hop_parse(slice_str(core->next_hop), &core->hop, &host))
		return; /* reported: the row has refused it */
	core->hop.host = strndup(host.p, host.n);
	if (!core->hop.host)
		c->errors->out_of_memory = true;
	if (core->hop.transport == NEXT_HOP_TLS && !has_ca(c))
		FAIL(c, "core", "next_hop", "transport=tls: expected an entry of tls with ca, to verify it by");
	if (core->mode == MODE_STANDALONE)
		WARN(c, "core", "next_hop", "not used with core.mode: standalone");
}

static void check_core(struct check *c)
{
	const struct core_options *core = &c->config->core;

	if (core->mode == MODE_IMS && core->authenticate == AUTHENTICATE_DIGEST)
		WARN(c, "core", "authenticate", "digest is not used with core.mode: ims: the core authenticates");
	if (core->mode == MODE_IMS && core->users == USERS_PROVISIONED)
		WARN(c, "core", "users", "provisioned is not used with core.mode: ims: the core says who is served");
	if (core->mode == MODE_IMS)
		check_trusted(c);
	check_hop(c);
}

/* ---- one key against another ---- */

/* `low` is not what it has to be (`below`: "less than", "at most") to `high`; of the two the one is blamed that
 * the operator wrote: where the other stands he cannot look. */
static void fail_order(struct check *c, const char *section, const char *low, const char *below, const char *high)
{
	const char *above = strcmp(below, "less than") == 0 ? "more than" : "at least";
	const struct node *value = node_entry(node_entry(c->root, slice_str(section)), slice_str(low));
	bool is_low = !is_default(c, section, low) || is_default(c, section, high);
	char path[64];

	snprintf(path, sizeof(path), "%s.%s", section, is_low ? low : high);
	if (is_low)
		config_error(c->errors, node_place(c->root, section, low), path, "expected %s %s.%s", below, section, high);
	else
		config_error(c->errors, node_place(c->root, section, high), path, "expected %s %s.%s, by default %s",
			above, section, low, value && value->text ? value->text : "");
}

static void check_order(struct check *c)
{
	const struct config *o = c->config;

	if (o->limits.leg_high && o->limits.leg_low >= o->limits.leg_high)
		fail_order(c, "limits", "leg_low", "less than", "leg_high");
	if (o->timers.session_expires_ms && o->timers.min_se_ms > o->timers.session_expires_ms)
		fail_order(c, "timers", "min_se", "at most", "session_expires");
	if (o->settings.expires_ms && o->settings.min_expires_ms > o->settings.expires_ms)
		fail_order(c, "settings", "min_expires", "at most", "expires");
	if (o->deferred.expires_max_ms && o->deferred.expires_default_ms > o->deferred.expires_max_ms)
		fail_order(c, "deferred", "expires_default", "at most", "expires_max");
	if (o->timers.min_se_ms && o->timers.min_se_ms < 90000)
		WARN(c, "timers", "min_se", "RFC 4028 asks for at least 90s");
}

static void check_log(struct check *c)
{
	const char *hep = c->config->log.hep;
	struct hep_collector collector;

	if (hep && *hep && !collector_parse(slice_str(hep), &collector))
		FAIL(c, "log", "hep", "expected [udp:]HOST:PORT[;id=NUMBER]");
}

static void resolve_auto(struct config *config)
{
	struct policy_options *policy = &config->policy;

	policy->unavailable_session_code_auto = policy->unavailable_session_code == 0;
	if (policy->unavailable_session_code_auto)
		policy->unavailable_session_code = config->core.mode == MODE_IMS ? 403 : 480;
}

void config_check(struct config *config, const struct node *root, bool insecure,
		  struct config_errors *errors)
{
	struct check c = { config, root, errors, insecure };

	check_listen(&c);
	check_tls(&c);
	check_tls_files(&c);
	check_core(&c);
	check_order(&c);
	check_log(&c);
	resolve_auto(config);
}
