#include "load-tests/flood_options.h"
#include "load-tests/report_page.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "load-tests/plot.h"
#include "load-tests/record.h"

static const char style[] =
	"body{font:15px/1.45 system-ui,sans-serif;max-width:76rem;margin:1rem auto;padding:0 .8rem;color:#111;background:#fff}\n"
	"h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:1.6rem}figure{margin:1.2rem 0;break-inside:avoid}\n"
	"figcaption{font-weight:600}small{font-weight:400;color:#555}figure>svg{width:100%;max-width:54rem;height:auto;display:block}\n"
	".line{fill:none;stroke-width:1.6}.grid{stroke:#ddd}.measured{fill:#f1f5f9}text{font-size:11px;fill:#333}\n"
	".y{text-anchor:end}.x{text-anchor:middle}.legend{margin:.2rem 0;font-size:.85rem}.legend span{margin-right:1rem;"
	"white-space:nowrap}\n"
	".legend svg{width:30px;height:8px;margin-right:.3rem}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}\n"
	"th,td{padding:.2rem .4rem;border-bottom:1px solid #ccc;text-align:right;white-space:nowrap}th{white-space:normal;vertical-align:bottom}\n"
	"th:first-child,td:first-child{text-align:left;white-space:normal}.bad{color:#a00000;font-weight:600}\n"
	"@media print{body{max-width:none;font-size:10pt}.wide{overflow:visible}}\n";

struct page {
	struct record records[RECORDS_MAX];
	const char *paths[RECORDS_MAX];
	unsigned n;
	FILE *f;
};

/* ---- what a record is called ---- */

static const char *head_text(const struct record *r, const char *name)
{
	const char *text = json_string_value(json_object_get(r->head, name));

	return text ? text : "";
}

static const char *label(const struct page *p, unsigned i)
{
	const char *text = head_text(&p->records[i], "label");

	return text[0] ? text : p->paths[i];
}

/* ---- tables ---- */

static const json_t *at(const json_t *object, const char *first, const char *second)
{
	const json_t *value = json_object_get(object, first);

	return second ? json_object_get(value, second) : value;
}

static void cell(FILE *f, const json_t *value, double scale, const char *format)
{
	char text[64];

	if (json_is_number(value)) {
		snprintf(text, sizeof(text), format, json_number_value(value) * scale);
		fprintf(f, "<td>%s</td>", text);
	} else {
		fprintf(f, "<td>&ndash;</td>");
	}
}

/* What makes the figures of a run worth less than they seem; each has its text under the table. */
static bool is_own_limit(const struct record *r)
{
	return json_is_true(at(r->report, "imflood", "bottleneck"));
}

static bool has_doubt(const struct record *r)
{
	return !r->report || is_own_limit(r);
}

static void name_cell(FILE *f, const char *name, const char *more, bool is_marked)
{
	fprintf(f, "<tr><td>");
	html_text(f, name);
	if (is_marked)
		fprintf(f, " <b class=\"bad\" title=\"see the warning under the table\">&#9888;</b>");
	if (more[0]) {
		fprintf(f, " <small>");
		html_text(f, more);
		fprintf(f, "</small>");
	}
	fprintf(f, "</td>");
}

static void errors_cell(FILE *f, const json_t *report)
{
	const json_t *failed = at(report, "failed", NULL);

	if (json_number_value(failed) > 0)
		fprintf(f, "<td class=\"bad\">%.0f</td>", json_number_value(failed));
	else
		cell(f, failed, 1, "%.0f");
}

static void figures_cells(FILE *f, const json_t *figures)
{
	cell(f, at(figures, "offered_per_s", NULL), 1, "%.0f");
	cell(f, at(figures, "achieved_per_s", NULL), 1, "%.0f");
	cell(f, at(figures, "arrival_us", "p50"), 1, "%.0f");
	cell(f, at(figures, "arrival_us", "p90"), 1, "%.0f");
	cell(f, at(figures, "arrival_us", "p99"), 1, "%.0f");
	cell(f, at(figures, "arrival_us", "p99.9"), 1, "%.0f");
	cell(f, at(figures, "arrival_us", "max"), 1, "%.0f");
}

static void run_row(const struct page *p, unsigned i)
{
	const struct record *r = &p->records[i];
	const json_t *report = r->report, *loads = at(report, "loads", NULL), *load;
	const char *name;

	name_cell(p->f, label(p, i), head_text(r, "workload"), has_doubt(r));
	errors_cell(p->f, report);
	figures_cells(p->f, report);
	if (json_is_true(at(report, "server", "ended"))) {
		fprintf(p->f, "<td colspan=\"3\" class=\"bad\">process ended</td>");
	} else {
		cell(p->f, at(report, "server", "cpu_us_per_message"), 1, "%.2f");
		cell(p->f, at(report, "server", "cpu_share"), 100, "%.0f %%");
		cell(p->f, at(report, "server", "memory_kib"), 1.0 / 1024, "%.1f");
	}
	fprintf(p->f, "</tr>\n");
	if (json_object_size(loads) < 2)
		return;
	json_object_foreach((json_t *)loads, name, load) {
		name_cell(p->f, "", name, false);
		fprintf(p->f, "<td></td>");
		figures_cells(p->f, load);
		fprintf(p->f, "<td colspan=\"3\"></td></tr>\n");
	}
}

static void doubts(const struct page *p, unsigned i)
{
	if (!has_doubt(&p->records[i]))
		return;
	fprintf(p->f, "<p class=\"bad\">&#9888; ");
	html_text(p->f, label(p, i));
	fprintf(p->f, ": %s</p>\n", is_own_limit(&p->records[i]) ?
		"imflood itself was the bottleneck: what was reached and the times are its own, not the server's." :
		"the record ends without a report: imflood was killed.");
}

static void runs_table(const struct page *p)
{
	fprintf(p->f, "<h2>Runs</h2>\n<div class=\"wide\"><table><tr><th>run</th><th>errors</th><th>offered/s</th><th>achieved/s</th>"
		      "<th>p50 us</th><th>p90 us</th><th>p99 us</th><th>p99.9 us</th><th>max us</th><th>CPU us each</th>"
		      "<th>CPU</th><th>memory MiB</th></tr>\n");
	for (unsigned i = 0; i < p->n; i++)
		run_row(p, i);
	fprintf(p->f, "</table></div>\n");
	for (unsigned i = 0; i < p->n; i++)
		doubts(p, i);
	fprintf(p->f, "<p><small>Times are from when something was due until it was there, in table "
		      "and plots of the measured time (shaded) only of what was due in it. What was achieved in it may exceed what was offered "
		      "in it: a backlog of the warm-up was done then. CPU is user and "
		      "system of the server for each that was done.</small></p>\n");
}

/* What went wrong. */
static void remarks(const struct page *p, unsigned i)
{
	const struct record *r = &p->records[i];
	const json_t *refused = at(r->report, "refused", NULL), *errors = at(r->report, "errors", NULL), *value;
	const char *name;
	size_t k;

	if (!r->report)
		fprintf(p->f, "<li class=\"bad\">The record ends without a report: imflood was killed.</li>\n");
	if (json_number_value(at(r->report, "failed", NULL)) == 0 && r->report)
		fprintf(p->f, "<li>Nothing was lost.</li>\n");
	json_array_foreach(refused, k, value) {
		fprintf(p->f, "<li class=\"bad\">%.0f ", json_number_value(at(value, "count", NULL)));
		html_text(p->f, json_string_value(at(value, "method", NULL)) ? json_string_value(at(value, "method", NULL)) : "");
		fprintf(p->f, " refused with %.0f, %.0f of them with Retry-After</li>\n",
			json_number_value(at(value, "status", NULL)), json_number_value(at(value, "with_retry_after", NULL)));
	}
	json_object_foreach((json_t *)errors, name, value) {
		if (json_number_value(value) <= 0)
			continue;
		fprintf(p->f, "<li class=\"bad\">%.0f ", json_number_value(value));
		html_text(p->f, name);
		fprintf(p->f, "</li>\n");
	}
}

static void all_remarks(const struct page *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct record *r = &p->records[i];
		fprintf(p->f, "<h2>");
		html_text(p->f, label(p, i));
		fprintf(p->f, "</h2>\n<p><small>");
		html_text(p->f, head_text(r, "workload"));
		fprintf(p->f, " against ");
		html_text(p->f, head_text(r, "target"));
		fprintf(p->f, " (%s loop), ", json_is_true(at(r->head, "open_loop", NULL)) ? "open" : "closed");
		html_text(p->f, head_text(r, "started"));
		fprintf(p->f, "</small></p>\n<ul>");
		remarks(p, i);
		fprintf(p->f, "</ul>\n");
	}
}

/* ---- plots ---- */

struct shown {
	enum record_column column;
	const char *name;
	double scale;
};

/* Several columns of each record: with one record a colour for each column, with several one for each record. */
static void plot_columns(const struct page *p, const char *title, const char *unit, bool is_log, const struct shown *shown,
			 unsigned shown_n)
{
	static struct plot plot;

	memset(&plot, 0, sizeof(plot));
	plot.title = title;
	plot.unit = unit;
	plot.is_log = is_log;
	if (p->n == 1) {
		plot.from = p->records[0].measure_from;
		plot.to = p->records[0].measure_to;
	}
	for (unsigned i = 0; i < p->n; i++) {
		const struct record *r = &p->records[i];
		for (unsigned k = 0; k < shown_n && plot.lines_n < PLOT_LINES_MAX; k++) {
			struct plot_line *line = &plot.lines[plot.lines_n];
			if (!record_has(r, shown[k].column))
				continue;
			*line = (struct plot_line){ .colour = p->n == 1 ? k : i,
						    .dash = k,
						    .x = r->columns[COLUMN_T],
						    .y = r->columns[shown[k].column],
						    .n = r->n,
						    .scale = shown[k].scale };
			if (p->n == 1)
				snprintf(line->name, sizeof(line->name), "%s", shown[k].name);
			else
				snprintf(line->name, sizeof(line->name), "%.100s: %s", label(p, i), shown[k].name);
			plot.lines_n++;
		}
	}
	plot_write(p->f, &plot);
}

#define PLOT(p, title, unit, is_log, ...)                              \
	do {                                                           \
		static const struct shown shown[] = { __VA_ARGS__ };   \
		plot_columns(p, title, unit, is_log, shown, sizeof(shown) / sizeof(shown[0])); \
	} while (0)

static void plots(const struct page *p)
{
	PLOT(p, "Rate", "a second", false, { COLUMN_DONE, "done", 1 }, { COLUMN_DUE, "due", 1 });
	if (p->n == 1)
		PLOT(p, "Latency", "us, logarithmic", true, { COLUMN_P50, "p50", 1 }, { COLUMN_P90, "p90", 1 },
		     { COLUMN_P99, "p99", 1 }, { COLUMN_P999, "p99.9", 1 }, { COLUMN_MAX, "max", 1 });
	else
		PLOT(p, "Latency", "us, logarithmic", true, { COLUMN_P50, "p50", 1 }, { COLUMN_P99, "p99", 1 },
		     { COLUMN_P999, "p99.9", 1 });
	PLOT(p, "CPU", "% of one CPU", false, { COLUMN_SERVER_CPU, "server", 100 }, { COLUMN_IMFLOOD_CPU, "imflood", 100 });
	PLOT(p, "Memory of the server", "MiB, without pages of files", false, { COLUMN_SERVER_MEMORY, "memory", 1.0 / 1024 });
	PLOT(p, "Sessions up, and what is under way", "", false, { COLUMN_UP, "sessions up", 1 },
	     { COLUMN_UNDER_WAY, "under way", 1 });
	PLOT(p, "How late imflood turned to what was due", "us, logarithmic", true, { COLUMN_LATE, "at most", 1 });
	PLOT(p, "Errors and refusals so far", "", false, { COLUMN_ERRORS, "errors", 1 }, { COLUMN_REFUSED, "refused", 1 });
}

/* ---- the page ---- */

static void page_write(const struct page *p)
{
	fprintf(p->f,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
		"content=\"width=device-width, initial-scale=1\">\n<title>imflood report</title>\n<style>\n%s</style></head><body>\n"
		"<h1>imflood report</h1>\n",
		style);
	runs_table(p);
	plots(p);
	all_remarks(p);
	fprintf(p->f, "</body></html>\n");
}

static int usage(const char *text, const char *more)
{
	fprintf(stderr, "imflood: report: %s%s\n", text, more);
	return 2;
}

static int write_to(struct page *p, const char *output)
{
	p->f = output ? fopen(output, "we") : stdout;
	if (!p->f) {
		fprintf(stderr, "imflood: %s: %s\n", output, strerror(errno));
		return 1;
	}
	page_write(p);
	bool failed = ferror(p->f) || fflush(p->f);
	if (output && fclose(p->f))
		failed = true;
	if (failed)
		fprintf(stderr, "imflood: the report could not be written whole\n");
	return failed ? 1 : 0;
}

int report_page(int argc, char **argv)
{
	static const struct option options[] = { { "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	static struct page p;
	const char *output = NULL;
	int status = 0;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'h') {
			fputs(imflood_help, stdout);
			return 0;
		}
		if (option != 'o')
			return 2; /* getopt has said why */
		output = optarg;
	}
	if (optind == argc)
		return usage("which records? (files of --record)", "");
	if (argc - optind > RECORDS_MAX)
		return usage("at most 16 records, not more from ", argv[optind + RECORDS_MAX]);
	for (; optind < argc && !status; optind++) {
		p.paths[p.n] = argv[optind];
		status = record_read(&p.records[p.n++], argv[optind]) ? 0 : 1;
	}
	if (!status)
		status = write_to(&p, output);
	for (unsigned i = 0; i < p.n; i++)
		record_close(&p.records[i]);
	return status;
}
