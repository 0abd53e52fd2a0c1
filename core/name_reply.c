/* DNS replies as far as RFC 3263 needs them: SRV and NAPTR with their TTL, which c-ares 1.18 does not tell. */
#include <ctype.h>

#include "core/resolver.h"

#define HEAD_OCTETS   12
#define JUMPS_MAX     32 /* of one compressed name: more is a loop */
#define TYPE_SRV      33
#define TYPE_NAPTR    35
#define CLASS_IN      1
#define ANSWERS_MAX   256

struct cursor {
	const unsigned char *p;
	size_t at, n;
	bool is_bad;
};

static unsigned octet(struct cursor *c)
{
	if (c->at >= c->n) {
		c->is_bad = true;
		return 0;
	}
	return c->p[c->at++];
}

static unsigned number16(struct cursor *c)
{
	unsigned high = octet(c);

	return high << 8 | octet(c);
}

static uint32_t number32(struct cursor *c)
{
	uint32_t high = number16(c);

	return high << 16 | number16(c);
}

/* A compressed name (RFC 1035 4.1.4) as lower-case text without the last dot; `to` NULL: skipped. */
static void name(struct cursor *c, char *to)
{
	size_t n = 0, back = 0;
	unsigned length;

	for (unsigned jumps = 0; (length = octet(c)) != 0 && !c->is_bad;) {
		if (length >= 0xc0) {
			size_t where = (length & 0x3f) << 8 | octet(c);
			if (back == 0)
				back = c->at;
			if (++jumps > JUMPS_MAX || where >= c->n)
				c->is_bad = true;
			else
				c->at = where;
			continue;
		}
		if (length > 63 || n + length + 1 > NAME_OCTETS_MAX) {
			c->is_bad = true;
			break;
		}
		for (unsigned i = 0; i < length; i++, n++) {
			unsigned character = octet(c);
			/* what is no host name can be no target of ours, nor may it end the text early */
			if (character <= ' ' || character >= 0x7f || character == '.')
				c->is_bad = true;
			if (to)
				to[n] = (char)tolower((int)character);
		}
		if (to)
			to[n] = '.';
		n++;
	}
	if (back)
		c->at = back;
	if (to)
		to[n && !c->is_bad ? n - 1 : 0] = 0;
}

static struct slice character_string(struct cursor *c)
{
	size_t length = octet(c);

	if (length > c->n - c->at) {
		c->is_bad = true;
		return SLICE_EMPTY;
	}
	struct slice text = slice_of((const char *)c->p + c->at, length);
	c->at += length;
	return text;
}

static bool server(struct cursor *c, struct name_record *r)
{
	r->server.priority = (uint16_t)number16(c);
	r->server.weight = (uint16_t)number16(c);
	r->server.port = (uint16_t)number16(c);
	r->server.service = 0;
	name(c, r->server.target);
	return true;
}

/* False: of a service that is not ours, or that needs more than its replacement. */
static bool pointer(struct cursor *c, struct name_record *r)
{
	r->server.priority = (uint16_t)number16(c);
	r->server.weight = (uint16_t)number16(c);
	r->server.port = 0;
	struct slice flags = character_string(c), service = character_string(c), pattern = character_string(c);
	name(c, r->server.target);
	r->server.service = slice_case_eq(service, SLICE("SIP+D2U")) ? 'U' :
			    slice_case_eq(service, SLICE("SIP+D2T")) ? 'T' :
			    slice_case_eq(service, SLICE("SIPS+D2T")) ? 'S' : 0;
	return r->server.service && slice_case_eq(flags, SLICE("s")) && pattern.n == 0;
}

static void record(struct cursor *c, struct name_question *question)
{
	unsigned wanted = question->kind == NAME_SERVERS ? TYPE_SRV : TYPE_NAPTR;

	name(c, NULL);
	unsigned type = number16(c), class = number16(c);
	uint32_t ttl_s = number32(c);
	size_t length = number16(c), end = c->at + length;
	if (c->is_bad || end > c->n) {
		c->is_bad = true;
		return;
	}
	if (type == wanted && class == CLASS_IN && question->count < NAME_RECORDS_MAX) {
		struct name_record *r = &question->records[question->count];
		if ((type == TYPE_SRV ? server(c, r) : pointer(c, r)) && !c->is_bad) {
			question->count++;
			if (ttl_s < question->ttl_s)
				question->ttl_s = ttl_s;
		}
	}
	c->at = end;
}

bool name_reply_parse(struct slice reply, struct name_question *question)
{
	struct cursor c = { .p = (const unsigned char *)reply.p, .at = 4, .n = reply.n };
	unsigned questions = number16(&c), answers = number16(&c);

	question->count = 0;
	question->ttl_s = UINT32_MAX;
	c.at = HEAD_OCTETS;
	if (answers > ANSWERS_MAX || reply.n < HEAD_OCTETS)
		return false;
	for (; questions && !c.is_bad; questions--) {
		name(&c, NULL);
		(void)number32(&c); /* type and class: what we asked */
	}
	for (; answers && !c.is_bad; answers--)
		record(&c, question);
	return !c.is_bad;
}
