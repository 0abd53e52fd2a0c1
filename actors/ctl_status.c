/* imservctl: status, drain, reload. */
#include "actors/ctl.h"

#define NEARLY_FULL 80 /* percent of a limit from which on it is worth a line */

static void tell_config(json_t *answer)
{
	json_t *file = json_object_get(answer, "config");

	if (file)
		ctl_print_field("configuration", json_is_null(file) ? "the embedded default" : ctl_text(answer, "config"));
}

static void tell_octets(json_t *answer, const char *key, const char *name)
{
	char text[32];
	struct buffer out = buffer_over(text, sizeof(text));

	if (!json_is_number(json_object_get(answer, key)))
		return;
	ctl_put_octets(&out, ctl_number(answer, key));
	buffer_char(&out, 0);
	ctl_print_field(name, text);
}

static void tell_count(json_t *answer, const char *key, const char *name)
{
	char text[32];

	if (!json_is_number(json_object_get(answer, key)))
		return; /* another version's */
	snprintf(text, sizeof(text), "%lld", ctl_number(answer, key));
	ctl_print_field(name, text);
}

static void tell_uptime(json_t *answer)
{
	char text[64];
	struct buffer out = buffer_over(text, sizeof(text));

	ctl_put_duration(&out, json_number_value(json_object_get(answer, "uptime_s")));
	buffer_char(&out, 0);
	ctl_print_field("uptime", text);
}

static double most_of(json_t *shares)
{
	json_t *share;
	double most = 0;
	size_t i;

	json_array_foreach(shares, i, share)
		most = json_number_value(share) > most ? json_number_value(share) : most;
	return most;
}

/* How busy they are, of many only the busiest; overload when there is any. */
static void tell_workers(json_t *answer)
{
	json_t *busy = json_object_get(answer, "busy");
	double shed = most_of(json_object_get(answer, "shed"));
	char text[96];

	snprintf(text, sizeof(text), busy ? "%lld, %.30s, the busiest %.0f %% busy" : "%lld, %.30s",
		ctl_number(answer, "workers"), ctl_text(answer, "io"), most_of(busy) * 100);
	ctl_print_field("workers", text);
	if (shed <= 0)
		return;
	snprintf(text, sizeof(text), "a worker refuses %.0f %% of its new work", shed * 100);
	ctl_print_field("overload", text);
}

/* All of them; the reasons one by one, the most frequent first, are the server's order. */
static void tell_refusals(json_t *answer)
{
	json_t *reasons = json_object_get(answer, "refused"), *count;
	const char *label;

	tell_count(answer, "refusals", "refusals");
	json_object_foreach(reasons, label, count) {
		char text[96];
		snprintf(text, sizeof(text), "%9lld %.64s", (long long)json_integer_value(count), label);
		ctl_print_field("", text);
	}
}

static void tell_limits(json_t *answer)
{
	json_t *limit;
	bool is_first = true;
	size_t i;

	json_array_foreach(json_object_get(answer, "limits"), i, limit) {
		long long used = ctl_number(limit, "used"), most = ctl_number(limit, "limit");
		char text[160];
		if (most <= 0 || (double)used * 100 < (double)most * NEARLY_FULL)
			continue;
		snprintf(text, sizeof(text), "%.60s: %lld of %lld (%.0f %%)", ctl_text(limit, "name"), used, most,
			(double)used * 100 / (double)most);
		ctl_print_field(is_first ? "nearly full" : "", text);
		is_first = false;
	}
}

static void tell_reload(json_t *answer)
{
	json_t *reload = json_object_get(answer, "last_reload"), *key;
	char text[64];
	size_t i;

	if (!json_is_object(reload))
		return;
	bool is_good = json_is_true(json_object_get(reload, "reloaded"));
	snprintf(text, sizeof(text), "%.30s, %s", ctl_text(reload, "time"), is_good ? "done" : "refused:");
	ctl_print_field("last reload", text);
	if (!is_good)
		ctl_print_field("", ctl_text(reload, "reason"));
	json_array_foreach(json_object_get(reload, "restart_required"), i, key)
		ctl_print_field(i ? "" : "after a restart", json_is_string(key) ? json_string_value(key) : "");
}

static void tell_status(json_t *answer)
{
	ctl_print_field("version", ctl_text(answer, "version"));
	ctl_print_field("state", json_is_true(json_object_get(answer, "draining")) ? "draining" :
		json_is_true(json_object_get(answer, "ready")) ? "ready" : "starting");
	ctl_print_field("mode", ctl_text(answer, "mode"));
	ctl_print_field("domain", ctl_text(answer, "domain"));
	tell_config(answer);
	tell_reload(answer);
	tell_uptime(answer);
	tell_workers(answer);
	tell_octets(answer, "memory_bytes", "memory");
	tell_count(answer, "sessions", "sessions");
	tell_count(answer, "conferences", "conferences");
	tell_count(answer, "registrations", "registrations");
	tell_count(answer, "connections", "connections");
	tell_count(answer, "msrp_legs", "MSRP legs");
	tell_octets(answer, "msrp_queued_bytes", "MSRP queued");
	tell_count(answer, "sip_transactions", "SIP transactions");
	tell_count(answer, "pager_messages", "pager messages");
	tell_limits(answer);
	tell_refusals(answer);
}

int ctl_status(struct ctl *ctl)
{
	return ctl_do(ctl, &(struct ctl_request){ .method = "GET", .path = "status" }, tell_status);
}

static void tell_drain(json_t *answer)
{
	json_t *left = json_object_get(answer, "sessions");

	puts("draining: no new work is taken\nthe server ends with its last session, or after runtime.drain");
	if (left)
		printf("sessions left: %lld\n", (long long)json_integer_value(left));
}

int ctl_drain(struct ctl *ctl)
{
	return ctl_do(ctl, &(struct ctl_request){ .method = "POST", .path = "drain" }, tell_drain);
}

static void tell_reloaded(json_t *answer)
{
	json_t *keys = json_object_get(answer, "restart_required"), *item;
	const char *result = ctl_text(answer, "result");
	size_t i;

	fputs(result[0] ? "reloaded: " : "reloaded", stdout);
	ctl_print_clean(stdout, result);
	putchar('\n');
	json_array_foreach(json_object_get(answer, "warnings"), i, item)
		ctl_print_field(i ? "" : "warning", json_is_string(item) ? json_string_value(item) : "");
	if (json_array_size(keys))
		puts("changed in the configuration, but in force only after a restart:");
	json_array_foreach(keys, i, item)
		ctl_print_field("", json_is_string(item) ? json_string_value(item) : "");
}

int ctl_reload(struct ctl *ctl)
{
	return ctl_do(ctl, &(struct ctl_request){ .method = "POST", .path = "reload" }, tell_reloaded);
}
