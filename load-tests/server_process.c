#include "load-tests/server_process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The fields of /proc/PID/stat after the name, which may itself contain blanks and brackets. */
static bool read_stat(pid_t pid, pid_t *parent, double *cpu_s)
{
	char path[64], line[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = 0;

	const char *after = strrchr(line, ')');
	unsigned long user, system;
	char state;
	int ppid;
	if (!after || sscanf(after + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			     &state, &ppid, &user, &system) != 4 || state == 'Z') /* ended, but nobody has asked how */
		return false;
	*parent = ppid;
	*cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	return true;
}

/* What the process has made its own, swapped out or not.  Pages of files are left out: how many of them count for
 * whom changes with every other process that begins or ends. */
static uint64_t read_memory_kib(pid_t pid)
{
	char path[64], line[256];
	uint64_t sum_kib = 0;
	unsigned long long kib;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss_Anon: %llu", &kib) == 1 || sscanf(line, "Pss_Shmem: %llu", &kib) == 1 ||
		    sscanf(line, "SwapPss: %llu", &kib) == 1)
			sum_kib += kib;
	fclose(f);
	return sum_kib;
}

static bool is_known(const struct server_process *s, pid_t pid)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->pids[i] == pid)
			return true;
	return false;
}

static bool add_children(struct server_process *s)
{
	bool added = false;
	DIR *proc = opendir("/proc");
	if (!proc)
		return false;
	for (struct dirent *d; (d = readdir(proc)) && s->n < SERVER_PROCESSES_MAX;) {
		pid_t pid = atoi(d->d_name), parent;
		double cpu_s;
		if (pid > 0 && !is_known(s, pid) && read_stat(pid, &parent, &cpu_s) &&
		    is_known(s, parent)) {
			s->pids[s->n++] = pid;
			added = true;
		}
	}
	closedir(proc);
	return added;
}

bool server_process_find(struct server_process *s, pid_t pid)
{
	pid_t parent;
	double cpu_s;

	*s = (struct server_process){ .n = 0 };
	if (pid <= 0 || !read_stat(pid, &parent, &cpu_s))
		return false;
	s->pids[s->n++] = pid;
	while (add_children(s)) /* generation by generation */
		;
	return true;
}

bool server_process_read(const struct server_process *s, struct server_figures *figures)
{
	unsigned alive = 0;

	*figures = (struct server_figures){ 0 };
	for (unsigned i = 0; i < s->n; i++) {
		pid_t parent;
		double cpu_s;
		if (!read_stat(s->pids[i], &parent, &cpu_s))
			continue;
		alive++;
		figures->cpu_s += cpu_s;
		figures->memory_kib += read_memory_kib(s->pids[i]);
	}
	return alive > 0;
}
