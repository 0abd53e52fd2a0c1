#include "load-tests/flood_report.h"

#include <stdio.h>
#include <string.h>

#include "load-tests/address.h"

const struct load_info load_info[FLOOD_LOADS_N] = {
#define X(NAME, name, text, unit, done, confirmed) { #name, text, unit, done, confirmed },
	FLOOD_LOADS(X)
#undef X
};

const char *const flood_error_names[FLOOD_ERRORS_N] = {
#define X(NAME, name, text) #name,
	FLOOD_ERRORS(X)
#undef X
};

static const char *const error_texts[] = {
#define X(NAME, name, text) text,
	FLOOD_ERRORS(X)
#undef X
};

const struct quantile_info quantile_info[QUANTILES_N] = {
	{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 }
};

/* ---- what went wrong ---- */

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

static struct refusal *refusal_of(struct flood_report *r, const char *method, unsigned status)
{
	unsigned i = 0;

	while (i < r->refusals_n && (r->refusals[i].status != status || strcmp(r->refusals[i].method, method) != 0))
		i++;
	if (i < r->refusals_n)
		return &r->refusals[i];
	if (i == REFUSALS_MAX)
		return &r->refusals[REFUSALS_MAX - 1];
	r->refusals_n++;
	snprintf(r->refusals[i].method, sizeof(r->refusals[i].method), "%s", method);
	r->refusals[i].status = status;
	return &r->refusals[i];
}

void report_refusal(struct flood_report *r, const char *method, unsigned status, long retry_after_s)
{
	struct refusal *refusal = refusal_of(r, method, status);
	char text[48];

	refusal->n++;
	if (retry_after_s >= 0) {
		refusal->with_retry_after++;
		if ((uint32_t)retry_after_s > refusal->retry_after_max_s)
			refusal->retry_after_max_s = (uint32_t)retry_after_s;
	}
	snprintf(text, sizeof(text), "%s: %u", method, status);
	report_error(r, FLOOD_SIP_STATUS, text);
}

uint64_t report_refused(const struct flood_report *r)
{
	return r->errors[FLOOD_SIP_STATUS];
}

/* ---- figures of figures ---- */

#define OWN_CPU_LIMIT  0.95    /* of a CPU: used, or waited for */
#define OWN_LATE_LIMIT 5000000 /* ns */

bool report_is_own_limit(const struct flood_report *r, const struct flood_options *o)
{
	double share = report_per_second(r, r->own_cpu_s + r->own_wait_s);

	return share > OWN_CPU_LIMIT || (!o->is_closed && histogram_quantile(&r->lateness, 0.99) > OWN_LATE_LIMIT);
}

void report_total(const struct flood_report *r, struct load_figures *total)
{
	memset(total, 0, sizeof(*total));
	for (int i = 0; i < FLOOD_LOADS_N; i++) {
		const struct load_figures *f = &r->loads[i];
		if (i == LOAD_PUSH) /* later than the measured time */
			continue;
		histogram_add(&total->arrival, &f->arrival);
		histogram_add(&total->confirmation, &f->confirmation);
		total->due += f->due;
		total->arrived += f->arrived;
		total->confirmed += f->confirmed;
	}
}

double report_deaf_ratio(const struct flood_report *r)
{
	uint64_t without = histogram_quantile(&r->without_deaf, 0.99);

	return without ? (double)histogram_quantile(&r->with_deaf, 0.99) / (double)without : 0;
}

/* ---- as text ---- */

static void text_latency(const char *name, const struct histogram *h)
{
	printf("%-15s", name);
	for (size_t i = 0; i < QUANTILES_N; i++)
		printf(" %s %.1f us ", quantile_info[i].name,
		       (double)histogram_quantile(h, quantile_info[i].quantile) / 1e3);
	printf(" max %.1f us  mean %.1f us\n", (double)h->max / 1e3, histogram_mean(h) / 1e3);
}

#define DEAF_TARGET 1.5 /* design.md 5 */

static void text_deaf(const struct flood_report *r, const struct flood_options *o)
{
	text_latency("without deaf", &r->without_deaf);
	text_latency("with deaf", &r->with_deaf);
	printf("deaf            %u of the sessions; p99 of the others %.2f times what it is without (target %.1f: %s), "
	       "%.0f MB reached them\n",
	       o->deaf, report_deaf_ratio(r), DEAF_TARGET, report_deaf_ratio(r) <= DEAF_TARGET ? "met" : "missed",
	       (double)r->deaf_octets / 1e6);
}

static void text_storm(const struct flood_report *r, const struct flood_options *o)
{
	printf("storm           %u users came back within %.1f s; %llu of %llu stored messages delivered in %.2f s, %.0f/s",
	       o->pairs, o->storm_s, (unsigned long long)r->delivered, (unsigned long long)r->stored, r->storm_s,
	       r->storm_s > 0 ? (double)r->delivered / r->storm_s : 0);
	if (r->has_server && !r->server_ended)
		printf(", %.2f us CPU of the server each", cpu_us_each(r->storm_cpu_s, r->delivered));
	printf("\n");
}

static void text_errors(const struct flood_report *r)
{
	for (unsigned i = 0; i < r->refusals_n; i++) {
		const struct refusal *refusal = &r->refusals[i];
		printf("refused         %llu %s with %u", (unsigned long long)refusal->n, refusal->method, refusal->status);
		if (refusal->with_retry_after)
			printf(", %llu of them with Retry-After, up to %u s",
			       (unsigned long long)refusal->with_retry_after, refusal->retry_after_max_s);
		printf("\n");
	}
	for (int i = 0; i < FLOOD_ERRORS_N; i++) {
		const char *example = r->error_example[i];
		if (r->errors[i])
			printf("ERROR           %llu %s%s%s%s\n", (unsigned long long)r->errors[i], error_texts[i],
			       example[0] ? " (first: " : "", example, example[0] ? ")" : "");
	}
	if (!report_errors(r))
		printf("lost            nothing\n");
}

static void text_load(const struct flood_report *r, const struct flood_options *o, enum flood_load load)
{
	const struct load_figures *f = &r->loads[load];
	const struct load_info *info = &load_info[load];

	if (load == LOAD_PUSH) { /* not in the measured time: the storm tells */
		text_latency(info->done, &f->arrival);
		return;
	}
	if (!o->is_closed)
		printf("offered         %.0f %s, open loop\n", report_per_second(r, (double)f->due), info->unit);
	printf("achieved        %.0f %s", report_per_second(r, (double)f->arrived), info->unit);
	if (load == LOAD_MESSAGE || load == LOAD_PAGER || load == LOAD_DEFERRED || load == LOAD_COPY)
		printf(" of %u octets, %.1f MB/s", o->size, report_per_second(r, (double)f->arrived * o->size) / 1e6);
	printf("\n");
	if (f->arrival.count)
		text_latency(info->done, &f->arrival);
	if (f->confirmation.count)
		text_latency(info->confirmed, &f->confirmation);
}

/* A server allocates in blocks: below so many sessions, memory per session tells of those blocks. */
#define SESSIONS_TELLING 1000

static void text_costs(const struct flood_report *r, const struct flood_options *o)
{
	struct load_figures total;

	report_total(r, &total);
	const char *each = o->workload == WORKLOAD_CHURN ? "session" : o->workload == WORKLOAD_MIXED ? "operation" :
			   o->workload == WORKLOAD_CONFERENCE ? "copy" : "message";
	if (r->server_ended) {
		printf("server          process %d ended\n", (int)o->server_pid);
	} else if (r->has_server) {
		printf("server          %.2f us CPU per %s, %.0f %% of a CPU, %llu KiB", cpu_us_each(r->server_cpu_s, total.arrived),
		       each, report_per_second(r, r->server_cpu_s) * 100, (unsigned long long)r->server_memory_kib);
		if (r->sessions_up >= SESSIONS_TELLING)
			printf(", %.0f octets per session", r->memory_per_session);
		printf("\n");
	}
	if (r->has_server && !r->server_ended && r->idle_memory_per_session > 0)
		printf("idle            %.0f octets of the server per session\n", r->idle_memory_per_session);
	printf("imflood         %.2f us CPU per %s, %.0f %% of a CPU, waited for one %.0f %% of the time",
	       cpu_us_each(r->own_cpu_s, total.arrived), each, report_per_second(r, r->own_cpu_s) * 100,
	       report_per_second(r, r->own_wait_s) * 100);
	if (!o->is_closed)
		printf("; late by p99 %.0f us, max %.0f us", (double)histogram_quantile(&r->lateness, 0.99) / 1e3,
		       (double)r->lateness.max / 1e3);
	printf("\n");
}

/* What makes figures worth less than they seem. */
static void text_warnings(const struct flood_report *r, const struct flood_options *o)
{
	if (r->repeated || r->repeated_in)
		printf("repeated        %llu requests by imflood, %llu by the server\n", (unsigned long long)r->repeated,
		       (unsigned long long)r->repeated_in);
	if (r->own_drops)
		printf("WARNING         the kernel dropped %llu datagrams at imflood's own sockets\n",
		       (unsigned long long)r->own_drops);
	if (r->registrations_left)
		printf("WARNING         %u registrations could not be taken back: for up to an hour calls of another run fork "
		       "to them\n", r->registrations_left);
	if (report_is_own_limit(r, o))
		printf("WARNING         imflood itself was the bottleneck: what was reached and the times are its own, not the "
		       "server's\n");
}

static void text_loads(const struct flood_report *r, const struct flood_options *o)
{
	for (int i = 0; i < FLOOD_LOADS_N; i++) {
		if (o->workload == WORKLOAD_MIXED && o->rates[i] > 0)
			printf("%s\n", load_info[i].text);
		if (o->rates[i] > 0 || r->loads[i].arrival.count)
			text_load(r, o, (enum flood_load)i);
	}
	if (o->deaf)
		text_deaf(r, o);
	if (o->workload == WORKLOAD_DEFERRED)
		text_storm(r, o);
	text_costs(r, o);
}

void report_text(const struct flood_report *r, const struct flood_options *o)
{
	if (o->rooms)
		printf("rooms           %u of %u members, %u of whom send\n", o->rooms, o->members, o->senders);
	if (o->sessions)
		printf("sessions        %u of %u up in %.2f s\n", r->sessions_up, o->sessions, r->setup_s);
	if (o->pairs)
		printf("pairs           %u pairs of users%s\n", o->pairs,
		       o->workload == WORKLOAD_CHURN ? ", each with one session at a time" : "");
	if (o->is_closed)
		printf("offered         %u under way per %s, closed loop\n", o->workload == WORKLOAD_CHURN ? 1 : o->outstanding,
		       o->workload == WORKLOAD_SESSION ? "session" : o->rooms ? "sender" : "pair");
	if (r->measured_s > 0)
		text_loads(r, o);
	else
		printf("load            none: %s\n", report_errors(r) ? "nothing came up" : "ended before it began");
	text_warnings(r, o);
	text_errors(r);
}

void report_hints(const struct flood_report *r, const struct flood_options *o)
{
	char address[ADDRESS_TEXT_MAX];

	if (r->is_unanswered) {
		address_print(&o->target, address);
		fprintf(stderr, "imflood: no answer from %s over %s\n", address, o->tls ? "TLS" : o->tcp ? "TCP" : "UDP");
	}
	for (unsigned i = 0; i < r->refusals_n; i++) {
		if (r->refusals[i].status != 401 && r->refusals[i].status != 407)
			continue;
		fprintf(stderr, "imflood: %s\n", o->password ?
			"the server does not take the password of --password" : "the server asks for a password: --password TEXT");
		return;
	}
}
