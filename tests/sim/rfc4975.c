/*
 * Plays the table of RFC 4975 (tests/rfc4975.txt) in the simulator: every case
 * whole, octet by octet, with the server's writes cut short, and with each write
 * cut in two at each octet.
 *
 * --foreign: on connections that carry another session first, of another worker.
 * --lost: where a write would be cut its connection ends instead; nothing may be left of it.
 * --memory: whole and octet by octet, for each allocation of the server's that can fail.
 * --every N: only every Nth of those ways or allocations, each case beginning with another one.
 * usage: sim_rfc4975 TABLE [--foreign] [--lost | --memory] [--every N] [--case NAME] [--trace]
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/rfc4975_play.h"

#define CHILDREN_MAX 16

static const struct table_case *find_case(const struct table *table, const char *name)
{
	for (size_t i = 0; i < table->case_count; i++)
		if (slice_eq(table->cases[i].name, slice_str(name)))
			return &table->cases[i];
	fprintf(stderr, "the table has no case %s\n", name);
	exit(1);
}

/* A case in a child of its own, so that one that ends its process is one failure. */
struct child {
	pid_t pid;               /* 0: none */
	struct show show;
	char name[80];
	struct timespec began;
};

struct ways {
	const char *only;        /* the case of this name; NULL: all */
	size_t stride;
	bool is_foreign, is_lost, is_memory, trace;
};

/* The case whole and octet by octet, again and again with another allocation of the server's failing. */
static void run_without_memory(struct child *child, struct world_run *run, size_t stride)
{
	size_t next_way = 0;

	child->show.next_way = &next_way;
	child->show.most = 1;
	uint64_t allocations = world_run(run);
	for (uint64_t n = 1 + run->seed % stride; n <= allocations; n += stride) {
		next_way = 0;
		run->fail_allocation = n;
		world_run(run);
	}
}

static void begin_child(struct child *child, uint64_t seed, const struct ways *ways)
{
	struct world_run run = { .scenario = &child->show.scenario, .seed = seed, .trace = ways->trace };

	clock_gettime(CLOCK_MONOTONIC, &child->began);
	fflush(NULL);
	child->pid = fork();
	if (child->pid < 0)
		abort();
	if (child->pid > 0)
		return;
	if (ways->is_memory)
		run_without_memory(child, &run, ways->stride);
	for (child->show.next_way = &(size_t){ seed % ways->stride }; *child->show.next_way != SHOW_ALL_WAYS && !ways->is_memory;)
		world_run(&run);
	fflush(NULL);
	_exit(0);
}

/* Waits for any of them; whether its case was good. */
static bool end_child(struct child *children, unsigned count)
{
	struct timespec ended;
	int status = -1;
	pid_t pid = wait(&status);
	struct child *child = children;

	while (child < children + count && child->pid != pid)
		child++;
	if (child == children + count)
		abort();
	clock_gettime(CLOCK_MONOTONIC, &ended);
	bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	printf("%s %s: %llu plays, %.1f s\n", is_good ? "ok" : "FAIL", child->name,
		(unsigned long long)*child->show.plays, (double)(ended.tv_sec - child->began.tv_sec) +
			(double)(ended.tv_nsec - child->began.tv_nsec) / 1e9);
	child->pid = 0;
	return is_good;
}

struct results {
	unsigned passed, failed, running;
	unsigned long long plays;
};

static void run_case(const struct table *table, size_t index, struct child *child, const struct ways *ways)
{
	const struct table_case *c = &table->cases[index];

	snprintf(child->name, sizeof(child->name), "%.*s", SLICE_ARG(c->name));
	child->show = (struct show){ { .name = child->name, .what = "", .run = show_play, .is_calm = true,
		.set = { "limits.sessions=4096" }, .workers_min = ways->is_foreign ? 4 : 0 }, c,
		{ find_case(table, "one_message"), find_case(table, "one_message_back") }, child->show.plays, NULL,
		ways->stride, 0, ways->is_foreign, ways->is_lost };
	*child->show.plays = 0;
	begin_child(child, index + 1, ways);
}

static void take_result(struct results *results, struct child *children, unsigned count)
{
	bool is_good = end_child(children, count);

	results->passed += is_good;
	results->failed += !is_good;
	results->running--;
}

static void run_all(const struct table *table, const struct ways *ways, struct results *results)
{
	struct child children[CHILDREN_MAX] = { 0 };
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned count = processors < 1 ? 1 : processors > CHILDREN_MAX ? CHILDREN_MAX : (unsigned)processors;
	uint64_t *plays = mmap(NULL, sizeof(*plays) * CHILDREN_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (plays == MAP_FAILED)
		abort();
	for (unsigned i = 0; i < count; i++)
		children[i].show.plays = &plays[i];
	for (size_t i = 0; i < table->case_count; i++) {
		struct child *child = children;
		if (ways->only && !slice_eq(table->cases[i].name, slice_str(ways->only)))
			continue;
		if (ways->is_foreign && !show_can_be_foreign(&table->cases[i]))
			continue;
		if (results->running == count)
			take_result(results, children, count);
		while (child->pid)
			child++;
		results->plays += *child->show.plays;
		run_case(table, i, child, ways);
		results->running++;
	}
	while (results->running)
		take_result(results, children, count);
	for (unsigned i = 0; i < count; i++)
		results->plays += plays[i];
	munmap(plays, sizeof(*plays) * CHILDREN_MAX);
}

int main(int argc, char **argv)
{
	struct ways ways = { .stride = 1 };
	struct results results = { 0 };
	struct table table;
	unsigned line_number;
	const char *why;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0)
			ways.trace = true;
		else if (strcmp(argv[i], "--foreign") == 0)
			ways.is_foreign = true;
		else if (strcmp(argv[i], "--lost") == 0)
			ways.is_lost = true;
		else if (strcmp(argv[i], "--memory") == 0)
			ways.is_memory = true;
		else if (strcmp(argv[i], "--case") == 0 && i + 1 < argc)
			ways.only = argv[++i];
		else if (strcmp(argv[i], "--every") == 0 && i + 1 < argc)
			ways.stride = strtoul(argv[++i], NULL, 10);
		else
			argc = 0;
	}
	if (argc < 2 || ways.stride == 0) {
		fprintf(stderr, "usage: sim_rfc4975 TABLE [--foreign] [--lost | --memory] [--every N] [--case NAME] [--trace]\n");
		return 2;
	}
	if (!table_read(&table, argv[1], &why, &line_number)) {
		fprintf(stderr, "%s:%u: %s\n", argv[1], line_number, why);
		return 1;
	}
	run_all(&table, &ways, &results);
	table_free(&table);
	printf("%llu plays\n%u passed, %u failed\n", results.plays, results.passed, results.failed);
	return results.failed || !results.passed;
}
