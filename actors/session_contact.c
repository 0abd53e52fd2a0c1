#include "actors/session_contact.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/session_names.h"
#include "core/siphash.h"
#include "sip/header.h"
#include "sip/write.h"

#define CHAINS_MIN 64
#define CHAINS_MAX (1u << 17)

/* What it led to when its session was over. */
struct kept_contact {
	struct kept_contact *next, *younger; /* of its chain; of all, the oldest first */
	char name[MINTED_CHARS];
	struct timer expiry;
	struct im *im;
	struct sip_target target;
	bool hides;
	size_t uri_n, routes_n;
	char text[];
};

/* While the session lives its sides stand in the chains themselves. */
struct chain {
	struct side *live;
	struct kept_contact *kept;
};

struct session_contacts {
	struct siphash_key key;
	size_t chain_count; /* a power of two */
	unsigned kept_count;
	struct kept_contact *oldest, **youngest_link;
	struct chain chains[];
};

static struct chain *chain_of(struct im *im, struct slice name)
{
	struct session_contacts *all = im->session_contacts;

	return &all->chains[siphash(&all->key, name) & (all->chain_count - 1)];
}

static struct side *find_live(struct im *im, struct slice name)
{
	if (name.n != MINTED_CHARS)
		return NULL;
	for (struct side *side = chain_of(im, name)->live; side; side = side->contact_next)
		if (memcmp(side->contact, name.p, MINTED_CHARS) == 0)
			return side;
	return NULL;
}

static struct kept_contact *find_kept(struct im *im, struct slice name)
{
	if (name.n != MINTED_CHARS)
		return NULL;
	for (struct kept_contact *c = chain_of(im, name)->kept; c; c = c->next)
		if (memcmp(c->name, name.p, MINTED_CHARS) == 0)
			return c;
	return NULL;
}

int session_contacts_init(struct im *im)
{
	size_t count = CHAINS_MIN;

	while (count < im->config->limits.sessions && count < CHAINS_MAX)
		count *= 2;
	struct session_contacts *all = calloc(1, sizeof(*all) + count * sizeof(all->chains[0]));
	if (!all)
		return ENOMEM;
	all->chain_count = count;
	all->youngest_link = &all->oldest;
	worker_random(im->worker, &all->key, sizeof(all->key));
	im->session_contacts = all;
	return 0;
}

static void forget_oldest(struct im *im)
{
	struct session_contacts *all = im->session_contacts;
	struct kept_contact *oldest = all->oldest, **link = &chain_of(im, slice_of(oldest->name, MINTED_CHARS))->kept;

	all->oldest = oldest->younger;
	if (!all->oldest)
		all->youngest_link = &all->oldest;
	all->kept_count--;
	worker_disarm(im->worker, &oldest->expiry);
	while (*link != oldest)
		link = &(*link)->next;
	*link = oldest->next;
	free(oldest);
}

void session_contacts_free(struct im *im)
{
	struct session_contacts *all = im->session_contacts;

	if (!all)
		return;
	while (all->oldest)
		forget_oldest(im);
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
	struct chain *chain = chain_of(side->session->im, slice_of(side->contact, MINTED_CHARS));

	side->contact_next = chain->live;
	chain->live = side;
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
	struct chain *chain = chain_of(im, slice_of(side->contact, MINTED_CHARS));
	memcpy(c->name, side->contact, MINTED_CHARS);
	memcpy(c->text, uri.p, uri.n);
	memcpy(c->text + uri.n, routes.p, routes.n);
	c->uri_n = uri.n;
	c->routes_n = routes.n;
	c->im = im;
	c->target = there->next;
	c->hides = session_other(side)->hides;
	c->next = chain->kept;
	chain->kept = c;
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
	struct side **link = &chain_of(im, slice_of(side->contact, MINTED_CHARS))->live;

	while (*link && *link != side)
		link = &(*link)->contact_next;
	if (!*link)
		return;
	*link = side->contact_next;
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
			sip_dialog_routes(there->dialog), there->dialog->next, there->hides };
	} else if (c) {
		*view = (struct session_contact_view){ slice_of(c->text, c->uri_n),
			slice_of(c->text + c->uri_n, c->routes_n), c->target, c->hides };
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
