#include "sip/sdp.h"

#include "sip/sdp_line.h"

/* Of one connection and one peer: ours takes their place (RFC 4145, 4572, 4975 8.1, 6714).  A key or a
 * fingerprint of the peer would promise what this connection does not keep. */
static bool is_of_connection(struct slice attribute)
{
	static const char *const names[] = { "path", "setup", "connection", "fingerprint",
					     "crypto", "msrp-cema" };
	struct slice value, name = sdp_attribute_name(attribute, &value);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_case_eq(name, slice_str(names[i])))
			return true;
	return false;
}

static void put_line(struct buffer *out, struct slice line)
{
	buffer_put(out, line);
	buffer_lit(out, "\r\n");
}

static void put_address(struct buffer *out, struct slice address)
{
	buffer_str(out, memchr(address.p, ':', address.n) ? "IN IP6 " : "IN IP4 ");
	put_line(out, address);
}

static void put_origin(struct buffer *out, const struct sdp_own *own)
{
	buffer_lit(out, "o=- ");
	buffer_u64(out, own->session_id);
	buffer_char(out, ' ');
	buffer_u64(out, own->version);
	buffer_char(out, ' ');
	put_address(out, own->address);
}

static void put_connection(struct buffer *out, const struct sdp_own *own)
{
	buffer_lit(out, "c=");
	put_address(out, own->address);
}

/* RFC 4566 5 fixes the order: c= stands before these. */
static bool comes_after_connection(char type)
{
	return type && strchr("btrzka", type);
}

/* Free text and addresses of whoever wrote the description. */
static bool names_author(char type)
{
	return type && strchr("iuep", type);
}

/* t=, its r=, and the z= that belongs to them (RFC 4566 5.9 to 5.11). */
static bool is_time(char type)
{
	return type && strchr("trz", type);
}

static bool comes_after_times(char type)
{
	return type == 'k' || type == 'a';
}

static void put_times(struct buffer *out, struct slice rest)
{
	bool has_time = false;
	struct sdp_line line;

	while (rest.n && sdp_line_next(&rest, &line))
		if (is_time(line.type)) {
			put_line(out, line.whole);
			has_time = true;
		}
	if (!has_time)
		put_line(out, SLICE("t=0 0"));
}

/* What we have written of a session part, in the order that RFC 4566 5 fixes. */
struct progress {
	bool has_name, has_connection, has_times;
};

static void put_what_is_due(struct buffer *out, char type, const struct sdp *sdp, const struct sdp_own *own,
			    struct progress *done)
{
	if (!done->has_name && type != 'v' && type != 'o') {
		if (type != 's' || own->is_nameless)
			put_line(out, SLICE("s=-"));
		done->has_name = true;
	}
	if (!done->has_connection && (comes_after_connection(type) || !type)) {
		put_connection(out, own);
		done->has_connection = true;
	}
	if (!done->has_times && (is_time(type) || comes_after_times(type) || !type)) {
		put_times(out, own->offer ? own->offer->attributes : sdp->attributes);
		done->has_times = true;
	}
}

static void rewrite_session(struct buffer *out, const struct sdp *sdp, const struct sdp_own *own)
{
	struct slice rest = sdp->attributes;
	struct progress done = { 0 };
	struct sdp_line line;

	while (rest.n && sdp_line_next(&rest, &line)) {
		put_what_is_due(out, line.type, sdp, own, &done);
		if (line.type == 'o')
			put_origin(out, own);
		else if (line.type == 'c' || is_time(line.type) ||
			 (own->is_nameless && (line.type == 's' || names_author(line.type))) ||
			 (line.type == 'a' && is_of_connection(line.value)))
			continue;
		else
			put_line(out, line.whole);
	}
	put_what_is_due(out, 0, sdp, own, &done);
}

static void put_media_line(struct buffer *out, const struct sdp_media *media, unsigned port,
			   struct slice proto)
{
	buffer_lit(out, "m=");
	buffer_put(out, media->media);
	buffer_char(out, ' ');
	buffer_u64(out, port);
	buffer_char(out, ' ');
	buffer_put(out, proto);
	buffer_char(out, ' ');
	/* RFC 4975 8.1: what an MSRP line has there says nothing, and is always this */
	put_line(out, sdp_media_is_msrp(media, NULL) && port ? SLICE("*") : media->formats);
}

static void put_attribute(struct buffer *out, const char *name, struct slice value)
{
	if (!value.n)
		return;
	buffer_lit(out, "a=");
	buffer_str(out, name);
	buffer_char(out, ':');
	put_line(out, value);
}

static bool replaces(const struct sdp_own *own, struct slice attribute)
{
	struct slice value, name = sdp_attribute_name(attribute, &value);

	return (own->accept_types.p && slice_case_eq(name, SLICE("accept-types"))) ||
	       (own->accept_wrapped_types.p && slice_case_eq(name, SLICE("accept-wrapped-types"))) ||
	       (own->max_size && slice_case_eq(name, SLICE("max-size"))) ||
	       (own->direction != SDP_UNSAID && sdp_direction_of(name) != SDP_UNSAID);
}

static void put_decided(struct buffer *out, const struct sdp_media *media, const struct sdp_own *own)
{
	uint64_t theirs = 0;

	put_attribute(out, "accept-types", own->accept_types);
	put_attribute(out, "accept-wrapped-types", own->accept_wrapped_types);
	if (own->max_size) {
		bool is_less = slice_u64(slice_trim(media->max_size), UINT64_MAX, &theirs) && theirs < own->max_size;
		buffer_lit(out, "a=max-size:");
		buffer_u64(out, is_less ? theirs : own->max_size);
		buffer_lit(out, "\r\n");
	}
	if (own->direction != SDP_UNSAID) {
		buffer_lit(out, "a=");
		put_line(out, slice_str(sdp_direction_name(own->direction)));
	}
}

static void rewrite_media(struct buffer *out, const struct sdp_media *media,
			  const struct sdp_own *own)
{
	struct slice rest = media->whole;
	struct sdp_line line;

	put_media_line(out, media, own->port, own->proto.n ? own->proto : media->proto);
	while (rest.n && sdp_line_next(&rest, &line))
		if (line.type != 'm' && line.type != 'c' && !(own->is_nameless && names_author(line.type)) &&
		    (line.type != 'a' || !(is_of_connection(line.value) || replaces(own, line.value))))
			put_line(out, line.whole);
	put_decided(out, media, own);
	put_attribute(out, "path", own->path);
	put_attribute(out, "setup", slice_str(sdp_setup_name(own->setup)));
	put_attribute(out, "fingerprint", own->fingerprint);
	if (own->has_cema)
		put_line(out, SLICE("a=msrp-cema"));
}

static bool is_clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return true;
}

static bool are_clean(const struct sdp_own *line)
{
	return is_clean(line->proto) && is_clean(line->path) && is_clean(line->fingerprint) &&
	       is_clean(line->accept_types) && is_clean(line->accept_wrapped_types);
}

/* What becomes of an m= line of the offer; NULL: nothing of ours. */
static const struct sdp_own *own_line(const struct sdp_own *own, const struct sdp_media *media)
{
	if (media == (own->offer ? own->offered : own->media))
		return own;
	for (unsigned i = 0; i < own->more_count; i++)
		if (media == (own->offer ? own->more[i].offered : own->more[i].media))
			return &own->more[i];
	return NULL;
}

bool sdp_rewrite(struct buffer *out, const struct sdp *sdp, const struct sdp_own *own)
{
	if (!own->address.n || !is_clean(own->address) || !are_clean(own))
		return false;
	for (unsigned i = 0; i < own->more_count; i++)
		if (!are_clean(&own->more[i]))
			return false;
	const struct sdp *order = own->offer ? own->offer : sdp;
	rewrite_session(out, sdp, own);
	for (unsigned i = 0; i < order->media_count; i++) {
		const struct sdp_media *media = &order->media[i];
		const struct sdp_own *line = own_line(own, media);
		if (line)
			rewrite_media(out, line->media, line);
		else if (!own->is_alone)
			put_media_line(out, media, 0, media->proto);
	}
	return !out->overflow;
}
