/* core/log.c: what a line looks like, and what a peer's text cannot do to it. */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/worker.h"
#include "tests/unit/test.h"

static char path[] = "/tmp/imserv-test-log-XXXXXX";
static char text[4 * 1024 * 1024];
static size_t read_before;

/* What was written since the last call. */
static char *new_text(void)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)read_before, SEEK_SET), 0);
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	assert_true(n < sizeof(text) - 1);
	text[n] = 0;
	read_before += n;
	assert_int_equal(fclose(f), 0);
	return text;
}

static unsigned lines_of(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void use(enum log_level level, enum log_format format)
{
	struct log_options options = { .level = level, .format = format, .sink = path };

	assert_int_equal(log_open(&options), 0);
	(void)new_text(); /* what stood there is not asked for */
}

/* The time is fixed in length; the digits of `s` must be digits. */
static const char *after_time(const char *s)
{
	static const char form[] = "0000-00-00T00:00:00.000Z";

	for (size_t i = 0; i < sizeof(form) - 1; i++)
		CHECK(form[i] == '0' ? s[i] >= '0' && s[i] <= '9' : s[i] == form[i], "time %.30s\n", s);
	return s + sizeof(form) - 1;
}

static void a_line_of_text(void **state)
{
	struct worker worker = { .index = 3 };

	use(LOG_DEBUG, LOG_TEXT);
	LOG(INFO, &worker, "session", 0xabcdef0123ull, "state=%s from=%.*s", "ACTIVE",
		SLICE_ARG(SLICE("INVITED")));
	assert_string_equal(after_time(new_text()),
		" info w3 session abcdef0123 state=ACTIVE from=INVITED\n");
	LOG(DEBUG, NULL, "config", 0, "read");
	assert_string_equal(after_time(new_text()), " debug - config read\n");
	LOG(WARN, NULL, "msrp", 1, "%s", "");
	assert_string_equal(after_time(new_text()), " warn - msrp 1 \n");
}

static void a_line_of_json(void **state)
{
	struct worker worker = { .index = 3 };
	static const char head[] = "{\"time\":\"";

	use(LOG_DEBUG, LOG_JSON);
	LOG(ERROR, &worker, "session", 0xab, "opened peer=%s", "a\"b\\c\n\t\x7f\x01");
	const char *line = new_text();
	assert_memory_equal(line, head, sizeof(head) - 1);
	assert_string_equal(after_time(line + sizeof(head) - 1),
		"\",\"level\":\"error\",\"worker\":3,\"subject\":\"session\",\"id\":\"ab\","
		"\"event\":\"opened peer=a\\\"b\\\\c\\u000a\\u0009\\u007f\\u0001\"}\n");
	LOG(INFO, NULL, "main", 0, "ready");
	line = new_text();
	assert_string_equal(after_time(line + sizeof(head) - 1),
		"\",\"level\":\"info\",\"subject\":\"main\",\"event\":\"ready\"}\n");
}

static void control_characters_start_no_line(void **state)
{
	char all[34];

	for (unsigned i = 0; i < 32; i++)
		all[i] = (char)(i ? i : 0x7f);
	all[32] = ' ';
	all[33] = 0;
	for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
		use(LOG_DEBUG, (enum log_format)format);
		LOG(INFO, NULL, "sip", 0, "from=%s", all);
		const char *line = new_text();
		assert_int_equal(lines_of(line), 1);
		for (const char *c = line; c[1]; c++)
			CHECK((unsigned char)*c >= 0x20 && *c != 0x7f, "octet %02x\n", (unsigned char)*c);
	}
}

/* What is no UTF-8 would make the JSON line invalid; C1 control characters move cursors too. */
static void only_utf8_passes(void **state)
{
	static const struct {
		const char *in, *text, *json;
	} cases[] = {
		{ "gr\u00fc\u00df \u20ac \U0001f600", "gr\u00fc\u00df \u20ac \U0001f600", "gr\u00fc\u00df \u20ac \U0001f600" },
		{ "\x80", "\\x80", "\\u0080" },
		{ "\xff\xfe", "\\xff\\xfe", "\\u00ff\\u00fe" },
		{ "\xc0\xaf", "\\xc0\\xaf", "\\u00c0\\u00af" },                 /* a slash, too long */
		{ "\xe0\x9f\xbf", "\\xe0\\x9f\\xbf", "\\u00e0\\u009f\\u00bf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\u00ed\\u00a0\\u0080" }, /* half of a pair */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\u00f4\\u0090\\u0080\\u0080" },
		{ "\xe2\x82", "\\xe2\\x82", "\\u00e2\\u0082" },                 /* cut off */
		{ "\xc2\x9b" "2J", "\\xc2\\x9b2J", "\\u00c2\\u009b2J" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
			char want[100];
			use(LOG_DEBUG, (enum log_format)format);
			LOG(INFO, NULL, "sip", 0, "%s", cases[i].in);
			snprintf(want, sizeof(want), format ? "\"event\":\"%s\"}\n" : " sip %s\n",
				format ? cases[i].json : cases[i].text);
			const char *line = new_text();
			CHECK(strlen(line) > strlen(want) && !strcmp(line + strlen(line) - strlen(want), want),
				"case %u: %s", i, line);
		}
	}
}

/* Any length, all of it characters that grow: the line is cut, but whole. */
static void a_long_event_is_cut(void **state)
{
	char event[3000];

	for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
		use(LOG_DEBUG, (enum log_format)format);
		for (size_t n = 0; n < sizeof(event) - 1; n += n < 1100 && n > 100 ? 1 : 100) {
			memset(event, n % 3 == 0 ? '"' : n % 3 == 1 ? '\n' : 'x', n);
			event[0] = n % 2 ? 'x' : event[0];
			event[n] = 0;
			LOG(INFO, NULL, "sip", UINT64_MAX, "%s", event);
			const char *line = new_text();
			size_t length = strlen(line);
			assert_true(length <= LOG_LINE_MAX);
			assert_int_equal(lines_of(line), 1);
			assert_int_equal(line[length - 1], '\n');
			if (format == LOG_TEXT)
				continue;
			assert_memory_equal(line + length - 3, "\"}\n", 3);
			unsigned escapes = 0; /* that last quote must not be escaped itself */
			while (line[length - 4 - escapes] == '\\')
				escapes++;
			assert_int_equal(escapes % 2, 0);
		}
	}
}

static void levels_hold_lines_back(void **state)
{
	use(LOG_WARN, LOG_TEXT);
	LOG(INFO, NULL, "main", 0, "not seen");
	LOG(DEBUG, NULL, "main", 0, "not seen");
	assert_string_equal(new_text(), "");
	log_reopen_level(LOG_DEBUG);
	LOG(DEBUG, NULL, "main", 0, "seen");
	assert_int_equal(lines_of(new_text()), 1);
}

static void wait_for_new_second(void)
{
	struct timespec now, little = { 0, 2 * 1000 * 1000 };
	time_t second;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	second = now.tv_sec;
	while (now.tv_sec == second) {
		nanosleep(&little, NULL);
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	}
}

static void warn_once(unsigned i)
{
	LOG(WARN, NULL, "msrp", 0, "line=%u", i);
}

static void repeats_are_swallowed_and_counted(void **state)
{
	use(LOG_DEBUG, LOG_TEXT);
	wait_for_new_second();
	for (unsigned i = 0; i < LOG_SITE_BURST; i++)
		warn_once(i);
	assert_int_equal(lines_of(new_text()), LOG_SITE_BURST);
	for (unsigned i = 0; i < 30; i++)
		warn_once(i);
	LOG(WARN, NULL, "msrp", 0, "another site speaks on");
	assert_int_equal(lines_of(new_text()), 1);
	wait_for_new_second();
	warn_once(99);
	assert_string_equal(after_time(new_text()), " warn - msrp line=99 swallowed=30\n");
	warn_once(100);
	assert_string_equal(after_time(new_text()), " warn - msrp line=100\n");
	for (unsigned i = 0; i < 50; i++)
		LOG(INFO, NULL, "session", 0, "each one is another session");
	assert_int_equal(lines_of(new_text()), 50);
}

static void *write_lines(void *arg)
{
	for (unsigned i = 0; i < 2000; i++)
		LOG(INFO, NULL, "thread", (uintptr_t)arg, "line=%u end", i);
	return NULL;
}

/* Whole lines, each thread's in order, all written when log_stop() returns. */
static void the_thread_writes_all(void **state)
{
	pthread_t threads[3];
	unsigned next[3] = { 0 };

	use(LOG_DEBUG, LOG_TEXT);
	for (unsigned round = 0; round < 2; round++) { /* it may be started again */
		memset(next, 0, sizeof(next));
		assert_int_equal(log_start(), 0);
		for (uintptr_t i = 0; i < 3; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, write_lines, (void *)(i + 1)), 0);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		log_stop();
		char *rest = new_text(), *line;
		while ((line = strsep(&rest, "\n")) && *line) {
			unsigned thread, number;
			int used = 0;
			assert_int_equal(sscanf(after_time(line), " info - thread %u line=%u end%n", &thread,
				&number, &used), 2);
			assert_int_equal(used, strlen(after_time(line)));
			assert_int_equal(number, next[thread - 1]++);
		}
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(next[i], 2000);
	}
}

static void *stop_log(void *arg)
{
	log_stop();
	return NULL;
}

/* A sink that does not take anything: workers do not wait, what is lost is counted and said. */
static void a_stuck_sink_costs_lines_not_time(void **state)
{
	static char fifo[sizeof(path) + 5];
	struct log_options options = { .level = LOG_DEBUG, .format = LOG_TEXT, .sink = fifo };
	enum { TOO_MANY = 1000 };
	unsigned long long lost = 0;
	unsigned lines = 0;
	pthread_t stopper;
	int fd;

	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(log_open(&options), 0);
	assert_int_equal(log_start(), 0);
	unsigned written = LOG_QUEUE_LINES + 1500 /* what a pipe holds, generously */ + TOO_MANY;
	for (unsigned i = 0; i < written; i++)
		LOG(INFO, NULL, "session", i, "a line of about seventy octets, so that the pipe holds few");
	assert_int_equal(pthread_create(&stopper, NULL, stop_log, NULL), 0);
	FILE *f = fdopen(fd, "r");
	fcntl(fd, F_SETFL, 0);
	while (lines + lost < written && fgets(text, sizeof(text), f)) {
		unsigned long long more;
		if (sscanf(after_time(text), " warn - log lost lines=%llu", &more) == 1)
			lost += more;
		else
			lines++;
	}
	assert_true(lost >= TOO_MANY);
	assert_int_equal(lines + lost, written);
	assert_int_equal(pthread_join(stopper, NULL), 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(unlink(fifo), 0);
}

static char *text_of_file(const char *name)
{
	FILE *f = fopen(name, "r");

	assert_non_null(f);
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	assert_int_equal(fclose(f), 0);
	return text;
}

/* While the thread writes: what was said before goes to the old file, what comes later to the new one.  The same
 * name is opened again too: somebody has moved the file away. */
static void the_sink_changes_while_it_runs(void **state)
{
	static char moved[sizeof(path) + 6];
	struct log_options options = { .level = LOG_INFO, .format = LOG_TEXT, .sink = path };
	struct log_options nowhere = { .level = LOG_DEBUG, .format = LOG_JSON, .sink = "/nonexistent/log" };

	use(LOG_INFO, LOG_TEXT);
	assert_int_equal(log_start(), 0);
	snprintf(moved, sizeof(moved), "%s.moved", path);
	for (unsigned i = 0; i < 100; i++)
		LOG(INFO, NULL, "session", i, "before");
	assert_int_equal(log_open(&nowhere), ENOENT);
	LOG(DEBUG, NULL, "session", 0, "a level that was not set");
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(log_open(&options), 0);
	for (unsigned i = 0; i < 100; i++)
		LOG(INFO, NULL, "session", i, "after");
	log_stop();
	const char *old = text_of_file(moved);
	assert_int_equal(lines_of(old + read_before), 100);
	assert_non_null(strstr(old, "before\n"));
	assert_null(strstr(old, "after"));
	const char *new = text_of_file(path);
	assert_int_equal(lines_of(new), 100);
	assert_non_null(strstr(new, "after\n"));
	assert_null(strstr(new, "{"));
	read_before = strlen(new);
	assert_int_equal(unlink(moved), 0);
}

static void a_sink_that_cannot_be_opened(void **state)
{
	struct log_options options = { .sink = "/nonexistent/log" };

	assert_int_equal(log_open(&options), ENOENT);
}

static void words_and_paths_of_the_sink(void **state)
{
	assert_false(log_sink_is_file(NULL));
	assert_false(log_sink_is_file("stderr"));
	assert_false(log_sink_is_file("journald"));
	assert_false(log_sink_is_file("syslog"));
	assert_true(log_sink_is_file("imservd.log"));
	assert_true(log_sink_is_file("/var/log/syslog"));
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_text),
		cmocka_unit_test(a_line_of_json),
		cmocka_unit_test(control_characters_start_no_line),
		cmocka_unit_test(only_utf8_passes),
		cmocka_unit_test(a_long_event_is_cut),
		cmocka_unit_test(levels_hold_lines_back),
		cmocka_unit_test(repeats_are_swallowed_and_counted),
		cmocka_unit_test(the_thread_writes_all),
		cmocka_unit_test(a_stuck_sink_costs_lines_not_time),
		cmocka_unit_test(the_sink_changes_while_it_runs),
		cmocka_unit_test(a_sink_that_cannot_be_opened),
		cmocka_unit_test(words_and_paths_of_the_sink),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
