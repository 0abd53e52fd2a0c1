#include "actors/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "actors/session_sdp.h"
#include "core/log.h"
#include "core/net.h"

#define BUSY_TRIES 10 /* times 10 ms: a port of a just killed ring process stays busy for some 40 ms */

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port :
						((const struct sockaddr_in *)a)->sin_port);
}

static void set_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)a)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)a)->sin_port = htons(port);
}

static bool is_wildcard(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr == INADDR_ANY;
}

void listeners_print_address(struct buffer *out, const struct sockaddr_storage *address)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host, sizeof(host));
	buffer_printf(out, address->ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port_of(address));
}

/* SO_REUSEPORT would let two servers of one user share a port: asked without it first. */
static int refuse_if_busy(const struct sockaddr_storage *address, int type)
{
	struct timespec pause = { 0, 10000000 };
	int err = 0, on = 1;

	for (int i = 0; i < BUSY_TRIES; i++) {
		int fd = socket(address->ss_family, type | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return errno;
		if (type == SOCK_STREAM)
			(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (address->ss_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		err = bind(fd, (const struct sockaddr *)address, net_address_size((const struct sockaddr *)address)) ? errno : 0;
		close(fd);
		if (err != EADDRINUSE)
			return err;
		nanosleep(&pause, NULL);
	}
	return err;
}

static int open_one(const struct sockaddr_storage *address, int type)
{
	return type == SOCK_DGRAM ? net_open_udp(NULL, address) : net_open_listener(NULL, address);
}

/* One socket per worker, all on the port that the first one got. */
static int open_group(struct sockaddr_storage *bound, int type, unsigned workers, bool per_worker_ports, int *fds)
{
	struct sockaddr_storage address = *bound;
	int err = port_of(bound) ? refuse_if_busy(bound, type) : 0;

	for (unsigned i = 0; i < workers && !err; i++) {
		if (i > 0 && per_worker_ports) {
			set_port(&address, (uint16_t)(port_of(bound) + i));
			err = refuse_if_busy(&address, type);
			if (err)
				break;
		}
		fds[i] = open_one(&address, type);
		if (fds[i] < 0)
			return -fds[i];
		if (i == 0) {
			err = -net_local_address(NULL, fds[0], bound);
			address = *bound;
		}
	}
	if (!err && type == SOCK_DGRAM && workers > 1)
		err = -net_spread_udp(NULL, fds[0], workers);
	return err;
}

static void say_failed(const struct listen_options *listen, int err)
{
	LOG(ERROR, NULL, "listen", 0, "cannot-listen address=%s error=\"%s\"", listen->address, strerror(err));
}

/* The entry of tls that a listener names: the configuration made sure that it is there. */
static unsigned tls_entry(const struct config *config, const struct listen_options *listen)
{
	unsigned i = 0;

	while (listen->tls && i < config->tls.count && strcmp(config->tls.list[i].name, listen->tls) != 0)
		i++;
	return i;
}

/* What a peer has sent and we have not read waits with him, where it can go elsewhere, and not here, where it only
 * grows old and cold in the caches (measured: refusing a request out of 6 MB that wait takes three times as long as out
 * of 128 KB).  Below twice the segment of loopback the kernel would send by its probes alone.  Accepted sockets
 * inherit it. */
static void keep_backlog_small(const int *fds, unsigned workers)
{
	const int octets = 128 * 1024;

	for (unsigned i = 0; i < workers; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &octets, sizeof(octets));
}

static int open_sip(struct im_server *server, const struct listen_options *listen, unsigned workers)
{
	if (server->sip.listener_count == SIP_LISTENERS_MAX)
		return E2BIG;
	struct sip_listener *l = &server->sip.listeners[server->sip.listener_count];
	l->proto = listen->proto;
	l->role = listen->role;
	l->bound = listen->bind;
	if (listen->advertise)
		snprintf(l->advertise, sizeof(l->advertise), "%s", listen->advertise);
	int err = open_group(&l->bound, listen->proto == LISTEN_UDP ? SOCK_DGRAM : SOCK_STREAM, workers, false, l->fds);
	if (!err && listen->proto != LISTEN_UDP)
		keep_backlog_small(l->fds, workers);
	if (!err)
		server->sip.listener_count++;
	return err;
}

static int open_msrp(struct im_server *server, const struct listen_options *listen, unsigned workers)
{
	if (server->msrp.listener_count == MSRP_LISTENERS_MAX)
		return E2BIG;
	struct msrp_listener *l = &server->msrp.listeners[server->msrp.listener_count];
	l->proto = listen->proto;
	l->bound = listen->bind;
	l->per_worker_ports = listen->per_worker_ports;
	if (listen->advertise)
		snprintf(l->advertise, sizeof(l->advertise), "%s", listen->advertise);
	int err = open_group(&l->bound, SOCK_STREAM, workers, listen->per_worker_ports, l->fds);
	if (!err)
		server->msrp.listener_count++;
	return err;
}

int listeners_open(struct im_server *server, const struct config *config, unsigned workers)
{
	for (unsigned i = 0; i < config->listen.count; i++) {
		const struct listen_options *listen = &config->listen.list[i];
		int err = 0;
		switch (listen->proto) {
		case LISTEN_UDP:
		case LISTEN_TCP:
		case LISTEN_TLS:
			err = open_sip(server, listen, workers);
			break;
		case LISTEN_MSRP:
		case LISTEN_MSRPS:
			err = open_msrp(server, listen, workers);
			break;
		case LISTEN_HTTP:
			break;
		}
		if (err) {
			say_failed(listen, err);
			return err;
		}
	}
	listeners_name_certificates(&server->sip, &server->msrp, config);
	session_sdp_serve(&server->msrp);
	return 0;
}

/* config->listen is that of the start, in its order: it takes a restart. */
void listeners_name_certificates(struct sip_options *sip, struct msrp_options *msrp, const struct config *config)
{
	unsigned at[2] = { 0, 0 };

	for (unsigned i = 0; i < config->listen.count; i++) {
		const struct listen_options *listen = &config->listen.list[i];
		bool is_msrp = listen->proto == LISTEN_MSRP || listen->proto == LISTEN_MSRPS;
		if (is_msrp && at[1] < msrp->listener_count)
			msrp->listeners[at[1]++].tls = tls_entry(config, listen);
		else if (!is_msrp && listen->proto != LISTEN_HTTP && at[0] < sip->listener_count)
			sip->listeners[at[0]++].tls = tls_entry(config, listen);
	}
}

void listeners_close(struct im_server *server, unsigned workers)
{
	for (unsigned i = 0; i < server->sip.listener_count; i++)
		for (unsigned w = 0; w < workers; w++)
			close(server->sip.listeners[i].fds[w]);
	for (unsigned i = 0; i < server->msrp.listener_count; i++)
		for (unsigned w = 0; w < workers; w++)
			close(server->msrp.listeners[i].fds[w]);
}

/* ---- what counts as home ---- */

struct literals {
	struct sip_host_port *list;
	unsigned count, size;
};

static int add_literal(struct literals *l, struct slice host, uint16_t port)
{
	if (l->count == l->size) {
		unsigned size = l->size ? l->size * 2 : 16;
		struct sip_host_port *list = realloc(l->list, size * sizeof(*list));
		if (!list)
			return ENOMEM;
		l->list = list;
		l->size = size;
	}
	char *copy = strndup(host.p, host.n);
	if (!copy)
		return ENOMEM;
	l->list[l->count++] = (struct sip_host_port){ slice_str(copy), port };
	return 0;
}

static int add_address(struct literals *l, const struct sockaddr *address, uint16_t port)
{
	char host[INET6_ADDRSTRLEN + 2] = "[";
	bool is_v6 = address->sa_family == AF_INET6;
	const void *octets = is_v6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr :
				     (const void *)&((const struct sockaddr_in *)address)->sin_addr;

	if (!inet_ntop(address->sa_family, octets, host + is_v6, sizeof(host) - 2))
		return 0;
	if (is_v6)
		strcat(host, "]");
	return add_literal(l, slice_str(host), port);
}

/* A wildcard listener stands for every address of the machine, read once. */
static int add_machine(struct literals *l, int family, uint16_t port)
{
	struct ifaddrs *all = NULL;
	int err = 0;

	if (getifaddrs(&all) != 0)
		return errno;
	for (struct ifaddrs *a = all; a && !err; a = a->ifa_next)
		if (a->ifa_addr && a->ifa_addr->sa_family == family)
			err = add_address(l, a->ifa_addr, port);
	freeifaddrs(all);
	return err;
}

int listeners_name_home(struct im_server *server, const struct config *config)
{
	struct sip_options *sip = &server->sip;
	struct slice *aliases = calloc(config->domain.aliases.count + 1, sizeof(*aliases));
	struct slice *groups = calloc(config->domain.groups.count + 1, sizeof(*groups));
	struct literals literals = { 0 };
	int err = aliases && groups ? 0 : ENOMEM;

	for (unsigned i = 0; i < sip->listener_count && !err; i++) {
		const struct sip_listener *l = &sip->listeners[i];
		uint16_t port = port_of(&l->bound);
		if (l->advertise[0])
			err = add_literal(&literals, slice_str(l->advertise), port);
		if (!err)
			err = is_wildcard(&l->bound) ? add_machine(&literals, l->bound.ss_family, port) :
						       add_address(&literals, (const struct sockaddr *)&l->bound, port);
	}
	if (err)
		return err;
	for (unsigned i = 0; i < config->domain.aliases.count; i++)
		aliases[i] = slice_str(config->domain.aliases.list[i]);
	for (unsigned i = 0; i < config->domain.groups.count; i++)
		groups[i] = slice_str(config->domain.groups.list[i]);
	sip->home = (struct sip_home){ .home = slice_str(config->domain.home), .aliases = aliases,
		.alias_count = config->domain.aliases.count, .store_host = slice_str(config->domain.store_host),
		.literals = literals.list, .literal_count = literals.count };
	sip->group_patterns = groups;
	sip->group_pattern_count = config->domain.groups.count;
	return 0;
}
