#include "actors/authentication.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/credentials.h"
#include "actors/offered.h"
#include "sip/header.h"
#include "sip/nonce_count.h"
#include "sip/owner.h"

#define DEADLINE_MS 5000 /* for the worker of the user and the store behind it */

/* What the worker of a name is asked. */
enum question { QUESTION_IS_HE_RIGHT, QUESTION_DOES_HE_EXIST };

/* What it answers. */
enum answer { ANSWER_YES, ANSWER_NO, ANSWER_STALE, ANSWER_NO_ROOM, ANSWER_NO_STORE };

/*
 * A question that travels to the worker of a name and comes home as its own answer; made and freed by the
 * asker, or where it finds that the asker is gone.
 */
struct user_question {
	struct msg msg;
	struct credentials_asker asker; /* while the store is asked; on the user's worker */
	actor_id authentication;
	enum question question;
	enum digest_name name;
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
	char method[32];
	size_t method_n;
	/* ---- written by the user's worker ---- */
	enum answer answer;
	size_t header_n;
	char header[]; /* the value with the credentials */
};

enum auth_state { AUTH_SENDER, AUTH_TARGET };

struct pending {
	struct actor actor;
	struct im *im;
	struct sip_server *server;
	struct timer deadline;
	enum auth_state state;
	struct authentication found;
	char *message; /* as received */
	size_t message_n;
};

static void on_pending_message(struct actor *actor, struct msg *msg);
static const struct actor_type pending_type = { "authentication", on_pending_message };

bool authentication_is_needed(const struct im *im)
{
	const struct core_options *core = &im->config->core;

	return core->mode == MODE_STANDALONE &&
	       (core->authenticate == AUTHENTICATE_DIGEST || core->users == USERS_PROVISIONED);
}

static bool is_digest(const struct im *im)
{
	return im->config->core.authenticate == AUTHENTICATE_DIGEST;
}

/* ---- refusing ---- */

/* RFC 3261 22.2, 22.3: as the registrar or other end of it 401, as somebody on the way 407. */
static bool is_for_us(enum sip_method method)
{
	return method == SIP_REGISTER || method == SIP_PUBLISH || method == SIP_SUBSCRIBE;
}

static void challenge(struct im *im, struct sip_server *server, bool is_stale)
{
	char nonce[DIGEST_NONCE_CHARS], text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));
	bool for_us = is_for_us(sip_server_method(server));
	uint64_t random;

	worker_random(im->worker, &random, sizeof(random));
	digest_nonce_make(nonce, worker_now_ms(im->worker), random);
	digest_write_challenge(&headers, for_us ? "WWW-Authenticate" : "Proxy-Authenticate",
		slice_str(im->config->domain.home), slice_of(nonce, sizeof(nonce)), is_stale);
	COUNT(&im->worker->counters, sip_challenges);
	sip_server_respond(server, &(struct sip_reply){ .status = for_us ? 401 : 407,
		.headers = buffer_slice(&headers) });
}

/* A challenge that somebody gave cause for. */
static void challenge_again(struct im *im, struct sip_server *server, enum reason why)
{
	sip_server_tell_refusal(im->worker, server, is_for_us(sip_server_method(server)) ? 401 : 407, why, NULL);
	challenge(im, server, why == REASON_NONCE_STALE);
}

/* ---- on the worker of the user ---- */

int authentication_judge(struct im *im, const struct user_facts *facts, const struct digest_credentials *c,
	enum digest_name name, struct slice method)
{
	if (!facts->has_password || !digest_verify(c, &facts->secret, name, method))
		return ENOENT;
	switch (nonce_counts_use(&im->nonces, c->nonce, c->nc, worker_now_ms(im->worker))) {
	case NONCE_GOOD:
		return 0;
	case NONCE_STALE:
		return ESTALE;
	case NONCE_NO_ROOM:
		return ENOMEM;
	}
	return ENOMEM; /* cannot be: all cases are above */
}

static enum answer judge(struct im *im, const struct user_question *q, const struct user_facts *facts)
{
	struct digest_credentials c;

	if (!facts->exists)
		return ANSWER_NO;
	if (q->question == QUESTION_DOES_HE_EXIST)
		return ANSWER_YES;
	if (digest_credentials_decode(slice_of(q->header, q->header_n), &c) != DIGEST_OK)
		return ANSWER_NO;
	int err = authentication_judge(im, facts, &c, q->name, slice_of(q->method, q->method_n));
	return !err ? ANSWER_YES : err == ENOENT ? ANSWER_NO : err == ESTALE ? ANSWER_STALE : ANSWER_NO_ROOM;
}

static void on_facts(struct im *im, struct credentials_asker *asker, const struct user_facts *facts, int err)
{
	struct user_question *q = (struct user_question *)((char *)asker - offsetof(struct user_question, asker));

	if (err == ECANCELED) {
		free(q);
		return;
	}
	q->answer = !err ? judge(im, q, facts) : err == ENOMEM ? ANSWER_NO_ROOM : ANSWER_NO_STORE;
	q->msg.actor = q->authentication;
	worker_answer(im->worker, &q->msg, MSG_USER_ANSWERED, 0);
}

static void on_question(struct worker *worker, struct msg *msg)
{
	struct user_question *q = (struct user_question *)msg;

	q->asker.ready = on_facts;
	credentials_ask(im_of(worker), slice_of(q->canonical, q->canonical_n), &q->asker);
}

static void on_answer_without_asker(struct worker *worker, struct msg *msg)
{
	(void)worker;
	free(msg);
}

/* ---- the request that waits ---- */

static void pending_free(struct pending *p)
{
	struct im *im = p->im;

	worker_disarm(im->worker, &p->deadline);
	if (p->server)
		sip_server_watch(p->server, NULL, NULL);
	free(p->message);
	actor_close(&p->actor);
	pool_give(&im->authentications, p);
}

/* The transaction, which is the caller's again. */
static struct sip_server *take_server(struct pending *p)
{
	struct sip_server *server = p->server;

	p->server = NULL;
	sip_server_watch(server, NULL, NULL);
	return server;
}

static void refuse(struct pending *p, unsigned status, enum reason why)
{
	sip_server_refuse(take_server(p), status, why);
	pending_free(p);
}

static bool reread(const struct pending *p, struct sip_message *m)
{
	struct sip_limits limits = { p->message_n + 1, p->message_n + 1, 0 };
	size_t used;

	return sip_message_parse(m, slice_of(p->message, p->message_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

static void on_cancel(struct sip_server *server, void *arg)
{
	struct pending *p = arg;

	(void)take_server(p);
	sip_server_respond(server, &(struct sip_reply){ .status = 487 });
	pending_free(p);
}

static const struct sip_server_events pending_events = { .on_cancel = on_cancel };

static void on_deadline(struct timer *timer)
{
	refuse((struct pending *)((char *)timer - offsetof(struct pending, deadline)), 503, REASON_TIMEOUT);
}

static void go_on(struct pending *p)
{
	struct sip_server *server = take_server(p);
	struct im *im = p->im;
	struct sip_message m;

	if (reread(p, &m))
		im_go_on(im, server, &m, &p->found);
	else
		sip_server_refuse(server, 400, REASON_SYNTAX); /* cannot be: it was parsed before */
	pending_free(p);
}

/* False: no memory, nothing was sent. */
static bool ask(struct pending *p, enum question what, struct slice canonical, const struct offered *o)
{
	struct im *im = p->im;
	size_t header_n = o ? o->header.n : 0;
	struct user_question *q = calloc(1, sizeof(*q) + header_n);
	struct sip_message m;

	if (!q || !reread(p, &m)) {
		free(q);
		return false;
	}
	q->msg.kind = MSG_USER_QUESTION;
	q->authentication = p->actor.id;
	q->question = what;
	memcpy(q->canonical, canonical.p, canonical.n);
	q->canonical_n = canonical.n;
	q->method_n = m.method_name.n < sizeof(q->method) ? m.method_name.n : sizeof(q->method);
	memcpy(q->method, m.method_name.p, q->method_n);
	if (o) {
		q->name = o->name;
		memcpy(q->header, o->header.p, header_n);
		q->header_n = header_n;
	}
	worker_post(im->worker, sip_owner_of_name(canonical, im->worker->group->count), &q->msg);
	return true;
}

static bool canonical_of(const struct im *im, struct slice text, struct buffer *out)
{
	const struct sip_home *home = &im->server->sip.home;
	struct sip_uri uri;

	return sip_uri_parse(text, &uri) && sip_uri_is_home(&uri, home) && uri.user.n &&
	       sip_uri_canonical(out, &uri, home);
}

/* True: the answer will come.  False: there is nothing to ask, or the request was refused (p is gone). */
static bool ask_about_target(struct pending *p, bool *is_gone)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct sip_message m;

	*is_gone = false;
	if (p->im->config->core.users != USERS_PROVISIONED || !reread(p, &m) || is_for_us(m.method) ||
	    !canonical_of(p->im, m.uri, &canonical))
		return false;
	p->state = AUTH_TARGET;
	if (ask(p, QUESTION_DOES_HE_EXIST, buffer_slice(&canonical), NULL))
		return true;
	refuse(p, 503, REASON_NO_MEMORY);
	*is_gone = true;
	return false;
}

static void sender_is_known(struct pending *p)
{
	bool is_gone;

	if (!ask_about_target(p, &is_gone) && !is_gone)
		go_on(p);
}

/* The credentials are wrong, or right and used before: one more try. */
static void challenge_pending(struct pending *p, enum reason why)
{
	challenge_again(p->im, take_server(p), why);
	pending_free(p);
}

static void on_sender(struct pending *p, const struct user_question *q)
{
	switch (q->answer) {
	case ANSWER_YES:
		if (q->question == QUESTION_IS_HE_RIGHT) {
			memcpy(p->found.user, q->canonical, q->canonical_n);
			p->found.user_n = q->canonical_n;
		}
		sender_is_known(p);
		break;
	case ANSWER_NO:
		p->found.sender_is_unknown = q->question == QUESTION_DOES_HE_EXIST;
		if (p->found.sender_is_unknown)
			go_on(p);
		else
			challenge_pending(p, REASON_CREDENTIALS);
		break;
	case ANSWER_STALE:
		challenge_pending(p, REASON_NONCE_STALE);
		break;
	case ANSWER_NO_ROOM:
		refuse(p, 503, REASON_NO_MEMORY);
		break;
	case ANSWER_NO_STORE:
		refuse(p, 503, REASON_STORE);
		break;
	}
}

static void on_target(struct pending *p, const struct user_question *q)
{
	if (q->answer == ANSWER_NO_ROOM || q->answer == ANSWER_NO_STORE) {
		refuse(p, 503, q->answer == ANSWER_NO_ROOM ? REASON_NO_MEMORY : REASON_STORE);
		return;
	}
	p->found.target_is_unknown = q->answer == ANSWER_NO;
	go_on(p);
}

static void on_pending_message(struct actor *actor, struct msg *msg)
{
	struct pending *p = (struct pending *)actor;
	struct user_question *q = (struct user_question *)msg;

	assert(msg->kind == MSG_USER_ANSWERED); /* the only message that names a request that waits */
	if (p->state == AUTH_SENDER)
		on_sender(p, q);
	else
		on_target(p, q);
	free(q);
}

/* NULL: answered with 503. */
static struct pending *pending_make(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	struct pending *p = pool_take(&im->authentications);

	if (!p) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return NULL;
	}
	p->im = im;
	p->message = malloc(m->wire.n);
	if (!p->message || actor_open(im->worker, &p->actor, &pending_type) != 0) {
		free(p->message);
		pool_give(&im->authentications, p);
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return NULL;
	}
	memcpy(p->message, m->wire.p, m->wire.n);
	p->message_n = m->wire.n;
	p->server = server;
	sip_server_watch(server, &pending_events, p);
	worker_arm(im->worker, &p->deadline, DEADLINE_MS, on_deadline);
	return p;
}

/* ---- the door ---- */

static void start_with_credentials(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct offered *o)
{
	struct pending *p = pending_make(im, server, m);

	if (p && !ask(p, QUESTION_IS_HE_RIGHT, slice_of(o->canonical, o->canonical_n), o))
		refuse(p, 503, REASON_NO_MEMORY);
}

static void start_digest(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	struct offered o;
	uint64_t minted_ms;

	switch (offered_find(im, m, is_for_us(m->method), &o)) {
	case OFFER_NONE:
		challenge(im, server, false);
		return;
	case OFFER_BAD:
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return;
	case OFFER_USELESS:
		challenge_again(im, server, REASON_CREDENTIALS);
		return;
	case OFFER_GOOD:
		break;
	}
	if (!offered_uri_is(im, o.credentials.uri, m))
		sip_server_refuse(server, 400, REASON_CREDENTIALS);
	/* what anybody can make up must not cost a look into the store */
	else if (!digest_nonce_decode(o.credentials.nonce, &minted_ms) ||
		 minted_ms + DIGEST_NONCE_LIFE_MS < worker_now_ms(im->worker))
		challenge_again(im, server, REASON_NONCE_STALE);
	else if (!offered_name(im, &o))
		challenge_again(im, server, REASON_CREDENTIALS);
	else
		start_with_credentials(im, server, m, &o);
}

/* users: provisioned without digest: a name is believed, but it must be one of them. */
static void start_provisioned(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct sip_address who;
	struct pending *p = pending_make(im, server, m);

	if (!p)
		return;
	if (!sip_address_decode(sip_header_value(m, m->method == SIP_REGISTER ? SIP_HDR_TO : SIP_HDR_FROM), &who) ||
	    !canonical_of(im, who.uri, &canonical))
		sender_is_known(p); /* no user of ours: the identity check says what becomes of that */
	else if (!ask(p, QUESTION_DOES_HE_EXIST, buffer_slice(&canonical), NULL))
		refuse(p, 503, REASON_NO_MEMORY);
}

void authentication_start(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	if (is_digest(im))
		start_digest(im, server, m);
	else
		start_provisioned(im, server, m);
}

int authentications_init(struct im *im)
{
	struct siphash_key key;

	worker_random(im->worker, &key, sizeof(key));
	im->worker->on_message[MSG_USER_QUESTION] = on_question;
	im->worker->on_message[MSG_USER_ANSWERED] = on_answer_without_asker;
	if (nonce_counts_init(&im->nonces, NONCE_COUNTS_MAX, &key) != 0)
		return ENOMEM;
	return pool_init(&im->authentications, "authentications", sizeof(struct pending),
		im->server->sip.transactions_max);
}

/* The process ends: the transactions below were dropped without a word. */
void authentications_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->authentications.made; slot++) {
		struct pending *p = pool_at(&im->authentications, slot);
		if (!p)
			continue;
		p->server = NULL;
		pending_free(p);
	}
	pool_free(&im->authentications);
	nonce_counts_free(&im->nonces);
}
