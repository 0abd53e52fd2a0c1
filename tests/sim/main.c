/*
 * Runs scenarios of the simulator by seed.  Each scenario's seeds run in a child,
 * so that one that ends its process is one failure.
 * usage: sim_scenarios [--list] [--scenario NAME] [--seed N | --seeds FROM-TO] [--memory] [--long] [--trace]
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scenario.h"

#define FAILURES_MAX 5 /* of one scenario: then the next */

struct scenario *scenarios;

static volatile uint64_t *running; /* the seed, shared with the child */

struct ways {
	bool trace;
	bool is_range; /* of seeds */
	bool memory; /* each seed twice: then one allocation of the server's fails */
};

/* A single seed that was asked for is run in any case. */
static bool is_run(const struct scenario *scenario, uint64_t seed, bool is_range)
{
	return !is_range || scenario->one_seed_in < 2 || seed % scenario->one_seed_in == 1;
}

static void run_child(const struct scenario *scenario, uint64_t from, uint64_t to, const struct ways *ways)
{
	struct world_run run = { .scenario = scenario, .trace = ways->trace };

	for (*running = from; *running <= to; ++*running) {
		if (!is_run(scenario, *running, ways->is_range))
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

/* How many passed; *failed grows. */
static uint64_t run_scenario(const struct scenario *scenario, uint64_t from, uint64_t to,
	const struct ways *ways, unsigned *failed)
{
	uint64_t passed = 0;
	unsigned failures = 0;
	struct timespec began, ended;

	clock_gettime(CLOCK_MONOTONIC, &began);
	while (from <= to && failures < FAILURES_MAX) {
		int status = -1;
		fflush(NULL);
		pid_t child = fork();
		if (child == 0)
			run_child(scenario, from, to, ways);
		if (child < 0 || waitpid(child, &status, 0) != child)
			abort();
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			for (; from <= to; from++)
				passed += is_run(scenario, from, ways->is_range);
			break;
		}
		printf("FAIL %s: again with --scenario %s --seed %llu\n", scenario->name, scenario->name,
			(unsigned long long)*running);
		for (; from < *running; from++)
			passed += is_run(scenario, from, ways->is_range);
		failures++;
		from++;
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	*failed += failures;
	double ms = (double)(ended.tv_sec - began.tv_sec) * 1e3 + (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
	if (!failures)
		printf("ok %s: %llu seeds, %.1f ms each\n", scenario->name, (unsigned long long)passed,
			ms / (double)(passed ? passed : 1));
	return passed;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim_scenarios [--list] [--scenario NAME] [--seed N | --seeds FROM-TO] [--memory] [--long] [--trace]\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long long from = 1, to = 60;
	const char *only = NULL;
	uint64_t passed = 0;
	unsigned failed = 0;
	struct ways ways = { 0 };
	bool list = false, is_long = false;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--list") == 0)
			list = true;
		else if (strcmp(argv[i], "--trace") == 0)
			ways.trace = true;
		else if (strcmp(argv[i], "--long") == 0)
			is_long = true;
		else if (strcmp(argv[i], "--memory") == 0)
			ways.memory = true;
		else if (strcmp(argv[i], "--scenario") == 0 && ++i < argc)
			only = value;
		else if (strcmp(argv[i], "--seed") == 0 && ++i < argc && sscanf(value, "%llu", &from) == 1)
			to = from;
		else if (strcmp(argv[i], "--seeds") != 0 || ++i == argc || sscanf(value, "%llu-%llu", &from, &to) != 2)
			return usage();
	}
	ways.is_range = from != to;
	running = mmap(NULL, sizeof(*running), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (running == MAP_FAILED)
		return 1;
	for (const struct scenario *s = scenarios; s; s = s->next) {
		if (only ? strcmp(only, s->name) != 0 : s->is_long && !is_long && !list)
			continue;
		if (list)
			printf("%s: %s\n", s->name, s->what);
		else
			passed += run_scenario(s, from, to, &ways, &failed);
	}
	if (!list)
		printf("%llu passed, %u failed\n", (unsigned long long)passed, failed);
	return failed || (!passed && !list);
}
