/*
 * core/names.c with a resolver that answers when the test says, core/name_reply.c
 * with replies put together here, and core/resolver.c against a socket.
 */
#include "core/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "tests/unit/test.h"

static struct worker worker;
static struct worker_group group;
static struct name_question *asked[NAMES_MAX + NAMES_ASKED_MAX + 8];
static unsigned asked_count, told;

static void submit(struct resolver *resolver, struct name_question *question)
{
	asked[asked_count++] = question;
}

static struct resolver fake = { submit };

static int setup(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };
	struct ring *ring;

	group = (struct worker_group){ .count = 1, .workers = { &worker } };
	memset(&worker, 0, sizeof(worker));
	assert_int_equal(worker_init(&worker, 0, &group), 0);
	assert_int_equal(ring_open_epoll(&ring, &options), 0);
	worker_use_ring(&worker, ring);
	assert_int_equal(names_worker_init(&worker, &fake), 0);
	worker.now_us = 1000000;
	asked_count = told = 0;
	return 0;
}

static int teardown(void **state)
{
	names_worker_free(&worker);
	worker_free(&worker);
	return 0;
}

static void pass_s(unsigned seconds)
{
	worker.now_us += seconds * 1000000ull;
}

static int find(const char *name, struct names_waiter *waiter, const struct name_question **answer)
{
	return names_find(&worker, NAME_ADDRESSES, slice_str(name), waiter, answer);
}

/* Question i comes home. */
static void answer(unsigned i, int err, uint32_t ttl_s, const char *address)
{
	struct name_question *q = asked[i];

	q->msg.err = err;
	q->ttl_s = ttl_s;
	q->count = err ? 0 : 1;
	q->records[0].address.v4 = (struct sockaddr_in){ .sin_family = AF_INET };
	if (!err)
		assert_int_equal(inet_pton(AF_INET, address, &q->records[0].address.v4.sin_addr), 1);
	worker.on_message[MSG_NAME_ANSWERED](&worker, &q->msg);
}

static void on_answer(struct names_waiter *waiter)
{
	told++;
}

static void expect_address(const char *name, const char *address)
{
	const struct name_question *found;
	char text[INET_ADDRSTRLEN];

	assert_int_equal(find(name, NULL, &found), 0);
	inet_ntop(AF_INET, &found->records[0].address.v4.sin_addr, text, sizeof(text));
	assert_string_equal(text, address);
}

static void test_kept_for_its_ttl(void **state)
{
	struct names_waiter one = { .on_answer = on_answer }, two = one, gone = one;
	const struct name_question *found;

	assert_int_equal(find("core.test", &one, &found), EINPROGRESS);
	assert_int_equal(find("CORE.test", &two, &found), EINPROGRESS);
	assert_int_equal(find("core.test", &gone, &found), EINPROGRESS);
	names_forget(&gone);
	assert_int_equal(asked_count, 1);
	assert_string_equal(asked[0]->name, "core.test");
	answer(0, 0, 4, "192.0.2.1");
	assert_int_equal(told, 2);
	pass_s(3);
	expect_address("Core.Test", "192.0.2.1");
	assert_int_equal(asked_count, 1);
	pass_s(1);
	assert_int_equal(find("core.test", NULL, &found), EINPROGRESS);
	assert_int_equal(asked_count, 2);
	answer(1, 0, 0, "192.0.2.2"); /* no TTL: for those who wait */
	expect_address("core.test", "192.0.2.2");
	pass_s(NAMES_TTL_MIN_S);
	assert_int_equal(find("core.test", NULL, &found), EINPROGRESS);
	free(asked[2]);
}

static void test_asked_before_it_ends(void **state)
{
	const struct name_question *found;

	assert_int_equal(find("core.test", NULL, &found), EINPROGRESS);
	answer(0, 0, 100, "192.0.2.1");
	pass_s(74);
	expect_address("core.test", "192.0.2.1");
	assert_int_equal(asked_count, 1);
	pass_s(1);
	expect_address("core.test", "192.0.2.1"); /* nobody waits, */
	expect_address("core.test", "192.0.2.1");
	assert_int_equal(asked_count, 2); /* and it is asked once */
	answer(1, 0, 100, "192.0.2.2");
	pass_s(74);
	expect_address("core.test", "192.0.2.2");
}

static void test_failures(void **state)
{
	const struct name_question *found;

	assert_int_equal(find("none.test", NULL, &found), EINPROGRESS);
	answer(0, ENOENT, 0, NULL);
	assert_int_equal(find("none.test", NULL, &found), ENOENT);
	pass_s(NAMES_UNKNOWN_S);
	assert_int_equal(find("none.test", NULL, &found), EINPROGRESS); /* asked again */
	answer(1, EAGAIN, 0, NULL);
	assert_int_equal(find("none.test", NULL, &found), EAGAIN);
	pass_s(NAMES_FAILED_S);
	assert_int_equal(find("none.test", NULL, &found), EINPROGRESS);
	answer(2, 0, 1, "192.0.2.1");
	pass_s(1);
	assert_int_equal(find("none.test", NULL, &found), EINPROGRESS);
	answer(3, EAGAIN, 0, NULL);
	expect_address("none.test", "192.0.2.1"); /* while the DNS is silent: what it said last */
	pass_s(NAMES_STALE_S + 1);
	assert_int_equal(find("none.test", NULL, &found), EINPROGRESS);
	answer(4, EAGAIN, 0, NULL);
	assert_int_equal(find("none.test", NULL, &found), EAGAIN); /* but not for ever */
	pass_s(NAMES_FAILED_S);
	assert_int_equal(find("none.test", NULL, &found), EINPROGRESS);
	answer(5, ENOENT, 0, NULL);
	assert_int_equal(find("none.test", NULL, &found), ENOENT); /* a clear no ends it at once */
	assert_int_equal(worker.counters.values[COUNTER_names_questions], 6);
	assert_int_equal(worker.counters.values[COUNTER_names_unknown], 4);
	assert_int_equal(find("no name", NULL, &found), ENOENT);
	assert_int_equal(find("", NULL, &found), ENOENT);
	assert_int_equal(asked_count, 6);
}

static void test_bounded(void **state)
{
	const struct name_question *found;
	char name[32];

	for (unsigned i = 0; i < NAMES_ASKED_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		assert_int_equal(find(name, NULL, &found), EINPROGRESS);
	}
	assert_int_equal(find("one.too.many", NULL, &found), ENOBUFS);
	for (unsigned i = 0; i < NAMES_ASKED_MAX; i++)
		answer(i, 0, 1000, "192.0.2.1");
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		expect_address("n0.test", "192.0.2.1"); /* in use: it stays, others go */
		snprintf(name, sizeof(name), "m%u.test", i);
		assert_int_equal(find(name, NULL, &found), EINPROGRESS);
		answer(asked_count - 1, 0, 1000, "192.0.2.1");
	}
	assert_int_equal(names_count(&worker), NAMES_MAX);
	expect_address("n0.test", "192.0.2.1");
	assert_int_equal(find("n1.test", NULL, &found), EINPROGRESS);
	free(asked[asked_count - 1]);
}

/* ---- replies ---- */

#define HEAD(answers)   "\0\1\x81\x80\0\1\0" answers "\0\0\0\0"
#define QUESTION        "\4_sip\4_udp\4core\4test\0\0\x21\0\1"
#define RECORD(type, n) "\xc0\xc\0" type "\0\1\0\0\0\x3c\0" n
#define SRV(n, target)  RECORD("\x21", n) "\0\1\0\2\x13\xc4" target

static const struct {
	const char *what;
	enum name_kind kind;
	const char *wire;
	size_t n;
	const char *want; /* "PRIORITY WEIGHT PORT SERVICE TARGET;..."; NULL: it cannot be read */
} replies[] = {
#define REPLY(what, kind, text, want) { what, kind, text, sizeof(text) - 1, want }
	REPLY("nothing", NAME_SERVERS, HEAD("\0") QUESTION, ""),
	REPLY("one server", NAME_SERVERS, HEAD("\1") QUESTION SRV("\x9", "\1A\xc0\x16"), "1 2 5060 - a.core.test;"),
	REPLY("a target that is no pointer", NAME_SERVERS, HEAD("\1") QUESTION SRV("\xb", "\1a\1b\0"),
	      "1 2 5060 - a.b;"),
	REPLY("no service there", NAME_SERVERS, HEAD("\1") QUESTION SRV("\7", "\0"), "1 2 5060 - ;"),
	REPLY("a record of another type between", NAME_SERVERS,
	      HEAD("\2") QUESTION RECORD("\5", "\3") "\1x\0" SRV("\x9", "\1b\xc0\x16"), "1 2 5060 - b.core.test;"),
	REPLY("a dot within a label", NAME_POINTERS,
	      HEAD("\1") QUESTION RECORD("\x23", "\x15") "\0\1\0\2\1s\7SIP+D2T\0\3a.b\0", NULL),
	REPLY("SIP by TCP", NAME_POINTERS,
	      HEAD("\1") QUESTION RECORD("\x23", "\x14") "\0\1\0\2\1S\7sip+d2t\0\1a\1b\0", "1 2 0 T a.b;"),
	REPLY("another service", NAME_POINTERS,
	      HEAD("\1") QUESTION RECORD("\x23", "\x14") "\0\1\0\2\1S\7sip+d2x\0\1a\1b\0", ""),
	REPLY("a regular expression", NAME_POINTERS,
	      HEAD("\1") QUESTION RECORD("\x23", "\x15") "\0\1\0\2\1S\7sip+d2t\1!\1a\1b\0", ""),
	REPLY("a name that goes round", NAME_SERVERS, HEAD("\1") QUESTION "\xc0\x27\0\x21\0\1", NULL),
	REPLY("a pointer beyond the end", NAME_SERVERS, HEAD("\1") QUESTION SRV("\x8", "\xff\xff"), NULL),
	REPLY("a label with a NUL", NAME_SERVERS, HEAD("\1") QUESTION SRV("\x9", "\2a\0\0"), NULL),
	REPLY("a length beyond the end", NAME_SERVERS, HEAD("\1") QUESTION SRV("\x99", "\1a\0"), NULL),
	REPLY("fewer records than said", NAME_SERVERS, HEAD("\2") QUESTION SRV("\x9", "\1A\xc0\x16"), NULL),
	REPLY("no head", NAME_SERVERS, "\0\1\x81\x80\0\0\0\0\0\0\0", NULL),
};

static void describe(const struct name_question *q, char *to, size_t size)
{
	to[0] = 0;
	for (unsigned i = 0; i < q->count; i++) {
		size_t n = strlen(to);
		const struct name_record *r = &q->records[i];
		snprintf(to + n, size - n, "%u %u %u %c %s;", r->server.priority, r->server.weight, r->server.port,
			r->server.service ? r->server.service : '-', r->server.target);
	}
}

static void test_replies(void **state)
{
	struct name_question *q = calloc(1, sizeof(*q));
	char got[512];

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		for (size_t n = 0; n <= replies[i].n; n++) { /* cut at every octet, nothing is read beyond */
			char *wire = exact_copy(replies[i].wire, n);
			q->kind = replies[i].kind;
			bool is_read = name_reply_parse(slice_of(wire, n), q);
			free(wire);
			if (n < replies[i].n)
				continue;
			CHECK(is_read == (replies[i].want != NULL), "%s: read %d\n", replies[i].what, is_read);
			describe(q, got, sizeof(got));
			CHECK(!is_read || !strcmp(got, replies[i].want), "%s: \"%s\"\n", replies[i].what, got);
			CHECK(!is_read || q->count == 0 || q->ttl_s == 60, "%s: ttl %u\n", replies[i].what, q->ttl_s);
		}
	}
	free(q);
}

/* ---- the thread ---- */

static void test_thread(void **state)
{
	struct sockaddr_in me = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, from;
	socklen_t n = sizeof(me), from_n = sizeof(from);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct resolver *resolver;
	struct name_question *q = calloc(1, sizeof(*q)), *late = calloc(1, sizeof(*late));
	char servers[32], wire[512];
	struct msg *home;

	assert_int_equal(bind(fd, (struct sockaddr *)&me, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&me, &n), 0);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(me.sin_port));
	assert_int_equal(resolver_start(&resolver, &group, servers), 0);
	q->kind = late->kind = NAME_SERVERS;
	strcpy(q->name, "_sip._udp.core.test");
	strcpy(late->name, "late.test");
	resolver->submit(resolver, q);
	ssize_t length = recvfrom(fd, wire, sizeof(wire), 0, (struct sockaddr *)&from, &from_n);
	assert_true(length > 12);
	static const char record[] = SRV("\x9", "\1a\xc0\x16");
	wire[2] = (char)0x81;
	wire[3] = (char)0x80;
	wire[7] = 1;  /* one answer,         */
	wire[11] = 0; /* nothing additional: */
	length = 12 + sizeof(QUESTION) - 1;
	memcpy(wire + length, record, sizeof(record) - 1);
	length += (ssize_t)sizeof(record) - 1;
	assert_int_equal(sendto(fd, wire, (size_t)length, 0, (struct sockaddr *)&from, from_n), length);
	while (!(home = mailbox_take(&worker.mailbox)))
		usleep(1000);
	assert_ptr_equal(home, &q->msg);
	assert_int_equal(home->kind, MSG_NAME_ANSWERED);
	assert_int_equal(home->err, 0);
	assert_string_equal(q->records[0].server.target, "a.core.test");
	resolver->submit(resolver, late);
	assert_true(recv(fd, wire, sizeof(wire), 0) > 0); /* it is asked, and the thread ends */
	resolver_stop(resolver);
	assert_ptr_equal(mailbox_take(&worker.mailbox), &late->msg);
	assert_int_equal(late->msg.err, EAGAIN);
	free(q);
	free(late);
	close(fd);
	assert_int_equal(resolver_start(&resolver, &group, "no address"), EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept_for_its_ttl, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asked_before_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test(test_replies),
		cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
