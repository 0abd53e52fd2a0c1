/* core/net.c: what its sockets promise beyond what tests/unit/test_core_ring.c sees of them. */
#include <arpa/inet.h>
#include <unistd.h>

#include "core/net.h"
#include "tests/unit/test.h"

#define SOCKETS 600 /* of 28 000 ports: two of them would share one in nearly every run */

/* A socket that takes any port is alone on it, though the group on it may grow. */
static void any_port_is_nobody_elses(void **state)
{
	static int fds[SOCKETS];
	static bool is_taken[65536];
	struct sockaddr_storage any = { .ss_family = AF_INET }, bound;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&bound;

	((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned type = 0; type < 2; type++) {
		memset(is_taken, 0, sizeof(is_taken));
		for (unsigned i = 0; i < SOCKETS; i++) {
			fds[i] = type ? net_open_listener(NULL, &any) : net_open_udp(NULL, &any);
			CHECK(fds[i] >= 0, "socket %u: %s\n", i, strerror(-fds[i]));
			assert_int_equal(net_local_address(NULL, fds[i], &bound), 0);
			CHECK(!is_taken[v4->sin_port], "port %u twice\n", ntohs(v4->sin_port));
			is_taken[v4->sin_port] = true;
		}
		int second = type ? net_open_listener(NULL, &bound) : net_open_udp(NULL, &bound);
		CHECK(second >= 0, "the group does not grow: %s\n", strerror(-second));
		close(second);
		for (unsigned i = 0; i < SOCKETS; i++)
			close(fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_port_is_nobody_elses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
