#include "sip/sdp.h"

#include "sip/sdp_line.h"

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

bool sdp_line_next(struct slice *rest, struct sdp_line *line)
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

struct slice sdp_attribute_name(struct slice value, struct slice *rest)
{
	struct slice name = slice_trim(slice_cut(value, ':', rest));

	*rest = rest->p ? slice_trim(*rest) : slice_of(value.p + value.n, 0);
	return name;
}

/* ---- parsing ---- */

enum sdp_direction sdp_direction_of(struct slice name)
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
	struct slice value, name = sdp_attribute_name(line, &value);

	if (media->direction == SDP_UNSAID)
		media->direction = sdp_direction_of(name);
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
	struct slice value, name = sdp_attribute_name(line, &value);

	if (sdp->direction == SDP_UNSAID)
		sdp->direction = sdp_direction_of(name);
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

static enum sdp_verdict on_media(struct sdp *sdp, const struct sdp_line *line)
{
	if (sdp->media_count == SDP_MEDIA_MAX)
		return SDP_TOO_MANY_MEDIA;
	struct sdp_media *media = &sdp->media[sdp->media_count++];
	*media = (struct sdp_media){ .whole = slice_of(line->whole.p, 0) };
	return parse_media(media, line->value) ? SDP_OK : SDP_BAD_MEDIA;
}

static enum sdp_verdict on_line(struct sdp *sdp, const struct sdp_line *line)
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
	struct sdp_line line;

	if (!rest->n || !sdp_line_next(rest, &line) || !slice_eq(line.whole, SLICE("v=0")))
		return SDP_BAD_VERSION;
	if (!rest->n || !sdp_line_next(rest, &line) || line.type != 'o' || count_words(line.value) != 6)
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
	struct sdp_line line;

	memset(sdp, 0, offsetof(struct sdp, media));
	sdp->text = sdp->attributes = text;
	verdict = parse_first_lines(sdp, &rest);
	sdp->attributes.n = text.n - rest.n;
	while (verdict == SDP_OK && rest.n) {
		if (!sdp_line_next(&rest, &line))
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
	struct sdp_line line;

	while (part.n && sdp_line_next(&part, &line))
		if (line.type == 'a' &&
		    slice_case_eq(sdp_attribute_name(line.value, &found), slice_str(name))) {
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

bool sdp_media_has_cema(const struct sdp_media *media)
{
	return sdp_attribute(media->whole, "msrp-cema", NULL);
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
