#include "sip/copy.h"

#include "sip/connection_internal.h"
#include "sip/header.h"

static void fill(char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (from[i] != '\r' && from[i] != '\n')
			from[i] = SIP_COPY_FILLER;
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

/* Where the head ends; all of it if it does not. */
static size_t fill_credentials(char *p, size_t n)
{
	struct slice rest = slice_of(p, n);
	bool is_secret = false;

	while (rest.p && rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		size_t at = (size_t)(line.p - p);
		if (line.n == 0 || (line.n == 1 && line.p[0] == '\r'))
			return at + line.n;
		is_secret = is_folded(line) ? is_secret : holds_credentials(line);
		if (is_secret) {
			size_t colon = is_folded(line) ? 0 : (size_t)((const char *)memchr(line.p, ':', line.n) - line.p) + 1;
			fill(p + at + colon, line.n - colon);
		}
	}
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
