#include "sip/write.h"

#include "sip/header.h"
#include "sip/uri.h"

static const struct {
	uint16_t status;
	const char *text;
} reasons[] = {
	{ 100, "Trying" },
	{ 180, "Ringing" },
	{ 181, "Call Is Being Forwarded" },
	{ 182, "Queued" },
	{ 183, "Session Progress" },
	{ 199, "Early Dialog Terminated" },
	{ 200, "OK" },
	{ 202, "Accepted" },
	{ 204, "No Notification" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Moved Temporarily" },
	{ 305, "Use Proxy" },
	{ 380, "Alternative Service" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 410, "Gone" },
	{ 412, "Conditional Request Failed" },
	{ 413, "Request Entity Too Large" },
	{ 414, "Request-URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Unsupported URI Scheme" },
	{ 417, "Unknown Resource-Priority" },
	{ 420, "Bad Extension" },
	{ 421, "Extension Required" },
	{ 422, "Session Interval Too Small" },
	{ 423, "Interval Too Brief" },
	{ 424, "Bad Location Information" },
	{ 428, "Use Identity Header" },
	{ 429, "Provide Referrer Identity" },
	{ 430, "Flow Failed" },
	{ 433, "Anonymity Disallowed" },
	{ 436, "Bad Identity Info" },
	{ 437, "Unsupported Credential" },
	{ 438, "Invalid Identity Header" },
	{ 439, "First Hop Lacks Outbound Support" },
	{ 440, "Max-Breadth Exceeded" },
	{ 469, "Bad Info Package" },
	{ 470, "Consent Needed" },
	{ 480, "Temporarily Unavailable" },
	{ 481, "Call/Transaction Does Not Exist" },
	{ 482, "Loop Detected" },
	{ 483, "Too Many Hops" },
	{ 484, "Address Incomplete" },
	{ 485, "Ambiguous" },
	{ 486, "Busy Here" },
	{ 487, "Request Terminated" },
	{ 488, "Not Acceptable Here" },
	{ 489, "Bad Event" },
	{ 491, "Request Pending" },
	{ 493, "Undecipherable" },
	{ 494, "Security Agreement Required" },
	{ 500, "Server Internal Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Server Time-out" },
	{ 505, "Version Not Supported" },
	{ 513, "Message Too Large" },
	{ 555, "Push Notification Service Not Supported" },
	{ 580, "Precondition Failure" },
	{ 600, "Busy Everywhere" },
	{ 603, "Decline" },
	{ 604, "Does Not Exist Anywhere" },
	{ 606, "Not Acceptable" },
	{ 607, "Unwanted" },
	{ 608, "Rejected" },
};

static const char *const classes[] = { "Progress",       "Success",        "Redirection",
				       "Client Failure", "Server Failure", "Global Failure" };

const char *sip_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return status >= 100 && status <= 699 ? classes[status / 100 - 1] : "Unknown";
}

static bool breaks_line(char c)
{
	return c == '\r' || c == '\n' || c == '\0';
}

void sip_write_text(struct buffer *b, struct slice text)
{
	while (text.n) {
		size_t n = 0;
		while (n < text.n && !breaks_line(text.p[n]))
			n++;
		buffer_put(b, slice_of(text.p, n));
		text = slice_skip(text, n);
		if (!text.n)
			break;
		while (text.n && (breaks_line(text.p[0]) || text.p[0] == ' ' || text.p[0] == '\t'))
			text = slice_skip(text, 1);
		buffer_char(b, ' ');
	}
}

void sip_write_name_addr(struct buffer *b, const struct sip_address *address)
{
	if (address->display.n) {
		sip_write_text(b, address->display);
		buffer_char(b, ' ');
	}
	buffer_char(b, '<');
	sip_write_text(b, address->uri);
	buffer_char(b, '>');
}

void sip_write_param(struct buffer *b, const struct sip_param *param)
{
	buffer_char(b, ';');
	sip_write_text(b, param->name);
	if (param->has_value) {
		buffer_char(b, '=');
		sip_write_text(b, param->value);
	}
}

void sip_write_request_line(struct buffer *b, struct slice method, struct slice uri)
{
	sip_write_text(b, method);
	buffer_char(b, ' ');
	sip_write_text(b, uri);
	buffer_lit(b, " SIP/2.0\r\n");
}

void sip_write_status_line(struct buffer *b, unsigned status, struct slice reason)
{
	buffer_lit(b, "SIP/2.0 ");
	buffer_u64(b, status);
	buffer_char(b, ' ');
	sip_write_text(b, reason.n ? reason : slice_str(sip_reason(status)));
	buffer_lit(b, "\r\n");
}

static void begin_header(struct buffer *b, struct slice name)
{
	sip_write_text(b, name);
	buffer_lit(b, ": ");
}

void sip_write_header(struct buffer *b, const char *name, struct slice value)
{
	begin_header(b, slice_str(name));
	sip_write_text(b, value);
	buffer_lit(b, "\r\n");
}

void sip_write_header_u64(struct buffer *b, const char *name, uint64_t value)
{
	begin_header(b, slice_str(name));
	buffer_u64(b, value);
	buffer_lit(b, "\r\n");
}

static void begin_copy(struct buffer *b, const struct sip_header *header)
{
	begin_header(b, header->id == SIP_HDR_OTHER ? header->name
						    : slice_str(sip_header_name(header->id)));
}

void sip_copy_header(struct buffer *b, const struct sip_header *header)
{
	begin_copy(b, header);
	sip_write_text(b, header->value);
	buffer_lit(b, "\r\n");
}

void sip_copy_headers(struct buffer *b, const struct sip_message *m, enum sip_header_id id)
{
	const struct sip_header *header = sip_header_first(m, id);

	for (; header; header = sip_header_next(m, header))
		sip_copy_header(b, header);
}

void sip_write_end(struct buffer *b, struct slice content_type, struct slice body)
{
	if (content_type.n)
		sip_write_header(b, "Content-Type", content_type);
	sip_write_header_u64(b, "Content-Length", body.n);
	buffer_lit(b, "\r\n");
	buffer_put(b, body);
}

/* RFC 3581 4: rport gets its value and received stands beside it.  RFC 3261 18.2.1: received also
 * when the sent-by is another address or a name.  What the peer wrote there itself goes. */
static void write_via_params(struct buffer *b, const struct sip_via *via,
			     const struct sip_source *source)
{
	struct slice params = via->params;
	struct sip_param param;

	while (sip_param_next(&params, &param)) {
		bool is_rport = slice_case_eq(param.name, SLICE("rport"));
		if (slice_case_eq(param.name, SLICE("received")))
			continue;
		buffer_char(b, ';');
		sip_write_text(b, param.name);
		if (is_rport || param.has_value)
			buffer_char(b, '=');
		if (is_rport)
			buffer_u64(b, source->port);
		else
			sip_write_text(b, param.value);
	}
	if (via->has_rport || !sip_host_equal(via->host, source->host)) {
		buffer_lit(b, ";received=");
		sip_write_text(b, source->host);
	}
}

bool sip_write_first_via(struct buffer *b, struct slice value, const struct sip_source *source)
{
	struct sip_via via;
	struct slice rest;

	if (!sip_via_decode(value, &via, &rest))
		return false;
	buffer_lit(b, "Via: ");
	sip_write_text(b, slice_trim(slice_of(via.whole.p, (size_t)(via.params.p - via.whole.p))));
	write_via_params(b, &via, source);
	if (rest.n) {
		buffer_char(b, ',');
		sip_write_text(b, rest);
	}
	buffer_lit(b, "\r\n");
	return true;
}

void sip_write_vias(struct buffer *b, const struct sip_message *m, const struct sip_source *source)
{
	const struct sip_header *header = sip_header_first(m, SIP_HDR_VIA);

	if (!header)
		return;
	if (!source->host.n || !sip_write_first_via(b, header->value, source))
		sip_copy_header(b, header);
	while ((header = sip_header_next(m, header)))
		sip_copy_header(b, header);
}

static void copy_first(struct buffer *b, const struct sip_message *m, enum sip_header_id id)
{
	const struct sip_header *header = sip_header_first(m, id);

	if (header)
		sip_copy_header(b, header);
}

static void write_to(struct buffer *b, const struct sip_message *request, struct slice tag)
{
	const struct sip_header *header = sip_header_first(request, SIP_HDR_TO);
	struct sip_address to;

	if (!header)
		return;
	begin_copy(b, header);
	sip_write_text(b, header->value);
	/* behind what is no address a tag would only do harm */
	if (tag.n && sip_address_decode(header->value, &to) && !to.tag.p) {
		buffer_lit(b, ";tag=");
		sip_write_text(b, tag);
	}
	buffer_lit(b, "\r\n");
}

void sip_write_response(struct buffer *b, const struct sip_message *request,
			const struct sip_response *response)
{
	sip_write_status_line(b, response->status, response->reason);
	sip_write_vias(b, request, &response->source);
	copy_first(b, request, SIP_HDR_FROM);
	write_to(b, request, response->to_tag);
	copy_first(b, request, SIP_HDR_CALL_ID);
	copy_first(b, request, SIP_HDR_CSEQ);
	if (response->status == 100)
		copy_first(b, request, SIP_HDR_TIMESTAMP);
}
