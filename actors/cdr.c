#include "actors/cdr.h"

#include "core/json_text.h"

#define LINE_MAX 8192 /* two names of which every octet is escaped, and the rest */

uint64_t cdr_now_us(const struct im *im)
{
	return im->worker->ring->ops->wall_us(im->worker->ring);
}

struct slice cdr_from(const struct identity *sender)
{
	return sender->is_anonymous ? SLICE_EMPTY : slice_of(sender->canonical, sender->canonical_n);
}

struct slice cdr_to(const struct im *im, struct slice canonical, const struct sip_message *m, char *room)
{
	struct buffer out = buffer_over(room, IM_CANONICAL_MAX);
	struct sip_uri uri;

	if (canonical.n)
		return canonical;
	if (sip_uri_parse(m->uri, &uri) && sip_uri_canonical(&out, &uri, &im->server->sip.home))
		return buffer_slice(&out);
	return slice_of(m->uri.p, m->uri.n < IM_CANONICAL_MAX ? m->uri.n : IM_CANONICAL_MAX);
}

static void put_name(struct buffer *out, struct slice name)
{
	if (name.n)
		json_put_string(out, name);
	else
		buffer_lit(out, "null");
}

void cdr_write(struct im *im, const struct cdr *cdr)
{
	char text[LINE_MAX];
	struct buffer line = buffer_over(text, sizeof(text));
	uint64_t now_us = cdr_now_us(im);

	buffer_lit(&line, "{\"time\":");
	json_put_time(&line, now_us);
	buffer_lit(&line, ",\"type\":");
	json_put_string(&line, slice_str(cdr->type));
	if (cdr->id)
		buffer_printf(&line, ",\"id\":\"%llx\"", (unsigned long long)cdr->id);
	else
		buffer_lit(&line, ",\"id\":null");
	buffer_lit(&line, ",\"from\":");
	put_name(&line, cdr->from);
	buffer_lit(&line, ",\"to\":");
	put_name(&line, cdr->to);
	buffer_lit(&line, ",\"start\":");
	json_put_time(&line, cdr->start_us);
	buffer_lit(&line, ",\"end\":");
	json_put_time(&line, now_us);
	buffer_lit(&line, ",\"octets\":");
	buffer_u64(&line, cdr->octets);
	buffer_lit(&line, ",\"messages\":");
	buffer_u64(&line, cdr->messages);
	buffer_lit(&line, ",\"reason\":");
	json_put_string(&line, slice_str(cdr->reason));
	buffer_lit(&line, "}\n");
	if (line.overflow || !record_file_put(im->server->cdr, buffer_slice(&line)))
		COUNT(&im->worker->counters, cdr_lost);
}
