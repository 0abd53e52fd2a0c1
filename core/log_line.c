#include "core/log_line.h"

#include <unistd.h>

#include "core/buffer.h"

#define END_ROOM 32 /* for what follows the event */

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const unsigned severities[] = { 3, 4, 6, 7 }; /* RFC 5424 6.2.1 */
#define FACILITY_DAEMON 3

static void put_time(struct buffer *b, const struct timespec *time)
{
	struct tm tm;

	gmtime_r(&time->tv_sec, &tm);
	buffer_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		tm.tm_hour, tm.tm_min, tm.tm_sec, time->tv_nsec / 1000000);
}

/* Octets of the UTF-8 character at `text` (RFC 3629), or 0: it is none, or a control character. */
static unsigned character(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	unsigned n = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if ((n > 1 && c[0] < 0xc2) || c[0] > 0xf4)
		return 0;
	for (unsigned i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((n == 1 && (c[0] < 0x20 || c[0] == 0x7f)) || (n == 2 && c[0] == 0xc2 && c[1] < 0xa0))
		return 0;
	/* longer than needed, or half of a surrogate pair, or beyond Unicode */
	if (n == 3 && ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0)))
		return 0;
	if (n == 4 && ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] >= 0x90)))
		return 0;
	return n;
}

static void put_clean(struct buffer *b, const char *text, bool json)
{
	while (*text && b->size - b->n > 8) {
		unsigned n = character(text);
		if (json && (*text == '"' || *text == '\\'))
			buffer_char(b, '\\');
		if (n == 0)
			buffer_printf(b, json ? "\\u%04x" : "\\x%02x", (unsigned char)*text);
		else
			buffer_put(b, slice_of(text, n));
		text += n ? n : 1;
	}
}

/* What was done to whom: the part that is the same for all sinks but JSON. */
static void put_text(struct buffer *b, const struct log_record *r)
{
	buffer_str(b, r->subject);
	if (r->id)
		buffer_printf(b, " %llx", (unsigned long long)r->id);
	buffer_char(b, ' ');
	put_clean(b, r->event, false);
	b->size += END_ROOM;
	if (r->swallowed)
		buffer_printf(b, " swallowed=%u", r->swallowed);
}

static void put_worker(struct buffer *b, const struct log_record *r)
{
	if (r->worker >= 0)
		buffer_printf(b, "w%d ", r->worker);
	else
		buffer_lit(b, "- ");
}

static void put_json(struct buffer *b, const struct log_record *r)
{
	buffer_lit(b, "{\"time\":\"");
	put_time(b, &r->time);
	buffer_printf(b, "\",\"level\":\"%s\"", level_names[r->level]);
	if (r->worker >= 0)
		buffer_printf(b, ",\"worker\":%d", r->worker);
	buffer_printf(b, ",\"subject\":\"%s\"", r->subject);
	if (r->id)
		buffer_printf(b, ",\"id\":\"%llx\"", (unsigned long long)r->id);
	buffer_lit(b, ",\"event\":\"");
	put_clean(b, r->event, true);
	b->size += END_ROOM;
	if (r->swallowed)
		buffer_printf(b, " swallowed=%u", r->swallowed);
	buffer_lit(b, "\"}");
}

size_t log_line_write(char *out, const struct log_record *r, enum log_format format)
{
	struct buffer b = buffer_over(out, LOG_LINE_MAX - END_ROOM);

	if (format == LOG_JSON) {
		put_json(&b, r);
	} else {
		put_time(&b, &r->time);
		buffer_printf(&b, " %s ", level_names[r->level]);
		put_worker(&b, r);
		put_text(&b, r);
	}
	buffer_char(&b, '\n');
	return b.n;
}

size_t log_line_journal(char *out, const struct log_record *r)
{
	struct buffer b = buffer_over(out, LOG_ENTRY_MAX);

	buffer_printf(&b, "PRIORITY=%u\nSYSLOG_IDENTIFIER=imservd\nIMSERV_SUBJECT=%s\n", severities[r->level], r->subject);
	if (r->id)
		buffer_printf(&b, "IMSERV_ID=%llx\n", (unsigned long long)r->id);
	if (r->worker >= 0)
		buffer_printf(&b, "IMSERV_WORKER=%d\n", r->worker);
	buffer_lit(&b, "MESSAGE=");
	b.size = b.n + LOG_LINE_MAX - END_ROOM;
	put_text(&b, r);
	buffer_char(&b, '\n');
	return b.n;
}

size_t log_line_syslog(char *out, const struct log_record *r, enum log_format format)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
		"Dec" }; /* in any locale */
	struct buffer b = buffer_over(out, LOG_ENTRY_MAX);
	struct tm tm;

	localtime_r(&r->time.tv_sec, &tm);
	buffer_printf(&b, "<%u>%s %2d %02d:%02d:%02d imservd[%d]: ", FACILITY_DAEMON * 8 + severities[r->level],
		months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)getpid());
	b.size = b.n + LOG_LINE_MAX - END_ROOM;
	if (format == LOG_JSON) {
		put_json(&b, r);
		return b.n;
	}
	put_worker(&b, r);
	put_text(&b, r);
	return b.n;
}
