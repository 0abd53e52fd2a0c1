#include "actors/user.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/publication.h"
#include "actors/user_internal.h"
#include "sip/owner.h"

#define TABLE_SIZE 65536
#define USERS_MAX  (1u << 20) /* of one worker: names cost their sender nothing with users: open */

int users_init(struct im *im)
{
	struct user_table *users = calloc(1, sizeof(*users));

	if (!users)
		return ENOMEM;
	users->worker = im->worker;
	users->table_size = TABLE_SIZE;
	users->table = calloc(users->table_size, sizeof(*users->table));
	if (!users->table) {
		free(users);
		return ENOMEM;
	}
	worker_random(im->worker, &users->key, sizeof(users->key));
	im->users = users;
	return user_store_init(im);
}

uint64_t user_unix_s(const struct worker *worker)
{
	return worker->ring->ops->wall_us(worker->ring) / 1000000;
}

/* ---- the table ---- */

static struct user **bucket_of(struct user_table *users, struct slice canonical)
{
	return &users->table[siphash(&users->key, canonical) & (users->table_size - 1)];
}

struct user *user_of(struct im *im, struct slice canonical)
{
	for (struct user *user = *bucket_of(im->users, canonical); user; user = user->hash_next)
		if (slice_eq(user_name(user), canonical))
			return user;
	return NULL;
}

struct user *user_find_or_make(struct im *im, struct slice canonical)
{
	struct user *user = user_of(im, canonical);

	if (user || im->users->count >= USERS_MAX || !(user = calloc(1, sizeof(*user) + canonical.n)))
		return user;
	user->im = im;
	memcpy(user->canonical, canonical.p, canonical.n);
	user->canonical_n = (uint16_t)canonical.n;
	struct user **bucket = bucket_of(im->users, canonical);
	user->hash_next = *bucket;
	*bucket = user;
	im->users->count++;
	return user;
}

void user_forget_if_empty(struct user *user)
{
	struct im *im = user->im;

	if (user->bindings || user->is_core_registered || user->registrations || user->publications ||
	    user->publishings || user->subscriptions || user->rules)
		return;
	struct user **link = bucket_of(im->users, user_name(user));
	while (*link != user)
		link = &(*link)->hash_next;
	*link = user->hash_next;
	im->users->count--;
	free(user);
}

void user_changed(struct user *user)
{
	user->changes = ++user->im->users->changes;
}

unsigned users_count(const struct im *im)
{
	return im->users->count;
}

/* ---- bindings ---- */

/* What makes two flows one: sip_flow_equal(). */
static struct binding_chain *flow_chain(struct user_table *users, const struct sip_flow *flow)
{
	uint32_t name[6] = { flow->worker, flow->slot, flow->generation };

	if (flow->protocol == SIP_UDP) {
		memset(name, 0, sizeof(name));
		name[0] = 1u << 16 | (flow->peer.any.sa_family == AF_INET6 ? flow->peer.v6.sin6_port : flow->peer.v4.sin_port);
		if (flow->peer.any.sa_family == AF_INET6)
			memcpy(name + 1, &flow->peer.v6.sin6_addr, 16);
		else
			memcpy(name + 1, &flow->peer.v4.sin_addr, 4);
	}
	return &users->flows[siphash(&users->key, slice_of((char *)name, sizeof(name))) % USER_FLOW_CHAINS];
}

static void count_bindings(struct im *im, int by)
{
	struct counters *counters = &im->worker->counters;

	pool_gauge_set(counters, POOL_registrations, counters->pools[POOL_registrations] + by);
}

static void on_binding_expired(struct timer *timer)
{
	struct binding *binding = (struct binding *)((char *)timer - offsetof(struct binding, expiry));
	struct user *user = binding->user;

	LOG(INFO, user->im->worker, "user", 0, "binding-expired user=%.*s contact=%.*s", SLICE_ARG(user_name(user)),
		SLICE_ARG(binding_uri(binding)));
	user_store_sweep_soon(user->im);
	binding_drop(binding);
	user_forget_if_empty(user);
}

struct binding *binding_make(const struct binding_text *text)
{
	const struct slice pieces[] = { text->uri, text->params, text->path, text->instance };
	size_t n = 0;

	for (unsigned i = 0; i < 4; i++)
		n += pieces[i].n;
	struct binding *b = calloc(1, sizeof(*b) + n);
	if (!b)
		return NULL;
	struct buffer out = buffer_over(b->text, n);
	for (unsigned i = 0; i < 4; i++)
		buffer_put(&out, pieces[i]);
	b->uri_n = (uint16_t)text->uri.n;
	b->params_n = (uint16_t)text->params.n;
	b->path_n = (uint16_t)text->path.n;
	b->instance_n = (uint16_t)text->instance.n;
	return b;
}

void binding_add(struct user *user, struct binding *b)
{
	struct im *im = user->im;
	uint64_t now_ms = worker_now_ms(im->worker);

	b->user = user;
	b->next = user->bindings;
	user->bindings = b;
	user->binding_count++;
	count_bindings(im, 1);
	user_changed(user);
	worker_arm(im->worker, &b->expiry, b->expires_at_ms > now_ms ? b->expires_at_ms - now_ms : 0,
		on_binding_expired);
	if (!b->is_reachable)
		return;
	LIST_INSERT_HEAD(flow_chain(im->users, &b->flow), b, by_flow);
	if (b->flow.protocol != SIP_UDP)
		sip_flow_watch(im->worker, &b->flow);
}

unsigned users_of_flow(struct im *im, const struct sip_flow *flow, struct slice *canonical)
{
	const struct user *first = NULL;
	const struct binding *b;

	LIST_FOREACH(b, flow_chain(im->users, flow), by_flow) {
		if (b->user == first || !sip_flow_equal(&b->flow, flow))
			continue;
		if (first)
			return 2;
		first = b->user;
		*canonical = user_name(first);
	}
	return first ? 1 : 0;
}

void binding_drop(struct binding *binding)
{
	struct user *user = binding->user;
	struct binding **link = &user->bindings;

	while (*link != binding)
		link = &(*link)->next;
	*link = binding->next;
	user->binding_count--;
	if (binding->is_reachable)
		LIST_REMOVE(binding, by_flow);
	worker_disarm(user->im->worker, &binding->expiry);
	count_bindings(user->im, -1);
	user_changed(user);
	free(binding);
}

void users_on_flow_lost(struct worker *worker, const struct sip_flow *flow)
{
	struct im *im = im_of(worker);
	struct binding *b, *next;

	for (b = LIST_FIRST(flow_chain(im->users, flow)); b; b = next) {
		next = LIST_NEXT(b, by_flow);
		if (!sip_flow_equal(&b->flow, flow))
			continue;
		LIST_REMOVE(b, by_flow);
		b->is_reachable = false;
		LOG(INFO, worker, "user", 0, "binding-unreachable user=%.*s contact=%.*s why=flow-lost",
			SLICE_ARG(user_name(b->user)), SLICE_ARG(binding_uri(b)));
	}
}

/* ---- what a core says ---- */

static void on_core_expired(struct timer *timer)
{
	struct user *user = (struct user *)((char *)timer - offsetof(struct user, core_expiry));

	user->is_core_registered = false;
	user_changed(user);
	user_store_sweep_soon(user->im);
	user_forget_if_empty(user);
}

void user_core_registered(struct user *user, uint32_t expires_s)
{
	user->is_core_registered = expires_s > 0;
	user->is_core_known = true;
	user_changed(user);
	if (expires_s)
		worker_arm(user->im->worker, &user->core_expiry, (uint64_t)expires_s * 1000, on_core_expired);
	else
		worker_disarm(user->im->worker, &user->core_expiry);
}

void users_free(struct im *im)
{
	for (size_t i = 0; i < im->users->table_size; i++) {
		struct user *user;
		while ((user = im->users->table[i])) {
			im->users->table[i] = user->hash_next;
			registrations_free(user);
			publications_free(user);
			while (user->bindings)
				binding_drop(user->bindings);
			worker_disarm(im->worker, &user->core_expiry);
			free(user->rules);
			free(user);
		}
	}
	user_store_free(im);
	free(im->users->table);
	free(im->users);
	im->users = NULL;
}
