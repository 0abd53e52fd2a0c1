/*
 * What the server under test costs: CPU time and memory of one process and all its
 * descendants (a peer may fork its workers), read from /proc.
 */
#ifndef LOAD_TESTS_SERVER_PROCESS_H
#define LOAD_TESTS_SERVER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVER_PROCESSES_MAX 256

struct server_process {
	pid_t pids[SERVER_PROCESSES_MAX];
	unsigned n;
};

struct server_figures {
	double cpu_s;        /* user + system, all threads; 10 ms steps          */
	uint64_t memory_kib; /* without pages of files; what they share is counted once */
};

/* Finds the descendants as they are now; false when there is no such process. */
bool server_process_find(struct server_process *s, pid_t pid);

/* Sums over those that still live; false when none does. */
bool server_process_read(const struct server_process *s, struct server_figures *figures);

#endif
