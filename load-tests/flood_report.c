#include "load-tests/flood_report.h"

#include <stdio.h>

static const struct {
	const char *name, *text;
} error_info[] = {
#define X(NAME, name, text) { #name, text },
	FLOOD_ERRORS(X)
#undef X
};

static const struct {
	const char *name;
	double quantile;
} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 } };

#define QUANTILES_N (sizeof(quantiles) / sizeof(quantiles[0]))

void report_error(struct flood_report *r, enum flood_error error, const char *what)
{
	if (r->errors[error]++ == 0 && what)
		snprintf(r->error_example[error], sizeof(r->error_example[error]), "%s", what);
}

uint64_t report_errors(const struct flood_report *r)
{
	uint64_t n = 0;

	for (int i = 0; i < FLOOD_ERRORS_N; i++)
		n += r->errors[i];
	return n;
}

static double per_second(const struct flood_report *r, double n)
{
	return r->measured_s > 0 ? n / r->measured_s : 0;
}

static double us_per_message(const struct flood_report *r, double cpu_s)
{
	return r->arrived ? cpu_s * 1e6 / (double)r->arrived : 0;
}

static void text_latency(const char *name, const struct histogram *h)
{
	printf("%-14s", name);
	for (size_t i = 0; i < QUANTILES_N; i++)
		printf(" %s %.1f us ", quantiles[i].name,
		       (double)histogram_quantile(h, quantiles[i].quantile) / 1e3);
	printf(" max %.1f us  mean %.1f us\n", (double)h->max / 1e3, histogram_mean(h) / 1e3);
}

#define DEAF_TARGET 1.5 /* design.md 5 */

static double deaf_ratio(const struct flood_report *r)
{
	uint64_t without = histogram_quantile(&r->without_deaf, 0.99);

	return without ? (double)histogram_quantile(&r->with_deaf, 0.99) / (double)without : 0;
}

static void text_deaf(const struct flood_report *r, const struct flood_options *o)
{
	text_latency("without deaf", &r->without_deaf);
	text_latency("with deaf", &r->with_deaf);
	printf("deaf           %u of the sessions; p99 of the others %.2f times what it is without (target %.1f: %s), "
	       "%.0f MB reached them\n",
	       o->deaf, deaf_ratio(r), DEAF_TARGET, deaf_ratio(r) <= DEAF_TARGET ? "met" : "missed",
	       (double)r->deaf_octets / 1e6);
}

static void text_errors(const struct flood_report *r)
{
	for (int i = 0; i < FLOOD_ERRORS_N; i++) {
		const char *example = r->error_example[i];
		if (r->errors[i])
			printf("ERROR          %llu %s%s%s%s\n", (unsigned long long)r->errors[i],
			       error_info[i].text, example[0] ? " (first: " : "", example,
			       example[0] ? ")" : "");
	}
	if (!report_errors(r))
		printf("lost           nothing\n");
}

static void churn_text(const struct flood_report *r, const struct flood_options *o)
{
	printf("pairs          %u, each with one session at a time\n", o->sessions);
	printf("achieved       %.0f sessions/s set up, used for one message and released\n",
	       per_second(r, (double)r->arrived));
	text_latency("INVITE to bound", &r->arrival);
	if (r->has_server)
		printf("server         %.1f us CPU per session, %.0f %% of a CPU, %llu KiB\n",
		       us_per_message(r, r->server_cpu_s), per_second(r, r->server_cpu_s) * 100,
		       (unsigned long long)r->server_memory_kib);
	printf("imflood        %.1f us CPU per session, %.0f %% of a CPU\n",
	       us_per_message(r, r->own_cpu_s), per_second(r, r->own_cpu_s) * 100);
	text_errors(r);
}

void report_text(const struct flood_report *r, const struct flood_options *o)
{
	if (o->is_churn) {
		churn_text(r, o);
		return;
	}
	printf("sessions       %u of %u up in %.2f s\n", r->sessions_up, o->sessions, r->setup_s);
	if (o->rate > 0)
		printf("offered        %.0f msg/s of %u octets, open loop\n",
		       per_second(r, (double)r->due), o->size);
	else
		printf("offered        %u outstanding per session, messages of %u octets, closed "
		       "loop\n",
		       o->outstanding, o->size);
	printf("achieved       %.0f msg/s, %.1f MB/s\n", per_second(r, (double)r->arrived),
	       per_second(r, (double)r->arrived * o->size) / 1e6);
	text_latency("arrival at B", &r->arrival);
	text_latency("200 at A", &r->confirmation);
	if (r->has_server)
		printf("server         %.2f us CPU per message, %.0f %% of a CPU, %llu KiB, %.0f "
		       "octets per session\n",
		       us_per_message(r, r->server_cpu_s), per_second(r, r->server_cpu_s) * 100,
		       (unsigned long long)r->server_memory_kib, r->memory_per_session);
	if (o->deaf)
		text_deaf(r, o);
	if (r->has_server && o->idle_s > 0)
		printf("idle           %.0f octets of the server per session\n", r->idle_memory_per_session);
	printf("imflood        %.2f us CPU per message, %.0f %% of a CPU\n",
	       us_per_message(r, r->own_cpu_s), per_second(r, r->own_cpu_s) * 100);
	text_errors(r);
}

static void json_latency(const char *name, const struct histogram *h)
{
	printf(",\"%s\":{", name);
	for (size_t i = 0; i < QUANTILES_N; i++)
		printf("\"%s\":%.1f,", quantiles[i].name,
		       (double)histogram_quantile(h, quantiles[i].quantile) / 1e3);
	printf("\"max\":%.1f,\"mean\":%.1f,\"count\":%llu}", (double)h->max / 1e3,
	       histogram_mean(h) / 1e3, (unsigned long long)h->count);
}

/* The names are ours, so nothing needs escaping; examples are left to the text report. */
void report_json(const struct flood_report *r, const struct flood_options *o)
{
	printf("{\"workload\":\"%s\",\"sessions\":%u,\"sessions_up\":%u,\"setup_s\":%.3f",
	       o->is_churn ? "churn" : "session", o->sessions, r->sessions_up, r->setup_s);
	printf(",\"outstanding\":%u,\"size\":%u,\"chunk\":%u,\"open_loop\":%s", o->outstanding,
	       o->size, o->chunk, o->rate > 0 ? "true" : "false");
	printf(",\"measured_s\":%.3f,\"offered_per_s\":%.1f,\"achieved_per_s\":%.1f,\"confirmed_"
	       "per_s\":%.1f,\"octets_per_s\":%.0f",
	       r->measured_s, per_second(r, (double)r->due), per_second(r, (double)r->arrived),
	       per_second(r, (double)r->confirmed), per_second(r, (double)r->arrived * o->size));
	json_latency("arrival_us", &r->arrival);
	json_latency("confirmation_us", &r->confirmation);
	if (o->deaf) {
		json_latency("without_deaf_us", &r->without_deaf);
		json_latency("with_deaf_us", &r->with_deaf);
		printf(",\"deaf\":%u,\"deaf_ratio\":%.3f,\"deaf_octets\":%llu", o->deaf, deaf_ratio(r),
		       (unsigned long long)r->deaf_octets);
	}
	if (r->has_server)
		printf(",\"server\":{\"cpu_us_per_message\":%.3f,\"cpu_share\":%.3f,\"memory_kib\":"
		       "%llu,\"octets_per_session\":%.0f,\"idle_octets_per_session\":%.0f}",
		       us_per_message(r, r->server_cpu_s), per_second(r, r->server_cpu_s),
		       (unsigned long long)r->server_memory_kib, r->memory_per_session, r->idle_memory_per_session);
	printf(",\"imflood\":{\"cpu_us_per_message\":%.3f,\"cpu_share\":%.3f}",
	       us_per_message(r, r->own_cpu_s), per_second(r, r->own_cpu_s));
	printf(",\"errors\":{");
	for (int i = 0; i < FLOOD_ERRORS_N; i++)
		printf("%s\"%s\":%llu", i ? "," : "", error_info[i].name,
		       (unsigned long long)r->errors[i]);
	printf("},\"failed\":%llu}\n", (unsigned long long)report_errors(r));
}
