#include "sip/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <sys/socket.h>

#include "sip/layer.h"
#include "tests/unit/test.h"

#define WIRE                                                                                             \
	"MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"        \
	"From: \"A\x1b[2J\" <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\n" \
	"CSeq: 1 MESSAGE\r\nProxy-Authorization: Digest response=\"5e\"\r\nContent-Type: text/plain\r\n"  \
	"Content-Length: 6\r\n\r\nsecret"

static struct worker worker;
static struct sip_home home;
static struct sip_options options_of_layer;
static struct sip_layer layer;
static const struct sip_trace_options lines = { .file = -1 };

static int set_up(void **state)
{
	static struct worker_group group = { .count = 1 };
	struct ring_options options = { 64, 16, 2048 };
	struct ring *ring;

	home.home = SLICE("example.com");
	worker_init(&worker, 0, &group);
	if (ring_open_epoll(&ring, &options) != 0)
		return -1;
	worker_use_ring(&worker, ring);
	options_of_layer.listener_count = 1;
	*(struct sockaddr_in *)&options_of_layer.listeners[0].bound = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons(5060), .sin_addr.s_addr = htonl(0xc0000202) };
	layer = (struct sip_layer){ .worker = &worker, .options = &options_of_layer };
	worker.sip = &layer;
	return 0;
}

static int tear_down(void **state)
{
	worker_free(&worker);
	return 0;
}

static struct sip_flow flow(void)
{
	struct sip_flow f = { .protocol = SIP_UDP };

	f.peer.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(5070),
		.sin_addr.s_addr = htonl(0xc0000201) };
	return f;
}

static struct sip_trace_reader *open_reader(const char *name)
{
	struct sip_trace_reader *reader = NULL;
	char text[256];

	assert_int_equal(sip_trace_open(&reader, slice_str(name), &home, &lines), 0);
	text[sip_trace_read(reader, text, sizeof(text) - 1, -1)] = 0;
	assert_non_null(strstr(text, "# trace of "));
	return reader;
}

static void a_message_is_told_without_content(void **state)
{
	static char text[65536];
	struct sip_flow f = flow();
	struct sip_trace_reader *reader;

	assert_false(sip_trace_on());
	reader = open_reader("bob@example.com");
	assert_true(sip_trace_on());
	sip_trace_sent(&worker, &f, SLICE(WIRE));
	text[sip_trace_read(reader, text, sizeof(text) - 1, -1)] = 0;
	assert_non_null(strstr(text, "Z out udp 192.0.2.1:5070 MESSAGE sip:bob@example.com\n\tVia: SIP/2.0/UDP"));
	assert_non_null(strstr(text, "\n\tCall-ID: c1\n"));
	assert_non_null(strstr(text, "\t(6 octets of content)\n\n")); /* an empty line ends it */
	assert_non_null(strstr(text, "Proxy-Authorization: (left out)"));
	assert_null(strstr(text, "secret"));
	assert_null(strstr(text, "5e"));
	assert_null(strchr(text, 0x1b)); /* nor does it move anybody's cursor */
	sip_trace_close(reader);
	assert_false(sip_trace_on());
	sip_trace_sent(&worker, &f, SLICE(WIRE)); /* to nobody */
}

/* Control characters of eight bits are those of a terminal too; letters stay as they are. */
static void no_control_sequence_comes_through(void **state)
{
	static const char wire[] = "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
		"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\nCSeq: 1 MESSAGE\r\n"
		"Subject: a\x9b" "2Jb\xc2\x9b" "2Jc \xc3\x84\xe2\x80\x9c\xf0\x9f\x98\x80 \xe2\x80 \x90\r\nContent-Length: 0\r\n\r\n";
	static char text[65536];
	struct sip_flow f = flow();
	struct sip_trace_reader *reader = open_reader("bob@example.com");

	sip_trace_sent(&worker, &f, SLICE(wire));
	text[sip_trace_read(reader, text, sizeof(text) - 1, -1)] = 0;
	assert_non_null(strstr(text, "Subject: a 2Jb\xc2 2Jc \xc3\x84\xe2\x80\x9c\xf0\x9f\x98\x80 \xe2\x80  \n"));
	sip_trace_close(reader);
}

static void strangers_are_not_shown(void **state)
{
	static char text[65536];
	struct sip_flow f = flow();
	struct sip_trace_reader *carol = open_reader("carol@example.com"), *alice = open_reader("alice@example.com");

	sip_trace_sent(&worker, &f, SLICE(WIRE));
	sip_trace_refusal_now(&worker, &(struct sip_trace_refusal){ "MESSAGE", 403, REASON_IDENTITY,
		SLICE("<sip:carol@example.com>;tag=2"), SLICE("<sip:bob@example.com>"), SLICE("c2\r\n") });
	text[sip_trace_read(carol, text, sizeof(text) - 1, -1)] = 0;
	assert_non_null(strstr(text, " refused method=MESSAGE status=403 reason=identity why=\""));
	assert_non_null(strstr(text, "call_id=c2  \n"));
	assert_null(strstr(text, "alice"));
	text[sip_trace_read(alice, text, sizeof(text) - 1, -1)] = 0;
	assert_null(strstr(text, "refused"));
	sip_trace_close(carol);
	sip_trace_close(alice);
}

/* What does not fit into its queue is counted and told; nothing grows. */
static void a_slow_reader_is_told_what_it_missed(void **state)
{
	enum { MESSAGES = 20000 };
	static char text[65536];
	struct sip_trace_reader *reader = open_reader("alice@example.com");
	struct sip_flow f = flow();
	size_t octets = 0, n;
	unsigned long long left_out = 0, heads = 0;

	for (int i = 0; i < MESSAGES; i++)
		sip_trace_sent(&worker, &f, SLICE(WIRE));
	do {
		n = sip_trace_read(reader, text, sizeof(text) - 1, -1);
		text[n] = 0;
		octets += n;
		for (const char *at = text; (at = strstr(at, " left out: the reader")); at++) {
			const char *start = at;
			while (start > text && start[-1] != '\n')
				start--;
			left_out += strtoull(start + 2, NULL, 10);
		}
		for (const char *at = text; (at = strstr(at, "\tCall-ID: ")); at++)
			heads++;
	} while (n == sizeof(text) - 1);
	CHECK(octets <= SIP_TRACE_QUEUE_OCTETS + 200, "%zu octets were queued\n", octets);
	/* a head that a read cut in two is not seen by the count above */
	CHECK(left_out + heads <= MESSAGES && left_out + heads + 32 >= MESSAGES, "%llu left out, %llu shown\n", left_out,
		heads);
	sip_trace_close(reader);
}

static void a_reader_of_captures(void **state)
{
	static const struct sip_trace_options capture = { .is_pcap = true, .file = -1 };
	static char data[65536];
	struct sip_flow f = flow();
	struct sip_trace_reader *reader;

	assert_int_equal(sip_trace_open(&reader, SLICE("bob@example.com"), &home, &capture), 0);
	assert_int_equal(sip_trace_read(reader, data, sizeof(data), -1), 24);
	sip_trace_refusal_now(&worker, &(struct sip_trace_refusal){ "MESSAGE", 403, REASON_IDENTITY, SLICE_EMPTY,
		SLICE("<sip:bob@example.com>"), SLICE("c1") }); /* has no place there */
	sip_trace_sent(&worker, &f, SLICE(WIRE));
	size_t n = sip_trace_read(reader, data, 1000, -1);
	assert_int_equal(n, 16 + 28 + sizeof(WIRE) - 1);
	assert_memory_equal(data + n - 6, "xxxxxx", 6);
	assert_non_null(memmem(data, n, "MESSAGE sip:bob@example.com SIP/2.0\r\n", 37));
	assert_null(memmem(data, n, "5e", 2));
	sip_trace_close(reader);
}

/* Beside the lines; it ends with a whole record when it is full. */
static void a_file_gets_the_same(void **state)
{
	char name[] = "/tmp/test_sip_trace.XXXXXX", text[4096];
	size_t record = 16 + 28 + sizeof(WIRE) - 1;
	struct sip_trace_options options = { .file = mkstemp(name), .file_max = 24 + 2 * record + 5 };
	struct sip_flow f = flow();
	struct sip_trace_reader *reader;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	unlink(name);
	assert_int_equal(sip_trace_open(&reader, SLICE("bob@example.com"), &home, &options), 0);
	assert_true(sip_trace_read(reader, text, sizeof(text), -1) > 0);
	for (unsigned i = 1; i <= 3; i++) {
		sip_trace_sent(&worker, &f, SLICE(WIRE));
		text[sip_trace_read(reader, text, sizeof(text) - 1, -1)] = 0;
		assert_non_null(strstr(text, "MESSAGE sip:bob"));
		assert_int_equal(lseek(fd, 0, SEEK_END), 24 + (i < 3 ? i : 2) * record);
	}
	assert_non_null(strstr(text, "# the file ends here: it is full\n"));
	sip_trace_close(reader);
	close(fd);
}

static void readers_are_bounded(void **state)
{
	struct sip_trace_reader *all[SIP_TRACE_READERS_MAX], *more = NULL;

	for (int i = 0; i < SIP_TRACE_READERS_MAX; i++)
		all[i] = open_reader("alice@example.com");
	assert_int_equal(sip_trace_open(&more, SLICE("alice@example.com"), &home, &lines), EBUSY);
	sip_trace_close(all[3]);
	all[3] = open_reader("alice@example.com");
	for (int i = 0; i < SIP_TRACE_READERS_MAX; i++)
		sip_trace_close(all[i]);
	assert_int_equal(sip_trace_open(&more, SLICE_EMPTY, &home, &lines), EINVAL);
}

static void it_ends_when_the_peer_is_gone(void **state)
{
	struct sip_trace_reader *reader = open_reader("alice@example.com");
	char text[64];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	close(ends[1]);
	assert_int_equal(sip_trace_read(reader, text, sizeof(text), ends[0]), 0);
	close(ends[0]);
	sip_trace_close(reader);
}

/* Readers come and go while a worker writes: nothing is lost, leaked or touched after its end. */
static void *write_on(void *arg)
{
	struct sip_flow f = flow();

	while (!atomic_load((atomic_bool *)arg))
		sip_trace_sent(&worker, &f, SLICE(WIRE));
	return NULL;
}

static void readers_come_and_go(void **state)
{
	atomic_bool must_end = false;
	char text[4096];
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, write_on, &must_end), 0);
	for (int i = 0; i < 200; i++) {
		struct sip_trace_reader *reader = open_reader(i % 2 ? "alice@example.com" : "bob@example.com");
		assert_true(sip_trace_read(reader, text, sizeof(text), -1) > 0);
		sip_trace_close(reader);
	}
	atomic_store(&must_end, true);
	pthread_join(writer, NULL);
}

/* The last: for the process nothing can be traced afterwards. */
static void stopping_ends_all(void **state)
{
	struct sip_trace_reader *reader = open_reader("alice@example.com"), *more;
	char text[64];

	sip_trace_stop();
	assert_int_equal(sip_trace_read(reader, text, sizeof(text), -1), 0);
	sip_trace_close(reader);
	assert_int_equal(sip_trace_open(&more, SLICE("alice@example.com"), &home, &lines), EBUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_told_without_content),
		cmocka_unit_test(no_control_sequence_comes_through),
		cmocka_unit_test(strangers_are_not_shown),
		cmocka_unit_test(a_slow_reader_is_told_what_it_missed),
		cmocka_unit_test(a_reader_of_captures),
		cmocka_unit_test(a_file_gets_the_same),
		cmocka_unit_test(readers_are_bounded),
		cmocka_unit_test(it_ends_when_the_peer_is_gone),
		cmocka_unit_test(readers_come_and_go),
		cmocka_unit_test(stopping_ends_all),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
