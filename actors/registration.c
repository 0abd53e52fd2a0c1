#include "actors/registration.h"

#include <stdlib.h>

#include "sip/header.h"
#include "sip/write.h"

#define PARAMS_MAX   384 /* of one Contact, as the 200 repeats them */
#define INSTANCE_MAX 128 /* `<urn:uuid:...>` has 47 */
#define REG_ID_MAX   INT32_MAX

static const uint8_t lasting_key[16]; /* Call-IDs are compared after a restart too; only with the user's own */

static bool refuse(struct registration *r, unsigned status, enum reason why, const char *headers, const char *warning)
{
	r->refusal = (struct registration_refusal){ status, why, headers, warning };
	return false;
}

static bool is_supported(const struct sip_message *m, const char *option)
{
	return sip_items_have(m, SIP_HDR_SUPPORTED, option) || sip_items_have(m, SIP_HDR_REQUIRE, option);
}

/* ---- Path, RFC 3327 ---- */

struct path {
	struct slice text; /* the values, for Route */
	bool has_outbound; /* the proxy next to the client keeps flows (RFC 5626 5.1) */
};

static bool read_path(struct registration *r, const struct sip_message *m, struct buffer *out, struct path *path)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_PATH);
	struct slice value;

	while (sip_items_next(&items, &value)) {
		struct sip_address address;
		struct sip_uri uri;
		if (!sip_address_decode(value, &address) || !address.bracketed || !sip_uri_parse(address.uri, &uri))
			return refuse(r, 400, REASON_SYNTAX, NULL, NULL);
		path->has_outbound = sip_uri_param(&uri, "ob", NULL); /* the last value is nearest to the client */
		if (out->n)
			buffer_lit(out, ", ");
		sip_write_text(out, value);
	}
	path->text = buffer_slice(out);
	if (out->overflow)
		return refuse(r, 403, REASON_TOO_LARGE, NULL, "The Path is longer than 512 octets");
	/* 5.3: a client that cannot see who else is in its path must be told so */
	if (out->n && !is_supported(m, "path"))
		return refuse(r, 420, REASON_REQUIRE, "Unsupported: path\r\n", NULL);
	return true;
}

/* ---- Contact ---- */

/* Without expires, which the 200 says anew.  What is too long to repeat is left out: the client knows its
 * own parameters. */
static void write_params(struct buffer *out, struct slice params)
{
	struct sip_param param;

	while (sip_param_next(&params, &param)) {
		size_t before = out->n;
		if (slice_case_eq(param.name, SLICE("expires")))
			continue;
		sip_write_param(out, &param);
		if (out->overflow) {
			out->n = before;
			return;
		}
	}
}

/* What a Contact asks for: its own expires, else the header's, else the default. */
static uint32_t expires_of(const struct sip_message *m, const struct sip_contact *contact)
{
	uint32_t s = REGISTER_EXPIRES_DEFAULT_S;

	if (contact->has_expires)
		s = contact->expires;
	else
		(void)sip_seconds_of(m, SIP_HDR_EXPIRES, &s); /* none, or none that can be read: the default */
	return s > REGISTER_EXPIRES_MAX_S ? REGISTER_EXPIRES_MAX_S : s;
}

static bool uri_is_usable(struct slice text)
{
	struct sip_uri uri;

	return text.n <= USER_CONTACT_MAX && sip_uri_parse(text, &uri) &&
	       (uri.scheme == SIP_SCHEME_SIP || uri.scheme == SIP_SCHEME_SIPS);
}

/* RFC 5626 6: an instance and a flow of it; *reg_id 0 when that is not asked for. */
static bool read_flow_id(struct registration *r, const struct sip_message *m, const struct sip_contact *contact,
	struct slice *instance, uint32_t *reg_id)
{
	struct slice value;
	uint64_t number = 0;

	*instance = SLICE_EMPTY;
	*reg_id = 0;
	if (!sip_param_find(contact->address.params, "+sip.instance", instance))
		return true; /* a reg-id without instance is ignored */
	*instance = sip_unquote(*instance);
	if (instance->n > INSTANCE_MAX)
		return refuse(r, 400, REASON_SYNTAX, NULL, NULL);
	if (!is_supported(m, "outbound") || !sip_param_find(contact->address.params, "reg-id", &value))
		return true;
	if (!slice_u64(value, REG_ID_MAX, &number) || number == 0)
		return refuse(r, 400, REASON_SYNTAX, NULL, NULL);
	*reg_id = (uint32_t)number;
	return true;
}

static bool has_one_via(const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_VIA);
	struct slice via;

	return sip_items_next(&items, &via) && !sip_items_next(&items, &via);
}

/* One Contact, of `*`s and all others. */
static bool read_contact(struct registration *r, const struct sip_message *m, const struct sip_contact *contact,
	const struct path *path)
{
	char text[PARAMS_MAX];
	struct buffer params = buffer_over(text, sizeof(text));
	struct binding_text pieces = { .uri = contact->address.uri, .path = path->text };
	uint32_t expires_s = expires_of(m, contact), reg_id;

	if (!uri_is_usable(contact->address.uri))
		return refuse(r, 400, REASON_SYNTAX, NULL, NULL);
	if (!read_flow_id(r, m, contact, &pieces.instance, &reg_id))
		return false;
	if (expires_s > 0 && expires_s < REGISTER_EXPIRES_MIN_S)
		return refuse(r, 423, REASON_INTERVAL_TOO_BRIEF, "Min-Expires: 60\r\n", NULL);
	if (reg_id && expires_s && !has_one_via(m) && !path->has_outbound)
		return refuse(r, 439, REASON_REQUIRE, NULL, NULL);
	if (r->count == USER_BINDINGS_MAX)
		return refuse(r, 403, REASON_POOL_EXHAUSTED, NULL, "A user has at most 8 contacts");
	write_params(&params, contact->address.params);
	pieces.params = buffer_slice(&params);
	struct binding *b = binding_make(&pieces);
	if (!b)
		return refuse(r, 503, REASON_NO_MEMORY, "Retry-After: 5\r\n", NULL);
	b->q = contact->q;
	b->reg_id = reg_id;
	b->expires_s = expires_s;
	b->cseq = r->cseq;
	b->call_id_hash = r->call_id_hash;
	b->flow = *sip_server_flow(r->server);
	b->is_reachable = true;
	r->contacts[r->count++] = b;
	r->is_outbound |= reg_id && expires_s;
	return true;
}

/* All or nothing: one that is wrong refuses the whole request. */
static void read_contacts(struct registration *r, const struct sip_message *m)
{
	char text[USER_PATH_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct path path = { 0 };
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_contact contact;
	enum sip_item item;
	uint32_t expires_s;

	if (!read_path(r, m, &out, &path))
		return;
	while ((item = sip_contact_next(&items, &contact)) == SIP_ITEM_OK) {
		if (contact.star)
			r->is_star = true;
		else if (!read_contact(r, m, &contact, &path))
			return;
	}
	if (item == SIP_ITEM_BAD || (r->is_star && (!sip_seconds_of(m, SIP_HDR_EXPIRES, &expires_s) || expires_s)))
		(void)refuse(r, 400, REASON_SYNTAX, NULL, NULL);
	else if (r->is_outbound && r->count > 1) /* RFC 5626 6: one REGISTER, one flow */
		(void)refuse(r, 400, REASON_SYNTAX, NULL, "One reg-id for each REGISTER");
}

/* 6.2.1, D1-28: the Contact is the core's own; only the expiry counts. */
static void read_core(struct registration *r, const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_contact contact = { 0 };
	struct buffer out = buffer_over(r->core_contact, sizeof(r->core_contact));

	r->is_of_core = true;
	r->expires_s = REGISTER_EXPIRES_DEFAULT_S;
	if (!sip_seconds_of(m, SIP_HDR_EXPIRES, &r->expires_s)) {
		if (sip_header_first(m, SIP_HDR_EXPIRES)) {
			(void)refuse(r, 400, REASON_SYNTAX, NULL, NULL);
			return;
		}
		if (sip_contact_next(&items, &contact) == SIP_ITEM_OK && contact.has_expires)
			r->expires_s = contact.expires;
	}
	sip_copy_headers(&out, m, SIP_HDR_CONTACT);
	r->core_contact_n = out.overflow ? 0 : out.n;
}

struct registration *registration_read(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	struct registration *r = calloc(1, sizeof(*r));
	struct siphash_key key;
	struct slice method;

	if (!r)
		return NULL;
	memcpy(&key, lasting_key, sizeof(key));
	r->server = server;
	r->call_id_hash = siphash(&key, sip_header_value(m, SIP_HDR_CALL_ID));
	if (!sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &r->cseq, &method))
		r->cseq = 0; /* cannot be: the generic checks read it */
	if (im->config->core.mode == MODE_IMS)
		read_core(r, m);
	else
		read_contacts(r, m);
	return r;
}

void registration_free(struct registration *r)
{
	for (unsigned i = 0; i < r->count; i++)
		free(r->contacts[i]);
	free(r);
}
