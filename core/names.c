#include "core/names.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "core/siphash.h"

#define CHAINS 256

struct entry {
	struct entry *next;                 /* of its chain */
	struct entry *newer, *older;        /* by use       */
	struct name_question *answer;       /* the last good one, or NULL */
	struct names_waiter *waiters;
	uint64_t expires_ms, good_until_ms; /* the verdict; the answer, if nobody can tell a newer one */
	uint64_t refresh_ms;
	int err;                            /* the verdict: 0, ENOENT, EAGAIN */
	bool is_asked;
	enum name_kind kind;
	size_t name_n;
	char name[];
};

struct names {
	struct resolver *resolver;
	struct siphash_key key;
	struct entry *chains[CHAINS];
	struct entry *newest, *oldest;
	unsigned count, asked;
};

static struct names *names_of(const struct worker *worker)
{
	return worker->names;
}

static struct entry **chain_of(struct names *names, enum name_kind kind, struct slice name)
{
	return &names->chains[(siphash_case(&names->key, name) + kind) % CHAINS];
}

static struct entry *find(struct names *names, enum name_kind kind, struct slice name)
{
	struct entry *e = *chain_of(names, kind, name);

	while (e && !(e->kind == kind && slice_case_eq(slice_of(e->name, e->name_n), name)))
		e = e->next;
	return e;
}

static void unlink_use(struct names *names, struct entry *e)
{
	*(e->newer ? &e->newer->older : &names->newest) = e->older;
	*(e->older ? &e->older->newer : &names->oldest) = e->newer;
}

static void link_use(struct names *names, struct entry *e)
{
	e->newer = NULL;
	e->older = names->newest;
	*(e->older ? &e->older->newer : &names->oldest) = e;
	names->newest = e;
}

static void drop(struct names *names, struct entry *e)
{
	struct entry **link = chain_of(names, e->kind, slice_of(e->name, e->name_n));

	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	unlink_use(names, e);
	names->count--;
	free(e->answer);
	free(e);
}

/* What is asked for has waiters and stays. */
static bool make_room(struct names *names)
{
	struct entry *e = names->oldest;

	if (names->count < NAMES_MAX)
		return true;
	while (e && e->is_asked)
		e = e->newer;
	if (!e)
		return false;
	drop(names, e);
	return true;
}

static struct entry *entry_make(struct names *names, enum name_kind kind, struct slice name)
{
	struct entry *e = make_room(names) ? calloc(1, sizeof(*e) + name.n) : NULL;

	if (!e)
		return NULL;
	e->kind = kind;
	e->name_n = name.n;
	memcpy(e->name, name.p, name.n);
	struct entry **chain = chain_of(names, kind, name);
	e->next = *chain;
	*chain = e;
	link_use(names, e);
	names->count++;
	return e;
}

/* ---- asking ---- */

static int ask(struct worker *worker, struct entry *e)
{
	struct names *names = names_of(worker);

	if (e->is_asked)
		return 0;
	if (names->asked == NAMES_ASKED_MAX)
		return ENOBUFS;
	struct name_question *question = calloc(1, sizeof(*question));
	if (!question)
		return ENOMEM;
	question->msg.from = (uint16_t)worker->index;
	question->kind = e->kind;
	for (size_t i = 0; i < e->name_n; i++)
		question->name[i] = (char)tolower((unsigned char)e->name[i]);
	e->is_asked = true;
	names->asked++;
	COUNT(&worker->counters, names_questions);
	names->resolver->submit(names->resolver, question);
	return 0;
}

static bool is_a_name(struct slice name)
{
	if (name.n == 0 || name.n > NAME_OCTETS_MAX - 1)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && !strchr("-_.", name.p[i]))
			return false;
	return true;
}

static int use(struct worker *worker, struct entry *e, const struct name_question **answer)
{
	uint64_t now_ms = worker_now_ms(worker);

	unlink_use(names_of(worker), e);
	link_use(names_of(worker), e);
	if (now_ms >= e->refresh_ms)
		(void)ask(worker, e); /* in good time: when that fails the next use asks again */
	if (e->err == 0)
		*answer = e->answer;
	return e->err;
}

static void wait_for(struct entry *e, struct names_waiter *waiter)
{
	waiter->next = e->waiters;
	waiter->link = &e->waiters;
	if (waiter->next)
		waiter->next->link = &waiter->next;
	e->waiters = waiter;
}

int names_find(struct worker *worker, enum name_kind kind, struct slice name, struct names_waiter *waiter,
	const struct name_question **answer)
{
	struct names *names = names_of(worker);

	if (!names || !names->resolver || !is_a_name(name))
		return ENOENT;
	struct entry *e = find(names, kind, name);
	if (e && worker_now_ms(worker) < e->expires_ms)
		return use(worker, e, answer);
	if (!e && !(e = entry_make(names, kind, name)))
		return ENOMEM;
	int err = ask(worker, e);
	if (err)
		return err;
	if (waiter)
		wait_for(e, waiter);
	return EINPROGRESS;
}

void names_forget(struct names_waiter *waiter)
{
	if (!waiter->link)
		return;
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	waiter->link = NULL;
}

/* ---- the answer ---- */

static void shrink(struct name_question **question)
{
	size_t n = offsetof(struct name_question, records) + (*question)->count * sizeof(struct name_record);
	struct name_question *smaller = realloc(*question, n);

	if (smaller)
		*question = smaller;
}

static void take_over(struct worker *worker, struct entry *e, struct name_question *answer)
{
	uint64_t now_ms = worker_now_ms(worker);
	uint64_t ttl_s = answer->ttl_s < NAMES_TTL_MIN_S ? NAMES_TTL_MIN_S :
			 answer->ttl_s > NAMES_TTL_MAX_S ? NAMES_TTL_MAX_S : answer->ttl_s;

	free(e->answer);
	shrink(&answer);
	e->answer = answer;
	e->err = 0;
	e->expires_ms = now_ms + ttl_s * 1000;
	e->refresh_ms = ttl_s < 8 ? UINT64_MAX : now_ms + ttl_s * 750;
	e->good_until_ms = e->expires_ms + NAMES_STALE_S * 1000;
}

static void take_verdict(struct worker *worker, struct entry *e, int err)
{
	uint64_t now_ms = worker_now_ms(worker);

	e->refresh_ms = UINT64_MAX;
	e->expires_ms = now_ms + (err == ENOENT ? NAMES_UNKNOWN_S : NAMES_FAILED_S) * 1000;
	e->err = err;
	if (err != ENOENT && e->answer && now_ms < e->good_until_ms)
		e->err = 0; /* the DNS is silent: what it said last */
	else
		COUNT(&worker->counters, names_unknown);
}

static void on_answered(struct worker *worker, struct msg *msg)
{
	struct name_question *question = (struct name_question *)msg;
	struct names *names = names_of(worker);
	struct entry *e = find(names, question->kind, slice_str(question->name));
	struct names_waiter *waiter, *waiters;

	names->asked--;
	assert(e && e->is_asked); /* asked ones are not dropped */
	e->is_asked = false;
	if (question->msg.err == 0) {
		take_over(worker, e, question);
	} else {
		take_verdict(worker, e, question->msg.err);
		free(question);
	}
	/* told from a list of their own: a waiter may ask again, and make room of this very entry */
	waiters = e->waiters;
	e->waiters = NULL;
	if (waiters)
		waiters->link = &waiters;
	while ((waiter = waiters)) {
		names_forget(waiter);
		waiter->on_answer(waiter);
	}
}

unsigned names_count(const struct worker *worker)
{
	return names_of(worker)->count;
}

int names_worker_init(struct worker *worker, struct resolver *resolver)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return ENOMEM;
	names->resolver = resolver;
	worker_random(worker, &names->key, sizeof(names->key));
	worker->names = names;
	worker->on_message[MSG_NAME_ANSWERED] = on_answered;
	return 0;
}

void names_worker_free(struct worker *worker)
{
	struct names *names = names_of(worker);

	if (!names)
		return;
	while (names->oldest)
		drop(names, names->oldest);
	free(names);
	worker->names = NULL;
}
