#include "actors/user.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/siphash.h"
#include "sip/header.h"
#include "sip/owner.h"
#include "sip/write.h"

struct user;

struct binding {
	struct user *user;
	struct binding *next;
	struct timer expiry;
	struct sip_flow flow;
	unsigned q;
	uint64_t expires_at_ms, updated; /* updated: order of registration */
	uint64_t call_id_hash;
	uint32_t cseq;
	uint16_t uri_n, params_n;
	char text[]; /* Contact URI, then its parameters for the 200: q and feature tags */
};

#define PARAMS_MAX 192

struct user {
	struct im *im;
	struct user *hash_next;
	struct binding *bindings;
	unsigned binding_count;
	/* ims: what the core's last third-party REGISTER said */
	struct timer core_expiry;
	bool is_core_registered;
	uint16_t canonical_n;
	char canonical[];
};

struct user_table {
	struct siphash_key key;
	struct user **table;
	size_t table_size;
	unsigned count;
	uint64_t updates;
};

#define TABLE_SIZE 65536

int users_init(struct im *im)
{
	struct user_table *users = calloc(1, sizeof(*users));

	if (!users)
		return ENOMEM;
	users->table_size = TABLE_SIZE;
	users->table = calloc(users->table_size, sizeof(*users->table));
	if (!users->table) {
		free(users);
		return ENOMEM;
	}
	worker_random(im->worker, &users->key, sizeof(users->key));
	im->users = users;
	return 0;
}

static struct user **bucket_of(struct user_table *users, struct slice canonical)
{
	return &users->table[siphash(&users->key, canonical) & (users->table_size - 1)];
}

static struct user *find(struct user_table *users, struct slice canonical)
{
	for (struct user *user = *bucket_of(users, canonical); user; user = user->hash_next)
		if (slice_eq(slice_of(user->canonical, user->canonical_n), canonical))
			return user;
	return NULL;
}

static struct user *find_or_make(struct im *im, struct slice canonical)
{
	struct user *user = find(im->users, canonical);

	if (user || !(user = calloc(1, sizeof(*user) + canonical.n)))
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

static bool is_empty(const struct user *user)
{
	return !user->bindings && !user->is_core_registered;
}

static struct slice uri_of(const struct binding *b)
{
	return slice_of(b->text, b->uri_n);
}

static void forget_if_empty(struct user *user)
{
	struct im *im = user->im;

	if (!is_empty(user))
		return;
	struct user **link = bucket_of(im->users, slice_of(user->canonical, user->canonical_n));
	while (*link != user)
		link = &(*link)->hash_next;
	*link = user->hash_next;
	im->users->count--;
	free(user);
}

static void count_bindings(struct im *im, int by)
{
	struct counters *counters = &im->worker->counters;

	pool_gauge_set(counters, POOL_registrations, counters->pools[POOL_registrations] + by);
}

static void drop_binding(struct binding *binding)
{
	struct user *user = binding->user;
	struct binding **link = &user->bindings;

	while (*link != binding)
		link = &(*link)->next;
	*link = binding->next;
	user->binding_count--;
	worker_disarm(user->im->worker, &binding->expiry);
	count_bindings(user->im, -1);
	free(binding);
}

void users_free(struct im *im)
{
	for (size_t i = 0; i < im->users->table_size; i++) {
		struct user *user;
		while ((user = im->users->table[i])) {
			im->users->table[i] = user->hash_next;
			while (user->bindings)
				drop_binding(user->bindings);
			worker_disarm(im->worker, &user->core_expiry);
			free(user);
		}
	}
	free(im->users->table);
	free(im->users);
	im->users = NULL;
}

unsigned users_count(const struct im *im)
{
	return im->users->count;
}

static void on_binding_expired(struct timer *timer)
{
	struct binding *binding = (struct binding *)((char *)timer - offsetof(struct binding, expiry));
	struct user *user = binding->user;

	LOG(INFO, user->im->worker, "user", 0, "binding-expired user=%.*s contact=%.*s", (int)user->canonical_n,
		user->canonical, SLICE_ARG(uri_of(binding)));
	drop_binding(binding);
	forget_if_empty(user);
}

static void on_core_expired(struct timer *timer)
{
	struct user *user = (struct user *)((char *)timer - offsetof(struct user, core_expiry));

	user->is_core_registered = false;
	forget_if_empty(user);
}

/* ---- questions of other actors ---- */

static void on_found_without_asker(struct worker *worker, struct msg *msg)
{
	(void)worker;
	free(msg);
}

/* Better first: higher q, then the later registration. */
static bool is_better(const struct binding *a, const struct binding *b)
{
	return a->q != b->q ? a->q > b->q : a->updated > b->updated;
}

static void list_contacts(const struct user *user, struct user_find *question)
{
	const struct binding *order[USER_BINDINGS_MAX];
	unsigned n = 0;

	for (const struct binding *b = user->bindings; b; b = b->next) {
		unsigned at = n++;
		for (; at > 0 && is_better(b, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = b;
	}
	for (unsigned i = 0; i < n; i++) {
		struct user_contact *contact = &question->contacts[i];
		memcpy(contact->uri, order[i]->text, order[i]->uri_n);
		contact->uri_n = order[i]->uri_n;
		contact->q = order[i]->q;
		contact->flow = order[i]->flow;
	}
	question->contact_count = n;
}

static void on_find(struct worker *worker, struct msg *msg)
{
	struct user_find *question = (struct user_find *)msg;
	struct im *im = im_of(worker);
	struct user *user = find(im->users, slice_of(question->canonical, question->canonical_n));

	question->contact_count = 0;
	question->is_registered = false;
	if (user) {
		list_contacts(user, question);
		question->is_registered = user->is_core_registered || question->contact_count > 0;
	}
	msg->actor = question->asker;
	worker_answer(worker, msg, MSG_USER_FOUND, 0);
}

int user_find(struct im *im, struct slice canonical, actor_id asker)
{
	struct user_find *question = malloc(sizeof(*question));

	if (!question)
		return ENOMEM;
	memset(&question->msg, 0, sizeof(question->msg));
	question->msg.kind = MSG_USER_FIND;
	question->asker = asker;
	memcpy(question->canonical, canonical.p, canonical.n);
	question->canonical_n = canonical.n;
	worker_post(im->worker, sip_owner_of_name(canonical, im->worker->group->count), &question->msg);
	return 0;
}

void user_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_USER_FIND] = on_find;
	worker->on_message[MSG_USER_FOUND] = on_found_without_asker;
}

/* ---- REGISTER ---- */

struct registration {
	struct im *im;
	struct sip_server *server;
	const struct sip_message *m;
	struct slice canonical;
	bool has_expires;
	uint32_t expires;
	uint64_t call_id_hash;
	uint32_t cseq;
};

/* What a Contact asks for: its own expires, else the header's, else the default. */
static uint32_t expires_of(const struct registration *r, const struct sip_contact *contact)
{
	uint32_t s = contact->has_expires ? contact->expires :
		     r->has_expires	  ? r->expires :
					    REGISTER_EXPIRES_DEFAULT_S;

	return s > REGISTER_EXPIRES_MAX_S ? REGISTER_EXPIRES_MAX_S : s;
}

static struct binding *binding_of(struct user *user, struct slice uri)
{
	struct sip_uri wanted, have;

	if (!sip_uri_parse(uri, &wanted))
		return NULL;
	for (struct binding *b = user->bindings; b; b = b->next)
		if (sip_uri_parse(uri_of(b), &have) && sip_uri_equal(&wanted, &have))
			return b;
	return NULL;
}

/* RFC 3261 10.3 step 7: a request older than what is stored for its Call-ID must not take effect. */
static bool is_outdated(const struct registration *r, const struct binding *b)
{
	return b->call_id_hash == r->call_id_hash && r->cseq <= b->cseq;
}

enum contacts_verdict { CONTACTS_OK, CONTACTS_BAD, CONTACTS_BRIEF, CONTACTS_OUTDATED };

/* Nothing is changed before all Contacts were found good. */
static enum contacts_verdict check_contacts(const struct registration *r, struct user *user)
{
	struct sip_items items = sip_items_of(r->m, SIP_HDR_CONTACT);
	struct sip_contact contact;
	enum sip_item item;
	for (const struct binding *b = user ? user->bindings : NULL; b; b = b->next)
		if (is_outdated(r, b) && sip_header_first(r->m, SIP_HDR_CONTACT))
			return CONTACTS_OUTDATED;
	while ((item = sip_contact_next(&items, &contact)) != SIP_ITEM_END) {
		if (item == SIP_ITEM_BAD)
			return CONTACTS_BAD;
		if (contact.star) {
			if (!r->has_expires || r->expires != 0)
				return CONTACTS_BAD;
			continue;
		}
		struct sip_uri uri;
		uint32_t expires = expires_of(r, &contact);
		if (contact.address.uri.n > USER_CONTACT_MAX || !sip_uri_parse(contact.address.uri, &uri) ||
		    uri.scheme == SIP_SCHEME_OTHER || uri.scheme == SIP_SCHEME_TEL)
			return CONTACTS_BAD;
		if (expires > 0 && expires < REGISTER_EXPIRES_MIN_S)
			return CONTACTS_BRIEF;
	}
	return CONTACTS_OK;
}

/* Without expires, which the 200 says anew.  What is too long to repeat is left out: the client knows its
 * own parameters. */
static void write_params(struct buffer *out, struct slice params)
{
	struct sip_param param;

	while (sip_param_next(&params, &param)) {
		size_t before = out->n;
		if (slice_case_eq(param.name, SLICE("expires")))
			continue;
		buffer_char(out, ';');
		sip_write_text(out, param.name);
		if (param.has_value) {
			buffer_char(out, '=');
			sip_write_text(out, param.value);
		}
		if (out->overflow) {
			out->n = before;
			return;
		}
	}
}

static struct binding *make_binding(struct user *user, const struct sip_contact *contact)
{
	char text[PARAMS_MAX];
	struct buffer params = buffer_over(text, sizeof(text));
	struct slice uri = contact->address.uri;

	write_params(&params, contact->address.params);
	struct binding *b = calloc(1, sizeof(*b) + uri.n + params.n);
	if (!b)
		return NULL;
	memcpy(b->text, uri.p, uri.n);
	memcpy(b->text + uri.n, params.p, params.n);
	b->uri_n = (uint16_t)uri.n;
	b->params_n = (uint16_t)params.n;
	b->user = user;
	b->next = user->bindings;
	user->bindings = b;
	user->binding_count++;
	count_bindings(user->im, 1);
	return b;
}

/* A phone that comes back from a new address each time must not lock itself out: the binding that was
 * refreshed longest ago makes room. */
static void drop_oldest(struct user *user, const struct binding *except)
{
	struct binding *oldest = NULL;

	for (struct binding *b = user->bindings; b; b = b->next)
		if (b != except && (!oldest || b->updated < oldest->updated))
			oldest = b;
	LOG(INFO, user->im->worker, "user", 0, "binding-replaced user=%.*s contact=%.*s", (int)user->canonical_n,
		user->canonical, SLICE_ARG(uri_of(oldest)));
	drop_binding(oldest);
}

/* False: no memory; what was there stays. */
static bool store_binding(const struct registration *r, struct user *user, const struct sip_contact *contact)
{
	struct im *im = r->im;
	struct binding *old = binding_of(user, contact->address.uri), *b;
	uint32_t expires = expires_of(r, contact);

	if (expires == 0) {
		if (old)
			drop_binding(old);
		return true;
	}
	b = make_binding(user, contact);
	if (!b)
		return false;
	if (old)
		drop_binding(old);
	else if (user->binding_count > USER_BINDINGS_MAX)
		drop_oldest(user, b);
	b->flow = *sip_server_flow(r->server);
	b->q = contact->q;
	b->call_id_hash = r->call_id_hash;
	b->cseq = r->cseq;
	b->updated = ++im->users->updates;
	b->expires_at_ms = worker_now_ms(im->worker) + (uint64_t)expires * 1000;
	worker_arm(im->worker, &b->expiry, (uint64_t)expires * 1000, on_binding_expired);
	return true;
}

static void write_bindings(struct buffer *out, const struct user *user)
{
	for (const struct binding *b = user ? user->bindings : NULL; b; b = b->next) {
		uint64_t now_ms = worker_now_ms(user->im->worker);
		/* its timer may be due later in this turn */
		uint64_t left_ms = b->expires_at_ms > now_ms ? b->expires_at_ms - now_ms : 0;
		buffer_printf(out, "Contact: <%.*s>%.*s;expires=%llu\r\n", (int)b->uri_n, b->text, (int)b->params_n,
			b->text + b->uri_n, (unsigned long long)((left_ms + 999) / 1000));
	}
}

static void answer_registration(const struct registration *r, const struct user *user)
{
	char text[USER_BINDINGS_MAX * (USER_CONTACT_MAX + 256)];
	struct buffer out = buffer_over(text, sizeof(text));

	write_bindings(&out, user);
	sip_server_respond(r->server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&out) });
}

static void refuse_brief(const struct registration *r)
{
	REFUSED(&r->im->worker->counters, REASON_INTERVAL_TOO_BRIEF);
	sip_server_respond(r->server, &(struct sip_reply){ .status = 423, .headers = SLICE("Min-Expires: 60\r\n") });
}

static bool apply_contacts(const struct registration *r, struct user *user)
{
	struct sip_items items = sip_items_of(r->m, SIP_HDR_CONTACT);
	struct sip_contact contact;

	while (sip_contact_next(&items, &contact) == SIP_ITEM_OK) {
		if (!contact.star && !store_binding(r, user, &contact))
			return false;
		while (contact.star && user->bindings)
			drop_binding(user->bindings);
	}
	return true;
}

static void register_client(const struct registration *r)
{
	struct user *user = find(r->im->users, r->canonical);

	switch (check_contacts(r, user)) {
	case CONTACTS_BAD:
		sip_server_refuse(r->server, 400, REASON_SYNTAX);
		return;
	case CONTACTS_BRIEF:
		refuse_brief(r);
		return;
	case CONTACTS_OUTDATED: /* RFC 3261 10.3 step 7: the update fails */
		sip_server_refuse(r->server, 500, REASON_CSEQ);
		return;
	case CONTACTS_OK:
		break;
	}
	if (!sip_header_first(r->m, SIP_HDR_CONTACT)) { /* a query */
		answer_registration(r, user);
		return;
	}
	if (!user && !(user = find_or_make(r->im, r->canonical))) {
		sip_server_refuse(r->server, 503, REASON_NO_MEMORY);
		return;
	}
	if (!apply_contacts(r, user)) {
		sip_server_refuse(r->server, 503, REASON_NO_MEMORY);
		forget_if_empty(user);
		return;
	}
	COUNT(&r->im->worker->counters, sip_registrations);
	answer_registration(r, user);
	forget_if_empty(user);
}

/* 6.2.1: the core reports that a user registered (Expires 0: de-registered). */
static void register_by_core(const struct registration *r)
{
	if (!r->has_expires && sip_header_first(r->m, SIP_HDR_EXPIRES)) { /* D1-28 */
		sip_server_refuse(r->server, 400, REASON_SYNTAX);
		return;
	}
	struct sip_items items = sip_items_of(r->m, SIP_HDR_CONTACT);
	struct sip_contact contact = { 0 };
	uint32_t expires = r->has_expires ? r->expires : REGISTER_EXPIRES_DEFAULT_S;
	char text[1024];
	struct buffer out = buffer_over(text, sizeof(text));

	if (sip_contact_next(&items, &contact) == SIP_ITEM_OK && contact.has_expires)
		expires = contact.expires;
	struct user *user = expires ? find_or_make(r->im, r->canonical) : find(r->im->users, r->canonical);
	if (expires && !user) {
		sip_server_refuse(r->server, 503, REASON_NO_MEMORY);
		return;
	}
	if (user) {
		user->is_core_registered = expires > 0;
		if (expires)
			worker_arm(r->im->worker, &user->core_expiry, (uint64_t)expires * 1000, on_core_expired);
		else
			worker_disarm(r->im->worker, &user->core_expiry);
		forget_if_empty(user);
	}
	COUNT(&r->im->worker->counters, sip_registrations);
	sip_copy_headers(&out, r->m, SIP_HDR_CONTACT);
	if (out.overflow)
		out = buffer_over(text, sizeof(text));
	buffer_printf(&out, "Expires: %u\r\n", expires);
	sip_server_respond(r->server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&out) });
}

void user_on_register(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	char canonical[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	struct registration r = { .im = im, .server = server, .m = m };
	struct sip_address to;
	struct sip_uri uri, target;
	struct slice method;

	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) || !sip_uri_parse(to.uri, &uri)) {
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return;
	}
	if (!sip_uri_is_home(&uri, &im->server->sip.home) ||
	    !sip_uri_canonical(&out, &uri, &im->server->sip.home) ||
	    /* a core names us as its filter criteria do, whatever name that is (TS 24.229 5.4.1.7) */
	    (im->config->core.mode == MODE_STANDALONE && sip_uri_parse(m->uri, &target) &&
		    !sip_uri_is_home(&target, &im->server->sip.home))) {
		sip_server_refuse(server, 404, REASON_TARGET_UNKNOWN);
		return;
	}
	r.canonical = buffer_slice(&out);
	r.has_expires = sip_seconds_of(m, SIP_HDR_EXPIRES, &r.expires);
	r.call_id_hash = siphash(&im->users->key, sip_header_value(m, SIP_HDR_CALL_ID));
	if (!sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &r.cseq, &method))
		r.cseq = 0;
	if (im->config->core.mode == MODE_IMS)
		register_by_core(&r);
	else
		register_client(&r);
}
