#include "actors/session_contact.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/session_names.h"
#include "core/chains.h"
#include "core/siphash.h"
#include "sip/header.h"
#include "sip/write.h"

#define CHAINS_MIN 64
#define CHAINS_MAX (1u << 20)

/* What it led to when its session was over. */
struct kept_contact {
	struct kept_contact *next, *younger; /* of its chain; of all, the oldest first */
	char name[MINTED_CHARS];
	struct timer expiry;
	struct im *im;
	struct sip_target target;
	bool hides;
	bool is_focus;
	size_t uri_n, routes_n;
	char text[];
};

struct session_contacts {
	struct siphash_key key;
	struct chains live; /* the sides of all sessions */
	struct chains kept;
	unsigned kept_count;
	struct kept_contact *oldest, **youngest_link;
};

static uint64_t hash_of_live(const void *side, const void *all)
{
	return siphash(&((const struct session_contacts *)all)->key,
		slice_of(((const struct side *)side)->contact, MINTED_CHARS));
}

static uint64_t hash_of_kept(const void *contact, const void *all)
{
	return siphash(&((const struct session_contacts *)all)->key,
		slice_of(((const struct kept_contact *)contact)->name, MINTED_CHARS));
}

static struct side *find_live(struct im *im, struct slice name)
{
	const struct session_contacts *all = im->session_contacts;

	if (name.n != MINTED_CHARS)
		return NULL;
	for (struct side *side = chains_first(&all->live, siphash(&all->key, name)); side; side = side->contact_next)
		if (memcmp(side->contact, name.p, MINTED_CHARS) == 0)
			return side;
	return NULL;
}

static struct kept_contact *find_kept(struct im *im, struct slice name)
{
	const struct session_contacts *all = im->session_contacts;

	if (name.n != MINTED_CHARS)
		return NULL;
	for (struct kept_contact *c = chains_first(&all->kept, siphash(&all->key, name)); c; c = c->next)
		if (memcmp(c->name, name.p, MINTED_CHARS) == 0)
			return c;
	return NULL;
}

int session_contacts_init(struct im *im)
{
	struct session_contacts *all = calloc(1, sizeof(*all));
	size_t chains = CHAINS_MIN;

	if (!all)
		return ENOMEM;
	while (chains < 2 * im->config->limits.sessions && chains < CHAINS_MAX)
		chains *= 2;
	if (chains_init(&all->live, chains, offsetof(struct side, contact_next), hash_of_live, all) != 0 ||
	    chains_init(&all->kept, SESSION_CONTACT_KEPT_MAX, offsetof(struct kept_contact, next), hash_of_kept, all) != 0) {
		chains_free(&all->live);
		free(all);
		return ENOMEM;
	}
	all->youngest_link = &all->oldest;
	worker_random(im->worker, &all->key, sizeof(all->key));
	im->session_contacts = all;
	return 0;
}

static void forget_oldest(struct im *im)
{
	struct session_contacts *all = im->session_contacts;
	struct kept_contact *oldest = all->oldest;

	all->oldest = oldest->younger;
	if (!all->oldest)
		all->youngest_link = &all->oldest;
	all->kept_count--;
	worker_disarm(im->worker, &oldest->expiry);
	chains_remove(&all->kept, oldest);
	free(oldest);
}

void session_contacts_free(struct im *im)
{
	struct session_contacts *all = im->session_contacts;

	if (!all)
		return;
	while (all->oldest)
		forget_oldest(im);
	chains_free(&all->live);
	chains_free(&all->kept);
	free(all);
	im->session_contacts = NULL;
}

/* All are kept equally long, so who is older has had his time too.  Timers of one millisecond fire in any order, so
 * theirs may still be armed. */
static void on_expired(struct timer *timer)
{
	struct kept_contact *c = (struct kept_contact *)((char *)timer - offsetof(struct kept_contact, expiry));
	struct im *im = c->im;
	const struct kept_contact *forgotten;

	do {
		forgotten = im->session_contacts->oldest;
		forget_oldest(im);
	} while (forgotten != c);
}

void session_contact_enter(struct side *side)
{
	chains_add(&side->session->im->session_contacts->live, side);
}

static bool has_other_side(const struct side *side)
{
	const struct sip_dialog *there = session_other((struct side *)side)->dialog;

	return there && there->is_confirmed && side->dialog;
}

/* Without memory nobody finds it any more. */
static void keep(struct im *im, struct side *side)
{
	struct session_contacts *all = im->session_contacts;
	const struct sip_dialog *there = session_other(side)->dialog;
	struct slice uri = sip_dialog_target(there), routes = sip_dialog_routes(there);
	struct kept_contact *c = calloc(1, sizeof(*c) + uri.n + routes.n);

	if (!c)
		return;
	memcpy(c->name, side->contact, MINTED_CHARS);
	memcpy(c->text, uri.p, uri.n);
	memcpy(c->text + uri.n, routes.p, routes.n);
	c->uri_n = uri.n;
	c->routes_n = routes.n;
	c->im = im;
	c->target = there->next;
	c->hides = session_other(side)->hides;
	c->is_focus = session_other(side)->is_focus;
	chains_add(&all->kept, c);
	if (all->kept_count >= SESSION_CONTACT_KEPT_MAX)
		forget_oldest(im);
	*all->youngest_link = c;
	all->youngest_link = &c->younger;
	all->kept_count++;
	worker_arm(im->worker, &c->expiry, SESSION_CONTACT_GRACE_MS, on_expired);
}

void session_contact_leave(struct side *side)
{
	struct im *im = side->session->im;

	if (find_live(im, slice_of(side->contact, MINTED_CHARS)) != side)
		return;
	chains_remove(&im->session_contacts->live, side);
	if (has_other_side(side))
		keep(im, side);
}

bool session_contact_find(struct im *im, struct slice user, struct session_contact_view *view)
{
	const struct side *side = find_live(im, user);
	const struct kept_contact *c = side ? NULL : find_kept(im, user);

	if (side && has_other_side(side)) {
		const struct side *there = session_other((struct side *)side);
		*view = (struct session_contact_view){ sip_dialog_target(there->dialog),
			sip_dialog_routes(there->dialog), there->dialog->next, there->hides, there->is_focus };
	} else if (c) {
		*view = (struct session_contact_view){ slice_of(c->text, c->uri_n),
			slice_of(c->text + c->uri_n, c->routes_n), c->target, c->hides, c->is_focus };
	} else {
		return false;
	}
	return true;
}

/* The session is over: only the address is put in its place. */
static void map_kept(struct buffer *out, const struct kept_contact *c, const struct sip_address *address,
	const struct sip_uri *uri)
{
	if (address->display.n) {
		sip_write_text(out, address->display);
		buffer_char(out, ' ');
	}
	buffer_char(out, '<');
	buffer_put(out, slice_of(c->text, c->uri_n));
	session_put_other_params(out, uri->params);
	if (uri->headers.n) {
		buffer_char(out, '?');
		sip_write_text(out, uri->headers);
	}
	buffer_char(out, '>');
	sip_write_text(out, address->params);
}

bool session_contact_map(struct im *im, struct slice value, struct buffer *out)
{
	struct sip_address address;
	struct sip_uri uri;

	if (!sip_address_decode(value, &address) || !sip_uri_parse(address.uri, &uri))
		return false;
	struct side *side = find_live(im, uri.user);
	const struct kept_contact *c = side ? NULL : find_kept(im, uri.user);
	if (side && has_other_side(side))
		session_map_value(out, side, SIP_HDR_REFER_TO, value);
	else if (c)
		map_kept(out, c, &address, &uri);
	else
		return false;
	return !out->overflow;
}
