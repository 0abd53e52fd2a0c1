#include "msrp/binding.h"

#include <assert.h>
#include <stddef.h>

#include "msrp/connection.h"
#include "msrp/foreign.h"
#include "msrp/leg_internal.h"

/* ---- legs by session-id ---- */

/* The octets behind the worker are random and unguessable, so they are the hash. */
static uint64_t hash_of(const char session_id[MINTED_CHARS])
{
	uint64_t hash;

	memcpy(&hash, session_id + 8, sizeof(hash));
	return hash * 0x9e3779b97f4a7c15u >> 32;
}

static struct slice session_id_of(const struct msrp_leg *leg)
{
	/* "...;tcp" stands behind it: see leg.c */
	return slice_of(leg->uri + leg->uri_n - MINTED_CHARS - 4, MINTED_CHARS);
}

static uint64_t hash_of_leg(const void *leg, const void *endpoint)
{
	return hash_of(session_id_of(leg).p);
}

int msrp_bindings_init(struct msrp_endpoint *endpoint, size_t chains)
{
	return chains_init(&endpoint->legs_by_id, chains, offsetof(struct msrp_leg, next_of_chain), hash_of_leg, NULL);
}

void msrp_binding_add(struct msrp_leg *leg)
{
	chains_add(&leg->endpoint->legs_by_id, leg);
}

void msrp_binding_remove(struct msrp_leg *leg)
{
	chains_remove(&leg->endpoint->legs_by_id, leg);
}

static struct msrp_leg *find_leg(struct msrp_endpoint *endpoint, struct slice session_id)
{
	struct msrp_leg *leg = chains_first(&endpoint->legs_by_id, hash_of(session_id.p));

	while (leg && !slice_eq(session_id_of(leg), session_id))
		leg = leg->next_of_chain;
	return leg;
}

struct msrp_leg *msrp_binding_leg_of(struct msrp_endpoint *endpoint, struct slice to_path)
{
	struct msrp_path path;

	if (msrp_path_parse(to_path, &path) != MSRP_PATH_OK || minted_worker(path.first.session_id) != (int)endpoint->worker->index)
		return NULL;
	return find_leg(endpoint, path.first.session_id);
}

/* ---- one head ---- */

static enum msrp_binding refuse(struct msrp_connection *c, unsigned status, enum reason why)
{
	struct worker *worker = c->endpoint->worker;

	REFUSED(&worker->counters, why);
	LOG(INFO, worker, "msrp", pool_slot(c), "refused status=%u reason=%s", status,
		reason_label(why));
	msrp_connection_answer(c, &c->parser->head, status);
	return BINDING_REFUSED;
}

/*
 * Session-ids have 128 random bits; nobody shall try them for nothing, though.  Who carries a session may err more
 * often before the others that share his connection lose theirs.
 */
static enum msrp_binding refuse_guess(struct msrp_connection *c)
{
	uint32_t now_s = (uint32_t)(worker_now_ms(c->endpoint->worker) / 1000);

	(void)refuse(c, 481, REASON_MSRP_SESSION_UNKNOWN);
	if (now_s - c->guesses_since_s >= 60) {
		c->guesses_since_s = now_s;
		c->guesses = 0;
	}
	if (++c->guesses >= (c->was_bound ? MSRP_GUESSES_BOUND : MSRP_GUESSES_UNBOUND))
		msrp_connection_lose(c, REASON_MSRP_GUESSING);
	return BINDING_REFUSED;
}

static bool carries_nothing(const struct msrp_connection *c)
{
	return c->leg_count == 0 && !c->proxy && !c->was_bound && !msrp_foreign_is_used(c);
}

static enum msrp_binding stop_early(struct msrp_connection *c, struct msrp_leg *leg)
{
	leg->early = c;
	c->early_for = leg;
	msrp_connection_pause(c, PAUSE_REWOUND);
	return BINDING_LATER;
}

/* SIP is slower than MSRP: the peer read our path, but his has not come here yet. */
static enum msrp_binding wait_for_peer(struct msrp_connection *c, struct msrp_leg *leg)
{
	if (leg->early && leg->early != c)
		return refuse(c, 506, REASON_MSRP_SECOND_CONNECTION);
	if (leg->connection && leg->connection != c)
		return refuse(c, 506, REASON_MSRP_SECOND_CONNECTION);
	if (!carries_nothing(c)) { /* others go on meanwhile: only this chunk is set aside */
		msrp_connection_join(c, leg);
		return BINDING_EARLY;
	}
	return stop_early(c, leg);
}

/* design.md 2: TLS where that was agreed, and the certificate that the peer's SDP announced. */
static bool has_certificate(const struct msrp_connection *c, const struct msrp_leg *leg)
{
	struct tls_certificate certificate;

	if (!leg->is_secure)
		return true;
	msrp_connection_certificate(c, &certificate);
	return certificate.is_tls &&
		(!leg->fingerprint || tls_certificate_is(&certificate, slice_str(leg->fingerprint)));
}

static enum msrp_binding refuse_certificate(struct msrp_connection *c, struct msrp_leg *leg)
{
	if (leg->connection == c) /* it was early */
		msrp_connection_unbind(c, leg);
	if (!carries_nothing(c) || c->proxy) /* others have their sessions on it */
		return refuse(c, 403, REASON_TLS_CERTIFICATE);
	msrp_connection_answer(c, &c->parser->head, 403);
	msrp_connection_lose(c, REASON_TLS_CERTIFICATE);
	return BINDING_REFUSED;
}

/* D2-54: the path that was negotiated.  With CEMA something in between may have put another host into the SDP, but
 * not into the chunks (RFC 6714): then the session-id decides. */
static bool is_peer(const struct msrp_connection *c, const struct msrp_leg *leg, bool *is_new)
{
	struct slice from = c->parser->head.from_path;

	*is_new = false;
	if (msrp_path_equal(from, msrp_leg_peer_path(leg)))
		return true;
	*is_new = leg->has_cema && msrp_path_same_session(from, msrp_leg_peer_path(leg));
	return *is_new;
}

static enum msrp_binding bind_leg(struct msrp_connection *c, struct msrp_leg *leg)
{
	bool is_new;

	if (!leg->peer_path)
		return wait_for_peer(c, leg);
	if (!is_peer(c, leg, &is_new)) {
		if (leg->connection == c && !leg->is_bound) /* it was early, and is not the peer */
			msrp_connection_unbind(c, leg);
		else if (leg->expects_peer && !leg->early && leg->connection != c && carries_nothing(c))
			return stop_early(c, leg); /* perhaps his new path, faster than the answer that brings it */
		return refuse_guess(c);
	}
	if (leg->connection && leg->connection != c)
		return refuse(c, 506, REASON_MSRP_SECOND_CONNECTION);
	if (!leg->is_bound && !has_certificate(c, leg))
		return refuse_certificate(c, leg);
	if (is_new) {
		msrp_parser_usual(c->parser, SLICE_EMPTY, SLICE_EMPTY); /* it may be the path that goes */
		if (msrp_leg_learn_path(leg, c->parser->head.from_path) != 0) {
			msrp_connection_lose(c, REASON_NO_MEMORY);
			return BINDING_REFUSED;
		}
	}
	if (!leg->is_bound)
		msrp_connection_bind(c, leg);
	return BINDING_LEG;
}

static enum msrp_binding find_owner(struct msrp_connection *c, unsigned owner)
{
	/* By design.md 2 a connection moves once, and only before it carries anything. */
	if (c->was_handed_over || !carries_nothing(c))
		return BINDING_FOREIGN;
	c->waits_for = owner;
	msrp_connection_pause(c, PAUSE_REWOUND);
	msrp_todo(c, TODO_HANDOVER);
	return BINDING_LATER;
}

/* The common case without looking into the URIs: what the peer always writes. */
static struct msrp_leg *same_as_before(const struct msrp_connection *c)
{
	struct msrp_leg *leg = LIST_FIRST(&c->legs);
	const struct msrp_head *head = &c->parser->head;

	if (!leg || !leg->is_bound)
		return NULL;
	if (head->has_usual_paths && c->parser->usual_from.p == leg->peer_path) /* compared already */
		return leg;
	return slice_eq(head->to_path, msrp_leg_uri_slice(leg)) &&
		slice_eq(head->from_path, msrp_leg_peer_path(leg)) ? leg : NULL;
}

enum msrp_binding msrp_binding_find(struct msrp_connection *c, struct msrp_leg **leg,
	unsigned *owner)
{
	const struct msrp_head *head = &c->parser->head;
	struct worker *worker = c->endpoint->worker;
	struct msrp_path path;
	int minted_by = -1;

	if ((*leg = same_as_before(c)))
		return head->is_request ? BINDING_LEG : BINDING_NOBODY;
	/* More than one URI would end at us: we are nobody's relay. */
	if (msrp_path_parse(head->to_path, &path) == MSRP_PATH_OK && path.count == 1)
		minted_by = minted_worker(path.first.session_id);
	if (minted_by >= 0 && (unsigned)minted_by >= worker->group->count)
		minted_by = -1;
	*owner = (unsigned)minted_by;
	if (!head->is_request)
		return minted_by >= 0 && msrp_foreign_has(c, *owner) ? BINDING_FOREIGN
								     : BINDING_NOBODY;
	if (minted_by >= 0 && *owner != worker->index && !c->proxy)
		return find_owner(c, *owner);
	if (minted_by == (int)worker->index &&
		(*leg = find_leg(c->endpoint, path.first.session_id)))
		return bind_leg(c, *leg);
	if (minted_by >= 0 && c->was_bound) /* nobody guesses the mark: that session has ended meanwhile */
		return refuse(c, 481, REASON_MSRP_SESSION_UNKNOWN);
	return refuse_guess(c);
}
