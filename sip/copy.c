#include "sip/copy.h"

#include "sip/connection_internal.h"
#include "sip/header.h"

#define PARAMETER_NAME_MAX 24

static void fill(char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (from[i] != '\r' && from[i] != '\n')
			from[i] = SIP_COPY_FILLER;
}

/* Of headers: a line that is a fold stays one. */
static void fill_header(char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (from[i] != ' ' && from[i] != '\t')
			fill(from + i, 1);
}

/* By the text and not by the index: of a message that is refused for its headers the index lacks some. */
static bool holds_credentials(struct slice line)
{
	struct slice rest, name = slice_trim(slice_cut(line, ':', &rest));

	return rest.p && (slice_case_eq(name, SLICE("Authorization")) || slice_case_eq(name, SLICE("Proxy-Authorization")));
}

static bool is_folded(struct slice line)
{
	return line.n && (line.p[0] == ' ' || line.p[0] == '\t');
}

/* One parameter of digest credentials, up to its comma: its name stays, or who reads the copy takes it for malformed.
 * How far it goes. */
static size_t fill_parameter(char *p, size_t n)
{
	struct slice text = slice_of(p, n), value, name = slice_cut(text, '=', &value);
	size_t at = name.n + 1;

	if (!value.p || !sip_is_token(slice_trim(name)) || name.n > PARAMETER_NAME_MAX) {
		at = slice_cut(text, ',', NULL).n;
		fill_header(p, at);
		return at;
	}
	while (at < n && (p[at] == ' ' || p[at] == '\t' || p[at] == '\r' || p[at] == '\n'))
		at++;
	bool is_quoted = at < n && p[at] == '"';
	size_t from = is_quoted ? ++at : at;
	while (at < n && p[at] != (is_quoted ? '"' : ','))
		at += is_quoted && p[at] == '\\' && at + 1 < n ? 2 : 1;
	fill_header(p + from, at - from);
	return at + is_quoted < n ? at + is_quoted : n;
}

/* The value of one header, folds included. */
static void fill_value(char *p, size_t n)
{
	struct slice value = slice_trim(slice_of(p, n));

	if (!slice_case_starts(value, SLICE("Digest "))) {
		fill_header(p, n);
		return;
	}
	size_t at = (size_t)(value.p - p) + sizeof("Digest ") - 1;
	while (at < n) {
		at += fill_parameter(p + at, n - at);
		size_t rest = slice_cut(slice_of(p + at, n - at), ',', NULL).n; /* behind a quoted value: blanks */
		fill_header(p + at, rest);
		at += rest + 1;
	}
}

/* Where the head ends; all of it if it does not. */
static size_t fill_credentials(char *p, size_t n)
{
	struct slice rest = slice_of(p, n);
	size_t from = 0; /* of a value that is secret and goes on, perhaps; 0: none */

	while (rest.p && rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		size_t at = (size_t)(line.p - p);
		bool is_end = line.n == 0 || (line.n == 1 && line.p[0] == '\r');
		if (from && !is_folded(line)) {
			fill_value(p + from, at - from);
			from = 0;
		}
		if (is_end)
			return at + line.n;
		if (!is_folded(line) && holds_credentials(line))
			from = at + slice_cut(line, ':', NULL).n + 1;
	}
	if (from)
		fill_value(p + from, n - from);
	return n;
}

size_t sip_copy(char *to, size_t size, const struct sip_message *m)
{
	size_t n = m->wire.n < size ? m->wire.n : size;

	if (n == 0)
		return 0;
	memcpy(to, m->wire.p, n);
	size_t head_n = fill_credentials(to, n);
	if (!sip_content_type_is(sip_header_value(m, SIP_HDR_CONTENT_TYPE), "application/sdp"))
		fill(to + head_n, n - head_n);
	return n;
}

void sip_copy_find_ends(struct worker *worker, const struct sip_flow *flow, bool is_in, struct sip_copy_ends *ends)
{
	struct sockaddr_storage local = { 0 };

	const struct sip_connection *c = sip_flow_is_stream(flow) && flow->worker == worker->index ?
		sip_connection_find(sip_layer_of(worker), flow->slot, flow->generation) : NULL;

	if (!c || !c->is_outgoing || worker->ring->ops->local_address(worker->ring, c->stream->fd, &local) != 0)
		sip_flow_local(worker, flow, &local);
	net_address_set(is_in ? &ends->to : &ends->from, &local);
	*(is_in ? &ends->from : &ends->to) = flow->peer;
	ends->is_stream = sip_flow_is_stream(flow);
}
