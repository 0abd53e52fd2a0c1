/* imflood: one workload, one report. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "load-tests/flood.h"
#include "load-tests/report_page.h"

/* Two connections per session, those of SIP, and some of our own. */
static bool raise_descriptors(const struct flood_options *o)
{
	struct rlimit files;
	rlim_t sessions = o->connections_shared || o->workload == WORKLOAD_PAGER || o->workload == WORKLOAD_DEFERRED ? 0 : options_pairs(o),
	       needed = sessions * 2 + o->flows * 2 + 100;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return true; /* then opening them will tell */
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < needed) {
		fprintf(stderr, "imflood: %u sessions need %llu descriptors, the limit is %llu (ulimit -n)\n",
			options_pairs(o), (unsigned long long)needed, (unsigned long long)files.rlim_max);
		return false;
	}
	return true;
}

/* -1: none of that name. */
static int workload_of(const char *name)
{
	for (int i = WORKLOAD_SESSION; i <= WORKLOAD_CONFERENCE; i++)
		if (strcmp(name, workload_name((enum flood_workload)i)) == 0)
			return i;
	return -1;
}

int main(int argc, char **argv)
{
	static struct flood_options o;
	static struct flood_report report;
	const char *name = argc >= 2 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
		fputs(imflood_help, stdout);
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		puts("imflood " IMSERV_VERSION);
		return 0;
	}
	if (strcmp(name, "report") == 0)
		return report_page(argc - 1, argv + 1);
	int workload = workload_of(name);
	if (workload < 0) {
		fprintf(stderr,
			"imflood: unknown workload \"%s\"; known: session, churn, pager, mixed, deferred, conference, report (imflood --help)\n", name);
		return 2;
	}
	o.workload = (enum flood_workload)workload;
	if (!options_read(&o, argc - 1, argv + 1) || !raise_descriptors(&o))
		return 2;
	int err = flood(&o, &report);
	if (err) {
		if (err != ECANCELED)
			fprintf(stderr, "imflood: %s\n", strerror(err));
		return 1;
	}
	if (o.json) {
		report_json(stdout, &report, &o);
		putchar('\n');
	} else {
		report_text(&report, &o);
	}
	report_hints(&report, &o);
	return report_errors(&report) ? 1 : 0;
}
