/* What the store knows of users' bindings: writing it, forgetting what expired, and reading it at the start. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/listeners.h"
#include "actors/publication.h"
#include "actors/store_actor.h"
#include "actors/user_internal.h"
#include "sip/owner.h"

#define SWEEP_MS   30000 /* after something expired: what expires by then goes with it */
#define FLOW_CHARS 80
#define HASH_CHARS 16

/* ---- writing ---- */

static struct slice put_text(struct buffer *out, struct slice text)
{
	size_t at = out->n;

	buffer_put(out, text);
	return slice_of(out->p + at, out->n - at);
}

/* `udp:127.0.0.1:5060`: the listener by which a flow came, as it is after a restart too. */
static void print_listener(struct buffer *out, const struct im *im, unsigned index)
{
	const struct sip_listener *l = &im->server->sip.listeners[index];

	buffer_str(out, l->proto == LISTEN_UDP ? "udp:" : l->proto == LISTEN_TLS ? "tls:" : "tcp:");
	listeners_print_address(out, &l->bound);
}

static void print_peer(struct buffer *out, const struct sip_flow *flow)
{
	struct sockaddr_storage peer = { 0 };

	if (flow->peer.any.sa_family == AF_INET6)
		memcpy(&peer, &flow->peer.v6, sizeof(flow->peer.v6));
	else
		memcpy(&peer, &flow->peer.v4, sizeof(flow->peer.v4));
	listeners_print_address(out, &peer);
}

static void fill(struct buffer *out, struct store_binding *to, const struct im *im, const struct binding *b)
{
	char flow[FLOW_CHARS];
	struct buffer text = buffer_over(flow, sizeof(flow));

	to->contact = put_text(out, binding_uri(b));
	to->params = put_text(out, binding_params(b));
	to->path = put_text(out, binding_path(b));
	to->instance = put_text(out, binding_instance(b));
	print_listener(&text, im, b->flow.listener);
	to->listener = put_text(out, buffer_slice(&text));
	text.n = 0;
	print_peer(&text, &b->flow);
	to->peer = put_text(out, buffer_slice(&text));
	text.n = 0;
	buffer_printf(&text, "%016llx", (unsigned long long)b->call_id_hash);
	to->call_id = put_text(out, buffer_slice(&text));
	to->reg_id = b->reg_id;
	to->cseq = b->cseq;
	to->q = b->q;
	to->updated = b->updated;
	to->expires_at_s = b->expires_at_s;
}

static struct store_registration_request *request_of(struct slice aor, size_t text_max, struct buffer *out)
{
	struct store_registration_request *r = calloc(1, sizeof(*r) + aor.n + text_max);

	if (!r)
		return NULL;
	*out = buffer_over(r->text, aor.n + text_max);
	r->aor = put_text(out, aor);
	r->request.octets = (uint32_t)(aor.n + text_max);
	return r;
}

struct store_request *user_store_put(struct im *im, struct slice aor, const struct binding *const *bindings,
	unsigned count)
{
	struct buffer out;
	size_t n = 0;

	assert(count > 0 && count <= STORE_BINDINGS_MAX);
	for (unsigned i = 0; i < count; i++)
		n += bindings[i]->uri_n + bindings[i]->params_n + bindings[i]->path_n + bindings[i]->instance_n +
		     2 * FLOW_CHARS + HASH_CHARS;
	struct store_registration_request *r = request_of(aor, n, &out);
	if (!r)
		return NULL;
	r->request.kind = STORE_REGISTRATION_PUT;
	r->count = count;
	for (unsigned i = 0; i < count; i++)
		fill(&out, &r->bindings[i], im, bindings[i]);
	assert(!out.overflow);
	return &r->request;
}

struct store_request *user_store_put_core(struct slice aor, uint64_t expires_at_s)
{
	struct buffer out;
	struct store_registration_request *r = request_of(aor, 0, &out);

	if (!r)
		return NULL;
	r->request.kind = STORE_REGISTRATION_PUT;
	r->count = 1;
	r->bindings[0].expires_at_s = expires_at_s;
	return &r->request;
}

struct store_request *user_store_delete(struct slice aor)
{
	struct buffer out;
	struct store_registration_request *r = request_of(aor, 0, &out);

	if (!r)
		return NULL;
	r->request.kind = STORE_REGISTRATION_DELETE;
	return &r->request;
}

/* ---- forgetting ---- */

static void on_swept(struct worker *worker, struct store_request *request)
{
	struct im *im = im_of(worker);
	const struct store_registration_sweep *sweep = (struct store_registration_sweep *)request;

	im->users->sweep = (struct store_registration_sweep *)request;
	/* after a failure too: rows that expired do no harm, the next start ignores them */
	if (sweep->removed == STORE_SWEEP_MAX || request->msg.err)
		user_store_sweep_soon(im);
}

static void on_sweep(struct timer *timer)
{
	struct user_table *users = (struct user_table *)((char *)timer - offsetof(struct user_table, sweep_timer));
	struct store_registration_sweep *sweep = users->sweep;

	if (!sweep) { /* the last one is still there */
		worker_arm(users->worker, timer, SWEEP_MS, on_sweep);
		return;
	}
	users->sweep = NULL;
	sweep->request.kind = STORE_REGISTRATION_SWEEP;
	sweep->request.on_answer = on_swept;
	sweep->now_s = user_unix_s(users->worker);
	(void)store_ask(users->worker, &sweep->request); /* removals are never refused */
}

void user_store_sweep_soon(struct im *im)
{
	if (!timer_is_armed(&im->users->sweep_timer))
		worker_arm(im->worker, &im->users->sweep_timer, SWEEP_MS, on_sweep);
}

int user_store_init(struct im *im)
{
	im->users->sweep = calloc(1, sizeof(*im->users->sweep));
	return im->users->sweep ? 0 : ENOMEM;
}

void user_store_free(struct im *im)
{
	worker_disarm(im->worker, &im->users->sweep_timer);
	free(im->users->sweep);
}

/* ---- reading at the start ---- */

static bool parse_address(struct slice text, struct sockaddr_storage *address)
{
	char host[INET6_ADDRSTRLEN + 1];
	size_t n = text.n;
	uint64_t port;

	while (n && text.p[n - 1] != ':')
		n--;
	if (n < 2 || !slice_u64(slice_skip(text, n), 65535, &port))
		return false;
	struct slice name = slice_of(text.p, n - 1);
	bool is_v6 = name.p[0] == '[' && name.p[name.n - 1] == ']';
	if (is_v6)
		name = slice_of(name.p + 1, name.n - 2);
	if (name.n >= sizeof(host))
		return false;
	memcpy(host, name.p, name.n);
	host[name.n] = 0;
	memset(address, 0, sizeof(*address));
	address->ss_family = is_v6 ? AF_INET6 : AF_INET;
	void *octets = is_v6 ? (void *)&((struct sockaddr_in6 *)address)->sin6_addr :
			       (void *)&((struct sockaddr_in *)address)->sin_addr;
	if (inet_pton(address->ss_family, host, octets) != 1)
		return false;
	sip_port_set((struct sockaddr *)address, (uint16_t)port);
	return true;
}

/*
 * A stream ended with the process that had it.  A UDP flow is two addresses: where this process listens
 * at the one that the client wrote to, it is the same flow (NATs on the way cannot tell a restart).
 */
static bool revive_flow(const struct im *im, struct binding *b, const struct store_binding *from)
{
	struct sockaddr_storage peer;

	for (unsigned i = 0; i < im->server->sip.listener_count; i++) {
		char text[FLOW_CHARS];
		struct buffer name = buffer_over(text, sizeof(text));
		if (im->server->sip.listeners[i].proto != LISTEN_UDP)
			continue;
		print_listener(&name, im, i);
		if (!slice_eq(buffer_slice(&name), from->listener) || !parse_address(from->peer, &peer))
			continue;
		b->flow.protocol = SIP_UDP;
		b->flow.listener = (uint8_t)i;
		memcpy(&b->flow.peer, &peer, sizeof(b->flow.peer));
		return true;
	}
	return false;
}

static int load_binding(struct user *user, const struct store_binding *from, uint64_t left_s)
{
	struct im *im = user->im;
	struct binding_text text = { from->contact, from->params, from->path, from->instance };
	char hash[HASH_CHARS + 1] = "";
	struct binding *b;

	if (from->contact.n > USER_CONTACT_MAX || from->path.n > USER_PATH_MAX || from->params.n > UINT16_MAX ||
	    from->instance.n > UINT16_MAX || user->binding_count == USER_BINDINGS_MAX) {
		LOG(WARN, im->worker, "store", 0, "binding-ignored user=%.*s why=beyond-limits",
			SLICE_ARG(user_name(user)));
		return 0;
	}
	if (!(b = binding_make(&text)))
		return ENOMEM;
	memcpy(hash, from->call_id.p, from->call_id.n < HASH_CHARS ? from->call_id.n : HASH_CHARS);
	b->call_id_hash = strtoull(hash, NULL, 16);
	b->reg_id = from->reg_id;
	b->cseq = from->cseq;
	b->q = from->q;
	b->updated = from->updated;
	b->expires_at_s = from->expires_at_s;
	b->expires_at_ms = worker_now_ms(im->worker) + left_s * 1000;
	if (im->users->updates < b->updated)
		im->users->updates = b->updated;
	b->is_reachable = revive_flow(im, b, from);
	binding_add(user, b);
	return 0;
}

static int load_row(struct worker_group *group, struct slice aor, const struct store_binding *from, uint64_t now_s)
{
	uint64_t left_s = from->expires_at_s - now_s;
	struct im *im;
	struct user *user;

	if (aor.n > IM_CANONICAL_MAX)
		return 0;
	if (left_s > REGISTER_EXPIRES_MAX_S && from->contact.n) /* the clock was set back meanwhile */
		left_s = REGISTER_EXPIRES_MAX_S;
	im = im_of(group->workers[sip_owner_of_name(aor, group->count)]);
	user = user_find_or_make(im, aor);
	if (!user)
		return ENOMEM;
	int err = 0;
	bool is_of_core = !from->contact.n;
	if (is_of_core && im->config->core.mode == MODE_IMS)
		user_core_registered(user, (uint32_t)left_s);
	else if (!is_of_core && im->config->core.mode == MODE_STANDALONE)
		err = load_binding(user, from, left_s);
	user_forget_if_empty(user);
	return err;
}

int users_load(struct worker_group *group, struct store_door *door)
{
	struct store_registration_load *page = calloc(1, sizeof(*page));
	uint64_t now_s = user_unix_s(group->workers[0]);
	unsigned rows = 0;
	int err = page ? 0 : ENOMEM;

	while (!err && !page->is_last) {
		page->request.kind = STORE_REGISTRATION_LOAD;
		page->now_s = now_s;
		err = store_ask_and_wait(door, &page->request);
		for (unsigned i = 0; i < page->count && !err; i++, rows++)
			err = load_row(group, page->rows[i].aor, &page->rows[i].binding, now_s);
	}
	free(page);
	if (err)
		LOG(ERROR, NULL, "store", 0, "registrations-unreadable error=\"%s\"", strerror(err));
	else if (rows)
		LOG(INFO, NULL, "store", 0, "registrations-loaded bindings=%u", rows);
	return err ? err : publications_load(group, door);
}
