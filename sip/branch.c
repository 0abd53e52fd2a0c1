#include "sip/layer.h"
#include "sip/owner.h"

uint32_t sip_loop_of(const struct worker *worker, const struct sip_flow *flow, const struct sip_message *m)
{
	const struct sip_layer *layer = sip_layer_of(worker);
	struct sip_items items = sip_items_of(m, SIP_HDR_ROUTE);
	struct slice route = SLICE_EMPTY;

	(void)sip_items_next(&items, &route); /* without a Route it stays empty */
	uint64_t h = siphash(&layer->loop_key, m->uri);
	h ^= siphash(&layer->loop_key, route) * 3 + layer->options->listeners[flow->listener].role;
	uint32_t loop = (uint32_t)(h ^ h >> 32);
	return loop ? loop : 1;
}

void sip_branch_write(struct buffer *out, const char minted[], uint32_t loop)
{
	buffer_lit(out, SIP_BRANCH_COOKIE);
	buffer_put(out, slice_of(minted, MINTED_CHARS));
	buffer_printf(out, ".%08x", loop);
}

bool sip_branch_minted(struct slice branch, struct slice *minted)
{
	const size_t cookie = sizeof(SIP_BRANCH_COOKIE) - 1;

	if (branch.n != cookie + MINTED_CHARS + 9 || !slice_starts(branch, SLICE(SIP_BRANCH_COOKIE)))
		return false;
	*minted = slice_of(branch.p + cookie, MINTED_CHARS);
	return minted_worker(*minted) >= 0;
}

static bool loop_in(struct slice branch, uint32_t *loop)
{
	uint32_t value = 0;

	for (size_t i = branch.n - 8; i < branch.n; i++) {
		char c = branch.p[i];
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*loop = value;
	return true;
}

bool sip_branch_is_loop(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow)
{
	uint32_t here = sip_loop_of(layer->worker, flow, m), there;
	struct slice minted;

	for (const struct sip_header *h = sip_header_first(m, SIP_HDR_VIA); h; h = sip_header_next(m, h)) {
		struct slice rest = h->value;
		struct sip_via via;
		while (rest.n && sip_via_decode(rest, &via, &rest))
			if (sip_branch_minted(via.branch, &minted) && loop_in(via.branch, &there) && there == here)
				return true;
	}
	return false;
}
