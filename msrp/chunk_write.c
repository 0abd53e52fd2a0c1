/* MSRP writers: see chunk_write.h. */
#include <assert.h>

#include "msrp/chunk_write.h"
#include "msrp/path.h"

const char *msrp_status_text(unsigned status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Failure to Resolve Recipient's URI"; /* RFC 7701 */
	case 408: return "Request Timeout";
	case 413: return "Stop Sending";
	case 415: return "Unsupported Media Type";
	case 423: return "Parameter Out Of Bounds";
	case 424: return "Malformed Nickname"; /* RFC 7701, as the next two */
	case 425: return "Nickname Reserved or Already in Use";
	case 428: return "Private Messages Not Supported";
	case 481: return "No Such Session";
	case 501: return "Not Implemented";
	case 506: return "Session Already Bound";
	default:  return "";
	}
}

static void write_line(struct buffer *b, struct slice name, struct slice value)
{
	if (value.n == 0)
		return;
	buffer_put(b, name);
	buffer_lit(b, ": ");
	buffer_put(b, value);
	buffer_lit(b, "\r\n");
}

static void write_range_line(struct buffer *b, const struct msrp_byte_range *range)
{
	buffer_lit(b, "Byte-Range: ");
	msrp_byte_range_write(b, range);
	buffer_lit(b, "\r\n");
}

/* Start line and paths; `purpose` is a method. */
static void write_start(struct buffer *b, struct slice transaction_id, struct slice purpose,
	struct slice to_path, struct slice from_path)
{
	buffer_lit(b, "MSRP ");
	buffer_put(b, transaction_id);
	buffer_char(b, ' ');
	buffer_put(b, purpose);
	buffer_lit(b, "\r\n");
	write_line(b, SLICE("To-Path"), to_path);
	write_line(b, SLICE("From-Path"), from_path);
}

/* 200 and its words, with a blank between them if there are any. */
static void write_status(struct buffer *b, unsigned status, struct slice comment)
{
	if (comment.n == 0)
		comment = slice_str(msrp_status_text(status));
	buffer_u64(b, status);
	if (comment.n) {
		buffer_char(b, ' ');
		buffer_put(b, comment);
	}
	buffer_lit(b, "\r\n");
}

void msrp_write_forward(struct buffer *b, const struct msrp_head *head,
	const struct msrp_rewrite *r)
{
	struct slice rest = head->lines;
	struct slice rewritten[] = { head->to_path_line, head->from_path_line,
		r->byte_range ? head->byte_range_line : SLICE_EMPTY };

	assert(head->is_request);
	write_start(b, r->transaction_id, head->method_name, r->to_path, r->from_path);
	if (r->byte_range && head->byte_range_line.n == 0)
		write_range_line(b, r->byte_range);
	while (rest.n) {
		struct slice *next = NULL; /* the first rewritten line in what is left */

		for (size_t i = 0; i < 3; i++) {
			if (rewritten[i].n && rewritten[i].p >= rest.p &&
				(!next || rewritten[i].p < next->p))
				next = &rewritten[i];
		}
		if (!next) {
			buffer_put(b, rest);
			break;
		}
		buffer_put(b, slice_of(rest.p, (size_t)(next->p - rest.p)));
		if (next == &rewritten[2])
			write_range_line(b, r->byte_range);
		rest = slice_skip(rest, (size_t)(next->p - rest.p) + next->n);
	}
	if (head->has_body)
		buffer_lit(b, "\r\n");
}

void msrp_write_request(struct buffer *b, const struct msrp_request *r)
{
	write_start(b, r->transaction_id, r->method, r->to_path, r->from_path);
	write_line(b, SLICE("Message-ID"), r->message_id);
	if (r->byte_range)
		write_range_line(b, r->byte_range);
	if (r->success_report)
		buffer_lit(b, "Success-Report: yes\r\n");
	switch (r->failure_report) {
	case MSRP_FAILURE_YES:
		break;
	case MSRP_FAILURE_NO:
		buffer_lit(b, "Failure-Report: no\r\n");
		break;
	case MSRP_FAILURE_PARTIAL:
		buffer_lit(b, "Failure-Report: partial\r\n");
		break;
	}
	buffer_put(b, r->lines);
	write_line(b, SLICE("Content-Type"), r->content_type);
	if (r->has_body)
		buffer_lit(b, "\r\n");
}

void msrp_write_end_line(struct buffer *b, struct slice transaction_id, char flag, bool has_body)
{
	if (has_body)
		buffer_lit(b, "\r\n");
	buffer_lit(b, "-------");
	buffer_put(b, transaction_id);
	buffer_char(b, flag);
	buffer_lit(b, "\r\n");
}

void msrp_write_response(struct buffer *b, const struct msrp_response *r)
{
	buffer_lit(b, "MSRP ");
	buffer_put(b, r->transaction_id);
	buffer_char(b, ' ');
	write_status(b, r->status, r->comment);
	write_line(b, SLICE("To-Path"), r->to_uri);
	write_line(b, SLICE("From-Path"), r->from_uri);
	msrp_write_end_line(b, r->transaction_id, '$', false);
}

void msrp_write_answer(struct buffer *b, const struct msrp_head *request, unsigned status)
{
	msrp_write_response(b, &(struct msrp_response){
		.transaction_id = request->transaction_id,
		.to_uri = request->method == MSRP_METHOD_SEND ? msrp_path_first(request->from_path)
							      : request->from_path,
		.from_uri = msrp_path_first(request->to_path),
		.status = status,
	});
}

void msrp_write_report(struct buffer *b, const struct msrp_report *r)
{
	write_start(b, r->transaction_id, SLICE("REPORT"), r->to_path, r->from_path);
	write_line(b, SLICE("Message-ID"), r->message_id);
	write_range_line(b, &r->byte_range);
	buffer_lit(b, "Status: 000 ");
	write_status(b, r->status, r->comment);
	msrp_write_end_line(b, r->transaction_id, '$', false);
}
