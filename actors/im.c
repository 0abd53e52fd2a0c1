#include "actors/im.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/admin_worker.h"
#include "actors/authentication.h"
#include "actors/conference.h"
#include "actors/conference_event.h"
#include "actors/credentials.h"
#include "actors/flow_owner.h"
#include "actors/forward.h"
#include "actors/group.h"
#include "actors/large_list.h"
#include "actors/large_message.h"
#include "actors/listeners.h"
#include "actors/mailbox.h"
#include "actors/pager.h"
#include "actors/pager_list.h"
#include "actors/push.h"
#include "actors/refer.h"
#include "actors/retrieval.h"
#include "actors/session.h"
#include "actors/session_contact.h"
#include "actors/settings.h"
#include "actors/subscription.h"
#include "actors/store_actor.h"
#include "actors/user.h"
#include "actors/virtual_user_agent.h"

#define FORK_LEGS 256 /* of INVITEs to several contacts: all but one end with the answer */
#define TRANSACTIONS_MAX 2000000 /* 32 s of finished ones at 60 000 requests a second and worker */

static const char *const supported_options[] = { "path", "outbound", "pref", "timer", "100rel", "replaces", "recipient-list-invite", "recipient-list-message", NULL };

static bool is_trusted(const struct worker *worker, const struct sockaddr *address)
{
	return network_list_has(&im_of(worker)->config->core.trusted, address);
}

/* `sip:factory@example.com` -> `factory` */
static struct slice user_part(const char *uri)
{
	struct sip_uri parsed;

	return sip_uri_parse(slice_str(uri), &parsed) ? parsed.user : SLICE_EMPTY;
}

/* Requests under way and dialogs point to the name, so it stays: an operator has a few, not hundreds. */
static const char *name_of_hop(const char *host, int *err)
{
	static char *names[IM_HOPS_MAX];
	unsigned i = 0;

	while (i < IM_HOPS_MAX && names[i] && strcmp(names[i], host) != 0)
		i++;
	if (i < IM_HOPS_MAX && !names[i])
		names[i] = strdup(host);
	*err = i == IM_HOPS_MAX ? E2BIG : names[i] ? 0 : ENOMEM;
	return *err ? NULL : names[i];
}

/* An address is known from the start; a name is asked for by each worker, again and again. */
int im_hop_read(struct im_hop *out, const struct config *config)
{
	const struct next_hop *hop = &config->core.hop;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
	int err = 0;

	*out = (struct im_hop){ 0 };
	if (!hop->host)
		return 0;
	out->name = name_of_hop(hop->host, &err);
	if (inet_pton(AF_INET, hop->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(hop->port);
	} else if (inet_pton(AF_INET6, hop->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(hop->port);
	}
	return err;
}

void im_options_set(struct sip_options *sip, struct msrp_options *msrp, const struct config *config)
{
	sip->limits = config->limits;
	sip->t1_ms = config->timers.t1_ms;
	/* twice the policy's limit: what is a little too large still gets the policy's 403, the rest 413 */
	sip->body_bytes_max = config->limits.max_size_pager > 65536 ? 2 * config->limits.max_size_pager : 131072;
	sip->retry_after_s = (unsigned)(config->overload.retry_after_ms / 1000);
	sip->overload_high_water = config->overload.high_water;
	msrp->limits = config->limits;
	msrp->msrp_transaction_ms = config->timers.msrp_transaction_ms;
	msrp->legs_max = config->limits.sessions * 2 + FORK_LEGS;
	listeners_name_certificates(sip, msrp, config);
}

int im_server_init(struct im_server *server, const struct config *config)
{
	struct sip_options *sip = &server->sip;

	server->config = config;
	pthread_mutex_init(&server->settings_mutex, NULL);
	im_options_set(sip, &server->msrp, config);
	sip->transactions_max = TRANSACTIONS_MAX;
	sip->connections_max = IM_CONNECTIONS_MAX;
	sip->store_host = slice_str(config->domain.store_host);
	sip->factory_user = user_part(config->domain.factory);
	sip->history_user = slice_str(config->domain.history_user);
	sip->user_agent = SLICE("IM-serv/OMA1.0 imserv/" IMSERV_VERSION);
	sip->supported = supported_options;
	sip->is_trusted = is_trusted;
	sip->on_flow_lost = users_on_flow_lost;
	server->msrp.is_trusted = is_trusted;
	return im_hop_read(&server->hop, config);
}

void im_server_free(struct im_server *server)
{
	settings_drop(server->settings);
	pthread_mutex_destroy(&server->settings_mutex);
	for (unsigned i = 0; i < server->sip.home.literal_count; i++)
		free((char *)server->sip.home.literals[i].host.p);
	free((void *)server->sip.home.literals);
	free((void *)server->sip.home.aliases);
	free((void *)server->sip.group_patterns);
	free(server->rates);
}

bool im_take_session_place(struct im *im)
{
	if (atomic_fetch_add(&im->server->session_count, 1) < im->config->limits.sessions)
		return true;
	atomic_fetch_sub(&im->server->session_count, 1);
	return false;
}

void im_give_session_place(struct im *im)
{
	atomic_fetch_sub(&im->server->session_count, 1);
}

void im_count_sessions(const struct im *im)
{
	gauge_set(&im->worker->counters, GAUGE_sessions, pool_used(&im->sessions) + pool_used(&im->virtual_user_agents));
}

static void on_drain(struct worker *worker, struct msg *msg)
{
	struct im *im = im_of(worker);
	bool is_last = im->is_drained;

	free(msg);
	sessions_drain(im);
	conferences_drain(im);
	large_lists_drain(im);
	virtual_user_agents_drain(im, is_last);
	subscriptions_drain(im);
	conference_events_drain(im);
	pushes_drain(im);
}

int im_worker_init(struct worker *worker, struct im_server *server)
{
	struct im *im = calloc(1, sizeof(*im));

	if (!im)
		return ENOMEM;
	im->worker = worker;
	im->server = server;
	im->config = server->config;
	im->hop = &server->hop;
	worker->im = im;
	worker_random(worker, &im->connect_limit_key, sizeof(im->connect_limit_key));
	if (store_worker_init(worker, server->store) != 0)
		return ENOMEM;
	if (mailboxes_init(im) != 0 || groups_init(im) != 0 || users_init(im) != 0 || subscriptions_init(im) != 0 || referrals_init(im) != 0 || session_contacts_init(im) != 0 ||
	    sessions_init(im) != 0 ||
	    virtual_user_agents_init(im) != 0 || large_messages_init(im) != 0 || large_lists_init(im) != 0 || pushes_init(im) != 0 || retrievals_init(im) != 0 || pagers_init(im) != 0 || pager_lists_init(im) != 0 || conferences_init(im) != 0 || conference_events_init(im) != 0 ||
	    forwards_init(im) != 0 ||
	    credentials_init(im) != 0 || authentications_init(im) != 0 || flow_owners_init(im) != 0)
		return ENOMEM; /* the process ends: nothing is given back one by one */
	user_register_handlers(worker);
	mailbox_register_handlers(worker);
	group_register_handlers(worker);
	mailbox_on_change(im, subscriptions_on_change);
	worker->on_message[MSG_SESSIONS_DRAIN] = on_drain;
	admin_register_handlers(worker);
	settings_register_handlers(worker);
	return 0;
}

void im_worker_free(struct worker *worker)
{
	struct im *im = im_of(worker);

	if (!im)
		return;
	subscriptions_free(im);
	conference_events_free(im);
	referrals_free(im);
	conferences_free(im);
	sessions_free(im);
	large_lists_free(im);
	large_messages_free(im);
	retrievals_free(im);
	pushes_free(im);
	virtual_user_agents_free(im);
	session_contacts_free(im);
	pagers_free(im);
	pager_lists_free(im);
	forwards_free(im);
	flow_owners_free(im);
	authentications_free(im);
	credentials_free(im);
	users_free(im);
	mailboxes_free(im);
	groups_free(im);
	store_worker_free(im->worker);
	settings_drop(im->settings);
	free(im);
	worker->im = NULL;
}
