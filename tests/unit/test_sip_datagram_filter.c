/* sip/datagram_filter.c in a real kernel: what passes whatever the share, what does not, and that drops are counted. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sip/layer.h"
#include "tests/unit/test.h"

#define MINTED "abcdefghijklmnopqrstuvwxyz0123456789" /* as long as a name of ours */
#define REST   " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKone\r\nMax-Forwards: 70\r\n\r\n"

static const struct {
	const char *what, *text;
	bool is_new;
} cases[] = {
	{ "an INVITE", "INVITE sip:bob@example.com" REST, true },
	{ "a MESSAGE", "MESSAGE sip:bob@example.com" REST, true },
	{ "a REGISTER", "REGISTER sip:example.com" REST, true },
	{ "OPTIONS", "OPTIONS sip:example.com" REST, true },
	{ "a re-INVITE to our Contact", "INVITE sip:" MINTED "@127.0.0.1" REST, false },
	{ "a MESSAGE in a dialog", "MESSAGE sip:" MINTED "@127.0.0.1" REST, false },
	{ "OPTIONS in a dialog", "OPTIONS sip:" MINTED "@127.0.0.1" REST, false },
	{ "one character too few", "INVITE sip:" "bcdefghijklmnopqrstuvwxyz0123456789" "@127.0.0.1" REST, true },
	{ "a BYE", "BYE sip:bob@example.com" REST, false },
	{ "an ACK", "ACK sip:bob@example.com" REST, false },
	{ "a CANCEL", "CANCEL sip:bob@example.com" REST, false },
	{ "a PRACK", "PRACK sip:bob@example.com" REST, false },
	{ "an UPDATE", "UPDATE sip:bob@example.com" REST, false },
	{ "a SUBSCRIBE, which may belong to a dialog that leads through us", "SUBSCRIBE sip:bob@example.com" REST, false },
	{ "a response", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKone\r\nCSeq: 1 INVITE\r\n\r\n", false },
	{ "a keepalive", "\r\n\r\n", false },
	{ "one octet", "I", false },
	{ "too short to be looked at", "INVITE sip:bob@example.com SIP/2.0\r\n\r\n", false },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct ring *ring;
static int receiver, sender;

static int begin(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 8, .buffer_size = 2048 };
	struct sockaddr_storage any = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&any;

	if (ring_open_epoll(&ring, &options) != 0)
		return -1;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	receiver = ring->ops->open_udp(ring, &any);
	sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (receiver < 0 || sender < 0 || ring->ops->local_address(ring, receiver, &any) != 0)
		return -1;
	return connect(sender, (struct sockaddr *)in, sizeof(*in));
}

static int end(void **state)
{
	ring->ops->close(ring, receiver);
	close(sender);
	ring->ops->destroy(ring);
	return 0;
}

/* On loopback it is there, or dropped, when send() returns. */
static bool arrives(const char *text)
{
	char got[512];

	assert_int_equal(send(sender, text, strlen(text), 0), strlen(text));
	return recv(receiver, got, sizeof(got), MSG_DONTWAIT) >= 0;
}

static void only_new_work_is_dropped(void **state)
{
	struct ring_backlog backlog;
	uint32_t drops = 0;

	assert_int_equal(sip_datagram_filter(ring, receiver, 0), 0);
	for (size_t i = 0; i < CASES; i++) {
		CHECK(arrives(cases[i].text) == !cases[i].is_new, "%s\n", cases[i].what);
		drops += cases[i].is_new;
	}
	assert_int_equal(ring->ops->backlog(ring, receiver, &backlog), 0);
	assert_int_equal(backlog.drops, drops);
}

static void a_share_passes(void **state)
{
	unsigned passed = 0;

	assert_int_equal(sip_datagram_filter(ring, receiver, 0.25), 0);
	for (unsigned i = 0; i < 4000; i++)
		passed += arrives(cases[0].text);
	assert_in_range(passed, 800, 1200);
}

static void all_of_it_again(void **state)
{
	assert_int_equal(sip_datagram_filter(ring, receiver, 0), 0);
	assert_false(arrives(cases[0].text));
	assert_int_equal(sip_datagram_filter(ring, receiver, 1), 0);
	for (size_t i = 0; i < CASES; i++)
		CHECK(arrives(cases[i].text), "%s\n", cases[i].what);
	assert_int_equal(sip_datagram_filter(ring, receiver, 1), -ENOENT); /* there is none */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_new_work_is_dropped, begin, end),
		cmocka_unit_test_setup_teardown(a_share_passes, begin, end),
		cmocka_unit_test_setup_teardown(all_of_it_again, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
