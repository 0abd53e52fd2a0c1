#include "actors/rate_limit.h"

#include <arpa/inet.h>

#include "core/log.h"
#include "core/rate_table.h"
#include "sip/header.h"

#define SECOND_US  1000000
#define WARNING_US (60 * SECOND_US)

/* Kinds of names: one for the requests of each method, of users and of addresses, one for the warnings of both. */
enum { KIND_USER = 0, KIND_USER_ORIGINATING = 32, KIND_ADDRESS = 64, KIND_WARNED_USER = 96, KIND_WARNED_ADDRESS };

static unsigned rate_of(const struct im *im, enum sip_method method)
{
	const struct limits_options *limits = &im->config->limits;

	switch (method) {
	case SIP_INVITE:
		return limits->invite_rate;
	case SIP_MESSAGE:
		return limits->message_rate;
	case SIP_REGISTER:
	case SIP_PUBLISH: /* soft state that goes to the disk too */
		return limits->register_rate;
	case SIP_SUBSCRIBE:
		return limits->subscribe_rate;
	case SIP_ACK:
	case SIP_BYE:
	case SIP_CANCEL:
	case SIP_INFO:
	case SIP_NOTIFY:
	case SIP_OPTIONS:
	case SIP_PRACK:
	case SIP_REFER:
	case SIP_UPDATE:
	case SIP_METHOD_OTHER:
		break;
	}
	return 0;
}

static bool take(struct im *im, unsigned kind, struct slice name, uint64_t rate, uint64_t per_us)
{
	struct rate_table *rates = im->server->rates;

	return rate_table_take(rates, &(struct rate_bucket){ rate_table_name(rates, kind, name), rate, per_us },
		im->worker->now_us);
}

/* By the transaction: its answer must be the same to a retransmission. */
static void refuse(struct im *im, struct sip_server *server)
{
	char line[32];
	struct buffer headers = buffer_over(line, sizeof(line));

	buffer_printf(&headers, "Retry-After: %u\r\n", sip_options_of(im->worker)->retry_after_s);
	sip_server_count_refusal(im->worker, server, 503, REASON_RATE_LIMIT);
	sip_server_respond(server, &(struct sip_reply){ .status = 503, .headers = buffer_slice(&headers) });
}

/* `told`: as the log may call him. */
static bool permits_user(struct im *im, struct sip_server *server, struct slice canonical, struct slice told,
	bool is_originating)
{
	unsigned kind = is_originating ? KIND_USER_ORIGINATING : KIND_USER;
	enum sip_method method = sip_server_method(server);
	unsigned rate = rate_of(im, method);

	if (rate == 0 || take(im, kind + (unsigned)method, canonical, rate, SECOND_US))
		return true;
	if (take(im, KIND_WARNED_USER, canonical, 1, WARNING_US))
		LOG(WARN, im->worker, "limit", 0, "rate-exceeded user=%.*s method=%s rate=%u reason=%s",
			SLICE_ARG(told), sip_method_name(method), rate, reason_label(REASON_RATE_LIMIT));
	refuse(im, server);
	return false;
}

bool rate_limit_permits_user(struct im *im, struct sip_server *server, const struct identity *who, bool is_originating)
{
	struct slice canonical = slice_of(who->canonical, who->canonical_n);

	return permits_user(im, server, canonical, who->is_anonymous ? SLICE("anonymous") : canonical, is_originating);
}

bool rate_limit_permits_registration(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct sip_address to;
	struct sip_uri uri;

	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) || !sip_uri_parse(to.uri, &uri) ||
	    !sip_uri_canonical(&canonical, &uri, &im->server->sip.home))
		return true; /* nobody who could be registered: refused for that */
	return permits_user(im, server, buffer_slice(&canonical), buffer_slice(&canonical), false);
}

static struct slice octets_of(const struct net_address *peer)
{
	return peer->any.sa_family == AF_INET6 ? slice_of((const char *)&peer->v6.sin6_addr, 16) :
						 slice_of((const char *)&peer->v4.sin_addr, 4);
}

bool rate_limit_permits_address(struct im *im, struct sip_server *server)
{
	const struct net_address *peer = &sip_server_flow(server)->peer;
	enum sip_method method = sip_server_method(server);
	unsigned rate = rate_of(im, method);
	struct slice address = octets_of(peer);
	char text[INET6_ADDRSTRLEN];

	if (rate == 0 || im->config->core.mode == MODE_IMS ||
	    take(im, KIND_ADDRESS + (unsigned)method, address, (uint64_t)rate * RATE_ADDRESS_USERS, SECOND_US))
		return true;
	if (take(im, KIND_WARNED_ADDRESS, address, 1, WARNING_US))
		LOG(WARN, im->worker, "limit", 0, "rate-exceeded address=%s method=%s rate=%u reason=%s",
			inet_ntop(peer->any.sa_family, address.p, text, sizeof(text)) ? text : "", sip_method_name(method),
			rate * RATE_ADDRESS_USERS, reason_label(REASON_RATE_LIMIT));
	refuse(im, server);
	return false;
}
