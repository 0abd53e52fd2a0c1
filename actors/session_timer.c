#include "actors/session_timer.h"

#include "sip/header.h"

bool session_timer_is_too_brief(const struct sip_message *m, uint64_t min_se_ms)
{
	struct sip_session_expires wanted;

	return sip_session_expires_decode(sip_header_value(m, SIP_HDR_SESSION_EXPIRES), &wanted) &&
	       wanted.seconds * 1000ull < min_se_ms;
}

void session_timer_refuse(struct im *im, struct sip_server *server)
{
	char text[64];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_printf(&headers, "Min-SE: %llu\r\n", (unsigned long long)im->config->timers.min_se_ms / 1000);
	im_refuse(im, server, 422, REASON_INTERVAL_TOO_BRIEF, buffer_slice(&headers));
}

static void on_expiry(struct timer *t)
{
	struct session_timer *timer = (struct session_timer *)((char *)t - offsetof(struct session_timer, next));

	timer->events->on_expired(timer);
}

static void on_refresh_due(struct timer *t)
{
	struct session_timer *timer = (struct session_timer *)((char *)t - offsetof(struct session_timer, next));
	uint64_t now_ms = worker_now_ms(timer->worker);

	worker_arm(timer->worker, &timer->next, timer->ends_at_ms > now_ms ? timer->ends_at_ms - now_ms : 1, on_expiry);
	timer->events->on_refresh(timer);
}

static void start(struct session_timer *timer)
{
	uint64_t ms = timer->expires_s * 1000ull;
	/* RFC 4028 10: BYE min(32 s, a third of the interval) before the end */
	uint64_t before = ms / 3 < 32000 ? ms / 3 : 32000;

	timer->ends_at_ms = worker_now_ms(timer->worker) + ms;
	if (timer->we_refresh)
		worker_arm(timer->worker, &timer->next, ms / 2, on_refresh_due);
	else
		worker_arm(timer->worker, &timer->next, ms - before + 1, on_expiry);
}

void session_timer_stop(struct session_timer *timer)
{
	if (timer->worker)
		worker_disarm(timer->worker, &timer->next);
}

void session_timer_answer(struct session_timer *timer, const struct sip_message *request, struct im *im,
	enum sip_refresher unsaid, struct buffer *headers)
{
	struct sip_session_expires wanted = { 0 };
	bool has = sip_session_expires_decode(sip_header_value(request, SIP_HDR_SESSION_EXPIRES), &wanted);
	uint32_t most = (uint32_t)(im->config->timers.session_expires_ms / 1000);
	uint32_t least = (uint32_t)(im->config->timers.min_se_ms / 1000), asked_least = 0;

	(void)sip_seconds_of(request, SIP_HDR_MIN_SE, &asked_least); /* absent: 0 is right */
	if (asked_least > least)
		least = asked_least;
	timer->worker = im->worker;
	timer->expires_s = most > least ? most : least;
	if (has && wanted.seconds < timer->expires_s) /* RFC 4028 9: never more than was asked for */
		timer->expires_s = wanted.seconds;
	/* D1-04: the UAC's choice is kept; who knows no session timer is refreshed by us */
	bool knows_timer = sip_items_have(request, SIP_HDR_SUPPORTED, "timer");
	if (wanted.refresher == SIP_REFRESHER_NONE)
		wanted.refresher = unsaid;
	timer->we_refresh = wanted.refresher == SIP_REFRESHER_UAS || !knows_timer;
	buffer_lit(headers, "Supported: " IM_SUPPORTED "\r\n");
	buffer_printf(headers, "Session-Expires: %u;refresher=%s\r\n", timer->expires_s,
		timer->we_refresh ? "uas" : "uac");
	if (knows_timer) /* RFC 4028 9: a MUST for uac; for uas IM-6.2.7.1-24 wants it */
		buffer_lit(headers, "Require: timer\r\n");
	start(timer);
}

void session_timer_ask(const struct session_timer *timer, const struct im *im, struct buffer *headers)
{
	uint32_t least = (uint32_t)(im->config->timers.min_se_ms / 1000);
	uint32_t expires = timer->expires_s ? timer->expires_s :
					      (uint32_t)(im->config->timers.session_expires_ms / 1000);

	if (timer->least_s > least)
		least = timer->least_s;
	/* RFC 4028 7.4: a request that is no refresh keeps the refresher; uac is who sends it */
	buffer_printf(headers, "Session-Expires: %u;refresher=%s\r\nMin-SE: %u\r\n",
		expires > least ? expires : least, timer->we_refresh || !timer->expires_s ? "uac" : "uas", least);
}

bool session_timer_raise(struct session_timer *timer, const struct sip_message *response)
{
	uint32_t least;

	if (!sip_seconds_of(response, SIP_HDR_MIN_SE, &least) || least <= timer->least_s ||
	    least <= timer->expires_s)
		return false;
	timer->least_s = least;
	return true;
}

void session_timer_accepted(struct session_timer *timer, const struct sip_message *response, struct im *im)
{
	struct sip_session_expires agreed;
	uint32_t least = (uint32_t)(im->config->timers.min_se_ms / 1000);

	timer->worker = im->worker;
	if (!sip_session_expires_decode(sip_header_value(response, SIP_HDR_SESSION_EXPIRES), &agreed)) {
		agreed.seconds = timer->expires_s ? timer->expires_s :
						    (uint32_t)(im->config->timers.session_expires_ms / 1000);
		agreed.refresher = SIP_REFRESHER_UAC;
	}
	/* less than the Min-SE that we sent is not his to choose: he would have us refresh without end */
	timer->expires_s = agreed.seconds > least ? agreed.seconds : least;
	timer->we_refresh = agreed.refresher != SIP_REFRESHER_UAS; /* uac is us; unsaid: it falls to us */
	start(timer);
}

void session_timer_retry(struct session_timer *timer)
{
	uint64_t now_ms = worker_now_ms(timer->worker);

	if (timer->we_refresh && timer->ends_at_ms > now_ms + 1)
		worker_arm(timer->worker, &timer->next, (timer->ends_at_ms - now_ms) / 2, on_refresh_due);
}
