/* core/log_line.c and core/log_sink.c: what each kind of sink gets, and what happens when it takes nothing. */
#include "core/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/log.h"
#include "tests/unit/test.h"

static char folder[] = "/tmp/imserv-test-sink-XXXXXX";
static char path[64], said[64 * 1024];

static const struct log_record session = { .time = { 1700000000, 123456789 }, .level = LOG_ERROR, .worker = 3,
	.subject = "session", .id = 0xabc, .swallowed = 7, .event = "opened peer=\"\xc3\xa4\"\n\x01" };
static const struct log_record plain = { .time = { 1700000000, 0 }, .level = LOG_INFO, .worker = -1,
	.subject = "main", .event = "ready" };

/* A daemon's socket at `path`, whose name the variable tells. */
static int daemon_at(const char *variable)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv(variable, path, 1);
	return fd;
}

static const char *heard(int fd)
{
	ssize_t n = recv(fd, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = 0;
	return said;
}

static void open_sink(struct log_sink *sink, const char *name, enum log_format format)
{
	char word[100];
	struct log_options options = { .format = format, .sink = word };

	snprintf(word, sizeof(word), "%s", name);
	assert_int_equal(log_sink_open(sink, &options), 0);
}

static const char *file_text(void)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	said[fread(said, 1, sizeof(said) - 1, f)] = 0;
	fclose(f);
	return said;
}

/* stderr is the file at `path` until the next call, with -1. */
static void turn_stderr(int *kept)
{
	if (*kept < 0) {
		*kept = dup(STDERR_FILENO);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
		assert_true(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
		close(fd);
		return;
	}
	assert_true(dup2(*kept, STDERR_FILENO) >= 0);
	close(*kept);
	*kept = -1;
}

static void entries_of_the_journal(void **state)
{
	static const struct {
		const struct log_record *record;
		const char *want;
	} cases[] = {
		{ &session, "PRIORITY=3\nSYSLOG_IDENTIFIER=imservd\nIMSERV_SUBJECT=session\nIMSERV_ID=abc\nIMSERV_WORKER=3\n"
			"MESSAGE=session abc opened peer=\"\xc3\xa4\"\\x0a\\x01 swallowed=7\n" },
		{ &plain, "PRIORITY=6\nSYSLOG_IDENTIFIER=imservd\nIMSERV_SUBJECT=main\nMESSAGE=main ready\n" },
	};
	int fd = daemon_at("IMSERV_JOURNAL");
	struct log_sink sink;

	for (int format = LOG_TEXT; format <= LOG_JSON; format++) { /* the entry has fields of its own: no JSON */
		open_sink(&sink, "journald", (enum log_format)format);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			assert_true(log_sink_write(&sink, cases[i].record));
			assert_string_equal(heard(fd), cases[i].want);
		}
		log_sink_close(&sink);
	}
	close(fd);
	unlink(path);
}

static void messages_to_syslog(void **state)
{
	int fd = daemon_at("IMSERV_SYSLOG");
	char month[4], rest[500];
	unsigned priority, pid;
	struct log_sink sink;

	open_sink(&sink, "syslog", LOG_TEXT);
	assert_true(log_sink_write(&sink, &session));
	assert_int_equal(sscanf(heard(fd), "<%u>%3s %*2d %*2d:%*2d:%*2d imservd[%u]: %499[^\n]", &priority, month, &pid, rest), 4);
	assert_int_equal(priority, 3 * 8 + 3);
	assert_string_equal(month, "Nov");
	assert_int_equal(pid, getpid());
	assert_string_equal(rest, "w3 session abc opened peer=\"\xc3\xa4\"\\x0a\\x01 swallowed=7");
	assert_null(strchr(said, '\n'));
	log_sink_close(&sink);

	open_sink(&sink, "syslog", LOG_JSON);
	assert_true(log_sink_write(&sink, &plain));
	const char *json = strstr(heard(fd), "]: ");
	assert_non_null(json);
	assert_string_equal(json + 3, "{\"time\":\"2023-11-14T22:13:20.000Z\",\"level\":\"info\",\"subject\":\"main\","
		"\"event\":\"ready\"}");
	log_sink_close(&sink);
	close(fd);
	unlink(path);
}

/* Nobody listens: stderr gets the line.  Somebody listens again: he gets it, by the same sink. */
static void a_daemon_goes_and_comes(void **state)
{
	static const char *const sinks[][2] = { { "journald", "IMSERV_JOURNAL" }, { "syslog", "IMSERV_SYSLOG" } };
	char other[80];

	for (unsigned i = 0; i < 2; i++) {
		struct log_sink sink;
		int kept = -1;

		snprintf(other, sizeof(other), "%s.gone", path);
		setenv(sinks[i][1], other, 1);
		open_sink(&sink, sinks[i][0], LOG_TEXT);
		turn_stderr(&kept);
		bool is_taken = log_sink_write(&sink, &plain);
		turn_stderr(&kept);
		assert_true(is_taken);
		assert_string_equal(file_text(), "2023-11-14T22:13:20.000Z info - main ready\n");
		unlink(path);
		for (unsigned round = 0; round < 2; round++) { /* it comes, and is started again */
			int fd = daemon_at(sinks[i][1]);
			assert_true(log_sink_write(&sink, &plain));
			assert_non_null(strstr(heard(fd), "main ready"));
			close(fd);
			unlink(path);
		}
		log_sink_close(&sink);
		unsetenv(sinks[i][1]);
	}
}

/* What a full disk cost is counted, and said when there is room again. */
static void a_full_disk(void **state)
{
	struct log_options full = { .level = LOG_INFO, .sink = "/dev/full" }, roomy = { .level = LOG_INFO, .sink = path };
	uint64_t before = log_counters()->values[COUNTER_log_lines_lost];

	if (access("/dev/full", W_OK) != 0)
		skip();
	assert_int_equal(log_open(&full), 0);
	assert_int_equal(log_start(), 0);
	for (unsigned i = 0; i < 3; i++)
		LOG(INFO, NULL, "session", i, "nobody sees this");
	assert_int_equal(log_open(&roomy), 0);
	LOG(INFO, NULL, "session", 9, "seen");
	log_stop();
	const char *text = file_text();
	assert_non_null(strstr(text, " info - session 9 seen\n"));
	assert_non_null(strstr(text, " warn - log lost lines=3\n"));
	assert_null(strstr(text, "nobody"));
	assert_int_equal(log_counters()->values[COUNTER_log_lines_lost], before + 3);
	unlink(path);
}

/* A file system with room for a part of a line: the next line is one of its own. */
static void a_torn_line(void **state)
{
	struct rlimit kept, small;
	struct log_sink sink;

	unlink(path);
	open_sink(&sink, path, LOG_TEXT);
	assert_true(log_sink_write(&sink, &plain));
	size_t line = strlen(file_text());
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
	small = kept;
	small.rlim_cur = line + 10;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	bool is_taken = log_sink_write(&sink, &plain) || log_sink_write(&sink, &plain);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
	assert_false(is_taken);
	assert_true(log_sink_write(&sink, &plain));
	assert_true(log_sink_write(&sink, &plain));
	const char *text = file_text();
	assert_int_equal(strlen(text), line + 10 + 1 + 2 * line);
	assert_int_equal(text[line + 10], '\n');
	assert_memory_equal(text + line + 11, text, line);
	assert_memory_equal(text + line + 11 + line, text, line);
	log_sink_close(&sink);
	unlink(path);
}

/* A pipe that somebody has made non-blocking takes whole lines or, while nobody reads, none. */
static void a_pipe_that_does_not_block(void **state)
{
	unsigned taken = 0, lines = 0;
	struct log_sink sink = LOG_SINK_STDERR;
	int ends[2];

	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	sink.fd = ends[1];
	while (taken < 100000 && log_sink_write(&sink, &plain))
		taken++;
	assert_true(taken > 10 && taken < 100000);
	for (ssize_t n; (n = read(ends[0], said, sizeof(said))) > 0;)
		for (ssize_t i = 0; i < n; i++)
			lines += said[i] == '\n';
	assert_int_equal(lines, taken);
	close(ends[0]);
	assert_false(log_sink_write(&sink, &plain)); /* SIGPIPE is ignored, as main does */
	close(ends[1]);
}

/* ---- any octets ---- */

static unsigned long long seed;

static unsigned number(unsigned below) /* xorshift */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % below);
}

/* No control character; then, in a string of JSON, only escapes that it knows. */
static void check_clean(const char *text, size_t n, bool json)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		CHECK(c >= 0x20 && c != 0x7f, "octet %02x at %zu, seed %llu\n", c, i, seed);
		if (c == 0xc2)
			CHECK((unsigned char)text[i + 1] >= 0xa0, "C1 at %zu, seed %llu\n", i, seed);
		if (!json || c != '\\')
			continue;
		i++;
		CHECK(i < n && (text[i] == '"' || text[i] == '\\' || (text[i] == 'u' && n - i > 4)), "escape at %zu\n", i);
	}
}

static void any_octets_stay_where_they_belong(void **state)
{
	char event[1200], *out = malloc(LOG_ENTRY_MAX);
	struct log_record record = session;

	record.event = event;
	for (unsigned round = 0; round < 3000; round++) {
		seed = 0x9e3779b97f4a7c15ull * (round + 1);
		size_t n = number(round % 3 ? 60 : sizeof(event) - 1);
		for (size_t i = 0; i < n; i++) { /* much of what is special */
			static const char special[] = "\n\r\"\\=\x1b\xc2\x9b\xe2\x80\xa8\x7f";
			event[i] = number(2) ? special[number(sizeof(special) - 1)] : (char)(1 + number(255));
		}
		event[n] = 0;
		size_t size = log_line_write(out, &record, LOG_TEXT);
		assert_true(size <= LOG_LINE_MAX && out[size - 1] == '\n');
		check_clean(out, size - 1, false);
		size = log_line_write(out, &record, LOG_JSON);
		assert_true(size <= LOG_LINE_MAX);
		assert_memory_equal(out + size - 3, "\"}\n", 3);
		check_clean(out, size - 3, true);
		size = log_line_syslog(out, &record, round % 2 ? LOG_JSON : LOG_TEXT);
		assert_true(size <= LOG_ENTRY_MAX);
		check_clean(out, size, false);
		size = log_line_journal(out, &record);
		assert_true(size <= LOG_ENTRY_MAX && out[size - 1] == '\n');
		unsigned fields = 0;
		for (size_t i = 0; i < size; i++)
			fields += out[i] == '\n';
		assert_int_equal(fields, 6);
	}
	free(out);
}

static int setup(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/sink", folder);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_of_the_journal),
		cmocka_unit_test(messages_to_syslog),
		cmocka_unit_test(a_daemon_goes_and_comes),
		cmocka_unit_test(a_full_disk),
		cmocka_unit_test(a_torn_line),
		cmocka_unit_test(a_pipe_that_does_not_block),
		cmocka_unit_test(any_octets_stay_where_they_belong),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
