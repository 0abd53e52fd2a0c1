#include "actors/conference_info.h"

#include "core/xml_text.h"

#define HEAD                                                       \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"           \
	"<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\""
#define FIXED_MAX 320 /* of a document, and of a user, what is neither URI nor name */

static const char *const status_texts[] = {
	[CONFERENCE_CONNECTED] = "connected",
	[CONFERENCE_DISCONNECTED] = "disconnected",
	[CONFERENCE_ALERTING] = "alerting",
};

size_t conference_info_octets(struct slice entity)
{
	return FIXED_MAX + XML_TEXT_GROWTH * entity.n;
}

size_t conference_info_user_octets(struct slice entity, struct slice display_text)
{
	return FIXED_MAX + 2 * XML_TEXT_GROWTH * entity.n + XML_TEXT_GROWTH * display_text.n;
}

void conference_info_head(struct buffer *out, struct slice entity, uint32_t version, bool is_full)
{
	const char *state = is_full ? "full" : "partial";

	buffer_lit(out, HEAD);
	xml_put_text(out, entity);
	/* what a partial document does not name stays as it was only if <users> is partial too (RFC 4575 4.4) */
	buffer_printf(out, "\" state=\"%s\" version=\"%u\">\r\n<users state=\"%s\">\r\n", state, version, state);
}

void conference_info_user(struct buffer *out, struct slice entity, struct slice display_text,
	enum conference_status status)
{
	buffer_lit(out, "<user entity=\"");
	xml_put_text(out, entity);
	buffer_lit(out, "\">");
	if (display_text.n) {
		buffer_lit(out, "<display-text>");
		xml_put_text(out, display_text);
		buffer_lit(out, "</display-text>");
	}
	/* the address of his client is nobody's business: the endpoint is named as its user (D1-23) */
	buffer_lit(out, "<endpoint entity=\"");
	xml_put_text(out, entity);
	buffer_printf(out, "\"><status>%s</status></endpoint></user>\r\n", status_texts[status]);
}

void conference_info_end(struct buffer *out)
{
	buffer_lit(out, "</users>\r\n</conference-info>\r\n");
}
