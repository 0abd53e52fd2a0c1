#include "actors/connect_limit.h"

#include "actors/im.h"
#include "core/log.h"
#include "core/siphash.h"

static struct connect_failures *entry_of(struct im *im, uint64_t identity)
{
	return &im->connect_limit.entries[identity % CONNECT_IDENTITIES];
}

uint64_t connect_limit_identity(const struct im *im, struct slice canonical)
{
	uint64_t hash = siphash(&im->connect_limit_key, canonical);

	return canonical.n == 0 ? 0 : hash ? hash : 1;
}

static bool is_over(const struct im *im, const struct connect_failures *f)
{
	return worker_now_ms(im->worker) - f->since_ms >= CONNECT_FAILURES_MS;
}

bool connect_limit_permits(struct im *im, uint64_t identity)
{
	const struct connect_failures *f = entry_of(im, identity);

	if (!identity || f->identity != identity || f->count < CONNECT_FAILURES_MAX || is_over(im, f))
		return true;
	REFUSED(&im->worker->counters, REASON_CONNECT_LIMIT);
	return false;
}

void connect_limit_failed(struct im *im, uint64_t identity)
{
	struct connect_failures *f = entry_of(im, identity);

	if (!identity)
		return;
	if (f->identity != identity || is_over(im, f))
		*f = (struct connect_failures){ .identity = identity, .since_ms = worker_now_ms(im->worker) };
	if (++f->count == CONNECT_FAILURES_MAX) /* one line per identity and minute: D2-55 */
		LOG(WARN, im->worker, "connect", (uint32_t)(f - im->connect_limit.entries),
			"identity=%016llx failures=%u reason=%s", (unsigned long long)identity, f->count,
			reason_label(REASON_CONNECT_LIMIT));
}
