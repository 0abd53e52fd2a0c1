#include "core/minted.h"
#include "sip/layer.h"
#include "sip/record_route.h"
#include "sip/write.h"

static bool refuse(struct sip_check *check, unsigned status, enum reason why)
{
	check->status = status;
	check->why = why;
	return true;
}

static bool is_supported(const struct sip_layer *layer, struct slice tag)
{
	for (const char *const *option = layer->options->supported; *option; option++)
		if (slice_case_eq(tag, slice_str(*option)))
			return true;
	return false;
}

/* Lists every tag that we do not know, so that the client can do without (RFC 3261 8.2.2.3). */
static void collect_unsupported(struct sip_layer *layer, const struct sip_message *m, enum sip_header_id id,
	struct buffer *out)
{
	struct sip_items items = sip_items_of(m, id);
	struct slice tag;

	while (sip_items_next(&items, &tag)) {
		if (is_supported(layer, tag))
			continue;
		if (tag.n > 64) /* nobody's option tag: naming it whole would help nobody */
			tag.n = 64;
		if (out->size - out->n < tag.n + sizeof("Unsupported: "))
			return; /* enough are named */
		buffer_str(out, out->n ? ", " : "Unsupported: ");
		sip_write_text(out, tag);
	}
}

/* A tag of ours: whoever is behind that dialog may know the method, or the extension that it requires. */
static bool is_in_dialog(const struct sip_message *m)
{
	struct sip_address to;

	return sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) && minted_worker(to.tag) >= 0;
}

/* INVITE and what belongs to it are answered here, the others by the far side (design.md 4). */
static bool is_passed_on(const struct sip_message *m)
{
	return m->method != SIP_INVITE && m->method != SIP_UPDATE && m->method != SIP_PRACK && m->method != SIP_BYE &&
	       m->method != SIP_REGISTER && is_in_dialog(m);
}

/* A proxy looks at Proxy-Require only (RFC 3261 16.3). */
static bool is_forwarded(const struct sip_message *m)
{
	return m->method == SIP_SUBSCRIBE || m->method == SIP_REFER || sip_record_of(m, NULL).n > 0;
}

static bool check_required(struct sip_layer *layer, const struct sip_message *m, struct sip_check *check)
{
	struct buffer out = buffer_over(check->headers, sizeof(check->headers) - 2);

	if (m->method == SIP_CANCEL || m->method == SIP_ACK || is_passed_on(m))
		return false;
	if (sip_header_first(m, SIP_HDR_REQUIRE) && !is_forwarded(m))
		collect_unsupported(layer, m, SIP_HDR_REQUIRE, &out);
	collect_unsupported(layer, m, SIP_HDR_PROXY_REQUIRE, &out);
	if (out.n == 0)
		return false;
	out.size += 2;
	buffer_lit(&out, "\r\n");
	check->headers_n = out.n;
	return refuse(check, 420, REASON_REQUIRE);
}

void sip_check_request(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	struct sip_check *check)
{
	struct sip_uri uri;

	memset(check, 0, offsetof(struct sip_check, headers));
	check->headers_n = 0;
	check->phrase = sip_request_check(m);
	/* headers may stand in a URI for a person to call, not in one that is being called (RFC 3261 19.1.1) */
	if (!check->phrase && (!sip_uri_parse(m->uri, &uri) || uri.headers.n))
		check->phrase = "Bad Request-URI";
	if (check->phrase) {
		(void)refuse(check, 400, REASON_SYNTAX);
		return;
	}
	/* the first that refuses ends the list */
	(void)((sip_max_forwards(m) == 0 && refuse(check, 483, REASON_MAX_FORWARDS)) ||
	       (sip_branch_is_loop(layer, m, flow) && refuse(check, 482, REASON_LOOP)) ||
	       (m->method == SIP_METHOD_OTHER && !is_in_dialog(m) && !sip_record_of(m, NULL).n &&
		       refuse(check, 501, REASON_METHOD_UNKNOWN)) ||
	       (uri.scheme == SIP_SCHEME_OTHER && refuse(check, 416, REASON_SCHEME)) ||
	       check_required(layer, m, check));
}
