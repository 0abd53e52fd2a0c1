#include "actors/delivery_body.h"

#include <errno.h>
#include <stdlib.h>

#include "core/worker.h"

#define AROUND_MAX 512 /* boundaries, headers of the parts, the inner end-line: all that is not `head` or `msrp` */

bool delivery_is_7bit(struct slice content)
{
	size_t line = 0;

	for (size_t i = 0; i < content.n; i++) {
		unsigned char c = (unsigned char)content.p[i];
		if (c == '\r' && i + 1 < content.n && content.p[i + 1] == '\n') {
			i++;
			line = 0;
		} else if (c == 0 || c > 127 || c == '\r' || c == '\n' || ++line > 998) {
			return false;
		}
	}
	return true;
}

/* The name of the header that begins here; empty for a line that goes on with the one before. */
static struct slice name_of(struct slice line)
{
	struct slice rest, name = slice_cut(line, ':', &rest);

	return rest.p && line.n && line.p[0] != ' ' && line.p[0] != '\t' ? slice_trim(name) : SLICE_EMPTY;
}

static bool is_named(struct slice name, const char *whole, const char *compact)
{
	return slice_case_eq(name, slice_str(whole)) || (*compact && slice_case_eq(name, slice_str(compact)));
}

bool delivery_head_is_whole(struct slice head)
{
	static const struct {
		const char *whole, *compact; /* RFC 3261 7.3.3 */
	} needed[] = { { "Via", "v" }, { "Max-Forwards", "" }, { "From", "f" }, { "To", "t" }, { "Call-ID", "i" },
		{ "CSeq", "" } };
	unsigned found = 0;

	while (head.n) {
		struct slice name = name_of(slice_cut(head, '\n', &head));
		for (unsigned i = 0; i < 6; i++)
			if (is_named(name, needed[i].whole, needed[i].compact))
				found |= 1u << i;
	}
	return found == 0x3f;
}

/* `MSRP <tid> SEND`: the end-line of the fragment repeats it (RFC 4975 7.1). */
static struct slice transaction_of(struct slice msrp)
{
	struct slice rest;

	slice_cut(msrp, ' ', &rest);
	return slice_cut(rest, ' ', NULL);
}

static void open_part(struct buffer *out, struct slice boundary, const char *type, bool is_binary)
{
	buffer_lit(out, "--");
	buffer_put(out, boundary);
	buffer_lit(out, "\r\nContent-Type: ");
	buffer_str(out, type);
	if (is_binary)
		buffer_lit(out, "\r\nContent-Transfer-Encoding: binary");
	buffer_lit(out, "\r\n\r\n");
}

static void write_before(struct buffer *out, const struct delivery_source *source, struct slice boundary)
{
	/* what cannot be looked at may be anything */
	bool is_binary = source->content.n != source->size || !delivery_is_7bit(source->content);
	bool is_head_binary = !delivery_is_7bit(source->head);

	if (!source->msrp.n) {
		open_part(out, boundary, delivery_head_is_whole(source->head) ? "message/sip" : "message/sipfrag",
			is_binary || is_head_binary);
		buffer_put(out, source->head);
		buffer_lit(out, "\r\n");
		return;
	}
	open_part(out, boundary, "message/sipfrag", is_head_binary);
	buffer_put(out, source->head);
	buffer_lit(out, "\r\n");
	open_part(out, boundary, "message/msrpfrag", is_binary || !delivery_is_7bit(source->msrp));
	buffer_put(out, source->msrp);
	buffer_lit(out, "\r\n");
}

static void write_after(struct buffer *out, const struct delivery_source *source, struct slice boundary)
{
	if (source->msrp.n) {
		buffer_lit(out, "\r\n-------");
		buffer_put(out, transaction_of(source->msrp));
		buffer_char(out, '$');
	}
	buffer_lit(out, "\r\n--");
	buffer_put(out, boundary);
	buffer_lit(out, "--");
}

int delivery_body_make_with(struct delivery_body *body, const struct delivery_source *source, struct slice boundary)
{
	size_t room = AROUND_MAX + 3 * boundary.n + source->head.n + 2 * source->msrp.n;
	struct buffer out, type;

	*body = (struct delivery_body){ .text = malloc(room) };
	if (!body->text)
		return ENOMEM;
	out = buffer_over(body->text, room);
	write_before(&out, source, boundary);
	body->before = buffer_slice(&out);
	write_after(&out, source, boundary);
	body->after = slice_of(body->text + body->before.n, out.n - body->before.n);
	body->size = out.n + source->size;
	type = buffer_over(body->content_type, sizeof(body->content_type));
	buffer_lit(&type, "multipart/mixed;boundary=\"");
	buffer_put(&type, boundary);
	buffer_char(&type, '"');
	body->content_type_n = type.n;
	return 0;
}

static bool occurs(struct slice text, struct slice word)
{
	return text.n >= word.n && memmem(text.p, text.n, word.p, word.n);
}

static void draw(struct worker *worker, char out[DELIVERY_BOUNDARY_CHARS])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t octets[DELIVERY_BOUNDARY_CHARS / 2];

	worker_random(worker, octets, sizeof(octets));
	for (unsigned i = 0; i < sizeof(octets); i++) {
		out[2 * i] = digits[octets[i] >> 4];
		out[2 * i + 1] = digits[octets[i] & 15];
	}
}

int delivery_body_make(struct delivery_body *body, struct worker *worker, const struct delivery_source *source)
{
	char text[DELIVERY_BOUNDARY_CHARS];
	struct slice boundary = slice_of(text, sizeof(text));

	do
		draw(worker, text);
	while (occurs(source->head, boundary) || occurs(source->msrp, boundary) || occurs(source->content, boundary));
	return delivery_body_make_with(body, source, boundary);
}

void delivery_body_free(struct delivery_body *body)
{
	free(body->text);
	*body = (struct delivery_body){ 0 };
}
