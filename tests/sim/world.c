#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/conference_state.h"
#include "actors/listeners.h"
#include "actors/mailbox_internal.h"
#include "actors/user_internal.h"
#include "core/log.h"
#include "core/minted.h"
#include "core/peer_count.h"
#include "core/rate_table.h"
#include "core/store_publications.h"
#include "core/stream.h"
#include "msrp/endpoint.h"
#include "sip/dialog.h"
#include "sip/digest.h"
#include "sip/layer.h"
#include "sip/owner.h"
#include "actors/settings.h"
#include "tests/sim/memory.h"
#include "tests/sim/scenario.h"
#include "tests/sim/store_sim.h"

#define SIP_PORT        5060
#define MSRP_PORT       2855
#define SWEEP_MS        31000   /* longer than the store has for what expired */
#define SETTLE_UNTOLD_MS 350000 /* longer than an INVITE whose lost connection nobody had memory to tell of */
#define SETTLE_MS       110000  /* longer than a session whose BYE nobody answers and the grace time of its Contacts */
#define CLIENT_BLOCKS   4096
#define TRANSACTIONS_MAX 100000
#define CONNECTIONS_MAX 4096
#define STOP_TURNS_MAX  10000

/* ---- saying what failed ---- */

/* What holds the MSRP connections. */
static void tell_legs(struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++) {
		struct msrp_endpoint *msrp = w->group.workers[i] ? msrp_endpoint_of(w->group.workers[i]) : NULL;
		for (size_t k = 0; msrp && msrp->legs_by_id.heads && k < msrp->legs_by_id.count; k++)
			for (struct msrp_leg *leg = msrp->legs_by_id.heads[k]; leg; leg = leg->next_of_chain) {
				const struct msrp_connection *c = leg->connection;
				fprintf(stderr, "worker %u: leg %p of %p, bound %d, %u transactions, %zu wait", i, (void *)leg,
					(void *)leg->pair, leg->is_bound, leg->transaction_count, leg->waiting.n);
				if (c)
					fprintf(stderr, "; connection %p pauses %x todo %x way %d held %zu parsed %zu seen %zu%s",
						(const void *)c, c->pauses, c->todo, c->in->way, c->held.n, c->parsed,
						c->queued_seen, c->proxy ? " elsewhere" : "");
				fputc('\n', stderr);
			}
		if (msrp)
			fprintf(stderr, "worker %u: %zu octets queued, %u blocks in use\n", i, msrp->queued,
				w->group.workers[i]->ring->ops->blocks_in_use(w->group.workers[i]->ring));
	}
}

void world_fail(struct world *w, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "scenario %s, seed %llu, %u workers, %s, at %llu ms: ", w->scenario->name,
		(unsigned long long)w->seed, w->group.count, w->is_tcp ? "tcp" : "udp",
		(unsigned long long)world_now_ms(w));
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	tell_legs(w);
	abort(); /* the sanitizer's or a debugger's turn to show where */
}

/* ---- configuration: read once for each set of options ---- */

struct known_config {
	struct known_config *next;
	const char *const *set;
	struct config *config;
};

/* `more`: besides those of the scenario. */
static struct config *load(const struct scenario *scenario, const char *const *more, unsigned count)
{
	/* no push but where a scenario is about it: the clients know of no call that nobody of them made */
	static const char *const common[] = { "limits.sessions=64", "limits.unbound=20s", "log.level=error",
		"deferred.push_on_register=false" };
	const char *set[4 + 8 + 8];
	struct config_source source = { NULL, set, 0, false };
	struct config_errors errors = { 0 };
	struct config *config;

	assert(count <= 8);
	for (unsigned i = 0; i < 4; i++)
		set[source.set_count++] = common[i];
	for (unsigned i = 0; i < 8 && scenario->set[i]; i++)
		set[source.set_count++] = scenario->set[i];
	for (unsigned i = 0; i < count; i++)
		set[source.set_count++] = more[i];
	if (config_load(&config, &source, &errors) != 0) {
		config_errors_print(&errors, stderr);
		abort();
	}
	config_errors_free(&errors);
	return config;
}

static const struct config *configuration(const struct scenario *scenario)
{
	static struct known_config *known;

	for (struct known_config *k = known; k; k = k->next)
		if (k->set == scenario->set)
			return k->config;
	struct known_config *k = calloc(1, sizeof(*k));
	assert(k);
	k->config = load(scenario, NULL, 0);
	log_reopen_level(k->config->log.level);
	k->set = scenario->set;
	k->next = known;
	return (known = k)->config;
}

/* ---- the server ---- */

static struct sockaddr_storage loopback(uint16_t port)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;

	v4->sin_family = AF_INET;
	v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v4->sin_port = htons(port);
	return address;
}

void world_sip_address(const struct world *w, bool is_tcp, struct sockaddr_storage *address)
{
	*address = w->im.sip.listeners[is_tcp].bound;
}

/* UDP, TCP and MSRP, one socket per worker each. */
static void open_listeners(struct world *w)
{
	static const enum listen_proto protos[] = { LISTEN_UDP, LISTEN_TCP };

	for (unsigned i = 0; i < 2; i++)
		w->im.sip.listeners[i] = (struct sip_listener){ .proto = protos[i], .bound = loopback(SIP_PORT) };
	w->im.msrp.listeners[0] = (struct msrp_listener){ .proto = LISTEN_MSRP, .bound = loopback(MSRP_PORT) };
	w->im.sip.listener_count = 2;
	w->im.msrp.listener_count = 1;
	for (unsigned i = 0; i < w->group.count; i++) {
		struct ring *ring = w->group.workers[i]->ring;
		struct sip_listener *sip = w->im.sip.listeners;
		sip[0].fds[i] = ring->ops->open_udp(ring, &sip[0].bound);
		sip[1].fds[i] = ring->ops->open_listener(ring, &sip[1].bound);
		w->im.msrp.listeners[0].fds[i] = ring->ops->open_listener(ring, &w->im.msrp.listeners[0].bound);
	}
	if (w->group.count > 1)
		w->client_ring->ops->spread_udp(w->client_ring, w->im.sip.listeners[0].fds[0], w->group.count);
}

static void must(struct world *w, int err, const char *what)
{
	if (err)
		world_fail(w, "%s: %s", what, strerror(err));
}

static void make_worker(struct world *w, unsigned index)
{
	struct ring_options options = { 256, w->scenario->blocks ? w->scenario->blocks : 1024, 16384 };
	struct worker *worker = aligned_alloc(64, (sizeof(*worker) + 63) & ~(size_t)63);

	assert(worker);
	worker_init(worker, index, &w->group);
	worker_use_ring(worker, sim_ring_new(w->sim, &options));
	must(w, stream_worker_init(worker, CONNECTIONS_MAX), "streams");
	must(w, sip_dialogs_init(worker, im_dialogs_max(w->config)), "dialogs");
	must(w, im_worker_init(worker, &w->im), "functions");
}

static void lower_credit(struct world *w, struct worker *worker)
{
	unsigned credit = w->scenario->credit;

	for (unsigned i = 0; credit && i < w->group.count; i++)
		sip_layer_of(worker)->credit[i] = (int)credit;
}

static void start_server(struct world *w)
{
	uint8_t keys[3][16];

	for (unsigned i = 0; i < sizeof(keys); i++)
		keys[i / 16][i % 16] = (uint8_t)sim_random_u64(w->sim);
	must(w, im_server_init(&w->im, w->config), "server");
	w->im.sip.transactions_max = TRANSACTIONS_MAX;
	w->im.sip.connections_max = CONNECTIONS_MAX;
	minted_init(keys[0], w->group.count);
	assert(digest_init(keys[0]) == 0);
	sip_owner_init(keys[1]);
	peer_count_init(keys[2]);
	w->im.cdr = &w->records;
	must(w, (w->im.rates = rate_table_make(keys[2])) ? 0 : ENOMEM, "rates");
	w->im.store = store_sim_new(w->sim, &w->group, &w->config->store, w->scenario->store_fails);
	for (unsigned i = 0; i < w->group.count; i++)
		make_worker(w, i);
	open_listeners(w);
	must(w, listeners_name_home(&w->im, w->config), "home");
	for (unsigned i = 0; i < w->group.count; i++) {
		struct worker *worker = w->group.workers[i];
		must(w, sip_worker_init(worker, &w->im.sip, im_on_request), "sip");
		must(w, msrp_worker_init(worker, &w->im.msrp), "msrp");
		lower_credit(w, worker);
	}
}

/* ---- running ---- */

/* A worker that would sleep now says so, and what is posted to it from here on wakes its ring. */
static void turn_worker(struct worker *worker)
{
	memory_enter();
	worker_turn(worker, true);
	memory_leave();
	if (worker->next_tasks || !mailbox_sleep(&worker->mailbox))
		worker->ring->ops->wake(worker->ring);
}

static void turn(void *arg, unsigned ring)
{
	struct world *w = arg;

	if (ring == 0)
		ua_turn(w->clients);
	else
		turn_worker(w->group.workers[ring - 1]);
	w->is_memory_short |= memory_has_failed();
}

void world_ms(struct world *w, uint64_t ms)
{
	sim_run_us(w->sim, ms * 1000, turn, w);
}

void world_us(struct world *w, uint64_t us)
{
	sim_run_us(w->sim, us, turn, w);
}

void world_moment(struct world *w, uint64_t max_us)
{
	/* half of the draws below a thousandth of it: most things happen in the first round trips */
	uint64_t most = world_chance(w, 50) ? max_us : max_us / 1000 + 1;

	sim_run_us(w->sim, world_below(w, (unsigned)most + 1), turn, w);
}

uint64_t world_now_ms(struct world *w)
{
	return w->sim ? sim_now_us(w->sim) / 1000 : 0;
}

struct until {
	struct world *world;
	bool (*done)(void *);
	void *arg;
};

static void turn_until(void *arg, unsigned ring)
{
	turn(((struct until *)arg)->world, ring);
}

static bool is_done(void *arg)
{
	struct until *until = arg;

	return until->done(until->arg);
}

bool world_until(struct world *w, bool (*done)(void *), void *arg, uint64_t ms)
{
	struct until until = { w, done, arg };

	return sim_run_until(w->sim, is_done, ms * 1000, turn_until, &until);
}

unsigned world_below(struct world *w, unsigned n)
{
	return sim_random_below(w->sim, n);
}

bool world_chance(struct world *w, unsigned in_100)
{
	return sim_chance(w->sim, in_100 * 10);
}

bool world_is_strict(const struct world *w)
{
	return !w->is_memory_short && !w->scenario->may_lose;
}

void world_counters(struct world *w, struct counters *all)
{
	struct counters *each[WORLD_WORKERS_MAX];

	for (unsigned i = 0; i < w->group.count; i++)
		each[i] = &w->group.workers[i]->counters;
	counters_sum(all, each, w->group.count);
}

uint64_t world_counter(struct world *w, enum counter which)
{
	struct counters all;

	world_counters(w, &all);
	return all.values[which];
}

uint64_t world_refused(struct world *w, enum reason why)
{
	struct counters all;

	world_counters(w, &all);
	return all.refused[why];
}

void world_drain(struct world *w)
{
	w->is_draining = true;
	atomic_store(&w->im.is_draining, true);
	for (unsigned i = 0; i < w->group.count; i++) {
		struct msg *msg = calloc(1, sizeof(*msg));
		assert(msg);
		msg->kind = MSG_SESSIONS_DRAIN;
		worker_post_from_outside(&w->group, i, msg);
	}
}

void world_shed(struct world *w, unsigned percent)
{
	for (unsigned i = 0; i < w->group.count; i++) {
		struct worker *worker = w->group.workers[i];
		sip_layer_of(worker)->overload.admission =
			(struct admission){ .share = percent / 100.0, .taken = ADMISSION_ALWAYS, .is_shedding = true };
		ratio_set(&worker->counters, RATIO_worker_shed_ratio, 1000 - percent * 10);
		worker->load.must_go_on = true;
		worker->ring->ops->wake(worker->ring); /* it may have fallen asleep for longer than that allows */
	}
}

bool world_is_shedding(const struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++)
		if (sip_layer_of(w->group.workers[i])->overload.admission.is_shedding)
			return true;
	return false;
}

void world_reload(struct world *w, const char *const *set, unsigned count)
{
	struct settings_news *news[WORLD_WORKERS_MAX];
	struct im_settings *settings;

	must(w, settings_make(&settings, &w->im, load(w->scenario, set, count), false, NULL), "settings");
	must(w, settings_news_make(news, w->group.count, settings), "settings");
	settings_news_post(news, &w->group);
	settings_replace(&w->im, settings);
}

/* ---- what must hold in the end ---- */

static void must_be(struct world *w, unsigned worker, uint64_t is, uint64_t should, const char *what)
{
	if (is != should)
		world_fail(w, "worker %u: %llu %s, should be %llu", worker, (unsigned long long)is, what,
			(unsigned long long)should);
}

static void check_worker(struct world *w, unsigned i)
{
	struct worker *worker = w->group.workers[i];
	struct sip_layer *sip = sip_layer_of(worker);
	struct msrp_endpoint *msrp = msrp_endpoint_of(worker);
	struct im *im = im_of(worker);
	uint64_t bindings = (uint64_t)worker->counters.pools[POOL_registrations];
	uint64_t publications = (uint64_t)worker->counters.pools[POOL_publications];
	unsigned credit = w->scenario->credit;

	must_be(w, i, pool_used(&im->sessions), 0, "sessions");
	must_be(w, i, pool_used(&im->virtual_user_agents), 0, "sessions that end in the server");
	must_be(w, i, pool_used(&im->large_messages), 0, "sessions that store large messages");
	must_be(w, i, pool_used(&im->large_uploads), 0, "uploads");
	must_be(w, i, pool_used(&im->pagers), 0, "pager messages");
	must_be(w, i, pool_used(&im->pager_lists), 0, "pager messages to many");
	must_be(w, i, im->pager_list_octets, 0, "octets of them");
	must_be(w, i, pool_used(&im->subscriptions), 0, "subscriptions");
	must_be(w, i, pool_used(&im->conferences), 0, "conferences");
	must_be(w, i, pool_used(&im->participants), 0, "participants");
	must_be(w, i, pool_used(&im->referrals), 0, "subscriptions of REFERs");
	must_be(w, i, pool_used(&im->conference_states->watchers), 0, "who watches conferences");
	must_be(w, i, LIST_FIRST(&im->conference_states->all) != NULL, 0, "states of conferences");
	must_be(w, i, pool_used(&im->large_lists), 0, "large messages to many");
	must_be(w, i, pool_used(&im->authentications), 0, "requests being authenticated");
	must_be(w, i, worker->actors.open, 0, "actors");
	must_be(w, i, pool_used(&sip->servers), 0, "server transactions");
	must_be(w, i, pool_used(&sip->clients), 0, "client transactions");
	must_be(w, i, pool_used(&sip->connections), 0, "SIP connections");
	must_be(w, i, pool_used(&sip->datagrams), 0, "datagrams");
	must_be(w, i, sip_dialog_count(worker), 0, "dialogs");
	must_be(w, i, pool_used(&msrp->legs), 0, "legs");
	must_be(w, i, pool_used(&msrp->connections), 0, "MSRP connections");
	must_be(w, i, pool_used(&msrp->transactions), 0, "MSRP transactions");
	must_be(w, i, msrp->queued, 0, "octets queued");
	must_be(w, i, stream_count(worker), 0, "streams");
	must_be(w, i, worker->ring->ops->blocks_in_use(worker->ring), 0, "blocks in use");
	must_be(w, i, sim_operations(worker->ring), 3, "operations in flight");
	must_be(w, i, mailboxes_held(im), 0, "deferred messages held by somebody");
	must_be(w, i, worker->timers.armed, bindings + publications + timer_is_armed(&im->mailboxes->sweep_timer),
		"timers armed, with so many bindings and publications");
	for (unsigned k = 0; k < w->group.count; k++) {
		must_be(w, i, (uint64_t)sip->credit[k], credit ? credit : SIP_CREDIT, "credit for SIP");
		must_be(w, i, msrp->used_credit[k], 0, "octets under way to another worker");
	}
}

static uint64_t count_publications(struct world *w, struct store *store)
{
	struct store_publication_load page = { .request.kind = STORE_PUBLICATION_LOAD };
	uint64_t rows = 0;

	do {
		store_begin(store);
		store_execute(store, &page.request);
		store_commit(store);
		if (page.request.msg.err)
			world_fail(w, "the store does not tell its rows: %s", strerror(page.request.msg.err));
		rows += page.count;
	} while (page.count == STORE_PUBLICATIONS_PAGE);
	return rows;
}

/* What is true in memory is what the store has, and nothing else. */
static void check_store(struct world *w)
{
	struct store_registration_load page = { .request.kind = STORE_REGISTRATION_LOAD };
	struct store *store = store_sim_database(w->im.store);
	struct counters all;
	uint64_t rows = 0;

	/* now_s 0: what expired while there was time to sweep it must be gone */
	while (!page.is_last) {
		store_begin(store);
		store_execute(store, &page.request);
		store_commit(store);
		if (page.request.msg.err)
			world_fail(w, "the store does not tell its rows: %s", strerror(page.request.msg.err));
		rows += page.count;
	}
	world_counters(w, &all);
	must_be(w, 0, rows, (uint64_t)all.pools[POOL_registrations], "rows of registrations");
	must_be(w, 0, count_publications(w, store), (uint64_t)all.pools[POOL_publications], "rows of publications");
}

static void check_counters(struct world *w)
{
	struct counters all;

	world_counters(w, &all);
	must_be(w, 0, all.values[COUNTER_sip_rx_requests] + all.values[COUNTER_sip_rx_responses],
		all.values[COUNTER_sip_rx_messages], "SIP messages by kind");
	must_be(w, 0, (uint64_t)all.gauges[GAUGE_sessions], 0, "sessions shown");
	must_be(w, 0, (uint64_t)all.gauges[GAUGE_connections], 0, "connections shown");
	must_be(w, 0, (uint64_t)all.gauges[GAUGE_msrp_legs], 0, "legs shown");
	must_be(w, 0, (uint64_t)all.gauges[GAUGE_sip_transactions], 0, "transactions shown");
	must_be(w, 0, (uint64_t)all.pools[POOL_dialogs], 0, "dialogs shown");
	must_be(w, 0, all.refused[REASON_NO_MEMORY] && !w->is_memory_short, 0, "lacks of memory that was there");
	/* one for each, whatever its end */
	if (all.values[COUNTER_cdr_lost] == 0) {
		must_be(w, 0, w->records.sessions, all.values[COUNTER_sessions_ended], "records of sessions");
		must_be(w, 0, w->records.delivered, all.values[COUNTER_pager_messages], "records of messages that arrived");
	}
	must_be(w, 0, all.values[COUNTER_cdr_lost] && !w->is_memory_short, 0, "records lost");
	if (all.values[COUNTER_sessions_started] > all.values[COUNTER_sessions_ended])
		world_fail(w, "more sessions began than ended");
}

/* What has expired leaves the store later; a store without memory is asked again. */
static bool is_sweeping(const struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++) {
		const struct im *im = im_of(w->group.workers[i]);
		if (!im->users->sweep || timer_is_armed(&im->users->sweep_timer) ||
		    (i == 0 && !timer_is_armed(&im->mailboxes->sweep_timer)))
			return true;
	}
	return false;
}

/* The clients are gone; all that they left must be, too, once every timer had its time. */
static void settle(struct world *w)
{
	ua_check(w->clients);
	ua_leave(w->clients);
	world_ms(w, memory_has_failed() ? SETTLE_UNTOLD_MS : SETTLE_MS);
	for (unsigned tries = 0; tries < 3 && is_sweeping(w); tries++)
		world_ms(w, SWEEP_MS);
	for (unsigned i = 0; i < w->group.count; i++)
		check_worker(w, i);
	check_counters(w);
	check_store(w);
	must_be(w, 0, sim_descriptors(w->sim), 3 * w->group.count + ua_descriptors(w->clients), "descriptors");
}

/* ---- the end ---- */

/* As threads would do it: some are at their end while others still work. */
static void stop_workers(struct world *w)
{
	static struct msg stop[WORLD_WORKERS_MAX];
	unsigned left = w->group.count;

	for (unsigned i = 0; i < w->group.count; i++) {
		stop[i] = (struct msg){ .kind = MSG_WORKER_STOP };
		worker_post_from_outside(&w->group, i, &stop[i]);
	}
	for (unsigned turns = 0; left; turns++) {
		struct worker *worker = w->group.workers[world_below(w, w->group.count)];
		if (worker->must_stop)
			continue;
		worker_turn(worker, false);
		left -= worker->must_stop;
		if (turns > STOP_TURNS_MAX)
			world_fail(w, "the workers do not stop");
	}
}

static void free_worker(struct worker *worker)
{
	mailbox_awake(&worker->mailbox);
	sip_worker_stop(worker, true);
	msrp_worker_stop(worker, true);
	im_worker_free(worker);
	msrp_worker_free(worker);
	sip_worker_free(worker);
	sip_dialogs_free(worker);
	stream_worker_free(worker);
	worker_free(worker);
}

static void close_listeners(struct world *w)
{
	struct ring *ring = w->client_ring;

	for (unsigned i = 0; i < w->group.count; i++) {
		ring->ops->close(ring, w->im.sip.listeners[0].fds[i]);
		ring->ops->close(ring, w->im.sip.listeners[1].fds[i]);
		ring->ops->close(ring, w->im.msrp.listeners[0].fds[i]);
	}
}

static void end_server(struct world *w)
{
	stop_workers(w);
	for (unsigned i = 0; i < w->group.count; i++)
		mailbox_awake(&w->group.workers[i]->mailbox);
	store_sim_free(w->im.store);
	for (unsigned i = 0; i < w->group.count; i++)
		free_worker(w->group.workers[i]);
	close_listeners(w);
	for (unsigned i = 0; i < w->group.count; i++)
		free(w->group.workers[i]);
	im_server_free(&w->im);
}

/* ---- a run ---- */

/* What a scenario expects must be possible: 20 losses of 100 in a row end any transaction now and then. */
static struct sim_options trouble(const struct world *w)
{
	struct sim_options o = w->scenario->is_calm ? SIM_CALM : sim_rough(w->seed);

	if (o.udp_loss > 60)
		o.udp_loss = 60;
	if (!w->scenario->may_lose)
		o.reset = o.connect_timeout = 0;
	if (o.latency_max_us > 16000) /* a spike is 50 times as long */
		o.latency_max_us = 16000;
	return o;
}

static void choose(struct world *w)
{
	static const unsigned counts[] = { 1, 2, 4, 4 };
	unsigned drawn = counts[world_below(w, 4)];
	bool is_tcp = world_chance(w, 50);

	w->group.count = drawn > w->scenario->workers_min ? drawn : w->scenario->workers_min;
	w->is_tcp = w->scenario->tcp == BY_SEED ? is_tcp : w->scenario->tcp == ON;
}

static void check_leaks(struct world *w)
{
	extern void __lsan_do_leak_check(void) __attribute__((weak));
	size_t octets, pieces = memory_left(&octets);

	if (!pieces)
		return;
	fprintf(stderr, "scenario %s, seed %llu, %u workers, %s: %zu octets in %zu pieces were not given back\n",
		w->scenario->name, (unsigned long long)w->seed, w->group.count, w->is_tcp ? "tcp" : "udp", octets,
		pieces);
	if (__lsan_do_leak_check)
		__lsan_do_leak_check();
	abort();
}

uint64_t world_run(const struct world_run *run)
{
	struct ring_options client_options = { 256, CLIENT_BLOCKS, 16384 };
	struct world world = { .seed = run->seed, .scenario = run->scenario }, *w = &world;
	struct sim_options options;

	w->config = configuration(run->scenario);
	options = trouble(w);
	options.trace = run->trace;
	memory_begin();
	w->sim = sim_new(run->seed, &options);
	choose(w);
	w->client_ring = sim_ring_new(w->sim, &client_options);
	w->clients = ua_host_new(w, w->client_ring);
	start_server(w);
	memory_fail(run->fail_allocation, run->fail_allocation ? world_below(w, 3) : 0);
	run->scenario->run(w);
	settle(w);
	end_server(w);
	uint64_t counted = memory_counted();
	ua_host_free(w->clients);
	w->client_ring->ops->destroy(w->client_ring);
	unsigned left = sim_descriptors(w->sim);
	sim_free(w->sim);
	w->sim = NULL;
	must_be(w, 0, left, 0, "descriptors open at the end");
	check_leaks(w);
	memory_end();
	return counted;
}
