#include "actors/session_contact.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/session_names.h"
#include "core/siphash.h"
#include "sip/header.h"
#include "sip/write.h"

#define CHAINS_MIN 64
#define CHAINS_MAX (1u << 17)

struct session_contact {
	struct session_contact *next;
	struct session_contact *younger; /* kept ones, the oldest first */
	char name[MINTED_CHARS];
	struct side *side;               /* whose Contact it is; NULL: the session is over */
	/* ---- what it led to then ---- */
	struct timer expiry;
	struct im *im;
	struct sip_target target;
	bool hides;
	size_t uri_n, routes_n;
	char *text;
};

struct session_contacts {
	struct siphash_key key;
	size_t chain_count; /* a power of two */
	unsigned kept_count;
	struct session_contact *oldest, **youngest_link;
	struct session_contact *chains[];
};

static struct session_contact **chain_of(struct im *im, struct slice name)
{
	struct session_contacts *all = im->session_contacts;

	return &all->chains[siphash(&all->key, name) & (all->chain_count - 1)];
}

static struct session_contact *find(struct im *im, struct slice name)
{
	if (name.n != MINTED_CHARS)
		return NULL;
	for (struct session_contact *c = *chain_of(im, name); c; c = c->next)
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

static void forget(struct im *im, struct session_contact *gone)
{
	struct session_contact **link = chain_of(im, slice_of(gone->name, MINTED_CHARS));

	while (*link != gone)
		link = &(*link)->next;
	*link = gone->next;
	free(gone->text);
	free(gone);
}

static void forget_oldest(struct im *im)
{
	struct session_contacts *all = im->session_contacts;
	struct session_contact *oldest = all->oldest;

	all->oldest = oldest->younger;
	if (!all->oldest)
		all->youngest_link = &all->oldest;
	all->kept_count--;
	worker_disarm(im->worker, &oldest->expiry);
	forget(im, oldest);
}

void session_contacts_free(struct im *im)
{
	struct session_contacts *all = im->session_contacts;

	if (!all)
		return;
	while (all->oldest)
		forget_oldest(im);
	for (size_t i = 0; i < all->chain_count; i++)
		while (all->chains[i])
			forget(im, all->chains[i]);
	free(all);
	im->session_contacts = NULL;
}

/* All are kept equally long, so who is older has had his time too.  Timers of one millisecond fire in any order, so
 * theirs may still be armed. */
static void on_expired(struct timer *timer)
{
	struct session_contact *c = (struct session_contact *)((char *)timer - offsetof(struct session_contact, expiry));
	struct im *im = c->im;
	const struct session_contact *forgotten;

	do {
		forgotten = im->session_contacts->oldest;
		forget_oldest(im);
	} while (forgotten != c);
}

void session_contact_enter(struct side *side)
{
	struct im *im = side->session->im;
	struct session_contact *c = calloc(1, sizeof(*c));

	if (!c)
		return;
	struct session_contact **chain = chain_of(im, slice_of(side->contact, MINTED_CHARS));
	memcpy(c->name, side->contact, MINTED_CHARS);
	c->side = side;
	c->im = im;
	c->next = *chain;
	*chain = c;
}

static bool has_other_side(const struct session_contact *c)
{
	const struct sip_dialog *there = session_other(c->side)->dialog;

	return there && there->is_confirmed && c->side->dialog;
}

/* False: no memory, or nothing that would be worth it. */
static bool keep(struct session_contact *c)
{
	struct session_contacts *all = c->im->session_contacts;

	if (!has_other_side(c))
		return false;
	const struct sip_dialog *there = session_other(c->side)->dialog;
	c->text = malloc(there->target.n + there->routes.n + 1);
	if (!c->text)
		return false;
	memcpy(c->text, there->target.p, there->target.n);
	if (there->routes.n)
		memcpy(c->text + there->target.n, there->routes.p, there->routes.n);
	c->uri_n = there->target.n;
	c->routes_n = there->routes.n;
	c->target = there->next;
	c->hides = session_other(c->side)->hides;
	c->side = NULL;
	if (all->kept_count >= SESSION_CONTACT_KEPT_MAX)
		forget_oldest(c->im);
	*all->youngest_link = c;
	all->youngest_link = &c->younger;
	all->kept_count++;
	worker_arm(c->im->worker, &c->expiry, SESSION_CONTACT_GRACE_MS, on_expired);
	return true;
}

void session_contact_leave(struct side *side)
{
	struct im *im = side->session->im;
	struct session_contact *c = find(im, slice_of(side->contact, MINTED_CHARS));

	if (c && c->side && !keep(c))
		forget(im, c);
}

bool session_contact_find(struct im *im, struct slice user, struct session_contact_view *view)
{
	struct session_contact *c = find(im, user);

	if (!c || (c->side && !has_other_side(c)))
		return false;
	if (c->side) {
		const struct sip_dialog *there = session_other(c->side)->dialog;
		*view = (struct session_contact_view){ there->target, there->routes, there->next,
			session_other(c->side)->hides };
	} else {
		*view = (struct session_contact_view){ slice_of(c->text, c->uri_n),
			slice_of(c->text + c->uri_n, c->routes_n), c->target, c->hides };
	}
	return true;
}

/* The session is over: only the address is put in its place. */
static void map_kept(struct buffer *out, const struct session_contact *c, const struct sip_address *address,
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
	struct session_contact *c = find(im, uri.user);
	if (!c || (c->side && !has_other_side(c)))
		return false;
	if (c->side)
		session_map_value(out, c->side, SIP_HDR_REFER_TO, value);
	else
		map_kept(out, c, &address, &uri);
	return !out->overflow;
}
