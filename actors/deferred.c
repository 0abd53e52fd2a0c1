#include "actors/deferred.h"

#include <stdlib.h>
#include <time.h>

#include "actors/header_rules.h"
#include "msrp/accept.h"
#include "sip/header.h"
#include "sip/write.h"

#define ANONYMOUS  "\"Anonymous\" <sip:anonymous@anonymous.invalid>"
#define LINES_ROOM 4096 /* long names in place of compact ones, and the lines that we add */

/* ---- which lines are kept ---- */

/* D2-16: of the core's charging and routing, credentials, and of one hop.  Via has a rule of its own. */
static const char *const pruned[] = { "P-Charging-Vector", "P-Charging-Function-Addresses", "P-Access-Network-Info",
	"P-Visited-Network-ID", "P-Called-Party-ID", "P-Asserted-Service", "P-User-Database", "P-Profile-Key",
	"P-Served-User", "Route", "Record-Route", "Proxy-Authorization", "Authorization", "Security-*", "Path",
	"Service-Route" };

/* A name, or the beginning of names: `Security-*`. */
static bool is_named(struct slice name, struct slice pattern)
{
	if (pattern.n && pattern.p[pattern.n - 1] == '*')
		return slice_case_starts(name, slice_of(pattern.p, pattern.n - 1));
	return slice_case_eq(name, pattern);
}

/* Compact forms are known ones: their long names are compared. */
static struct slice name_of(const struct sip_header *header)
{
	return header->id == SIP_HDR_OTHER ? header->name : slice_str(sip_header_name(header->id));
}

static bool is_pruned(const struct im *im, const struct sip_header *header)
{
	const struct text_list *more = &im->config->deferred.prune;
	struct slice name = name_of(header);

	for (size_t i = 0; i < sizeof(pruned) / sizeof(pruned[0]); i++)
		if (is_named(name, slice_str(pruned[i])))
			return true;
	for (unsigned i = 0; i < more->count; i++)
		if (is_named(name, slice_str(more->list[i])))
			return true;
	return false;
}

/* Of a sender who hides, what header_rules.def would have written anew; what is in neither list is as it says there. */
enum { KEPT = 1, GONE };
static const uint8_t of_anonymous[SIP_HDR_COUNT] = {
	/* D2-17 */
	[SIP_HDR_VIA] = GONE, [SIP_HDR_CONTACT] = GONE, [SIP_HDR_USER_AGENT] = GONE,
	[SIP_HDR_P_ASSERTED_IDENTITY] = GONE, [SIP_HDR_P_PREFERRED_IDENTITY] = GONE,
	/* From is written without him; a Call-ID never changes (CR001 12.2.2.5) */
	[SIP_HDR_FROM] = KEPT, [SIP_HDR_CALL_ID] = KEPT, [SIP_HDR_TO] = KEPT, [SIP_HDR_CSEQ] = KEPT,
	[SIP_HDR_MAX_FORWARDS] = KEPT, [SIP_HDR_DATE] = KEPT, [SIP_HDR_CONTENT_TYPE] = KEPT,
	[SIP_HDR_CONTENT_LENGTH] = KEPT, [SIP_HDR_ACCEPT_CONTACT] = KEPT, [SIP_HDR_ALLOW] = KEPT,
	[SIP_HDR_SUPPORTED] = KEPT, [SIP_HDR_REQUIRE] = KEPT, [SIP_HDR_PRIVACY] = KEPT,
};

static bool betrays_sender(const struct im *im, const struct sip_header *header)
{
	const struct header_passage hidden = { .place = HEADER_IN_REQUEST, .is_ims = true, .sender_hides = true };

	/* what he wrote, not who he is: gone only where we are the privacy service, as from a message that is not
	 * stored (RFC 3323 5.3) */
	if (header->id == SIP_HDR_SUBJECT)
		return im->config->core.mode == MODE_STANDALONE;
	if (of_anonymous[header->id])
		return of_anonymous[header->id] == GONE;
	return !header_rules_pass(header, &hidden);
}

static bool is_of_large(enum sip_header_id id)
{
	return id == SIP_HDR_FROM || id == SIP_HDR_TO || id == SIP_HDR_CALL_ID || id == SIP_HDR_SUBJECT ||
	       id == SIP_HDR_PRIORITY || id == SIP_HDR_DATE || id == SIP_HDR_P_ASSERTED_IDENTITY;
}

static bool is_of_summary(enum sip_header_id id)
{
	return id == SIP_HDR_TO || id == SIP_HDR_FROM || id == SIP_HDR_SUBJECT || id == SIP_HDR_DATE ||
	       id == SIP_HDR_PRIORITY || id == SIP_HDR_P_ASSERTED_IDENTITY;
}

struct kept {
	const struct im *im;
	const struct identity *sender;
	const struct sip_message *m;
	enum deferred_kind kind;
	struct buffer *head, *summary;
};

static bool is_kept(const struct kept *k, const struct sip_header *header)
{
	if (k->kind == DEFERRED_LARGE && !is_of_large(header->id))
		return false;
	if (k->sender->is_anonymous && betrays_sender(k->im, header))
		return false;
	/* standalone: what a client says of itself is not believed; ours takes its place */
	if (header->id == SIP_HDR_P_ASSERTED_IDENTITY && k->im->config->core.mode == MODE_STANDALONE)
		return false;
	if (header->id == SIP_HDR_VIA && sip_header_next(k->m, header))
		return false;
	return !is_pruned(k->im, header);
}

/* ---- writing them ---- */

static void put_line(const struct kept *k, enum sip_header_id id, struct slice line)
{
	buffer_put(k->head, line);
	if (is_of_summary(id))
		buffer_put(k->summary, line);
}

/* The bottom one: of the sender's own client. */
static void write_via(const struct kept *k, const struct sip_header *header)
{
	struct slice rest = header->value, via = header->value, element;

	while (sip_list_next(&rest, &element))
		via = element;
	sip_write_header(k->head, "Via", via);
}

/* Also where he calls himself anonymous: his display name or host might say who he is. The tag names nobody. */
static void write_anonymous_from(const struct kept *k, const struct sip_header *header)
{
	struct sip_address from;

	buffer_lit(k->head, "From: " ANONYMOUS);
	if (sip_address_decode(header->value, &from) && from.tag.n) {
		buffer_lit(k->head, ";tag=");
		sip_write_text(k->head, from.tag);
	}
	buffer_lit(k->head, "\r\n");
}

static void write_line(const struct kept *k, const struct sip_header *header)
{
	size_t at = k->head->n;

	if (header->id == SIP_HDR_VIA)
		write_via(k, header);
	else if (header->id == SIP_HDR_FROM && k->sender->is_anonymous)
		write_anonymous_from(k, header);
	else if (header->id != SIP_HDR_OTHER || sip_is_token(header->name))
		sip_copy_header(k->head, header);
	if (is_of_summary(header->id))
		buffer_put(k->summary, slice_of(k->head->p + at, k->head->n - at));
}

/* RFC 3261 20.17.  The names are not those of the machine's language. */
static void write_date(const struct kept *k, uint64_t unix_s)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
		"Dec" };
	char text[64];
	struct buffer line = buffer_over(text, sizeof(text));
	time_t at = (time_t)unix_s;
	struct tm tm;

	gmtime_r(&at, &tm);
	buffer_printf(&line, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	put_line(k, SIP_HDR_DATE, buffer_slice(&line));
}

/* Nobody is left in a head but those of whom we know that he sent it (D1-14). */
static void write_own_lines(const struct kept *k, uint64_t received_us)
{
	char text[IM_CANONICAL_MAX + 64];
	struct buffer line = buffer_over(text, sizeof(text));
	bool is_ours = k->im->config->core.mode == MODE_STANDALONE ||
		       !sip_header_first(k->m, SIP_HDR_P_ASSERTED_IDENTITY);

	if (is_ours && !k->sender->is_anonymous) {
		buffer_printf(&line, "P-Asserted-Identity: <sip:%.*s>\r\n", (int)k->sender->canonical_n,
			k->sender->canonical);
		put_line(k, SIP_HDR_P_ASSERTED_IDENTITY, buffer_slice(&line));
	}
	if (!sip_header_first(k->m, SIP_HDR_DATE))
		write_date(k, received_us / 1000000);
}

size_t deferred_head_max(const struct sip_message *m)
{
	return 2 * (m->wire.n - m->body.n + LINES_ROOM);
}

bool deferred_write_head(struct buffer *head, struct buffer *summary, const struct im *im, const struct identity *sender,
	const struct sip_message *m, enum deferred_kind kind, uint64_t received_us)
{
	const struct kept k = { im, sender, m, kind, head, summary };

	sip_write_request_line(head, m->method_name, m->uri);
	for (unsigned i = 0; i < m->header_count; i++)
		if (is_kept(&k, &m->headers[i]))
			write_line(&k, &m->headers[i]);
	write_own_lines(&k, received_us);
	return !head->overflow && !summary->overflow;
}

void deferred_make_id(struct worker *worker, char out[DEFERRED_ID_CHARS])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t octets[17] = { 0 }; /* the last: 2 bits of padding */
	uint32_t bits = 0;
	unsigned have = 0, at = 0;

	worker_random(worker, octets, 16);
	for (unsigned i = 0; i < DEFERRED_ID_CHARS; i++) {
		if (have < 5) {
			bits = bits << 8 | octets[at++];
			have += 8;
		}
		have -= 5;
		out[i] = alphabet[bits >> have & 31];
	}
}

/* ---- time ---- */

/* The Date header, where an expiry may begin with it: within an hour before now and a minute after. */
static bool plausible_date(const struct sip_message *m, uint64_t now_s, uint64_t *sent_s)
{
	struct slice date = sip_header_value(m, SIP_HDR_DATE);
	struct tm tm = { 0 };
	char text[64];

	if (date.n == 0 || date.n >= sizeof(text))
		return false;
	memcpy(text, date.p, date.n);
	text[date.n] = 0;
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return false;
	*sent_s = (uint64_t)timegm(&tm);
	return *sent_s + 3600 >= now_s && *sent_s <= now_s + 60;
}

static uint64_t now_us(const struct im *im)
{
	return im->worker->ring->ops->wall_us(im->worker->ring);
}

bool deferred_is_expired(const struct im *im, const struct sip_message *m)
{
	uint64_t now_s = now_us(im) / 1000000, sent_s;
	uint32_t expires;

	if (!sip_seconds_of(m, SIP_HDR_EXPIRES, &expires) || expires == 0)
		return false; /* Expires 0: now or never, and now is now */
	return plausible_date(m, now_s, &sent_s) && sent_s + expires <= now_s;
}

struct deferred_times deferred_times_of(const struct im *im, const struct sip_message *m, enum deferred_kind kind)
{
	const struct deferred_options *options = &im->config->deferred;
	struct deferred_times times = { .received_us = now_us(im) };
	uint64_t now_s = times.received_us / 1000000, sent_s;
	uint32_t expires;

	times.expires_at_s = now_s + options->expires_default_ms / 1000;
	if (kind == DEFERRED_PAGER && sip_seconds_of(m, SIP_HDR_EXPIRES, &expires) &&
	    expires <= options->expires_max_ms / 1000)
		times.expires_at_s = (plausible_date(m, now_s, &sent_s) ? sent_s : now_s) + expires;
	return times;
}

/* ---- what sort of message ---- */

bool deferred_is_urgent(const struct sip_message *m)
{
	struct slice priority = sip_header_value(m, SIP_HDR_PRIORITY);

	return slice_case_eq(priority, SLICE("urgent")) || slice_case_eq(priority, SLICE("emergency"));
}

/* Of a message/cpim what it holds: reports and isComposing mostly come in one (RFC 5438 7.1.1). */
static struct slice type_of(const struct sip_message *m)
{
	struct slice type = sip_header_value(m, SIP_HDR_CONTENT_TYPE);

	return sip_content_type_is(type, "message/cpim") ? msrp_accept_wrapped_type(m->body) : type;
}

bool deferred_is_multimedia(struct slice content_type)
{
	struct sip_content_type type;

	return sip_content_type_decode(content_type, &type) && !slice_case_eq(type.type, SLICE("text")) &&
	       !slice_case_eq(type.type, SLICE("message"));
}

bool deferred_is_for_now_only(const struct sip_message *m)
{
	struct slice type = type_of(m);
	uint32_t expires;

	return sip_content_type_is(type, "application/im-iscomposing+xml") ||
	       sip_content_type_is(type, "message/imdn+xml") ||
	       (sip_seconds_of(m, SIP_HDR_EXPIRES, &expires) && expires == 0);
}

/* ---- one whole MESSAGE ---- */

struct store_deferred_put *deferred_of_pager(const struct im *im, struct slice recipient, const struct identity *sender,
	const struct sip_message *m)
{
	size_t room = deferred_head_max(m) / 2;
	struct deferred_times times = deferred_times_of(im, m, DEFERRED_PAGER);
	struct store_deferred_put *put = NULL;
	char id[DEFERRED_ID_CHARS], *text = malloc(2 * room);

	if (!text)
		return NULL;
	struct buffer head = buffer_over(text, room), summary = buffer_over(text + room, room);
	deferred_make_id(im->worker, id);
	if (deferred_write_head(&head, &summary, im, sender, m, DEFERRED_PAGER, times.received_us))
		put = store_deferred_put_new(STORE_DEFERRED_PUT, recipient, &(struct store_deferred){
			.id = slice_of(id, sizeof(id)), .type = STORE_PAGER, .is_urgent = deferred_is_urgent(m),
			.is_multimedia = deferred_is_multimedia(type_of(m)), .received_us = times.received_us,
			.expires_at_s = times.expires_at_s, .size = m->body.n,
			.call_id = sip_header_value(m, SIP_HDR_CALL_ID), .head = buffer_slice(&head),
			.summary = buffer_slice(&summary), .content = m->body });
	free(text);
	if (!put)
		return NULL;
	put->quota_messages = im->config->deferred.quota_messages;
	put->quota_octets = im->config->deferred.quota_bytes;
	return put;
}
