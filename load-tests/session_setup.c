#include "load-tests/session_setup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "load-tests/address.h"

static const struct sockaddr_storage *local_of(const struct session_setup *s, const struct pair *p)
{
	return &s->options->locals[p->index % s->options->locals_n];
}

static struct msrp_connection *dial(struct session_setup *s, struct pair *p, struct sockaddr_storage *bound)
{
	struct msrp_connection *c = msrp_connect(s->network, local_of(s, p), &s->options->target, bound);

	if (!c)
		report_error(s->report, FLOOD_CLOSED, strerror(errno));
	return c;
}

/*
 * Without SIP both legs dial in, A first: a forwarder pairs by order, and a relay finds the
 * connection to B by the address in B's URI, which is that of B's end of it.
 */
static void start_direct(struct session_setup *s, struct pair *p)
{
	struct sockaddr_storage at_a, at_b;
	struct msrp_connection *a = dial(s, p, &at_a), *b = a ? dial(s, p, &at_b) : NULL;
	char relay[ADDRESS_TEXT_MAX], path_a[MSRP_PEER_PATH_MAX], path_b[MSRP_PEER_PATH_MAX];

	if (!b) {
		p->state = PAIR_OVER;
		return;
	}
	msrp_endpoint_init(&p->a, s->network, p->index, 'a', &at_a);
	msrp_endpoint_init(&p->b, s->network, p->index, 'b', &at_b);
	p->a.user = p->b.user = p;
	address_print(&s->options->target, relay);
	if (s->options->mode == MODE_RELAY) {
		snprintf(path_a, sizeof(path_a), "msrp://%s/r%06x;tcp %.*s", relay, p->index, p->b.uri_n, p->b.uri);
		snprintf(path_b, sizeof(path_b), "msrp://%s/r%06x;tcp %.*s", relay, p->index, p->a.uri_n, p->a.uri);
	} else {
		snprintf(path_a, sizeof(path_a), "%.*s", p->b.uri_n, p->b.uri);
		snprintf(path_b, sizeof(path_b), "%.*s", p->a.uri_n, p->a.uri);
	}
	if (!msrp_endpoint_set_peer(&p->a, slice_str(path_a)) || !msrp_endpoint_set_peer(&p->b, slice_str(path_b))) {
		report_error(s->report, FLOOD_SETUP, "path too long");
		p->state = PAIR_OVER;
		return;
	}
	msrp_bind(&p->a, a);
	msrp_bind(&p->b, b);
}

int setup_open(struct session_setup *s)
{
	return 0;
}

void setup_close(struct session_setup *s)
{
}

void setup_start(struct session_setup *s, struct pair *p)
{
	p->state = PAIR_SETUP;
	start_direct(s, p);
}

void setup_release(struct session_setup *s, struct pair *p)
{
	p->state = PAIR_OVER;
}

void setup_tick(struct session_setup *s)
{
}
