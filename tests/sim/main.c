/*
 * Runs scenarios of the simulator by seed.  Each scenario's seeds run in a child,
 * so that one that ends its process is one failure.
 * usage: sim_scenarios [--list] [--scenario NAME] [--seed N | --seeds FROM-TO] [--memory] [--long] [--trace] [--jobs N]
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scenario.h"

#define FAILURES_MAX 5 /* of one scenario: then the next */
#define JOBS_MAX     64

struct scenario *scenarios;

static volatile uint64_t *running; /* the seed, shared with the child */

struct ways {
	bool trace;
	bool is_range; /* of seeds */
	bool memory; /* each seed twice: then one allocation of the server's fails */
	bool with_long;
	const char *only; /* NULL: all scenarios */
	unsigned long long from, to;
	unsigned jobs, job; /* this process runs every so-manieth seed */
};

/* Of one job, shared with it. */
struct result {
	uint64_t passed;
	unsigned failed;
};

/* A single seed that was asked for is run in any case. */
static bool is_run(const struct scenario *scenario, uint64_t seed, const struct ways *ways)
{
	return !ways->is_range ||
	       (seed % ways->jobs == ways->job && (scenario->one_seed_in < 2 || seed % scenario->one_seed_in == 1));
}

static void run_child(const struct scenario *scenario, uint64_t from, const struct ways *ways)
{
	struct world_run run = { .scenario = scenario, .trace = ways->trace };

	for (*running = from; *running <= ways->to; ++*running) {
		if (!is_run(scenario, *running, ways))
			continue;
		run.seed = *running;
		run.fail_allocation = 0;
		uint64_t allocations = world_run(&run);
		if (ways->memory && allocations) {
			run.fail_allocation = 1 + run.seed * 7919 % allocations;
			world_run(&run);
		}
	}
	fflush(NULL);
	_exit(0);
}

static void run_scenario(const struct scenario *scenario, const struct ways *ways, struct result *result)
{
	uint64_t passed = 0, from = ways->from;
	unsigned failures = 0;
	struct timespec began, ended;

	clock_gettime(CLOCK_MONOTONIC, &began);
	while (from <= ways->to && failures < FAILURES_MAX) {
		int status = -1;
		fflush(NULL);
		pid_t child = fork();
		if (child == 0)
			run_child(scenario, from, ways);
		if (child < 0 || waitpid(child, &status, 0) != child)
			abort();
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			for (; from <= ways->to; from++)
				passed += is_run(scenario, from, ways);
			break;
		}
		printf("FAIL %s: again with --scenario %s --seed %llu\n", scenario->name, scenario->name,
			(unsigned long long)*running);
		for (; from < *running; from++)
			passed += is_run(scenario, from, ways);
		failures++;
		from++;
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	result->failed += failures;
	result->passed += passed;
	double ms = (double)(ended.tv_sec - began.tv_sec) * 1e3 + (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
	if (!failures && passed)
		printf("ok %s: %llu seeds, %.1f ms each\n", scenario->name, (unsigned long long)passed,
			ms / (double)passed);
}

static bool is_chosen(const struct scenario *scenario, const struct ways *ways)
{
	return ways->only ? strcmp(ways->only, scenario->name) == 0 : !scenario->is_long || ways->with_long;
}

static void run_job(const struct ways *ways, struct result *result)
{
	for (const struct scenario *s = scenarios; s; s = s->next)
		if (is_chosen(s, ways))
			run_scenario(s, ways, result);
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/* Each job in a process of its own, which never ends by a scenario: those are its children. */
static struct result run_jobs(struct ways *ways)
{
	struct result *results = shared(ways->jobs * sizeof(*results)), all = { 0 };
	int status = 0;

	for (ways->job = 0; ways->job < ways->jobs; ways->job++) {
		fflush(NULL);
		pid_t child = fork();
		if (child < 0)
			abort();
		if (child == 0) {
			running = shared(sizeof(*running));
			run_job(ways, &results[ways->job]);
			fflush(NULL);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		all.failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	for (unsigned i = 0; i < ways->jobs; i++) {
		all.passed += results[i].passed;
		all.failed += results[i].failed;
	}
	return all;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim_scenarios [--list] [--scenario NAME] [--seed N | --seeds FROM-TO] [--memory] [--long] "
			"[--trace] [--jobs N]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct ways ways = { .from = 1, .to = 60, .jobs = 1 };
	bool list = false;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--list") == 0)
			list = true;
		else if (strcmp(argv[i], "--trace") == 0)
			ways.trace = true;
		else if (strcmp(argv[i], "--long") == 0)
			ways.with_long = true;
		else if (strcmp(argv[i], "--memory") == 0)
			ways.memory = true;
		else if (strcmp(argv[i], "--scenario") == 0 && ++i < argc)
			ways.only = value;
		else if (strcmp(argv[i], "--seed") == 0 && ++i < argc && sscanf(value, "%llu", &ways.from) == 1)
			ways.to = ways.from;
		else if (strcmp(argv[i], "--jobs") == 0 && ++i < argc && sscanf(value, "%u", &ways.jobs) == 1 &&
			 ways.jobs >= 1 && ways.jobs <= JOBS_MAX)
			continue;
		else if (strcmp(argv[i], "--seeds") != 0 || ++i == argc ||
			 sscanf(value, "%llu-%llu", &ways.from, &ways.to) != 2)
			return usage();
	}
	if (list) {
		for (const struct scenario *s = scenarios; s; s = s->next)
			printf("%s: %s\n", s->name, s->what);
		return 0;
	}
	ways.is_range = ways.from != ways.to;
	if (!ways.is_range)
		ways.jobs = 1;
	struct result result = run_jobs(&ways);
	printf("%llu passed, %u failed\n", (unsigned long long)result.passed, result.failed);
	return result.failed || !result.passed;
}
