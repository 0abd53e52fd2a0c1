#include "actors/credentials.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/store_actor.h"
#include "core/siphash.h"

#define TABLE_SIZE CREDENTIALS_MAX

_Static_assert(STORE_HA1_MD5 == sizeof(((struct digest_secret *)0)->md5) &&
	       STORE_HA1_SHA256 == sizeof(((struct digest_secret *)0)->sha256),
	"the store keeps a secret whole");

struct known {
	struct known *hash_next;
	struct known *older, *newer; /* in the order of use */
	struct credentials_asker *askers; /* while it is being read; newest first */
	struct user_facts facts;
	bool is_reading;
	uint16_t canonical_n;
	char canonical[];
};

struct credentials {
	struct siphash_key key;
	struct known *table[TABLE_SIZE];
	struct known *oldest, *newest;
	unsigned count;
};

int credentials_init(struct im *im)
{
	im->credentials = calloc(1, sizeof(*im->credentials));
	if (!im->credentials)
		return ENOMEM;
	worker_random(im->worker, &im->credentials->key, sizeof(im->credentials->key));
	return 0;
}

unsigned credentials_count(const struct im *im)
{
	return im->credentials->count;
}

/* ---- the table ---- */

static struct known **chain_of(struct credentials *c, struct slice canonical)
{
	return &c->table[siphash(&c->key, canonical) % TABLE_SIZE];
}

static struct known *find(struct credentials *c, struct slice canonical)
{
	for (struct known *known = *chain_of(c, canonical); known; known = known->hash_next)
		if (slice_eq(slice_of(known->canonical, known->canonical_n), canonical))
			return known;
	return NULL;
}

static void unlink_use(struct credentials *c, struct known *known)
{
	*(known->older ? &known->older->newer : &c->oldest) = known->newer;
	*(known->newer ? &known->newer->older : &c->newest) = known->older;
}

static void link_newest(struct credentials *c, struct known *known)
{
	known->newer = NULL;
	known->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = known;
	c->newest = known;
}

static void forget(struct credentials *c, struct known *known)
{
	struct known **link = chain_of(c, slice_of(known->canonical, known->canonical_n));

	while (*link != known)
		link = &(*link)->hash_next;
	*link = known->hash_next;
	unlink_use(c, known);
	c->count--;
	free(known);
}

/* Whoever is being read has askers and stays; there are never more of them than requests under way. */
static void make_room(struct credentials *c)
{
	struct known *known = c->oldest;

	while (known && c->count >= CREDENTIALS_MAX) {
		struct known *newer = known->newer;
		if (!known->is_reading)
			forget(c, known);
		known = newer;
	}
}

static struct known *make(struct credentials *c, struct slice canonical)
{
	struct known *known = calloc(1, sizeof(*known) + canonical.n);

	if (!known)
		return NULL;
	make_room(c);
	memcpy(known->canonical, canonical.p, canonical.n);
	known->canonical_n = (uint16_t)canonical.n;
	struct known **chain = chain_of(c, canonical);
	known->hash_next = *chain;
	*chain = known;
	link_newest(c, known);
	c->count++;
	return known;
}

/* ---- reading ---- */

static void tell(struct im *im, struct credentials_asker *askers, const struct user_facts *facts, int err)
{
	while (askers) {
		struct credentials_asker *asker = askers;
		askers = asker->next;
		asker->ready(im, asker, facts, err);
	}
}

static void take_facts(struct user_facts *facts, const struct store_user *user)
{
	facts->exists = true;
	facts->has_password = user->has_password;
	memcpy(facts->secret.md5, user->ha1_md5, sizeof(facts->secret.md5));
	memcpy(facts->secret.sha256, user->ha1_sha256, sizeof(facts->secret.sha256));
}

static void on_read(struct worker *worker, struct store_request *request)
{
	struct store_user_request *read = (struct store_user_request *)request;
	struct im *im = im_of(worker);
	struct known *known = find(im->credentials, slice_of(read->user.name, read->user.name_n));
	struct user_facts facts = { 0 };
	int err = request->msg.err == ENOENT ? 0 : request->msg.err;

	if (request->msg.err == 0)
		take_facts(&facts, &read->user);
	free(read);
	if (!known || !known->is_reading)
		return; /* cannot be: it stays until it was read */
	struct credentials_asker *askers = known->askers;
	known->askers = NULL;
	known->is_reading = false;
	known->facts = facts;
	if (err)
		forget(im->credentials, known); /* the next one asks again */
	tell(im, askers, err ? NULL : &facts, err);
}

static struct store_user_request *request_of(enum store_kind kind, struct slice canonical,
	void (*on_answer)(struct worker *, struct store_request *))
{
	struct store_user_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->request.kind = kind;
	request->request.on_answer = on_answer;
	memcpy(request->user.name, canonical.p, canonical.n);
	request->user.name_n = (uint16_t)canonical.n;
	return request;
}

static int read_from_store(struct im *im, struct slice canonical)
{
	struct store_user_request *request = request_of(STORE_USER_GET, canonical, on_read);
	int err = request ? store_ask(im->worker, &request->request) : ENOMEM;

	if (err)
		free(request);
	return err;
}

void credentials_ask(struct im *im, struct slice canonical, struct credentials_asker *asker)
{
	struct credentials *c = im->credentials;
	struct known *known = find(c, canonical);
	int err = 0;

	if (known && !known->is_reading) {
		struct user_facts facts = known->facts; /* the asker may change what is known */
		unlink_use(c, known);
		link_newest(c, known);
		asker->ready(im, asker, &facts, 0);
		return;
	}
	if (!known) {
		known = make(c, canonical);
		err = known ? read_from_store(im, canonical) : ENOMEM;
		if (err) {
			if (known)
				forget(c, known);
			asker->ready(im, asker, NULL, err);
			return;
		}
		known->is_reading = true;
	}
	asker->next = known->askers;
	known->askers = asker;
}

/* The process ends, and with it the answers that did not come. */
void credentials_free(struct im *im)
{
	struct credentials *c = im->credentials;

	while (c && c->oldest) {
		tell(im, c->oldest->askers, NULL, ECANCELED);
		forget(c, c->oldest);
	}
	free(c);
	im->credentials = NULL;
}

/* ---- changing ---- */

struct change_request {
	struct store_user_request store; /* first: it is what comes home */
	struct credentials_change *change;
};

static void on_changed(struct worker *worker, struct store_request *request)
{
	struct change_request *c = (struct change_request *)request;
	struct credentials_change *change = c->change;
	struct im *im = im_of(worker);
	struct known *known = find(im->credentials, slice_of(c->store.user.name, c->store.user.name_n));
	int err = request->msg.err;

	/* what is being read was asked for after this, and the store answers in order */
	if (known && !known->is_reading && (err == 0 || err == ENOENT)) {
		memset(&known->facts, 0, sizeof(known->facts));
		if (!change->is_delete)
			take_facts(&known->facts, &c->store.user);
	}
	free(c);
	change->done(im, change, err);
}

int credentials_change(struct im *im, struct slice canonical, struct credentials_change *change)
{
	struct change_request *c = calloc(1, sizeof(*c));

	if (!c)
		return ENOMEM;
	c->change = change;
	c->store.request.kind = change->is_delete ? STORE_USER_DELETE : STORE_USER_PUT;
	c->store.request.on_answer = on_changed;
	memcpy(c->store.user.name, canonical.p, canonical.n);
	c->store.user.name_n = (uint16_t)canonical.n;
	c->store.user.has_password = change->facts.has_password;
	memcpy(c->store.user.ha1_md5, change->facts.secret.md5, sizeof(c->store.user.ha1_md5));
	memcpy(c->store.user.ha1_sha256, change->facts.secret.sha256, sizeof(c->store.user.ha1_sha256));
	int err = store_ask(im->worker, &c->store.request);
	if (err)
		free(c);
	return err;
}
