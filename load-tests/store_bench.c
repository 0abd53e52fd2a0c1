/*
 * What the store alone costs: puts of 500-octet messages in groups, then the delivery at a login (NEXT of 8,
 * REMOVE of 8), from one thread.  Prints CPU time of the process (checkpoints included) and of this thread,
 * messages per commit and commits per second, beside the rate at which the disk takes synced writes of 4 KiB.
 *
 *	store_bench PATH|- [MESSAGES [MAILBOXES [GROUP [OLD]]]]
 *
 * "-": in memory.  Defaults 160000 20000 64 0; OLD: rows that are put before.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/store_deferred.h"

#define WINDOW 8

static struct store *store;
static char content[500], head[600];

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct span {
	double wall, process, thread;
};

static struct span begin(void)
{
	return (struct span){ seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID),
		seconds(CLOCK_THREAD_CPUTIME_ID) };
}

static void tell(const char *what, struct span from, unsigned messages, unsigned commits)
{
	struct span to = begin();
	double wall = to.wall - from.wall, n = messages;

	printf("%-24s %8.0f messages/s %6.1f us of CPU each (%.1f of this thread) %7.0f commits/s %6.1f messages each\n",
		what, n / wall, (to.process - from.process) / n * 1e6, (to.thread - from.thread) / n * 1e6,
		commits / wall, n / commits);
}

static void end_group(void)
{
	struct store_request *next;

	for (struct store_request *r = store_commit(store); r; r = next) {
		next = r->next;
		if (r->msg.err) {
			fprintf(stderr, "store_bench: %s\n", strerror(r->msg.err));
			exit(1);
		}
		free(r);
	}
}

static struct slice name_of(char *text, size_t n, unsigned mailbox)
{
	return slice_of(text, (size_t)snprintf(text, n, "user%07u@example.com", mailbox));
}

static struct store_request *put_request(unsigned i, unsigned mailbox)
{
	char name[40], id[40], call_id[40];
	struct store_deferred m = { .received_us = i, .expires_at_s = 1000000 + i / 1000, .size = sizeof(content),
		.head = slice_of(head, sizeof(head)), .summary = slice_of(head, 200),
		.content = slice_of(content, sizeof(content)) };

	m.id = slice_of(id, (size_t)snprintf(id, sizeof(id), "%08x%018llx", i * 2654435761u, i * 11400714819323198485ull));
	m.call_id = slice_of(call_id, (size_t)snprintf(call_id, sizeof(call_id), "%08x@phone.example", i * 40503u + 7));
	struct store_deferred_put *r = store_deferred_put_new(STORE_DEFERRED_PUT, name_of(name, sizeof(name), mailbox), &m);
	r->quota_messages = 1000000;
	return &r->request;
}

/* In an order in which neighbours are far from each other. */
static unsigned put_all(unsigned messages, unsigned mailboxes, unsigned group, unsigned salt)
{
	unsigned commits = 0;

	for (unsigned i = 0; i < messages; commits++) {
		store_begin(store);
		for (unsigned n = 0; n < group && i < messages; n++, i++)
			store_execute(store, put_request(i + salt, (unsigned)(i * 7919ull % mailboxes)));
		end_group();
	}
	return commits;
}

/* Several users log in at once: one window each in a group, as messages of many pushes meet. */
static unsigned deliver_all(unsigned mailboxes, unsigned group, unsigned *delivered)
{
	struct store_request *requests[512];
	char name[40];
	unsigned commits = 0, logins = group / WINDOW ? group / WINDOW : 1;

	*delivered = 0;
	for (unsigned first = 0; first < mailboxes; first += logins) {
		unsigned n = mailboxes - first < logins ? mailboxes - first : logins, left = n;
		uint64_t after[512] = { 0 };
		while (left) {
			left = 0;
			store_begin(store);
			for (unsigned i = 0; i < n; i++) {
				struct slice mailbox = name_of(name, sizeof(name), (first + i) * 7919u % mailboxes);
				struct store_deferred_next *next = store_deferred_next_new(mailbox, 64 * 1024);
				next->most = WINDOW;
				next->after = after[i];
				store_execute(store, requests[i] = &next->request);
			}
			store_commit(store);
			store_begin(store);
			for (unsigned i = 0; i < n; i++) {
				struct store_deferred_next *next = (struct store_deferred_next *)requests[i];
				struct store_deferred_remove *r = store_deferred_remove_new(next->mailbox);
				left += !next->is_last;
				r->count = next->count;
				for (unsigned k = 0; k < next->count; k++)
					r->positions[k] = after[i] = next->messages[k].position;
				*delivered += next->count;
				free(next);
				store_execute(store, &r->request);
			}
			end_group();
			commits++;
		}
	}
	return commits;
}

static void measure_disk(const char *path)
{
	char name[4096], page[4096] = { 1 };
	double until, from = seconds(CLOCK_MONOTONIC);
	unsigned n = 0;

	snprintf(name, sizeof(name), "%s.disk", path);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (until = from + 1; fd >= 0 && seconds(CLOCK_MONOTONIC) < until; n++)
		if (pwrite(fd, page, sizeof(page), (off_t)n * 4096) != sizeof(page) || fdatasync(fd) != 0)
			break;
	close(fd);
	unlink(name);
	printf("%-24s %8.0f/s\n", "synced 4-KiB writes", n / (seconds(CLOCK_MONOTONIC) - from));
}

int main(int argc, char **argv)
{
	const struct store_options options = { .synchronous = STORE_FULL, .wal_limit = 256 << 20 };
	unsigned numbers[] = { 160000, 20000, 64, 0 }, delivered;

	if (argc < 2) {
		fputs("usage: store_bench PATH|- [MESSAGES [MAILBOXES [GROUP [OLD]]]]\n", stderr);
		return 2;
	}
	for (int i = 2; i < argc && i < 6; i++)
		numbers[i - 2] = (unsigned)strtoul(argv[i], NULL, 10);
	if (numbers[2] < 1 || numbers[2] > 512 || !numbers[1])
		return 2;
	memset(content, 'c', sizeof(content));
	memset(head, 'h', sizeof(head));
	log_reopen_level(LOG_ERROR);
	if (strcmp(argv[1], "-") != 0)
		measure_disk(argv[1]);
	double from = seconds(CLOCK_MONOTONIC);
	if (store_open(&store, strcmp(argv[1], "-") ? argv[1] : NULL, &options) != 0)
		return 1;
	printf("%-24s %8.2f s\n", "opened", seconds(CLOCK_MONOTONIC) - from);
	if (numbers[3])
		put_all(numbers[3], numbers[3] / 10 ? numbers[3] / 10 : 1, 512, 1u << 30);
	struct span span = begin();
	unsigned commits = put_all(numbers[0], numbers[1], numbers[2], 0);
	tell("put", span, numbers[0], commits);
	if (!numbers[3]) {
		span = begin();
		commits = deliver_all(numbers[1], numbers[2], &delivered);
		tell("next and remove", span, delivered, commits);
	}
	from = seconds(CLOCK_MONOTONIC);
	store_close(store);
	printf("%-24s %8.2f s\n", "closed", seconds(CLOCK_MONOTONIC) - from);
	return 0;
}
