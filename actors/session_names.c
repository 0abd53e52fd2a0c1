#include "actors/session_names.h"

#include "actors/outgoing.h"
#include "sip/header.h"
#include "sip/uri.h"
#include "sip/write.h"

/* ---- dialog identifiers ---- */

bool dialog_name_read(struct slice value, struct dialog_name *name)
{
	struct slice rest;

	*name = (struct dialog_name){ .call_id = slice_trim(slice_cut(value, ';', &rest)) };
	if (!rest.p || !name->call_id.n)
		return false;
	name->params = slice_of(rest.p - 1, rest.n + 1);
	return (sip_param_find(name->params, "to-tag", &name->to_tag) &&
		       sip_param_find(name->params, "from-tag", &name->from_tag)) ||
	       (sip_param_find(name->params, "remote-tag", &name->to_tag) &&
		       sip_param_find(name->params, "local-tag", &name->from_tag));
}

/* Our tag towards the one is the other one's own tag, and the other way round. */
static struct slice map_tag(const struct sip_dialog *from, const struct sip_dialog *to, struct slice tag)
{
	if (slice_eq(tag, sip_dialog_local_tag(from)))
		return sip_dialog_remote_tag(to);
	return slice_eq(tag, sip_dialog_remote_tag(from)) ? sip_dialog_local_tag(to) : tag;
}

static bool names_dialog(const struct sip_dialog *dialog, const struct dialog_name *name)
{
	struct slice ours = sip_dialog_local_tag(dialog), theirs = sip_dialog_remote_tag(dialog);

	return slice_eq(name->call_id, sip_dialog_call_id(dialog)) &&
	       ((slice_eq(name->to_tag, ours) && slice_eq(name->from_tag, theirs)) ||
		       (slice_eq(name->to_tag, theirs) && slice_eq(name->from_tag, ours)));
}

static void map_dialog(struct buffer *out, struct side *from, struct slice value)
{
	const struct sip_dialog *here = from->dialog, *there = session_other(from)->dialog;
	struct dialog_name name;
	struct sip_param param;

	if (!dialog_name_read(value, &name) || !names_dialog(here, &name)) {
		sip_write_text(out, value);
		return;
	}
	sip_write_text(out, sip_dialog_call_id(there));
	for (struct slice params = name.params; sip_param_next(&params, &param);) {
		bool is_tag = param.name.n >= 4 &&
			      slice_case_eq(slice_skip(param.name, param.name.n - 4), SLICE("-tag"));
		buffer_char(out, ';');
		sip_write_text(out, param.name);
		if (!param.has_value)
			continue;
		buffer_char(out, '=');
		sip_write_text(out, is_tag ? map_tag(here, there, param.value) : param.value);
	}
}

bool session_map_replaces(struct im *im, struct slice value, struct buffer *out)
{
	struct dialog_name name;
	struct sip_dialog *dialog;

	if (!dialog_name_read(value, &name))
		return false;
	dialog = sip_dialog_find_named(im->worker, name.call_id, name.to_tag, name.from_tag);
	if (!dialog)
		dialog = sip_dialog_find_named(im->worker, name.call_id, name.from_tag, name.to_tag);
	if (!dialog || dialog->events != &session_dialog_events)
		return false;
	struct side *side = dialog->owner;
	if (!session_is_established(side->session) || side == side->session->left || !session_other(side)->dialog)
		return false;
	map_dialog(out, side, value);
	return !out->overflow;
}

/* ---- URIs ---- */

/* RFC 3261 25.1: hname and hvalue. */
static void escape(struct buffer *out, struct slice s)
{
	static const char plain[] = "[]/?:+$-_.!~*'()";

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr(plain, c)))
			buffer_char(out, c);
		else
			buffer_printf(out, "%%%02X", (unsigned char)c);
	}
}

/* The headers of a URI: a Replaces is mapped, the others stay. */
static void map_headers(struct buffer *out, struct side *from, struct slice headers)
{
	struct slice header, value;
	char before = '?';

	while (headers.n) {
		header = slice_cut(headers, '&', &headers);
		struct slice name = slice_cut(header, '=', &value);
		buffer_char(out, before);
		before = '&';
		if (!slice_case_eq(name, SLICE("Replaces"))) {
			sip_write_text(out, header);
			continue;
		}
		char plain_text[1024], mapped_text[1024];
		struct buffer plain = buffer_over(plain_text, sizeof(plain_text)),
			      mapped = buffer_over(mapped_text, sizeof(mapped_text));
		sip_unescape(&plain, value);
		map_dialog(&mapped, from, buffer_slice(&plain));
		out->overflow |= plain.overflow || mapped.overflow;
		buffer_put(out, name);
		buffer_char(out, '=');
		escape(out, buffer_slice(&mapped));
	}
}

/* What says where a URI leads: the rest is said to whoever gets it. */
static bool is_address(struct slice name)
{
	static const char *const names[] = { "transport", "maddr", "lr", "ob", "gr" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_case_eq(name, slice_str(names[i])))
			return true;
	return false;
}

void session_put_other_params(struct buffer *out, struct slice params)
{
	struct sip_param param;

	while (sip_param_next(&params, &param)) {
		if (is_address(param.name))
			continue;
		sip_write_param(out, &param);
	}
}

/* Our own Contact as `side` knows it. */
static void put_own_contact(struct buffer *out, struct side *side)
{
	struct im *im = side->session->im;
	struct sip_flow flow = outgoing_flow(im, &side->dialog->next);

	outgoing_contact_uri(out, im, &flow, session_self(side));
}

static bool is_same_place(struct slice target, const struct sip_uri *uri)
{
	struct sip_uri other;

	return sip_uri_parse(target, &other) && slice_eq(other.user, uri->user) &&
	       sip_host_equal(other.host, uri->host) && other.port == uri->port;
}

void session_map_uri(struct buffer *out, struct side *from, struct slice text)
{
	struct side *to = session_other(from);
	struct slice address = slice_cut(text, '?', NULL);
	struct sip_uri uri;

	if (!sip_uri_parse(text, &uri) || uri.scheme == SIP_SCHEME_TEL || uri.scheme == SIP_SCHEME_OTHER) {
		sip_write_text(out, text);
		return;
	}
	if (slice_eq(uri.user, slice_of(from->contact, MINTED_CHARS))) {
		sip_write_text(out, slice_cut(sip_dialog_target(to->dialog), '?', NULL));
		session_put_other_params(out, uri.params);
	} else if (is_same_place(sip_dialog_target(from->dialog), &uri)) {
		put_own_contact(out, to);
		session_put_other_params(out, uri.params);
	} else {
		sip_write_text(out, address);
	}
	map_headers(out, from, uri.headers);
}

static void map_address(struct buffer *out, struct side *from, struct slice value)
{
	struct sip_address address;

	if (!sip_address_decode(value, &address)) {
		sip_write_text(out, value);
		return;
	}
	if (address.display.n) {
		sip_write_text(out, address.display);
		buffer_char(out, ' ');
	}
	buffer_char(out, '<');
	session_map_uri(out, from, address.uri);
	buffer_char(out, '>');
	sip_write_text(out, address.params);
}

void session_map_value(struct buffer *out, struct side *from, enum sip_header_id id, struct slice value)
{
	if (id == SIP_HDR_REFER_TO || id == SIP_HDR_REFERRED_BY)
		map_address(out, from, value);
	else if (id == SIP_HDR_REPLACES || id == SIP_HDR_TARGET_DIALOG)
		map_dialog(out, from, value);
	else
		sip_write_text(out, value);
}
