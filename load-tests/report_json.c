/* The JSON of a run.  Names are ours and need no escaping; texts of the command line are escaped. */
#include <time.h>

#include "load-tests/address.h"
#include "load-tests/flood_report.h"

static void json_text(FILE *f, const char *text)
{
	fputc('"', f);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(f, "\\%c", *p);
		else if (*p < 0x20)
			fprintf(f, "\\u%04x", *p);
		else
			fputc(*p, f);
	}
	fputc('"', f);
}

static void json_latency(FILE *f, const char *name, const struct histogram *h)
{
	fprintf(f, ",\"%s\":{", name);
	for (size_t i = 0; i < QUANTILES_N; i++)
		fprintf(f, "\"%s\":%.1f,", quantile_info[i].name,
			(double)histogram_quantile(h, quantile_info[i].quantile) / 1e3);
	fprintf(f, "\"max\":%.1f,\"mean\":%.1f,\"count\":%llu}", (double)h->max / 1e3, histogram_mean(h) / 1e3,
		(unsigned long long)h->count);
}

/* Of one load, or of all. */
static void json_figures(FILE *f, const struct flood_report *r, const struct load_figures *figures)
{
	fprintf(f, "\"offered_per_s\":%.1f,\"achieved_per_s\":%.1f,\"confirmed_per_s\":%.1f",
		report_per_second(r, (double)figures->due), report_per_second(r, (double)figures->arrived),
		report_per_second(r, (double)figures->confirmed));
	json_latency(f, "arrival_us", &figures->arrival);
	json_latency(f, "confirmation_us", &figures->confirmation);
}

static void json_loads(FILE *f, const struct flood_report *r, const struct flood_options *o)
{
	const char *between = "";

	fprintf(f, ",\"loads\":{");
	for (int i = 0; i < FLOOD_LOADS_N; i++) {
		if (o->rates[i] <= 0 && !r->loads[i].arrived)
			continue;
		fprintf(f, "%s\"%s\":{", between, load_info[i].name);
		json_figures(f, r, &r->loads[i]);
		fprintf(f, "}");
		between = ",";
	}
	fprintf(f, "}");
}

static void json_refusals(FILE *f, const struct flood_report *r)
{
	fprintf(f, ",\"refused\":[");
	for (unsigned i = 0; i < r->refusals_n; i++)
		fprintf(f, "%s{\"method\":\"%s\",\"status\":%u,\"count\":%llu,\"with_retry_after\":%llu,\"retry_after_max_s\":%u}",
			i ? "," : "", r->refusals[i].method, r->refusals[i].status, (unsigned long long)r->refusals[i].n,
			(unsigned long long)r->refusals[i].with_retry_after, r->refusals[i].retry_after_max_s);
	fprintf(f, "]");
}

static void json_errors(FILE *f, const struct flood_report *r)
{
	fprintf(f, ",\"errors\":{");
	for (int i = 0; i < FLOOD_ERRORS_N; i++)
		fprintf(f, "%s\"%s\":%llu", i ? "," : "", flood_error_names[i], (unsigned long long)r->errors[i]);
	fprintf(f, "},\"failed\":%llu", (unsigned long long)report_errors(r));
}

void report_json(FILE *f, const struct flood_report *r, const struct flood_options *o)
{
	struct load_figures total;

	report_total(r, &total);
	fprintf(f, "{\"workload\":\"%s\",\"sessions\":%u,\"sessions_up\":%u,\"setup_s\":%.3f", workload_name(o->workload),
		o->workload == WORKLOAD_SESSION || o->workload == WORKLOAD_MIXED || o->rooms ? o->sessions : o->pairs, r->sessions_up,
		r->setup_s);
	if (o->rooms)
		fprintf(f, ",\"rooms\":%u,\"members\":%u,\"senders\":%u", o->rooms, o->members, o->senders);
	fprintf(f, ",\"outstanding\":%u,\"size\":%u,\"chunk\":%u,\"open_loop\":%s,\"measured_s\":%.3f,\"octets_per_s\":%.0f,",
		o->outstanding, o->size, o->chunk, o->is_closed ? "false" : "true", r->measured_s,
		report_per_second(r, (double)(r->loads[LOAD_MESSAGE].arrived + r->loads[LOAD_COPY].arrived + r->loads[LOAD_PAGER].arrived) * o->size));
	json_figures(f, r, &total);
	json_loads(f, r, o);
	if (o->deaf) {
		json_latency(f, "without_deaf_us", &r->without_deaf);
		json_latency(f, "with_deaf_us", &r->with_deaf);
		fprintf(f, ",\"deaf\":%u,\"deaf_ratio\":%.3f,\"deaf_octets\":%llu", o->deaf, report_deaf_ratio(r),
			(unsigned long long)r->deaf_octets);
	}
	if (o->workload == WORKLOAD_DEFERRED)
		fprintf(f, ",\"storm\":{\"stored\":%llu,\"delivered\":%llu,\"seconds\":%.3f,\"cpu_us_per_message\":%.3f}",
			(unsigned long long)r->stored, (unsigned long long)r->delivered, r->storm_s,
			cpu_us_each(r->storm_cpu_s, r->delivered));
	if (r->has_server)
		fprintf(f,
			",\"server\":{\"ended\":%s,\"cpu_us_per_message\":%.3f,\"cpu_share\":%.3f,\"memory_kib\":%llu,"
			"\"octets_per_session\":%.0f,\"idle_octets_per_session\":%.0f}",
			r->server_ended ? "true" : "false", cpu_us_each(r->server_cpu_s, total.arrived), report_per_second(r, r->server_cpu_s),
			(unsigned long long)r->server_memory_kib, r->memory_per_session, r->idle_memory_per_session);
	fprintf(f, ",\"imflood\":{\"cpu_us_per_message\":%.3f,\"cpu_share\":%.3f,\"wait_share\":%.3f,\"late_p99_us\":%.1f,"
		"\"late_max_us\":%.1f,\"dropped\":%llu,\"bottleneck\":%s}",
		cpu_us_each(r->own_cpu_s, total.arrived), report_per_second(r, r->own_cpu_s),
		report_per_second(r, r->own_wait_s), (double)histogram_quantile(&r->lateness, 0.99) / 1e3,
		(double)r->lateness.max / 1e3, (unsigned long long)r->own_drops, report_is_own_limit(r, o) ? "true" : "false");
	fprintf(f, ",\"repeated\":{\"sent\":%llu,\"received\":%llu}", (unsigned long long)r->repeated,
		(unsigned long long)r->repeated_in);
	fprintf(f, ",\"registrations_left\":%u", r->registrations_left);
	json_refusals(f, r);
	json_errors(f, r);
	fprintf(f, "}");
}

void report_record_head(FILE *f, const struct flood_options *o)
{
	static const char *const modes[] = { "standalone", "ims", "relay", "forwarder" };
	char text[32];
	time_t now = time(NULL);
	struct tm utc;

	gmtime_r(&now, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	fprintf(f, "{\"imflood\":1,\"started\":\"%s\",\"workload\":\"%s\",\"mode\":\"%s\",\"target\":", text,
		workload_name(o->workload), modes[o->mode]);
	json_text(f, o->target_text);
	fprintf(f, ",\"label\":");
	json_text(f, o->label ? o->label : "");
	fprintf(f, ",\"sessions\":%u,\"pairs\":%u,\"outstanding\":%u,\"size\":%u,\"rate\":%.1f,\"open_loop\":%s}\n",
		o->sessions, o->pairs, o->outstanding, o->size, o->rate, o->is_closed ? "false" : "true");
}
