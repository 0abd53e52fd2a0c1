#include "sip/sdp.h"

static const char *const direction_names[] = {
	[SDP_UNSAID] = "",
	[SDP_SENDRECV] = "sendrecv",
	[SDP_SENDONLY] = "sendonly",
	[SDP_RECVONLY] = "recvonly",
	[SDP_INACTIVE] = "inactive",
};

static const char *const setup_names[] = {
	[SDP_SETUP_NONE] = "",
	[SDP_SETUP_ACTIVE] = "active",
	[SDP_SETUP_PASSIVE] = "passive",
	[SDP_SETUP_ACTPASS] = "actpass",
	[SDP_SETUP_HOLDCONN] = "holdconn",
};

static const char *const verdict_texts[] = {
	[SDP_OK] = "OK",
	[SDP_BAD_LINE] = "SDP line malformed",
	[SDP_BAD_VERSION] = "SDP without v=0",
	[SDP_BAD_ORIGIN] = "SDP o= line missing or malformed",
	[SDP_BAD_CONNECTION] = "SDP c= line malformed",
	[SDP_BAD_MEDIA] = "SDP m= line malformed",
	[SDP_NO_CONNECTION] = "SDP without c= line",
	[SDP_TOO_MANY_MEDIA] = "SDP with too many m= lines",
};

const char *sdp_verdict_text(enum sdp_verdict verdict)
{
	return verdict_texts[verdict];
}

const char *sdp_direction_name(enum sdp_direction direction)
{
	return direction_names[direction];
}

const char *sdp_setup_name(enum sdp_setup setup)
{
	return setup_names[setup];
}

/* ---- lines ---- */

struct line {
	char type;
	struct slice whole; /* without its end */
	struct slice value; /* behind the '=' */
};

/* Takes a line off *rest, which is not empty. */
static bool next_line(struct slice *rest, struct line *line)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n = lf ? (size_t)(lf - rest->p) : rest->n;

	line->whole = slice_of(rest->p, n);
	*rest = slice_skip(*rest, lf ? n + 1 : n);
	if (n && line->whole.p[n - 1] == '\r')
		line->whole.n--;
	line->type = line->whole.n ? line->whole.p[0] : 0;
	line->value = slice_skip(line->whole, 2);
	return line->whole.n >= 2 && line->whole.p[1] == '=' && line->type >= 'a' &&
	       line->type <= 'z' && !memchr(line->whole.p, '\r', line->whole.n) &&
	       !memchr(line->whole.p, 0, line->whole.n);
}

static struct slice next_word(struct slice *rest)
{
	while (rest->n && rest->p[0] == ' ')
		*rest = slice_skip(*rest, 1);
	return slice_cut(*rest, ' ', rest);
}

static unsigned count_words(struct slice s)
{
	unsigned count = 0;

	while (next_word(&s).n)
		count++;
	return count;
}

/* Of the value of an a= line: its name, and what follows the colon. */
static struct slice attribute_of(struct slice value, struct slice *rest)
{
	struct slice name = slice_trim(slice_cut(value, ':', rest));

	*rest = rest->p ? slice_trim(*rest) : slice_of(value.p + value.n, 0);
	return name;
}

/* ---- parsing ---- */

static enum sdp_direction direction_of(struct slice name)
{
	for (unsigned i = SDP_SENDRECV; i <= SDP_INACTIVE; i++)
		if (slice_case_eq(name, slice_str(direction_names[i])))
			return (enum sdp_direction)i;
	return SDP_UNSAID;
}

static enum sdp_setup setup_of(struct slice value)
{
	for (unsigned i = SDP_SETUP_ACTIVE; i <= SDP_SETUP_HOLDCONN; i++)
		if (slice_case_eq(value, slice_str(setup_names[i])))
			return (enum sdp_setup)i;
	return SDP_SETUP_NONE;
}

static const struct {
	const char *name;
	size_t offset; /* of a slice in struct sdp_media */
} indexed[] = {
	{ "path", offsetof(struct sdp_media, path) },
	{ "accept-types", offsetof(struct sdp_media, accept_types) },
	{ "accept-wrapped-types", offsetof(struct sdp_media, accept_wrapped_types) },
	{ "max-size", offsetof(struct sdp_media, max_size) },
	{ "connection", offsetof(struct sdp_media, connection_attribute) },
	{ "fingerprint", offsetof(struct sdp_media, fingerprint) },
	{ "file-selector", offsetof(struct sdp_media, file_selector) },
	{ "file-transfer-id", offsetof(struct sdp_media, file_transfer_id) },
	{ "filesize", offsetof(struct sdp_media, file_size) },
	{ "filelength", offsetof(struct sdp_media, file_length) },
};

static void index_media_attribute(struct sdp_media *media, struct slice line)
{
	struct slice value, name = attribute_of(line, &value);

	if (media->direction == SDP_UNSAID)
		media->direction = direction_of(name);
	if (media->setup == SDP_SETUP_NONE && slice_case_eq(name, SLICE("setup")))
		media->setup = setup_of(value);
	for (size_t i = 0; i < sizeof(indexed) / sizeof(indexed[0]); i++) {
		struct slice *field = (struct slice *)((char *)media + indexed[i].offset);
		if (!field->p && slice_case_eq(name, slice_str(indexed[i].name)))
			*field = value;
	}
}

static void index_session_attribute(struct sdp *sdp, struct slice line)
{
	struct slice value, name = attribute_of(line, &value);

	if (sdp->direction == SDP_UNSAID)
		sdp->direction = direction_of(name);
	if (sdp->setup == SDP_SETUP_NONE && slice_case_eq(name, SLICE("setup")))
		sdp->setup = setup_of(value);
	if (!sdp->fingerprint.p && slice_case_eq(name, SLICE("fingerprint")))
		sdp->fingerprint = value;
}

/* RFC 4566 5.14: m=media port[/count] proto fmt... */
static bool parse_media(struct sdp_media *media, struct slice value)
{
	struct slice rest = value, count, port;
	uint64_t number;

	media->media = next_word(&rest);
	port = slice_cut(next_word(&rest), '/', &count);
	media->proto = next_word(&rest);
	media->formats = slice_trim(rest);
	if (!media->media.n || !media->proto.n || !media->formats.n ||
	    !slice_u64(port, UINT16_MAX, &number))
		return false;
	media->port = (uint32_t)number;
	return !count.p || slice_u64(count, UINT16_MAX, &number);
}

static enum sdp_verdict on_connection(struct sdp *sdp, struct slice value)
{
	struct slice *connection = sdp->media_count ? &sdp->media[sdp->media_count - 1].connection
						    : &sdp->connection;

	if (count_words(value) != 3)
		return SDP_BAD_CONNECTION;
	if (!connection->p)
		*connection = value;
	return SDP_OK;
}

static enum sdp_verdict on_media(struct sdp *sdp, const struct line *line)
{
	if (sdp->media_count == SDP_MEDIA_MAX)
		return SDP_TOO_MANY_MEDIA;
	struct sdp_media *media = &sdp->media[sdp->media_count++];
	*media = (struct sdp_media){ .whole = slice_of(line->whole.p, 0) };
	return parse_media(media, line->value) ? SDP_OK : SDP_BAD_MEDIA;
}

static enum sdp_verdict on_line(struct sdp *sdp, const struct line *line)
{
	switch (line->type) {
	case 'o': /* the second line, and there only */
		return SDP_BAD_ORIGIN;
	case 'c':
		return on_connection(sdp, line->value);
	case 'm':
		return on_media(sdp, line);
	case 'a':
		if (sdp->media_count)
			index_media_attribute(&sdp->media[sdp->media_count - 1], line->value);
		else
			index_session_attribute(sdp, line->value);
		return SDP_OK;
	default: /* the rest is passed on, not understood */
		return SDP_OK;
	}
}

static enum sdp_verdict parse_first_lines(struct sdp *sdp, struct slice *rest)
{
	struct line line;

	if (!rest->n || !next_line(rest, &line) || !slice_eq(line.whole, SLICE("v=0")))
		return SDP_BAD_VERSION;
	if (!rest->n || !next_line(rest, &line) || line.type != 'o' || count_words(line.value) != 6)
		return SDP_BAD_ORIGIN;
	sdp->origin = line.value;
	return SDP_OK;
}

static bool has_connections(const struct sdp *sdp)
{
	for (unsigned i = 0; i < sdp->media_count; i++)
		if (sdp->media[i].port && !sdp->media[i].connection.p && !sdp->connection.p)
			return false;
	return true;
}

enum sdp_verdict sdp_parse(struct sdp *sdp, struct slice text)
{
	struct slice rest = text;
	enum sdp_verdict verdict;
	struct line line;

	memset(sdp, 0, offsetof(struct sdp, media));
	sdp->text = sdp->attributes = text;
	verdict = parse_first_lines(sdp, &rest);
	sdp->attributes.n = text.n - rest.n;
	while (verdict == SDP_OK && rest.n) {
		if (!next_line(&rest, &line))
			return SDP_BAD_LINE;
		verdict = on_line(sdp, &line);
		if (sdp->media_count) {
			struct slice *whole = &sdp->media[sdp->media_count - 1].whole;
			whole->n = (size_t)(rest.p - whole->p);
		} else {
			sdp->attributes.n = (size_t)(rest.p - text.p);
		}
	}
	if (verdict == SDP_OK && !has_connections(sdp))
		return SDP_NO_CONNECTION;
	return verdict;
}

/* ---- asking ---- */

bool sdp_attribute(struct slice part, const char *name, struct slice *value)
{
	struct slice found;
	struct line line;

	while (part.n && next_line(&part, &line))
		if (line.type == 'a' &&
		    slice_case_eq(attribute_of(line.value, &found), slice_str(name))) {
			if (value)
				*value = found;
			return true;
		}
	return false;
}

enum sdp_direction sdp_media_direction(const struct sdp *sdp, const struct sdp_media *media)
{
	if (media->direction != SDP_UNSAID)
		return media->direction;
	return sdp->direction != SDP_UNSAID ? sdp->direction : SDP_SENDRECV;
}

enum sdp_setup sdp_media_setup(const struct sdp *sdp, const struct sdp_media *media)
{
	return media->setup != SDP_SETUP_NONE ? media->setup : sdp->setup;
}

struct slice sdp_media_fingerprint(const struct sdp *sdp, const struct sdp_media *media)
{
	return media->fingerprint.p ? media->fingerprint : sdp->fingerprint;
}

enum sdp_direction sdp_direction_inverted(enum sdp_direction direction)
{
	switch (direction) {
	case SDP_SENDONLY:
		return SDP_RECVONLY;
	case SDP_RECVONLY:
		return SDP_SENDONLY;
	case SDP_UNSAID:
	case SDP_SENDRECV:
	case SDP_INACTIVE:
		break;
	}
	return direction;
}

bool sdp_media_is_msrp(const struct sdp_media *media, bool *tls)
{
	bool is_tls = slice_case_eq(media->proto, SLICE("TCP/TLS/MSRP"));

	if (tls)
		*tls = is_tls;
	return slice_case_eq(media->media, SLICE("message")) &&
	       (is_tls || slice_case_eq(media->proto, SLICE("TCP/MSRP")));
}

const struct sdp_media *sdp_msrp_media(const struct sdp *sdp)
{
	for (unsigned i = 0; i < sdp->media_count; i++) {
		const struct sdp_media *media = &sdp->media[i];
		if (media->port && media->path.n && sdp_media_is_msrp(media, NULL))
			return media;
	}
	return NULL;
}

/* ---- rewriting ---- */

/* Of one connection and one peer: ours takes their place (RFC 4145, 4572, 4975 8.1).  A key or a
 * fingerprint of the peer would promise what this connection does not keep. */
static bool is_of_connection(struct slice attribute)
{
	static const char *const names[] = { "path", "setup", "connection", "fingerprint",
					     "crypto" };
	struct slice value, name = attribute_of(attribute, &value);

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
	struct line line;

	while (rest.n && next_line(&rest, &line))
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
	struct line line;

	while (rest.n && next_line(&rest, &line)) {
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
	struct slice value, name = attribute_of(attribute, &value);

	return (own->accept_types.p && slice_case_eq(name, SLICE("accept-types"))) ||
	       (own->accept_wrapped_types.p && slice_case_eq(name, SLICE("accept-wrapped-types"))) ||
	       (own->max_size && slice_case_eq(name, SLICE("max-size"))) ||
	       (own->direction != SDP_UNSAID && direction_of(name) != SDP_UNSAID);
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
		put_line(out, slice_str(direction_names[own->direction]));
	}
}

static void rewrite_media(struct buffer *out, const struct sdp_media *media,
			  const struct sdp_own *own)
{
	struct slice rest = media->whole;
	struct line line;

	put_media_line(out, media, own->port, own->proto.n ? own->proto : media->proto);
	while (rest.n && next_line(&rest, &line))
		if (line.type != 'm' && line.type != 'c' && !(own->is_nameless && names_author(line.type)) &&
		    (line.type != 'a' || !(is_of_connection(line.value) || replaces(own, line.value))))
			put_line(out, line.whole);
	put_decided(out, media, own);
	put_attribute(out, "path", own->path);
	put_attribute(out, "setup", slice_str(setup_names[own->setup]));
	put_attribute(out, "fingerprint", own->fingerprint);
}

static bool is_clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return true;
}

bool sdp_rewrite(struct buffer *out, const struct sdp *sdp, const struct sdp_own *own)
{
	if (!own->address.n || !is_clean(own->address) || !is_clean(own->proto) ||
	    !is_clean(own->path) || !is_clean(own->fingerprint) ||
	    !is_clean(own->accept_types) || !is_clean(own->accept_wrapped_types))
		return false;
	const struct sdp *order = own->offer ? own->offer : sdp;
	const struct sdp_media *accepted = own->offer ? own->offered : own->media;
	rewrite_session(out, sdp, own);
	for (unsigned i = 0; i < order->media_count; i++) {
		const struct sdp_media *media = &order->media[i];
		if (media == accepted)
			rewrite_media(out, own->media, own);
		else if (!own->is_alone)
			put_media_line(out, media, 0, media->proto);
	}
	return !out->overflow;
}
