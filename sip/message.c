#include "sip/message.h"

#define CONTENT_LENGTH_MAX UINT32_MAX /* RFC 3261 sets no bound; above it is nobody's message */

static const struct slice method_names[] = {
#define X(name) [SIP_##name] = { #name, sizeof(#name) - 1 },
	SIP_METHODS(X)
#undef X
	[SIP_METHOD_OTHER] = { "", 0 },
};

static const struct slice header_names[SIP_HDR_COUNT] = {
	[SIP_HDR_OTHER] = { "", 0 },
#define X(id, name) [SIP_HDR_##id] = { name, sizeof(name) - 1 },
	SIP_HEADER_NAMES(X)
#undef X
};

/* Header names by first letter, as bounds into the alphabetical list. */
static const struct {
	uint8_t from, to;
} letters[26] = {
	['a' - 'a'] = { SIP_HDR_ACCEPT, SIP_HDR_AUTHORIZATION },
	['c' - 'a'] = { SIP_HDR_CALL_ID, SIP_HDR_CSEQ },
	['d' - 'a'] = { SIP_HDR_DATE, SIP_HDR_DATE },
	['e' - 'a'] = { SIP_HDR_ERROR_INFO, SIP_HDR_EXPIRES },
	['f' - 'a'] = { SIP_HDR_FLOW_TIMER, SIP_HDR_FROM },
	['i' - 'a'] = { SIP_HDR_IN_REPLY_TO, SIP_HDR_IN_REPLY_TO },
	['m' - 'a'] = { SIP_HDR_MAX_FORWARDS, SIP_HDR_MIN_SE },
	['o' - 'a'] = { SIP_HDR_ORGANIZATION, SIP_HDR_ORGANIZATION },
	['p' - 'a'] = { SIP_HDR_P_ACCESS_NETWORK_INFO, SIP_HDR_PROXY_REQUIRE },
	['r' - 'a'] = { SIP_HDR_RACK, SIP_HDR_RSEQ },
	['s' - 'a'] = { SIP_HDR_SERVER, SIP_HDR_SUPPORTED },
	['t' - 'a'] = { SIP_HDR_TARGET_DIALOG, SIP_HDR_TO },
	['u' - 'a'] = { SIP_HDR_UNSUPPORTED, SIP_HDR_USER_AGENT },
	['v' - 'a'] = { SIP_HDR_VIA, SIP_HDR_VIA },
	['w' - 'a'] = { SIP_HDR_WARNING, SIP_HDR_WWW_AUTHENTICATE },
};

/* RFC 3261 20, RFC 3265 (o), 3515 (r), 3841 (a, j), 3892 (b), 4028 (x). */
static const uint8_t compact_forms[26] = {
	['a' - 'a'] = SIP_HDR_ACCEPT_CONTACT, ['b' - 'a'] = SIP_HDR_REFERRED_BY,
	['c' - 'a'] = SIP_HDR_CONTENT_TYPE,   ['d' - 'a'] = SIP_HDR_REQUEST_DISPOSITION,
	['e' - 'a'] = SIP_HDR_CONTENT_ENCODING, ['f' - 'a'] = SIP_HDR_FROM,
	['i' - 'a'] = SIP_HDR_CALL_ID,        ['j' - 'a'] = SIP_HDR_REJECT_CONTACT,
	['k' - 'a'] = SIP_HDR_SUPPORTED,      ['l' - 'a'] = SIP_HDR_CONTENT_LENGTH,
	['m' - 'a'] = SIP_HDR_CONTACT,        ['o' - 'a'] = SIP_HDR_EVENT,
	['r' - 'a'] = SIP_HDR_REFER_TO,       ['s' - 'a'] = SIP_HDR_SUBJECT,
	['t' - 'a'] = SIP_HDR_TO,             ['u' - 'a'] = SIP_HDR_ALLOW_EVENTS,
	['v' - 'a'] = SIP_HDR_VIA,            ['x' - 'a'] = SIP_HDR_SESSION_EXPIRES,
};

enum sip_method sip_method_of(struct slice name)
{
	for (unsigned i = 0; i < SIP_METHOD_OTHER; i++)
		if (slice_eq(name, method_names[i]))
			return (enum sip_method)i;
	return SIP_METHOD_OTHER;
}

const char *sip_method_name(enum sip_method method)
{
	return method_names[method].p;
}

const char *sip_header_name(enum sip_header_id id)
{
	return header_names[id].p;
}

enum sip_header_id sip_header_id_of(struct slice name)
{
	unsigned letter = name.n ? ((unsigned char)name.p[0] | 0x20u) - 'a' : 26;

	if (letter > 25)
		return SIP_HDR_OTHER;
	if (name.n == 1)
		return (enum sip_header_id)compact_forms[letter];
	if (!letters[letter].from)
		return SIP_HDR_OTHER;
	for (unsigned id = letters[letter].from; id <= letters[letter].to; id++)
		if (slice_case_eq(name, header_names[id]))
			return (enum sip_header_id)id;
	return SIP_HDR_OTHER;
}

static bool is_token_char(unsigned char c)
{
	/* one bit for each of the first 128 octets */
	static const uint32_t set[4] = { 0, 0x03ff6ca2, 0x87fffffe, 0x47ffffff };

	return c < 128 && (set[c >> 5] >> (c & 31)) & 1;
}

bool sip_is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

/* The first thing that is wrong is the one to tell. */
static void wrong(struct sip_message *m, const char *why)
{
	if (!m->error)
		m->error = why;
}

static const char version[] = "SIP/2.0";

/* What is being parsed, beside the message itself. */
struct parse {
	struct sip_message *m;
	const struct sip_limits *limits;
	bool too_many, other_version, lines_broken;
	uint8_t last[SIP_HDR_COUNT]; /* as ->first, of the last header of an id */
};

static bool is_version(struct slice s)
{
	struct slice minor, major = slice_cut(slice_skip(s, 4), '.', &minor);
	uint64_t number;

	return slice_case_starts(s, SLICE("SIP/")) && slice_u64(major, UINT32_MAX, &number) &&
	       slice_u64(minor, UINT32_MAX, &number);
}

static bool has_blank_or_delimiter(struct slice uri)
{
	for (size_t i = 0; i < uri.n; i++) {
		unsigned char c = (unsigned char)uri.p[i];
		if (c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"')
			return true;
	}
	return false;
}

/* Method SP Request-URI SP SIP-Version; false when this is not SIP at all. */
static bool parse_request_line(struct parse *x, struct slice line)
{
	struct sip_message *m = x->m;
	struct slice text = slice_trim(line), rest;
	const char *blank;

	m->is_request = true;
	m->method_name = slice_cut(text, ' ', &rest);
	blank = rest.n ? memrchr(rest.p, ' ', rest.n) : NULL;
	if (!blank || !sip_is_token(m->method_name))
		return false;
	struct slice sip_version = slice_skip(rest, (size_t)(blank + 1 - rest.p));
	if (!slice_case_starts(sip_version, SLICE("SIP/")))
		return false;
	m->method = sip_method_of(m->method_name);
	m->uri = slice_of(rest.p, (size_t)(blank - rest.p));
	if (text.n != line.n || m->uri.n == 0 || has_blank_or_delimiter(m->uri))
		wrong(m, "Bad Request Line");
	if (!is_version(sip_version))
		wrong(m, "Bad SIP Version");
	else if (!slice_case_eq(sip_version, slice_str(version)))
		x->other_version = true;
	return true;
}

/* SIP-Version SP Status-Code SP Reason-Phrase, the last blank optional. */
static void parse_status_line(struct sip_message *m, struct slice line)
{
	struct slice rest = slice_skip(line, sizeof(version));
	uint64_t status;

	struct slice code = slice_cut(rest, ' ', &m->reason);
	if (!slice_case_starts(line, slice_str(version)) || line.p[sizeof(version) - 1] != ' ' || code.n != 3 ||
	    !slice_u64(code, 699, &status) || status < 100)
		wrong(m, "Bad Status Line"); /* where it ends can be known all the same */
	else
		m->status = (unsigned)status;
}

static bool parse_start_line(struct parse *x, struct slice line)
{
	if (!slice_case_starts(line, SLICE("SIP/")) || line.n <= sizeof(version))
		return parse_request_line(x, line);
	parse_status_line(x->m, line);
	return true;
}

/* Without these there is no answer. */
static bool is_needed_to_answer(enum sip_header_id id)
{
	return id == SIP_HDR_VIA || id == SIP_HDR_FROM || id == SIP_HDR_TO ||
	       id == SIP_HDR_CALL_ID || id == SIP_HDR_CSEQ;
}

static unsigned headers_limit(const struct sip_limits *limits)
{
	return limits->headers && limits->headers < SIP_HEADERS_MOST ? limits->headers
								     : SIP_HEADERS_MOST;
}

static void add_header(struct parse *x, struct slice name, struct slice value)
{
	struct sip_message *m = x->m;
	enum sip_header_id id = sip_header_id_of(name);
	unsigned at = m->header_count;

	if (at >= headers_limit(x->limits)) {
		x->too_many = true;
		if (m->first[id] || !is_needed_to_answer(id))
			return;
	}
	m->headers[at] = (struct sip_header){ name, slice_trim(value), id, 0 };
	m->header_count++;
	if (m->first[id])
		m->headers[x->last[id]].next = (uint8_t)at;
	else
		m->first[id] = (uint8_t)(at + 1);
	x->last[id] = (uint8_t)at;
}

/* The line up to its CR LF; what is wrong with its end is told, and where it ends is believed. */
static struct slice next_line(struct parse *x, struct slice *rest)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n = lf ? (size_t)(lf - rest->p) : rest->n;
	struct slice line = slice_of(rest->p, n);

	*rest = slice_skip(*rest, lf ? n + 1 : n);
	if (lf && n && line.p[n - 1] == '\r')
		line.n--;
	else
		x->lines_broken = true;
	if (line.n && memchr(line.p, '\r', line.n))
		x->lines_broken = true;
	if (x->lines_broken)
		wrong(x->m, "CR or LF Alone");
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void parse_header(struct parse *x, struct slice line, struct slice *rest)
{
	struct slice field = line, value;

	while (rest->n && is_blank(rest->p[0])) { /* RFC 3261 7.3.1: a fold is of the value */
		struct slice more = next_line(x, rest);
		field.n = (size_t)(more.p + more.n - field.p);
	}
	struct slice name = slice_cut(field, ':', &value);
	while (name.n && is_blank(name.p[name.n - 1]))
		name.n--;
	if (!value.p || name.n == 0)
		wrong(x->m, "Bad Header Line");
	else
		add_header(x, name, value);
}

/* Offset behind the blank line that ends the head, 0 when it is not there.  Bare LFs count, so that
 * a peer that sends them is told so instead of being waited for. */
static size_t head_end(struct slice in, size_t from)
{
	while (from < in.n) {
		const char *lf = memchr(in.p + from, '\n', in.n - from);
		if (!lf)
			return 0;
		from = (size_t)(lf - in.p) + 1;
		if (from < in.n && in.p[from] == '\n')
			return from + 1;
		if (from + 1 < in.n && in.p[from] == '\r' && in.p[from + 1] == '\n')
			return from + 2;
	}
	return 0;
}

/* RFC 3261 20.14.  False when the announced length cannot be trusted, which loses a stream. */
static bool parse_content_length(struct sip_message *m, bool *is_absent)
{
	const struct sip_header *header = sip_header_first(m, SIP_HDR_CONTENT_LENGTH);
	uint64_t length;

	*is_absent = !header;
	for (bool again = false; header; header = sip_header_next(m, header), again = true) {
		if (!slice_u64(header->value, CONTENT_LENGTH_MAX, &length)) {
			wrong(m, "Bad Content-Length");
			return false;
		}
		if (again && length != m->content_length) {
			wrong(m, "Two Different Content-Lengths");
			return false;
		}
		m->content_length = length;
	}
	return true;
}

/* Only as a quoted-pair (RFC 3261 25.1, RFC 4475 3.1.1.2); the writers turn it into a blank. */
static bool has_nul(struct slice head)
{
	const char *nul, *from = head.p, *end = head.p + head.n;

	for (; (nul = memchr(from, 0, (size_t)(end - from))); from = nul + 1)
		if (nul == head.p || nul[-1] != '\\')
			return true;
	return false;
}

/* `head` is all of start line and headers, the blank line included if it came. */
static bool parse_head(struct parse *x, struct slice head, bool is_whole)
{
	struct slice rest = head;

	if (!is_whole) { /* the last line may be half of one */
		const char *lf = memrchr(head.p, '\n', head.n);
		rest.n = lf ? (size_t)(lf + 1 - head.p) : 0;
		if (!rest.n)
			return false;
	}
	if (has_nul(rest))
		wrong(x->m, "NUL in a Header");
	if (!parse_start_line(x, next_line(x, &rest)))
		return false;
	while (rest.n) {
		struct slice line = next_line(x, &rest);
		if (line.n == 0)
			break;
		if (is_blank(line.p[0])) /* of a header that is not there */
			wrong(x->m, "Bad Header Line");
		else
			parse_header(x, line, &rest);
	}
	return true;
}

static void clear(struct sip_message *m)
{
	memset(m, 0, offsetof(struct sip_message, headers));
	m->method = SIP_METHOD_OTHER;
}

enum body { BODY_WHOLE, BODY_MORE, BODY_TOO_LARGE, BODY_UNKNOWN };

/* The body and with it the end of the message. */
static enum body parse_body(struct parse *x, struct slice rest, enum sip_framing framing)
{
	struct sip_message *m = x->m;
	bool is_absent;

	if (!parse_content_length(m, &is_absent))
		return BODY_UNKNOWN;
	if (is_absent && framing == SIP_STREAM) { /* RFC 3261 18.3 */
		wrong(m, "No Content-Length");
		return BODY_UNKNOWN;
	}
	if (is_absent)
		m->content_length = rest.n;
	if (framing == SIP_DATAGRAM && m->content_length > rest.n) {
		wrong(m, "Content-Length Beyond the Datagram");
		return BODY_UNKNOWN;
	}
	if (m->content_length > x->limits->body_bytes)
		return BODY_TOO_LARGE;
	if (m->content_length > rest.n)
		return BODY_MORE;
	m->body = slice_of(rest.p, (size_t)m->content_length);
	m->wire.n += m->body.n;
	/* what was not indexed may have held another Content-Length */
	m->framed = !x->too_many && !x->lines_broken;
	return BODY_WHOLE;
}

/* What to answer, worst first: what was too large was not read to its end. */
static enum sip_verdict verdict_of(const struct parse *x, bool head_too_large, enum body body)
{
	const struct sip_message *m = x->m;
	enum sip_verdict verdict = SIP_PARSE_OK;

	if (head_too_large)
		verdict = SIP_PARSE_TOO_LARGE_513;
	else if (x->too_many)
		verdict = SIP_PARSE_HEADERS_513;
	else if (x->other_version)
		verdict = SIP_PARSE_VERSION_505;
	else if (m->error)
		verdict = SIP_PARSE_BAD_400;
	else if (body == BODY_TOO_LARGE)
		verdict = SIP_PARSE_TOO_LARGE_413;
	if (verdict == SIP_PARSE_OK)
		return verdict;
	if (!m->is_request || m->method == SIP_ACK || !m->first[SIP_HDR_VIA])
		return SIP_PARSE_DROP;
	return verdict;
}

/* From the start line on; *need is set with MORE once the head is whole. */
static enum sip_verdict parse_message(struct parse *x, struct slice in, enum sip_framing framing,
				      size_t *used, size_t *need)
{
	struct sip_message *m = x->m;
	size_t most = x->limits->header_bytes;
	struct slice head = slice_of(in.p, in.n < most ? in.n : most);
	size_t end = head_end(head, 0);
	enum body body = BODY_UNKNOWN;

	*used = in.n;
	m->wire = in;
	if (!is_token_char((unsigned char)in.p[0]))
		return SIP_PARSE_DROP;
	if (!end && framing == SIP_STREAM && in.n <= most) {
		*used = 0;
		return SIP_PARSE_MORE;
	}
	if (end)
		head.n = end;
	if (!parse_head(x, head, end != 0))
		return SIP_PARSE_DROP;
	if (!end && in.n <= most)
		wrong(m, "Headers Without End");
	if (end) {
		m->wire = head;
		body = parse_body(x, slice_skip(in, end), framing);
	}
	if (body == BODY_MORE) {
		*used = 0;
		*need = end + (size_t)m->content_length;
		return SIP_PARSE_MORE;
	}
	if (framing == SIP_STREAM && end)
		*used = m->wire.n;
	return verdict_of(x, !end && in.n > most, body);
}

/* CRLF before the start line (RFC 3261 7.5): all of them in a datagram, one at a time on a stream,
 * where two are a ping. */
static enum sip_verdict skip_crlf(struct slice *in, enum sip_framing framing, size_t *used)
{
	size_t n = 0;

	while (in->n - n >= 2 && in->p[n] == '\r' && in->p[n + 1] == '\n') {
		n += 2;
		if (framing == SIP_STREAM)
			break;
	}
	*used = n;
	if (framing == SIP_STREAM && n)
		return SIP_PARSE_KEEPALIVE;
	*in = slice_skip(*in, n);
	if (framing == SIP_STREAM && (in->n == 0 || (in->n == 1 && in->p[0] == '\r')))
		return SIP_PARSE_MORE;
	return in->n ? SIP_PARSE_OK : SIP_PARSE_KEEPALIVE;
}

static enum sip_verdict parse(struct sip_message *m, struct slice in,
			      const struct sip_limits *limits, enum sip_framing framing,
			      size_t *used, size_t *need)
{
	struct parse x = { .m = m, .limits = limits };
	enum sip_verdict verdict = skip_crlf(&in, framing, used);
	size_t skipped = *used;

	clear(m);
	if (verdict != SIP_PARSE_OK)
		return verdict;
	verdict = parse_message(&x, in, framing, used, need);
	if (framing == SIP_DATAGRAM) {
		m->framed = true;
		*used += skipped;
	}
	return verdict;
}

enum sip_verdict sip_message_parse(struct sip_message *m, struct slice in,
				   const struct sip_limits *limits, enum sip_framing framing,
				   size_t *used)
{
	size_t need;

	return parse(m, in, limits, framing, used, &need);
}

enum sip_verdict sip_stream_parse(struct sip_framer *framer, struct sip_message *m,
				  struct slice in, const struct sip_limits *limits, size_t *used)
{
	size_t from = framer->scanned < 2 ? 0 : framer->scanned - 2; /* LF CR | LF */
	enum sip_verdict verdict;

	*used = 0;
	if (in.n < framer->need)
		return SIP_PARSE_MORE;
	if (!framer->need && framer->scanned && in.n <= limits->header_bytes &&
	    !head_end(in, from)) {
		framer->scanned = in.n;
		return SIP_PARSE_MORE;
	}
	verdict = parse(m, in, limits, SIP_STREAM, used, &framer->need);
	if (verdict == SIP_PARSE_MORE) {
		framer->scanned = in.n > 1 ? in.n : 0; /* a lone CR may be half a keepalive */
		return verdict;
	}
	*framer = (struct sip_framer){ .crlf = verdict == SIP_PARSE_KEEPALIVE && !framer->crlf };
	if (verdict == SIP_PARSE_KEEPALIVE && !framer->crlf)
		return SIP_PARSE_PING;
	return verdict;
}
