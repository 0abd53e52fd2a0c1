/*
 * The registrar of standalone mode (RFC 3261 10.3) and what a core reports by
 * third-party REGISTER (6.2.1).  A 200 leaves when the store has committed the
 * change.  REGISTERs of one user take effect one after the other: while one is
 * at the store, the next waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "actors/push.h"
#include "actors/registration.h"
#include "actors/store_actor.h"
#include "sip/header.h"
#include "sip/owner.h"

#define WAITING_MAX 8 /* REGISTERs of one user */

#define RETRY_AFTER "Retry-After: 5\r\n"

/* ---- answers ---- */

static void on_server_gone(struct sip_server *server, void *arg)
{
	(void)server;
	((struct registration *)arg)->server = NULL;
}

static const struct sip_server_events server_events = { .on_gone = on_server_gone };

static void respond(struct registration *r, const struct sip_reply *reply)
{
	struct sip_server *server = r->server;

	if (!server)
		return; /* the server stops */
	r->server = NULL;
	sip_server_watch(server, NULL, NULL);
	sip_server_respond(server, reply);
}

static void refuse_with(struct im *im, struct registration *r, const struct registration_refusal *refusal)
{
	char text[384];
	struct buffer out = buffer_over(text, sizeof(text));

	buffer_str(&out, refusal->headers ? refusal->headers : "");
	if (refusal->warning)
		buffer_printf(&out, "Warning: 399 %s \"%s\"\r\n", im->config->domain.home, refusal->warning);
	if (r->server)
		sip_server_tell_refusal(im->worker, r->server, refusal->status, refusal->why, refusal->warning);
	respond(r, &(struct sip_reply){ .status = refusal->status,
		.reason = refusal->status == 439 ? SLICE("First Hop Lacks Outbound Support") : SLICE_EMPTY,
		.headers = buffer_slice(&out) });
}

static bool refuse(struct registration *r, unsigned status, enum reason why, const char *headers)
{
	refuse_with(r->user->im, r, &(struct registration_refusal){ status, why, headers, NULL });
	return true;
}

static void write_bindings(struct buffer *out, const struct user *user)
{
	for (const struct binding *b = user->bindings; b; b = b->next) {
		uint64_t now_ms = worker_now_ms(user->im->worker);
		/* its timer may be due later in this turn */
		uint64_t left_ms = b->expires_at_ms > now_ms ? b->expires_at_ms - now_ms : 0;
		buffer_printf(out, "Contact: <%.*s>%.*s;expires=%llu\r\n", SLICE_ARG(binding_uri(b)),
			SLICE_ARG(binding_params(b)), (unsigned long long)((left_ms + 999) / 1000));
	}
}

/* RFC 3261 20.17: clients without a clock of their own set theirs by it. */
static void write_date(struct buffer *out, const struct worker *worker)
{
	time_t now = (time_t)user_unix_s(worker);
	struct tm tm;
	char text[64];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buffer_printf(out, "Date: %s\r\n", text);
}

static void answer_client(struct registration *r, struct slice path)
{
	char text[USER_BINDINGS_MAX * (USER_CONTACT_MAX + 512) + 1024];
	struct buffer out = buffer_over(text, sizeof(text));

	write_bindings(&out, r->user);
	write_date(&out, r->user->im->worker);
	if (path.n)
		buffer_printf(&out, "Path: %.*s\r\n", SLICE_ARG(path));
	if (r->is_outbound)
		buffer_lit(&out, "Require: outbound\r\n");
	buffer_lit(&out, "Supported: path, outbound\r\n");
	respond(r, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&out) });
}

static void answer_core(struct registration *r)
{
	char text[sizeof(r->core_contact) + 64];
	struct buffer out = buffer_over(text, sizeof(text));

	buffer_put(&out, slice_of(r->core_contact, r->core_contact_n));
	buffer_printf(&out, "Expires: %u\r\n", r->expires_s);
	respond(r, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&out) });
}

/* ---- which bindings there will be ---- */

/* RFC 3261 10.3 step 7 compares URIs, RFC 5626 6 the flow of an instance where both are of it. */
static bool is_same(const struct binding *a, const struct binding *b)
{
	struct sip_uri ua, ub;

	if (a->reg_id && b->reg_id)
		return a->reg_id == b->reg_id && slice_eq(binding_instance(a), binding_instance(b));
	return sip_uri_parse(binding_uri(a), &ua) && sip_uri_parse(binding_uri(b), &ub) && sip_uri_equal(&ua, &ub);
}

struct plan {
	const struct binding *set[USER_BINDINGS_MAX];
	unsigned n;
};

static void remove_at(struct plan *p, unsigned at)
{
	p->n--;
	memmove(&p->set[at], &p->set[at + 1], (p->n - at) * sizeof(p->set[0]));
}

/* A phone that comes back from a new address each time must not lock itself out: what cannot be reached
 * makes room, then what was refreshed longest ago. */
static void remove_oldest(struct plan *p)
{
	unsigned worst = 0;

	for (unsigned i = 1; i < p->n; i++) {
		const struct binding *a = p->set[i], *b = p->set[worst];
		if (a->is_reachable != b->is_reachable ? !a->is_reachable : a->updated < b->updated)
			worst = i;
	}
	remove_at(p, worst);
}

static void make_plan(const struct registration *r, struct plan *p)
{
	p->n = 0;
	for (const struct binding *b = r->user->bindings; b && !r->is_star; b = b->next)
		p->set[p->n++] = b;
	for (unsigned i = 0; i < r->count; i++) {
		const struct binding *contact = r->contacts[i];
		for (unsigned k = p->n; k-- > 0;)
			if (is_same(p->set[k], contact))
				remove_at(p, k);
		if (!contact->expires_s)
			continue;
		if (p->n == USER_BINDINGS_MAX)
			remove_oldest(p);
		p->set[p->n++] = contact;
	}
}

static bool is_planned(const struct plan *p, const struct binding *b)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->set[i] == b)
			return true;
	return false;
}

/* RFC 3261 10.3 step 7: a request older than what is stored for its Call-ID must not take effect. */
static bool is_outdated(const struct registration *r)
{
	for (const struct binding *b = r->user->bindings; b; b = b->next) {
		if (b->call_id_hash != r->call_id_hash || r->cseq > b->cseq)
			continue;
		if (r->is_star)
			return true;
		for (unsigned i = 0; i < r->count; i++)
			if (is_same(b, r->contacts[i]))
				return true;
	}
	return false;
}

/* The store has it: now it is so. */
static void adopt(struct registration *r)
{
	struct user *user = r->user;
	struct plan plan;

	make_plan(r, &plan); /* anew: something may have expired since */
	for (struct binding *b = user->bindings, *next; b; b = next) {
		next = b->next;
		if (!is_planned(&plan, b)) {
			LOG(INFO, user->im->worker, "user", 0, "binding-removed user=%.*s contact=%.*s",
				SLICE_ARG(user_name(user)), SLICE_ARG(binding_uri(b)));
			binding_drop(b);
		}
	}
	for (unsigned i = 0; i < r->count; i++)
		if (is_planned(&plan, r->contacts[i])) {
			binding_add(user, r->contacts[i]);
			r->contacts[i] = NULL;
		}
}

/* ---- one after the other ---- */

static void run(struct user *user);

/* The first one is answered. */
static void done(struct user *user)
{
	struct registration *r = user->registrations;

	user->registrations = r->next;
	user->registration_count--;
	registration_free(r);
	run(user);
}

static void on_stored(struct worker *worker, struct store_request *request)
{
	struct registration *r = request->asker;
	struct user *user = r->user;
	int err = request->msg.err == ENOENT ? 0 : request->msg.err;
	bool comes = r->is_of_core && r->expires_s;

	free(request);
	if (err) {
		LOG(WARN, worker, "user", 0, "registration-not-stored user=%.*s error=\"%s\"",
			SLICE_ARG(user_name(user)), strerror(err));
		(void)refuse(r, 503, REASON_STORE, RETRY_AFTER);
		done(user);
		return;
	}
	COUNT(&worker->counters, sip_registrations);
	if (r->is_of_core) {
		user_core_registered(user, r->expires_s);
		answer_core(r);
	} else {
		char text[USER_PATH_MAX];
		struct buffer path = buffer_over(text, sizeof(text));
		for (unsigned i = 0; i < r->count && !path.n; i++) {
			comes = comes || r->contacts[i]->expires_s;
			if (r->contacts[i]->expires_s)
				buffer_put(&path, binding_path(r->contacts[i]));
		}
		adopt(r);
		answer_client(r, buffer_slice(&path));
	}
	if (comes)
		push_start(user->im, user_name(user), PUSH_REGISTERED);
	done(user);
}

/* True: it was refused. */
static bool store(struct registration *r, struct store_request *request)
{
	if (!request)
		return refuse(r, 503, REASON_NO_MEMORY, RETRY_AFTER);
	request->asker = r;
	request->on_answer = on_stored;
	if (store_ask(r->user->im->worker, request) == 0)
		return false;
	free(request);
	return refuse(r, 503, REASON_STORE_BUSY, RETRY_AFTER);
}

static bool change_bindings(struct registration *r)
{
	struct im *im = r->user->im;
	uint64_t now_ms = worker_now_ms(im->worker), now_s = user_unix_s(im->worker);
	struct plan plan;

	for (unsigned i = 0; i < r->count; i++) {
		r->contacts[i]->updated = ++im->users->updates;
		r->contacts[i]->expires_at_ms = now_ms + (uint64_t)r->contacts[i]->expires_s * 1000;
		r->contacts[i]->expires_at_s = now_s + r->contacts[i]->expires_s;
	}
	make_plan(r, &plan);
	if (plan.n)
		return store(r, user_store_put(im, user_name(r->user), plan.set, plan.n));
	if (r->user->bindings)
		return store(r, user_store_delete(user_name(r->user)));
	answer_client(r, SLICE_EMPTY); /* nothing is to go */
	return true;
}

static bool change_core(struct registration *r)
{
	struct slice name = user_name(r->user);

	if (r->expires_s)
		return store(r, user_store_put_core(name, user_unix_s(r->user->im->worker) + r->expires_s));
	return store(r, user_store_delete(name));
}

static void on_user_known(struct worker *worker, struct store_request *request)
{
	struct registration *r = request->asker;
	struct user *user = r->user;
	int err = request->msg.err;

	(void)worker;
	free(request);
	if (!err) {
		r->is_known = true;
		run(user);
		return;
	}
	if (err == ENOENT)
		(void)refuse(r, 404, REASON_TARGET_UNKNOWN, NULL);
	else
		(void)refuse(r, 503, REASON_STORE, RETRY_AFTER);
	done(user);
}

static bool ask_who_it_is(struct registration *r)
{
	struct store_user_request *request = calloc(1, sizeof(*request));
	struct slice name = user_name(r->user);

	if (!request)
		return refuse(r, 503, REASON_NO_MEMORY, RETRY_AFTER);
	request->request.kind = STORE_USER_GET;
	request->request.on_answer = on_user_known;
	request->request.asker = r;
	memcpy(request->user.name, name.p, name.n);
	request->user.name_n = (uint16_t)name.n;
	(void)store_ask(r->user->im->worker, &request->request); /* reads are never refused */
	return false;
}

/* True: it was answered; false: it waits for the store. */
static bool step(struct registration *r)
{
	struct im *im = r->user->im;

	/* standalone: the authentication has seen to that */
	if (r->is_of_core && im->config->core.users == USERS_PROVISIONED && !r->is_known)
		return ask_who_it_is(r);
	if (r->refusal.status) {
		refuse_with(im, r, &r->refusal);
		return true;
	}
	if (r->is_of_core)
		return change_core(r);
	if (is_outdated(r))
		return refuse(r, 500, REASON_CSEQ, NULL);
	if (r->count || r->is_star)
		return change_bindings(r);
	answer_client(r, SLICE_EMPTY); /* a query */
	return true;
}

static void run(struct user *user)
{
	struct registration *r;

	while ((r = user->registrations)) {
		if (!step(r))
			return;
		user->registrations = r->next;
		user->registration_count--;
		registration_free(r);
	}
	user_forget_if_empty(user);
}

void registrations_free(struct user *user)
{
	struct registration *r;

	while ((r = user->registrations)) {
		user->registrations = r->next;
		if (r->server)
			sip_server_watch(r->server, NULL, NULL);
		registration_free(r);
	}
}

static void enqueue(struct im *im, struct slice canonical, struct registration *r)
{
	struct user *user = user_find_or_make(im, canonical);

	if (!user || user->registration_count == WAITING_MAX) {
		refuse_with(im, r, &(struct registration_refusal){ 503, user ? REASON_STORE_BUSY : REASON_NO_MEMORY,
			RETRY_AFTER, NULL });
		registration_free(r);
		return;
	}
	struct registration **end = &user->registrations;
	while (*end)
		end = &(*end)->next;
	*end = r;
	r->user = user;
	sip_server_watch(r->server, &server_events, r);
	if (user->registration_count++ == 0)
		run(user);
}

/* ---- the door ---- */

/* design.md 4, "Identity": nobody but the user himself changes where he is reached. */
static bool is_own(const struct im *im, const struct sip_message *m, struct slice canonical)
{
	char text[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct sip_address from;
	struct sip_uri uri;

	return sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from) && sip_uri_parse(from.uri, &uri) &&
	       sip_uri_is_home(&uri, &im->server->sip.home) &&
	       sip_uri_canonical(&out, &uri, &im->server->sip.home) && slice_eq(buffer_slice(&out), canonical);
}

void user_on_register(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	char canonical[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	bool is_standalone = im->config->core.mode == MODE_STANDALONE;
	struct sip_address to;
	struct sip_uri uri, target;

	/* an address of record is a SIP URI (RFC 3261 10.2); cores may name numbers */
	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) || !sip_uri_parse(to.uri, &uri) ||
	    uri.scheme == SIP_SCHEME_OTHER) {
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return;
	}
	if (!sip_uri_is_home(&uri, &im->server->sip.home) || !uri.user.n ||
	    !sip_uri_canonical(&out, &uri, &im->server->sip.home) ||
	    /* a core names us as its filter criteria do, whatever name that is (TS 24.229 5.4.1.7) */
	    (is_standalone && sip_uri_parse(m->uri, &target) && !sip_uri_is_home(&target, &im->server->sip.home))) {
		sip_server_refuse(server, 404, REASON_TARGET_UNKNOWN);
		return;
	}
	struct slice name = sip_canonical_user(buffer_slice(&out));
	const struct sip_options *sip = &im->server->sip;
	if (is_standalone && (sip_name_is_group(name, sip) || sip_name_is_function(name, sip))) {
		sip_server_refuse(server, 404, REASON_TARGET_UNKNOWN); /* names of functions and groups are no users */
		return;
	}
	if (is_standalone && !is_own(im, m, buffer_slice(&out))) {
		sip_server_refuse(server, 403, REASON_IDENTITY);
		return;
	}
	struct registration *r = registration_read(im, server, m);
	if (!r) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	enqueue(im, buffer_slice(&out), r);
}
