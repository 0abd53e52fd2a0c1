/* core/notify.c and core/watchdog.c: what the service manager hears, and what it does not when a worker hangs. */
#include "core/notify.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/watchdog.h"
#include "tests/unit/test.h"

static struct sockaddr_un address;
static char heard[NOTIFY_MAX + 1];

/* A manager of our own at `name`, which NOTIFY_SOCKET then names. */
static int manager(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@'));
	if (*name == '@')
		address.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	notify_open();
	return fd;
}

/* The next message, "" when there is none. */
static const char *next(int fd)
{
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);

	heard[n > 0 ? n : 0] = 0;
	return heard;
}

static void end(int fd)
{
	if (address.sun_path[0])
		unlink(address.sun_path);
	close(fd);
	notify_close();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void names_of_the_socket(void **state)
{
	char names[2][64];

	snprintf(names[0], sizeof(names[0]), "/tmp/imserv-test-notify-%d", (int)getpid());
	snprintf(names[1], sizeof(names[1]), "@imserv-test-notify-%d", (int)getpid());
	for (unsigned i = 0; i < 2; i++) {
		int fd = manager(names[i]);
		assert_true(notify_say("READY=1\nSTATUS=%s", "running"));
		assert_string_equal(next(fd), "READY=1\nSTATUS=running");
		assert_string_equal(next(fd), "");
		notify_reloading();
		unsigned long long us;
		struct timespec now;
		assert_int_equal(sscanf(next(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &us), 1);
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_true(us > 0 && us / 1000000 <= (unsigned long long)now.tv_sec + 1);
		end(fd);
	}
}

static void nobody_to_tell(void **state)
{
	static const char *const names[] = { "", "relative", "/", "@", "vsock:2:1234" };
	char longest[200];

	notify_open();
	assert_true(notify_say("READY=1"));
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		notify_open();
		assert_true(notify_say("READY=1"));
		assert_int_equal(notify_watchdog_us(), 0);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = 0;
	setenv("NOTIFY_SOCKET", longest, 1);
	notify_open();
	assert_true(notify_say("READY=1"));
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	notify_open();
	assert_false(notify_say("READY=1")); /* says so on the log */
	end(-1);
}

static void a_long_message_is_cut(void **state)
{
	char name[64], status[NOTIFY_MAX + 100];

	snprintf(name, sizeof(name), "@imserv-test-notify-%d", (int)getpid());
	int fd = manager(name);
	memset(status, 'x', sizeof(status) - 1);
	status[sizeof(status) - 1] = 0;
	assert_true(notify_say("STATUS=%s", status));
	assert_int_equal(strlen(next(fd)), NOTIFY_MAX - 1);
	end(fd);
}

static void whose_watchdog(void **state)
{
	static const struct {
		const char *us, *pid;
		uint64_t want;
	} cases[] = {
		{ "30000000", NULL, 30000000 },
		{ "30000000", "self", 30000000 },
		{ "30000000", "1", 0 },
		{ "30000000", "", 0 },
		{ "0", "self", 0 },
		{ NULL, "self", 0 },
		{ "", "self", 0 },
		{ "-5", "self", 0 },
		{ "12x", "self", 0 },
		{ "99999999999999999999999", "self", 0 },
	};
	char name[64], self[24];

	snprintf(name, sizeof(name), "@imserv-test-notify-%d", (int)getpid());
	snprintf(self, sizeof(self), "%d", (int)getpid());
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].us)
			setenv("WATCHDOG_USEC", cases[i].us, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", strcmp(cases[i].pid, "self") ? cases[i].pid : self, 1);
		int fd = manager(name);
		CHECK(notify_watchdog_us() == cases[i].want, "case %u\n", i);
		end(fd);
	}
}

/* ---- the watchdog ---- */

static struct worker workers[2];
static struct worker_group group = { .count = 2 };

static void make_workers(void)
{
	struct ring_options options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };
	struct ring *ring;

	for (unsigned i = 0; i < group.count; i++) {
		assert_int_equal(worker_init(&workers[i], i, &group), 0);
		assert_int_equal(ring_open_epoll(&ring, &options), 0);
		worker_use_ring(&workers[i], ring);
	}
}

static void only_while_all_workers_turn(void **state)
{
	static struct watchdog watchdog;
	uint64_t now = 1000;
	char name[64];

	snprintf(name, sizeof(name), "@imserv-test-notify-%d", (int)getpid());
	setenv("WATCHDOG_USEC", "400000", 1);
	int fd = manager(name);
	make_workers();
	watchdog_init(&watchdog, &group, now);
	for (unsigned i = 0; i < 10; i++) { /* asked at one step, told at the next */
		assert_int_equal(watchdog_step(&watchdog, now), 100);
		worker_turn(&workers[0], false);
		worker_turn(&workers[1], false);
		CHECK(!strcmp(next(fd), i % 2 ? "WATCHDOG=1" : ""), "step %u: %s\n", i, heard);
		assert_int_equal(watchdog_step(&watchdog, now + 40), 60); /* too early: nothing */
		assert_string_equal(next(fd), "");
		now += 100;
	}
	for (unsigned i = 0; i < 10; i++) { /* the second hangs */
		assert_int_equal(watchdog_step(&watchdog, now), 100);
		worker_turn(&workers[0], false);
		assert_string_equal(next(fd), "");
		now += 100;
	}
	worker_turn(&workers[1], false); /* it was only slow */
	assert_int_equal(watchdog_step(&watchdog, now), 100);
	assert_string_equal(next(fd), "WATCHDOG=1");
	now += 100;
	(void)watchdog_step(&watchdog, now); /* pings on their way when the workers end are nobody's to free */
	worker_free(&workers[0]);
	worker_free(&workers[1]);
	end(fd);
}

static void a_manager_that_asks_for_nothing(void **state)
{
	static struct watchdog watchdog;

	notify_open();
	watchdog_init(&watchdog, &group, 5);
	assert_true(watchdog_step(&watchdog, 5) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_the_socket),
		cmocka_unit_test(nobody_to_tell),
		cmocka_unit_test(a_long_message_is_cut),
		cmocka_unit_test(whose_watchdog),
		cmocka_unit_test(only_while_all_workers_turn),
		cmocka_unit_test(a_manager_that_asks_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
