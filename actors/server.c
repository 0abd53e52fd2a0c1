#include "actors/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "actors/access_rules.h"
#include "actors/group_documents.h"
#include "actors/admin.h"
#include "actors/certificates.h"
#include "actors/descriptors.h"
#include "actors/http.h"
#include "actors/listeners.h"
#include "actors/records.h"
#include "actors/reload.h"
#include "actors/settings.h"
#include "actors/store_actor.h"
#include "actors/user.h"
#include "actors/xcap.h"
#include "core/log.h"
#include "core/minted.h"
#include "core/names.h"
#include "core/notify.h"
#include "core/peer_count.h"
#include "core/rate_table.h"
#include "core/stream.h"
#include "core/watchdog.h"
#include "sip/dialog.h"
#include "sip/digest.h"
#include "sip/owner.h"

#define HTTP_MAX           16
#define BYE_MS             3000    /* after the drain: how long the BYEs may take... */
#define LAST_BYE_MS        500     /* ...and then those that had no ACK to wait for */
#define DRAIN_STEP_MS      50
#define DRAIN_SAYS_MS      1000    /* how often the service manager hears of the drain... */
#define DRAIN_EXTENDS_MS   15000   /* ...and for how long it has to wait from then on */

struct thread {
	struct server *server;
	pthread_t thread;
	bool runs;
	struct worker *worker;
	int err;
};

struct server {
	struct config *config; /* of the start: what takes a restart is as it says */
	struct im_server im;
	struct worker_group group;
	struct thread threads[WORKERS_MAX];
	pthread_barrier_t begin;
	struct resolver *resolver;
	const char *io;
	bool use_uring;
	uint64_t started_ms; /* CLOCK_MONOTONIC */
	struct http *http[HTTP_MAX];
	struct documents *documents;
	struct xcap xcap;
	struct http_tally *http_tally;
	unsigned http_count;
	struct admin *admin; /* NULL: no listener serves it */
	atomic_bool is_ready, is_asked_to_drain;
	struct reloader *reloader;
	/* of the workers, the log, the store, the records, main, HTTP */
	struct counters *counters[WORKERS_MAX + 2 + RECORDS_COUNTERS + 2];
	unsigned counters_count;
	struct tls_set *tls; /* of the start; NULL: no certificates */
	struct watchdog watchdog;
};

/* ---- one worker ---- */

static int worker_begin(struct server *server, struct worker *worker)
{
	const struct runtime_options *runtime = &server->config->runtime;
	struct ring_options options = { runtime->ring_entries, runtime->recv_buffers, runtime->recv_buffer_size };
	struct ring *ring;
	int err = server->use_uring ? ring_open_uring(&ring, &options) : ring_open_epoll(&ring, &options);

	if (err)
		return err;
	worker_use_ring(worker, ring);
	if (server->tls)
		worker->tls = tls_set_share(server->tls);
	if ((err = names_worker_init(worker, server->resolver)) ||
	    (err = stream_worker_init(worker, IM_CONNECTIONS_MAX)) ||
	    (err = sip_dialogs_init(worker, im_dialogs_max(server->config))) ||
	    (err = im_worker_init(worker, &server->im)))
		return err;
	return 0;
}

static void pin(unsigned index)
{
	cpu_set_t allowed, one;
	unsigned seen = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return;
	unsigned wanted = index % (unsigned)CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && seen++ == wanted) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			(void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one); /* only a wish */
			return;
		}
}

/* So that top -H and a debugger tell them apart. */
static void name_thread(unsigned index)
{
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", index);
	(void)pthread_setname_np(pthread_self(), name); /* only for people */
}

/* Ready only together: the first message may come from another worker. */
static void *run_worker(void *arg)
{
	struct thread *t = arg;
	struct server *server = t->server;

	name_thread(t->worker->index);
	if (server->config->runtime.pin_cpus)
		pin(t->worker->index);
	t->err = worker_begin(server, t->worker);
	pthread_barrier_wait(&server->begin);
	pthread_barrier_wait(&server->begin); /* main gives the tables what the store has */
	if (!t->err)
		t->err = sip_worker_init(t->worker, &server->im.sip, im_on_request);
	if (!t->err)
		im_look_up_next_hop(im_of(t->worker));
	if (!t->err)
		t->err = msrp_worker_init(t->worker, &server->im.msrp);
	pthread_barrier_wait(&server->begin);
	while (!t->err && !t->worker->must_stop)
		worker_turn(t->worker, true);
	pthread_barrier_wait(&server->begin); /* nobody posts to a worker that is gone, */
	pthread_barrier_wait(&server->begin); /* not even the store */
	if (t->worker->im) {
		sip_worker_stop(t->worker, true);
		msrp_worker_stop(t->worker, true);
		im_worker_free(t->worker);
		msrp_worker_free(t->worker);
		sip_worker_free(t->worker);
		sip_dialogs_free(t->worker);
		stream_worker_free(t->worker);
		names_worker_free(t->worker);
	}
	pthread_barrier_wait(&server->begin); /* what they told each other at their end is freed with the mailboxes */
	worker_free(t->worker);
	return NULL;
}

/* ---- start ---- */

static unsigned worker_count(const struct config *config)
{
	cpu_set_t allowed;
	unsigned count = config->runtime.workers;

	if (count == 0)
		count = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? (unsigned)CPU_COUNT(&allowed) : 1;
	return count < WORKERS_MAX ? count : WORKERS_MAX;
}

static int choose_io(struct server *server)
{
	enum io_kind wanted = server->config->runtime.io;
	int err = wanted == IO_EPOLL ? 0 : ring_probe_uring();

	if (wanted == IO_URING && err) {
		LOG(ERROR, NULL, "runtime", 0, "io_uring-refused error=\"%s\" remedy=\"set runtime.io: epoll or allow "
			"io_uring (kernel.io_uring_disabled, seccomp profile)\"", strerror(err));
		return err;
	}
	if (wanted == IO_AUTO && err)
		LOG(WARN, NULL, "runtime", 0, "io_uring-refused error=\"%s\" using=epoll remedy=\"allow io_uring "
			"(kernel.io_uring_disabled, seccomp profile) or set runtime.io: epoll\"", strerror(err));
	server->use_uring = wanted != IO_EPOLL && !err;
	server->io = server->use_uring ? "io_uring" : "epoll";
	return 0;
}

static bool is_ready(void *arg)
{
	const struct server *server = arg;

	return atomic_load(&server->is_ready) && !atomic_load(&server->im.is_draining);
}

static enum server_state state_now(void *arg)
{
	const struct server *server = arg;

	return atomic_load(&server->im.is_draining) ? SERVER_DRAINING : atomic_load(&server->is_ready) ? SERVER_READY : SERVER_STARTING;
}

/* Of a thread that runs: they end only after the listeners. */
static bool worker_cpu_us(void *arg, unsigned worker, uint64_t *us)
{
	const struct server *server = arg;
	struct timespec used;
	clockid_t clock;

	if (!atomic_load(&server->is_ready) || pthread_getcpuclockid(server->threads[worker].thread, &clock) != 0 ||
	    clock_gettime(clock, &used) != 0)
		return false;
	*us = (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
	return true;
}

static unsigned sessions_limit(void *arg)
{
	struct server *server = arg;
	struct im_settings *settings = settings_take(&server->im);
	unsigned limit = settings->config->limits.sessions;

	settings_drop(settings);
	return limit;
}

static void drain_by_api(void *arg)
{
	struct server *server = arg;

	if (!atomic_exchange(&server->is_asked_to_drain, true))
		(void)kill(getpid(), SIGTERM); /* the main thread waits for it; to oneself it cannot fail */
}

static bool has_admin(const struct config *config)
{
	for (unsigned i = 0; i < config->listen.count; i++)
		if (config->listen.list[i].proto == LISTEN_HTTP && config->listen.list[i].serve & SERVE_ADMIN)
			return true;
	return false;
}

static int open_http(struct server *server)
{
	if (!(server->http_tally = http_tally_make()))
		return ENOMEM;
	server->counters[server->counters_count++] = http_tally_counters(server->http_tally);
	if (!(server->documents = documents_open(&server->im, &server->group)))
		return ENOMEM;
	struct http_source source = { .metrics = {
		.counters = (struct counters *const *)server->counters, .counters_count = server->counters_count,
		.workers = server->group.count, .mode = server->config->core.mode == MODE_IMS ? "ims" : "standalone",
		.io = server->io, .started_ms = server->started_ms, .state = state_now, .worker_cpu_us = worker_cpu_us,
		.sessions_limit = sessions_limit, .arg = server } };
	struct admin_source admin = { &server->im, &server->group, source.metrics.counters, server->counters_count, server->io, is_ready,
		drain_by_api, server->reloader, server->documents, server };
	int err;

	if (has_admin(server->config) && (err = admin_open(&server->admin, &admin)))
		return err;
	source.admin = server->admin;
	server->xcap = (struct xcap){ &server->im, &server->group, server->documents, server->admin };
	source.xcap = &server->xcap;
	source.tally = server->http_tally;
	for (unsigned i = 0; i < server->config->listen.count; i++) {
		const struct listen_options *listen = &server->config->listen.list[i];
		if (listen->proto != LISTEN_HTTP || server->http_count == HTTP_MAX)
			continue;
		err = http_open(&server->http[server->http_count], listen, &source);
		if (err) {
			LOG(ERROR, NULL, "listen", 0, "cannot-listen address=%s error=\"%s\"", listen->address,
				strerror(err));
			return err;
		}
		server->http_count++;
	}
	return 0;
}

static int make_workers(struct server *server)
{
	server->group.count = worker_count(server->config);
	for (unsigned i = 0; i < server->group.count; i++) {
		/* counters keep a cache line of their own */
		struct worker *worker = aligned_alloc(64, (sizeof(*worker) + 63) & ~(size_t)63);
		if (!worker)
			return ENOMEM;
		int err = worker_init(worker, i, &server->group);
		if (err)
			return err;
		server->threads[i] = (struct thread){ .server = server, .worker = worker };
		server->counters[server->counters_count++] = &worker->counters;
	}
	server->counters[server->counters_count++] = log_counters();
	return 0;
}

/* While the workers wait: nobody asks for a user before all are there. */
static int load_users(struct server *server)
{
	for (unsigned i = 0; i < server->group.count; i++)
		if (server->threads[i].err)
			return 0; /* what follows says it */
	int err = users_load(&server->group, server->im.store);
	err = err ? err : access_rules_load(&server->group, server->im.store);
	return err ? err : groups_name_all(server->im.store, &server->im.sip.home);
}

static int start_threads(struct server *server)
{
	int err = 0;

	pthread_barrier_init(&server->begin, NULL, server->group.count + 1);
	for (unsigned i = 0; i < server->group.count; i++) {
		err = pthread_create(&server->threads[i].thread, NULL, run_worker, &server->threads[i]);
		if (err) /* some wait at the barrier for ever: only the end of the process helps */
			return err;
		server->threads[i].runs = true;
	}
	pthread_barrier_wait(&server->begin);
	err = load_users(server);
	pthread_barrier_wait(&server->begin);
	pthread_barrier_wait(&server->begin);
	for (unsigned i = 0; i < server->group.count; i++)
		if (server->threads[i].err) {
			err = server->threads[i].err;
			LOG(ERROR, server->threads[i].worker, "runtime", 0, "worker-failed error=\"%s\"", strerror(err));
		}
	return err;
}

/* A relative path starts from the directory of the configuration (design.md 13). */
static int open_store(struct server *server)
{
	char *path = config_path(server->config, server->config->store.path);

	if (!path)
		return ENOMEM;
	int err = store_actor_start(&server->im.store, path, &server->config->store, &server->group);
	free(path);
	if (!err)
		server->counters[server->counters_count++] = store_actor_counters(server->im.store);
	return err;
}

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t server_watch(struct server *server)
{
	return watchdog_step(&server->watchdog, clock_ms());
}

/* What is in force at the start, for whoever asks; the workers begin with the same. */
static int open_reloader(struct server *server, const struct config_source *source)
{
	struct reload_source reload = { &server->im, &server->group, source };
	struct tls_set *tls = server->tls ? tls_set_share(server->tls) : NULL;
	int err = settings_make(&server->im.settings, &server->im, server->config, true, tls);

	if (err)
		tls_set_drop(tls);
	else if (!(err = reloader_open(&server->reloader, &reload)))
		server->counters[server->counters_count++] = reloader_counters(server->reloader);
	return err;
}

/* A relative path starts from the directory of the configuration (design.md 13). */
int server_open_log(const struct config *config)
{
	struct log_options options = config->log;
	bool is_file = log_sink_is_file(options.sink);

	if (is_file && !(options.sink = config_path(config, options.sink)))
		return ENOMEM;
	int err = log_open(&options);
	if (is_file)
		free(options.sink);
	return err;
}

void server_reload(struct server *server)
{
	reloader_run(server->reloader);
}

int server_start(struct server **out, struct config *config, const struct config_source *source)
{
	struct server *server = calloc(1, sizeof(*server));
	uint8_t keys[5][16];
	int err;

	if (!server)
		return ENOMEM;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	*out = server;
	server->started_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	server->config = config;
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys))
		return errno;
	descriptors_fit(config, NULL);
	if ((err = im_server_init(&server->im, config)) || (err = choose_io(server)) || (err = make_workers(server)))
		return err;
	minted_init(keys[0], server->group.count);
	sip_owner_init(keys[1]);
	peer_count_init(keys[2]);
	if (!(server->im.rates = rate_table_make(keys[4])))
		return ENOMEM;
	if ((err = digest_init(keys[3]))) {
		LOG(ERROR, NULL, "server", 0, "no-digest error=\"OpenSSL offers no SHA-256\"");
		return err;
	}
	if ((err = open_store(server)) || (err = records_open(&server->im, server->counters, &server->counters_count)) ||
	    (err = certificates_read(&server->tls, config)) ||
	    (err = resolver_start(&server->resolver, &server->group, getenv("IMSERV_DNS"))) ||
	    (err = listeners_open(&server->im, config, server->group.count)) ||
	    (err = listeners_name_home(&server->im, config)) || (err = open_reloader(server, source)) ||
	    (err = open_http(server)) ||
	    (err = start_threads(server)))
		return err;
	atomic_store(&server->is_ready, true);
	watchdog_init(&server->watchdog, &server->group, clock_ms());
	LOG(INFO, NULL, "server", 0, "started workers=%u io=%s mode=%s", server->group.count, server->io,
		config->core.mode == MODE_IMS ? "ims" : "standalone");
	return 0;
}

/* ---- the ready line ---- */

static void put_entry(struct buffer *out, bool *is_first, const char *name, const struct sockaddr_storage *address,
	enum listen_role role)
{
	if (!*is_first)
		buffer_char(out, ',');
	*is_first = false;
	buffer_str(out, name);
	listeners_print_address(out, address);
	if (role != ROLE_BOTH)
		buffer_str(out, role == ROLE_ORIGINATING ? "/originating" : "/terminating");
}

void server_print_ready(const struct server *server, FILE *out)
{
	char text[4096];
	struct buffer line = buffer_over(text, sizeof(text));
	bool is_first = true;

	buffer_lit(&line, "imservd ready");
	for (unsigned i = 0; i < server->im.sip.listener_count; i++) {
		const struct sip_listener *l = &server->im.sip.listeners[i];
		buffer_str(&line, i ? "" : " sip=");
		put_entry(&line, &is_first, l->proto == LISTEN_UDP ? "udp:" : l->proto == LISTEN_TCP ? "tcp:" : "tls:",
			&l->bound, l->role);
	}
	is_first = true;
	for (unsigned i = 0; i < server->im.msrp.listener_count; i++) {
		const struct msrp_listener *l = &server->im.msrp.listeners[i];
		buffer_str(&line, i ? "" : " msrp=");
		put_entry(&line, &is_first, l->proto == LISTEN_MSRP ? "tcp:" : "tls:", &l->bound, ROLE_BOTH);
	}
	is_first = true;
	for (unsigned i = 0; i < server->http_count; i++) {
		struct sockaddr_storage address;
		http_address(server->http[i], &address);
		buffer_str(&line, i ? "" : " http=");
		put_entry(&line, &is_first, "", &address, ROLE_BOTH);
	}
	buffer_printf(&line, " io=%s\n", server->io);
	fwrite(line.p, 1, line.n, out);
	fflush(out);
}

/* ---- the end ---- */

static uint64_t work_left(const struct server *server)
{
	struct counters sum;

	counters_sum(&sum, (struct counters *const *)server->counters, server->group.count);
	/* who sent to a list has his 202: what is left of its copies goes out */
	return (uint64_t)(sum.gauges[GAUGE_sessions] + sum.pools[POOL_pager_lists]);
}

static void say_draining(const struct server *server)
{
	notify_say("EXTEND_TIMEOUT_USEC=%u\nSTATUS=draining, sessions left: %llu", DRAIN_EXTENDS_MS * 1000,
		(unsigned long long)work_left(server));
}

/* Waits for `ms`, until nothing is left, or for a second signal.  False: that came. */
static bool wait_for_work(struct server *server, uint64_t ms)
{
	struct timespec step = { 0, DRAIN_STEP_MS * 1000000 };
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	for (uint64_t waited = 0; waited < ms && work_left(server) > 0; waited += DRAIN_STEP_MS) {
		if (sigtimedwait(&stop, NULL, &step) > 0)
			return false;
		(void)server_watch(server); /* the step is short enough for any watchdog */
		if (waited % DRAIN_SAYS_MS == 0)
			say_draining(server);
	}
	return true;
}

static int tell_workers(struct server *server, uint16_t kind)
{
	for (unsigned i = 0; i < server->group.count; i++) {
		struct msg *msg = calloc(1, sizeof(*msg));
		if (!msg)
			return ENOMEM;
		msg->kind = kind;
		worker_post_from_outside(&server->group, i, msg);
	}
	return 0;
}

void server_drain(struct server *server)
{
	atomic_store(&server->im.is_draining, true);
	LOG(INFO, NULL, "server", 0, "draining sessions=%llu", (unsigned long long)work_left(server));
	notify_say("STOPPING=1");
	say_draining(server);
	if (!wait_for_work(server, server->im.settings->config->runtime.drain_ms)) /* only main replaces them */
		return;
	if (work_left(server) == 0 || tell_workers(server, MSG_SESSIONS_DRAIN) != 0 || !wait_for_work(server, BYE_MS))
		return;
	if (work_left(server) > 0 && tell_workers(server, MSG_SESSIONS_DRAIN) == 0)
		(void)wait_for_work(server, LAST_BYE_MS); /* what did not answer its BYE by then is left */
}

void server_stop(struct server *server)
{
	static struct msg stop[WORKERS_MAX];

	reloader_stop(server->reloader);
	admin_stop(server->admin);
	for (unsigned i = 0; i < server->http_count; i++)
		http_close(server->http[i]);
	admin_close(server->admin);
	documents_close(server->documents);
	for (unsigned i = 0; i < server->group.count; i++) {
		stop[i].kind = MSG_WORKER_STOP;
		worker_post_from_outside(&server->group, i, &stop[i]);
	}
	pthread_barrier_wait(&server->begin);
	store_actor_stop(server->im.store);
	resolver_stop(server->resolver);
	pthread_barrier_wait(&server->begin);
	pthread_barrier_wait(&server->begin);
	for (unsigned i = 0; i < server->group.count; i++)
		pthread_join(server->threads[i].thread, NULL);
	records_close(&server->im); /* nobody is left who writes one */
	listeners_close(&server->im, server->group.count);
	for (unsigned i = 0; i < server->group.count; i++)
		free(server->threads[i].worker);
	tls_set_drop(server->tls);
	im_server_free(&server->im);
	reloader_close(server->reloader);
	pthread_barrier_destroy(&server->begin);
	http_tally_free(server->http_tally);
	free(server);
}
