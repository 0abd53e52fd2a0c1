/* actors/http.c over loopback: a table of requests, then what a hostile reader may try. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#include "actors/http.h"

#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

static enum server_state state_now;

static enum server_state state_of(void *arg)
{
	return __atomic_load_n((enum server_state *)arg, __ATOMIC_ACQUIRE);
}

static struct counters one, two;
static struct counters *const all[] = { &one, NULL, &two };

static bool worker_cpu_us(void *arg, unsigned worker, uint64_t *us)
{
	*us = 1500000 + worker;
	return worker == 0;
}

static struct http_source source_now(void)
{
	return (struct http_source){ .metrics = { .counters = all, .counters_count = 3, .workers = 2, .mode = "standalone",
		.io = "epoll", .state = state_of, .worker_cpu_us = worker_cpu_us, .arg = &state_now } };
}

static struct listen_options listener(const char *address, int family)
{
	struct listen_options o = { .proto = LISTEN_HTTP, .serve = SERVE_METRICS };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	assert_int_equal(inet_pton(family, address, family == AF_INET ? (void *)&v4.sin_addr
								      : (void *)&v6.sin6_addr), 1);
	if (family == AF_INET)
		memcpy(&o.bind, &v4, sizeof(v4));
	else
		memcpy(&o.bind, &v6, sizeof(v6));
	return o;
}

static struct http *open_http(unsigned serve)
{
	struct listen_options o = listener("127.0.0.1", AF_INET);
	struct http_source source = source_now();
	struct http *http = NULL;

	o.serve = serve;
	assert_int_equal(http_open(&http, &o, &source), 0);
	return http;
}

static int dial(const struct http *http)
{
	struct sockaddr_storage address;
	struct timeval patience = { .tv_sec = 5 };
	int fd;

	http_address(http, &address);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address,
				 address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
							      : sizeof(struct sockaddr_in6)), 0);
	return fd;
}

/* Everything until the server closes; the caller frees. */
static char *converse(const struct http *http, const char *request)
{
	size_t size = 1 << 20, n = 0;
	char *reply = malloc(size);
	int fd = dial(http);
	ssize_t got;

	assert_non_null(reply);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	while (n < size - 1 && (got = recv(fd, reply + n, size - 1 - n, 0)) > 0)
		n += (size_t)got;
	reply[n] = '\0';
	close(fd);
	return reply;
}

#define GET(path)      "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define METHOD(m, path) m " " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define JSON	       "Content-Type: application/json\r\n"
#define ALL	       (SERVE_METRICS | SERVE_ADMIN | SERVE_XCAP)

static const struct {
	const char *what;
	unsigned serve;
	enum server_state state;
	const char *request, *status, *header, *body;
} cases[] = {
	{ "alive", ALL, SERVER_READY, GET("/livez"), "200", "Content-Type: text/plain", "ok\n" },
	{ "alive while draining", ALL, SERVER_DRAINING, GET("/livez"), "200", "", "ok\n" },
	{ "ready", ALL, SERVER_READY, GET("/readyz"), "200", "Content-Type: text/plain", "ok\n" },
	{ "starting", ALL, SERVER_STARTING, GET("/readyz"), "503", "Content-Type: application/json\r\n",
	  "{\"error\":503,\"reason\":\"starting\"}\n" },
	{ "draining", ALL, SERVER_DRAINING, GET("/readyz"), "503", "Content-Type: application/json\r\n",
	  "{\"error\":503,\"reason\":\"draining\"}\n" },
	{ "draining, HEAD", ALL, SERVER_DRAINING, METHOD("HEAD", "/readyz"), "503", "", "" },
	{ "alive while starting", ALL, SERVER_STARTING, GET("/livez"), "200", "", "ok\n" },
	{ "dashboard", ALL, SERVER_READY, GET("/"), "200", "Content-Type: text/html; charset=utf-8\r\n", NULL },
	{ "dashboard with a query", ALL, SERVER_READY, GET("/?x"), "200", "Content-Security-Policy: default-src 'none'; ", NULL },
	{ "dashboard, type", ALL, SERVER_READY, GET("/"), "200", "X-Content-Type-Options: nosniff\r\n", NULL },
	{ "dashboard without metrics", SERVE_ADMIN, SERVER_READY, GET("/"), "404", "application/json", NULL },
	{ "dashboard, POST", ALL, SERVER_READY, METHOD("POST", "/"), "405", "Allow: GET, HEAD\r\n", NULL },
	{ "dashboard, HEAD", ALL, SERVER_READY, METHOD("HEAD", "/"), "200", "text/html", "" },
	{ "metrics are no other site's", ALL, SERVER_READY, GET("/metrics"), "200",
	  "Cross-Origin-Resource-Policy: same-origin\r\n", NULL },
	{ "metrics", ALL, SERVER_READY, GET("/metrics"), "200", "Content-Type: " OPENMETRICS "\r\n", NULL },
	{ "metrics not served", SERVE_ADMIN, SERVER_READY, GET("/metrics"), "404", "application/json",
	  "{\"error\":404,\"reason\":\"no such resource\"}\n" },
	{ "readyz is always served", 0, SERVER_READY, GET("/readyz"), "200", "", "ok\n" },
	{ "with a query", ALL, SERVER_READY, GET("/livez?x=1"), "200", "", "ok\n" },
	{ "unknown", ALL, SERVER_READY, GET("/nothing"), "404", "application/json\r\n",
	  "{\"error\":404,\"reason\":\"no such resource\"}\n" },
	{ "longer than known", ALL, SERVER_READY, GET("/livez/"), "404", "", NULL },
	{ "dots", ALL, SERVER_READY, GET("/../livez"), "404", "", NULL },
	{ "unknown and POST", ALL, SERVER_READY, METHOD("POST", "/x"), "404", "", NULL },
	{ "POST", ALL, SERVER_READY, METHOD("POST", "/metrics"), "405", "Allow: GET, HEAD\r\n",
	  "{\"error\":405,\"reason\":\"only GET and HEAD\"}\n" },
	{ "DELETE", ALL, SERVER_READY, METHOD("DELETE", "/livez"), "405", "Allow: GET, HEAD\r\n", NULL },
	{ "HEAD", ALL, SERVER_READY, METHOD("HEAD", "/metrics"), "200", "Content-Type: " OPENMETRICS, "" },
	{ "without Host", ALL, SERVER_READY, "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", "400", JSON,
	  "{\"error\":400,\"reason\":\"HTTP/1.1 without Host\"}\n" },
	{ "HTTP/1.0 needs no Host", ALL, SERVER_READY, "GET /livez HTTP/1.0\r\n\r\n", "200", "", "ok\n" },
	{ "two Hosts", ALL, SERVER_READY, "GET /livez HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", "400", JSON, NULL },
	{ "two lengths", ALL, SERVER_READY,
	  "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "400", JSON, NULL },
	{ "a length and chunks", ALL, SERVER_READY,
	  "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400", JSON, NULL },
	{ "a name with a space", ALL, SERVER_READY, "GET /livez HTTP/1.1\r\nHost: x\r\nOrigin : x\r\n\r\n", "400", JSON, NULL },
	{ "absolute target", ALL, SERVER_READY, GET("http://elsewhere/livez"), "200", "", "ok\n" },
	{ "absolute target, scheme in capitals", ALL, SERVER_READY, GET("HTTP://x:1/livez?y"), "200", "", "ok\n" },
	{ "absolute target without path", ALL, SERVER_READY, GET("http://x"), "200", "text/html", NULL },
	{ "another scheme", ALL, SERVER_READY, GET("ftp://x/livez"), "404", "", NULL },
	{ "an escaped NUL ends nothing", ALL, SERVER_READY, GET("/livez%00x"), "404", "", NULL },
	{ "an escaped letter", ALL, SERVER_READY, GET("/live%7a"), "200", "", "ok\n" },
	{ "POST whose body never comes", ALL, SERVER_READY,
	  "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nabc", "405", "", NULL },
};

static void answers(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http *http;
		char *reply, *body;

		state_now = cases[i].state;
		http = open_http(cases[i].serve);
		reply = converse(http, cases[i].request);
		body = strstr(reply, "\r\n\r\n");
		CHECK(body && !strncmp(reply, "HTTP/1.1 ", 9) && !strncmp(reply + 9, cases[i].status, 3),
		      "%s: got \"%.200s\"\n", cases[i].what, reply);
		CHECK(strstr(reply, cases[i].header), "%s: no \"%s\" in \"%.400s\"\n", cases[i].what,
		      cases[i].header, reply);
		CHECK(!cases[i].body || !strcmp(body + 4, cases[i].body), "%s: got \"%s\"\n",
		      cases[i].what, body + 4);
		free(reply);
		http_close(http);
	}
}

static void metrics_are_sums_of_all_threads(void **state)
{
	struct http *http = open_http(SERVE_METRICS);
	char *reply;

	COUNT_N(&one, msrp_chunks, 3);
	COUNT_N(&two, msrp_chunks, 4);
	REFUSED(&two, REASON_LOOP);
	reply = converse(http, GET("/metrics"));
	assert_non_null(strstr(reply, "\nimserv_msrp_chunks_total 7\n"));
	assert_non_null(strstr(reply, "\nimserv_refused_total{reason=\"loop\"} 1\n"));
	assert_string_equal(reply + strlen(reply) - 6, "# EOF\n");
	free(reply);
	http_close(http);
}

static void readiness_changes_while_running(void **state)
{
	struct http *http;
	char *reply;

	state_now = SERVER_STARTING;
	http = open_http(SERVE_METRICS);
	reply = converse(http, GET("/readyz"));
	assert_int_equal(strncmp(reply, "HTTP/1.1 503", 12), 0);
	free(reply);
	__atomic_store_n(&state_now, SERVER_READY, __ATOMIC_RELEASE);
	reply = converse(http, GET("/readyz"));
	assert_int_equal(strncmp(reply, "HTTP/1.1 200", 12), 0);
	free(reply);
	http_close(http);
}

static void one_connection_serves_many_requests(void **state)
{
	static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
	struct http *http = open_http(SERVE_METRICS);
	char reply[1024];
	int fd = dial(http);

	for (int i = 0; i < 3; i++) {
		size_t n = 0;
		ssize_t got = 1;

		assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
		while (got > 0 && (n < 3 || memcmp(reply + n - 3, "ok\n", 3) != 0)) {
			got = recv(fd, reply + n, sizeof(reply) - n, 0);
			assert_true(got > 0);
			n += (size_t)got;
		}
	}
	close(fd);
	http_close(http);
}

static void the_port_is_real_and_taken_once(void **state)
{
	struct http *http = open_http(SERVE_METRICS), *again = NULL;
	struct http_source source = source_now();
	struct listen_options o = { .proto = LISTEN_HTTP };

	http_address(http, &o.bind);
	assert_int_not_equal(((struct sockaddr_in *)&o.bind)->sin_port, 0);
	assert_int_equal(http_open(&again, &o, &source), EADDRINUSE);
	assert_null(again);
	http_close(http);
	assert_int_equal(http_open(&again, &o, &source), 0); /* TIME_WAIT does not matter */
	http_close(again);
	http_close(NULL);
}

static void an_address_that_is_not_ours(void **state)
{
	struct listen_options o = listener("192.0.2.1", AF_INET); /* RFC 5737: nobody's */
	struct http_source source = source_now();
	struct http *http = NULL;

	assert_int_equal(http_open(&http, &o, &source), EADDRNOTAVAIL);
	assert_null(http);
}

static void ipv6(void **state)
{
	struct listen_options o = listener("::1", AF_INET6);
	struct http_source source = source_now();
	struct http *http = NULL;
	int err = http_open(&http, &o, &source);
	char *reply;

	if (err == EAFNOSUPPORT || err == EADDRNOTAVAIL)
		skip(); /* this machine has no IPv6 */
	assert_int_equal(err, 0);
	reply = converse(http, GET("/livez"));
	assert_int_equal(strncmp(reply, "HTTP/1.1 200", 12), 0);
	free(reply);
	http_close(http);
}

/* One address holds at most 16 connections: the 17th is closed at once, and once those before it
 * are gone the next is served. */
static void connections_are_bounded(void **state)
{
	struct http *http = open_http(SERVE_METRICS);
	int fds[17];
	char octet, *reply = NULL;
	ssize_t got;

	for (int i = 0; i < 16; i++) {
		fds[i] = dial(http);
		assert_int_equal(send(fds[i], "GET ", 4, MSG_NOSIGNAL), 4);
	}
	fds[16] = dial(http);
	got = recv(fds[16], &octet, 1, 0);
	assert_true(got == 0 || (got < 0 && errno == ECONNRESET)); /* not our own patience */
	for (int i = 0; i < 16; i++) {
		struct pollfd p = { fds[i], POLLIN, 0 };

		assert_int_equal(poll(&p, 1, 0), 0); /* still open, unanswered */
	}
	for (int i = 0; i < 17; i++)
		close(fds[i]);
	for (int i = 0; i < 100; i++) { /* the server notices a close in its own time */
		free(reply);
		reply = converse(http, GET("/livez"));
		if (reply[0])
			break;
		usleep(10000);
	}
	assert_int_equal(strncmp(reply, "HTTP/1.1 200", 12), 0);
	free(reply);
	http_close(http);
}

/* Who sends an octet now and then, and is not done in time, goes when others come; who waits for an answer stays. */
static void requests_have_to_come_whole(void **state)
{
	struct listen_options o = listener("127.0.0.1", AF_INET);
	struct http_source source = source_now();
	struct http *http = NULL;
	char octet, *reply;
	struct timeval none = { .tv_usec = 1000 };
	bool is_closed = false;

	source.patience_ms = 50;
	source.tally = http_tally_make();
	assert_non_null(source.tally);
	assert_int_equal(http_open(&http, &o, &source), 0);
	int slow = dial(http);
	assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)), 0);
	for (int i = 0; i < 2000 && !is_closed; i++) {
		(void)send(slow, "G", 1, MSG_NOSIGNAL); /* it fails when the server has closed */
		reply = converse(http, GET("/livez"));
		assert_true(!reply[0] || strncmp(reply, "HTTP/1.1 200", 12) == 0); /* nothing: others are still leaving */
		free(reply);
		ssize_t got = recv(slow, &octet, 1, 0);
		is_closed = got == 0 || (got < 0 && errno != EAGAIN);
	}
	assert_true(is_closed);
	close(slow);
	http_close(http);
	const struct counters *counted = http_tally_counters(source.tally);
	assert_int_equal(counted->refused[REASON_HTTP_LATE], 1);
	assert_true(counted->values[COUNTER_http_requests] >= 1);
	http_tally_free(source.tally);
}

static void wrong_heads_are_counted(void **state)
{
	struct listen_options o = listener("127.0.0.1", AF_INET);
	struct http_source source = source_now();
	struct http *http = NULL;

	source.tally = http_tally_make();
	assert_non_null(source.tally);
	assert_int_equal(http_open(&http, &o, &source), 0);
	free(converse(http, "GET /livez HTTP/1.1\r\n\r\n"));
	free(converse(http, GET("/livez")));
	http_close(http);
	assert_int_equal(http_tally_counters(source.tally)->refused[REASON_HTTP_HEAD], 1);
	assert_int_equal(http_tally_counters(source.tally)->values[COUNTER_http_requests], 2);
	http_tally_free(source.tally);
}

static void heads_are_bounded(void **state)
{
	struct http *http = open_http(SERVE_METRICS);
	size_t n = 64 * 1024;
	char *request = malloc(n + 64), *reply;

	assert_non_null(request);
	memset(request, 'a', n);
	memcpy(request, "GET /livez HTTP/1.1\r\nHost: x\r\nX: ", 33);
	strcpy(request + n, "\r\n\r\n");
	reply = converse(http, request);
	CHECK(strncmp(reply, "HTTP/1.1 200", 12) != 0, "64 KiB of header were accepted\n");
	free(reply);
	reply = converse(http, GET("/livez"));
	assert_int_equal(strncmp(reply, "HTTP/1.1 200", 12), 0);
	free(reply);
	free(request);
	http_close(http);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(metrics_are_sums_of_all_threads),
		cmocka_unit_test(readiness_changes_while_running),
		cmocka_unit_test(one_connection_serves_many_requests),
		cmocka_unit_test(the_port_is_real_and_taken_once),
		cmocka_unit_test(an_address_that_is_not_ours),
		cmocka_unit_test(ipv6),
		cmocka_unit_test(connections_are_bounded),
		cmocka_unit_test(requests_have_to_come_whole),
		cmocka_unit_test(wrong_heads_are_counted),
		cmocka_unit_test(heads_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
