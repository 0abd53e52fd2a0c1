#include "actors/identity.h"

#include "sip/header.h"
#include "sip/owner.h"
#include "sip/write.h"

bool identity_peer_is_trusted(const struct im *im, const struct sip_flow *flow)
{
	return network_list_has(&im->config->core.trusted, &flow->peer.any);
}

static bool canonical_of(struct im *im, struct slice text, bool only_home, struct identity *identity)
{
	struct buffer out = buffer_over(identity->canonical, sizeof(identity->canonical));
	struct sip_uri uri;

	if (!sip_uri_parse(text, &uri) || uri.scheme == SIP_SCHEME_OTHER ||
	    (only_home && !sip_uri_is_home(&uri, &im->server->sip.home)) ||
	    !sip_uri_canonical(&out, &uri, &im->server->sip.home))
		return false;
	identity->canonical_n = out.n;
	return true;
}

/* The first usable address among the headers of one id. */
static bool canonical_of_header(struct im *im, const struct sip_message *m, enum sip_header_id id, bool only_home,
	struct identity *identity)
{
	struct sip_items items = sip_items_of(m, id);
	struct sip_address address;

	while (sip_address_next(&items, &address) == SIP_ITEM_OK)
		if (canonical_of(im, address.uri, only_home, identity))
			return true;
	return false;
}

bool identity_from_is_anonymous(const struct sip_message *m)
{
	struct sip_address from;
	struct sip_uri uri;

	return sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from) && sip_uri_parse(from.uri, &uri) &&
	       (sip_host_equal(uri.host, SLICE("anonymous.invalid")) ||
		slice_case_eq(uri.user, SLICE("anonymous")));
}

bool identity_is_function(const struct im *im, struct slice canonical)
{
	const struct sip_options *sip = &im->server->sip;
	struct slice user = sip_canonical_user(canonical);

	return im->config->core.mode == MODE_IMS && sip_name_is_function(user, sip) &&
	       !slice_eq(user, sip->factory_user) &&
	       slice_eq(slice_skip(canonical, user.n + 1), slice_str(im->config->domain.home));
}

bool identity_hides_sender(const struct im *im, const struct identity *identity)
{
	return im->config->core.mode == MODE_STANDALONE && identity->is_anonymous;
}

bool identity_hides_answerer(const struct im *im, const struct sip_message *response)
{
	return im->config->core.mode == MODE_STANDALONE && sip_privacy_is_wanted(response);
}

bool identity_of_request(struct im *im, const struct sip_flow *flow, const struct sip_message *m,
	struct identity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->wants_id_privacy = sip_privacy_has(m, "id");
	identity->is_anonymous = sip_privacy_is_wanted(m) || identity_from_is_anonymous(m);
	if (im->config->core.mode == MODE_IMS) {
		if (identity_peer_is_trusted(im, flow) &&
		    canonical_of_header(im, m, SIP_HDR_P_ASSERTED_IDENTITY, false, identity))
			return true;
		return im->config->core.trust_from &&
		       canonical_of_header(im, m, SIP_HDR_FROM, false, identity);
	}
	if (canonical_of_header(im, m, SIP_HDR_FROM, true, identity))
		return true;
	return identity_from_is_anonymous(m) && canonical_of_header(im, m, SIP_HDR_P_PREFERRED_IDENTITY, true, identity);
}

void identity_of_user(const struct sip_message *m, struct slice user, struct identity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->wants_id_privacy = sip_privacy_has(m, "id");
	identity->is_anonymous = sip_privacy_is_wanted(m) || identity_from_is_anonymous(m);
	memcpy(identity->canonical, user.p, user.n);
	identity->canonical_n = user.n;
}

bool identity_from_is(struct im *im, const struct sip_message *m, struct slice user)
{
	struct identity from;

	return identity_from_is_anonymous(m) || (canonical_of_header(im, m, SIP_HDR_FROM, true, &from) &&
					       slice_eq(slice_of(from.canonical, from.canonical_n), user));
}

bool identity_is(struct im *im, const struct sip_message *m, const struct identity *identity, struct slice user)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_P_ASSERTED_IDENTITY);
	struct sip_address address;
	struct identity other;

	if (slice_eq(user, slice_of(identity->canonical, identity->canonical_n)))
		return true;
	while (im->config->core.mode == MODE_IMS && sip_address_next(&items, &address) == SIP_ITEM_OK)
		if (canonical_of(im, address.uri, false, &other) &&
		    slice_eq(user, slice_of(other.canonical, other.canonical_n)))
			return true;
	return false;
}

bool identity_registers_itself(struct im *im, const struct sip_message *m, struct slice user)
{
	struct identity to;

	return !canonical_of_header(im, m, SIP_HDR_TO, true, &to) ||
	       slice_eq(slice_of(to.canonical, to.canonical_n), user);
}

void identity_write(struct buffer *out, const struct im *im, const struct identity *identity,
	const struct sip_message *m)
{
	if (im->config->core.mode == MODE_IMS) {
		sip_copy_headers(out, m, SIP_HDR_P_ASSERTED_IDENTITY);
		if (!sip_header_first(m, SIP_HDR_P_ASSERTED_IDENTITY))
			buffer_printf(out, "P-Asserted-Identity: <sip:%.*s>\r\n", (int)identity->canonical_n,
				identity->canonical);
		sip_copy_headers(out, m, SIP_HDR_PRIVACY);
		return;
	}
	if (!identity->is_anonymous)
		buffer_printf(out, "P-Asserted-Identity: <sip:%.*s>\r\n", (int)identity->canonical_n,
			identity->canonical);
	sip_copy_headers(out, m, SIP_HDR_PRIVACY);
}

void identity_write_of_response(struct buffer *out, const struct im *im, const struct sip_message *response,
	struct slice answering)
{
	if (im->config->core.mode == MODE_IMS) {
		sip_copy_headers(out, response, SIP_HDR_P_ASSERTED_IDENTITY);
		sip_copy_headers(out, response, SIP_HDR_PRIVACY);
		return;
	}
	/* standalone: who answered is who was called; what the client says of itself is not believed */
	sip_copy_headers(out, response, SIP_HDR_PRIVACY);
	if (!identity_hides_answerer(im, response) && answering.n)
		buffer_printf(out, "P-Asserted-Identity: <sip:%.*s>\r\n", SLICE_ARG(answering));
}

void identity_write_from(struct buffer *out, const struct im *im, const struct identity *identity,
	const struct sip_message *m)
{
	struct sip_address from;

	if (identity_hides_sender(im, identity)) {
		buffer_lit(out, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
		return;
	}
	if (!sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from))
		return; /* cannot be: the generic checks read it */
	sip_write_name_addr(out, &from);
}
