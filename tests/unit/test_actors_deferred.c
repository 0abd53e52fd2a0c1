/* actors/deferred.c: what of a request is kept, of whom, and until when. */
#include "actors/deferred.h"

#include "core/worker.h"
#include "sip/header.h"
#include "tests/unit/test.h"

#define RECEIVED_S 1000000000ull /* Sun, 09 Sep 2001 01:46:40 GMT */

static uint64_t wall_us(struct ring *ring)
{
	return RECEIVED_S * 1000000 + 500000;
}

static const struct ring_ops ops = { .wall_us = wall_us };
static struct ring ring = { .ops = &ops };
static struct worker worker = { .ring = &ring };
static char *prune_list[] = { "X-Gone", "X-All-*" };
static struct config config;
static struct im im = { .worker = &worker, .config = &config };

static void configure(enum core_mode mode)
{
	memset(&config, 0, sizeof(config));
	config.core.mode = mode;
	config.deferred.prune = (struct text_list){ .list = prune_list, .count = 2 };
	config.deferred.expires_default_ms = 7000;
	config.deferred.expires_max_ms = 100000;
}

static struct identity identity_of(bool is_anonymous)
{
	struct identity who = { .is_anonymous = is_anonymous };

	who.canonical_n = (size_t)snprintf(who.canonical, sizeof(who.canonical), "alice@example.com");
	return who;
}

static void parse(struct sip_message *m, const char *text)
{
	struct sip_limits limits = { 65536, 65536, 0 };
	size_t used;

	assert_int_equal(sip_message_parse(m, slice_str(text), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
}

/* ---- heads ---- */

#define LINE	"MESSAGE sip:bob@example.com SIP/2.0\r\n"
#define COMMON	"To: <sip:bob@example.com>\r\nCall-ID: c@1.2.3.4\r\nCSeq: 1 MESSAGE\r\n"
#define FROM	"From: \"Al\" <sip:alice@example.com>;tag=x\r\n"
#define NOBODY	"From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=x\r\n"
#define PAI	"P-Asserted-Identity: <sip:alice@example.com>\r\n"
#define DATE	"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"

static const struct {
	const char *what;
	enum core_mode mode;
	enum deferred_kind kind;
	bool is_anonymous;
	const char *request, *head, *summary;
} heads[] = {
	{ "a plain one gets identity and Date", MODE_STANDALONE, DEFERRED_PAGER, false,
	  LINE "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n" FROM COMMON "X-Kept: y\r\n\r\nhi",
	  LINE "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n" FROM COMMON "X-Kept: y\r\n" PAI DATE,
	  FROM "To: <sip:bob@example.com>\r\n" PAI DATE },
	{ "its own Date stays; compact forms and folds are written out", MODE_IMS, DEFERRED_PAGER, false,
	  LINE "v: SIP/2.0/UDP h;branch=z9hG4bKx\r\nf: <sip:alice@example.com>\r\n ;tag=x\r\nt: <sip:bob@example.com>\r\n"
	       "i: c@1.2.3.4\r\nCSeq: 1 MESSAGE\r\ns: lunch\r\nPriority: urgent\r\nDate: Thu, 21 Feb 2002 13:02:03 GMT\r\n"
	       PAI "\r\n",
	  LINE "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:alice@example.com> ;tag=x\r\n" COMMON
	       "Subject: lunch\r\nPriority: urgent\r\nDate: Thu, 21 Feb 2002 13:02:03 GMT\r\n" PAI,
	  "From: <sip:alice@example.com> ;tag=x\r\nTo: <sip:bob@example.com>\r\nSubject: lunch\r\nPriority: urgent\r\n"
	  "Date: Thu, 21 Feb 2002 13:02:03 GMT\r\n" PAI },
	{ "the prune list, the operator's too, and all Vias but the bottom one", MODE_IMS, DEFERRED_PAGER, false,
	  LINE "Via: SIP/2.0/TCP a;branch=z9hG4bK1, SIP/2.0/TCP b;branch=z9hG4bK2\r\n"
	       "Via: SIP/2.0/TCP c;branch=z9hG4bK3, SIP/2.0/UDP d;branch=z9hG4bK4\r\n"
	       "Route: <sip:r>\r\nRecord-Route: <sip:r>\r\nPath: <sip:r>\r\nService-Route: <sip:r>\r\nAuthorization: Digest x\r\n"
	       "Proxy-Authorization: Digest x\r\nSecurity-Client: x\r\nSECURITY-anything: x\r\nP-Charging-Vector: x\r\n"
	       "p-charging-function-addresses: x\r\nP-Access-Network-Info: x\r\nP-Visited-Network-ID: x\r\n"
	       "P-Called-Party-ID: <sip:x>\r\nP-Asserted-Service: x\r\nP-User-Database: x\r\nP-Profile-Key: x\r\n"
	       "P-Served-User: <sip:x>\r\nx-gone: x\r\nX-All-Of: x\r\nX-Al: y\r\n" FROM COMMON PAI DATE "\r\n",
	  LINE "Via: SIP/2.0/UDP d;branch=z9hG4bK4\r\nX-Al: y\r\n" FROM COMMON PAI DATE,
	  FROM "To: <sip:bob@example.com>\r\n" PAI DATE },
	{ "of who hides nothing that names him", MODE_IMS, DEFERRED_PAGER, true,
	  LINE "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n" FROM COMMON "Privacy: id\r\nSubject: lunch\r\n"
	       "Contact: <sip:alice@h>\r\nUser-Agent: alice's\r\nReply-To: <sip:alice@h>\r\nOrganization: hers\r\n"
	       "Call-Info: <http://alice.h>\r\nRemote-Party-ID: <sip:alice@h>\r\nX-Any: alice\r\nReferred-By: <sip:alice@h>\r\n"
	       "P-Preferred-Identity: <sip:alice@h>\r\nHistory-Info: <sip:alice@h>\r\nExpires: 60\r\n"
	       "Content-Type: text/plain\r\nContent-Length: 2\r\nPriority: normal\r\n" PAI "\r\nhi",
	  LINE "Max-Forwards: 70\r\n" NOBODY COMMON "Privacy: id\r\nSubject: lunch\r\nExpires: 60\r\n"
	       "Content-Type: text/plain\r\nContent-Length: 2\r\nPriority: normal\r\n" DATE,
	  NOBODY "To: <sip:bob@example.com>\r\nSubject: lunch\r\nPriority: normal\r\n" DATE },
	{ "where we are the privacy service what he wrote about it goes, too", MODE_STANDALONE, DEFERRED_PAGER, true,
	  LINE "From: \"Alice\" <sip:anonymous@alices.host>;tag=x\r\n" COMMON "Subject: from alice\r\n\r\n",
	  LINE NOBODY COMMON DATE, NOBODY "To: <sip:bob@example.com>\r\n" DATE },
	{ "what a client says of itself is not believed", MODE_STANDALONE, DEFERRED_PAGER, false,
	  LINE FROM COMMON "P-Asserted-Identity: <sip:mallory@example.com>\r\n" DATE "\r\n",
	  LINE FROM COMMON DATE PAI, FROM "To: <sip:bob@example.com>\r\n" DATE PAI },
	{ "no header but a few of an INVITE", MODE_IMS, DEFERRED_LARGE, false,
	  LINE "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n" FROM COMMON "Subject: lunch\r\nX-Any: x\r\n"
	       "Contact: <sip:alice@h>\r\nPriority: normal\r\nUser-Agent: x\r\nContent-Type: application/sdp\r\n" PAI "\r\n",
	  LINE FROM "To: <sip:bob@example.com>\r\nCall-ID: c@1.2.3.4\r\nSubject: lunch\r\nPriority: normal\r\n" PAI DATE,
	  FROM "To: <sip:bob@example.com>\r\nSubject: lunch\r\nPriority: normal\r\n" PAI DATE },
	{ "fewer of who hides", MODE_IMS, DEFERRED_LARGE, true,
	  LINE FROM COMMON "Privacy: id\r\nSubject: lunch\r\n" PAI "\r\n",
	  LINE NOBODY "To: <sip:bob@example.com>\r\nCall-ID: c@1.2.3.4\r\nSubject: lunch\r\n" DATE,
	  NOBODY "To: <sip:bob@example.com>\r\nSubject: lunch\r\n" DATE },
};

static void test_heads(void **state)
{
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct identity who = identity_of(heads[i].is_anonymous);
		struct sip_message m;
		configure(heads[i].mode);
		parse(&m, heads[i].request);
		size_t room = deferred_head_max(&m) / 2;
		char *text = malloc(2 * room);
		assert_non_null(text);
		struct buffer head = buffer_over(text, room), summary = buffer_over(text + room, room);
		assert_true(deferred_write_head(&head, &summary, &im, &who, &m, heads[i].kind, RECEIVED_S * 1000000));
		CHECK(slice_eq(buffer_slice(&head), slice_str(heads[i].head)), "%s: head\n%.*s", heads[i].what,
			SLICE_ARG(buffer_slice(&head)));
		CHECK(slice_eq(buffer_slice(&summary), slice_str(heads[i].summary)), "%s: summary\n%.*s", heads[i].what,
			SLICE_ARG(buffer_slice(&summary)));
		free(text);
		REQ("CR001-12.2.2.3-1", "CR001-12.2.2.3-2", "CR001-12.2.2.3-3", "CR001-12.2.2.3-4", "CR001-12.2.2.3-5");
	}
}

/* As many and as short as a message can have: what is written fits. */
static void room_is_enough_for_the_longest_names(void **state)
{
	char text[16384];
	struct buffer out = buffer_over(text, sizeof(text));
	struct identity who = identity_of(false);
	struct sip_message m;

	configure(MODE_STANDALONE);
	buffer_lit(&out, LINE FROM COMMON);
	for (unsigned i = 0; i < SIP_HEADERS_MOST - 4; i++)
		buffer_lit(&out, "a:x\r\n"); /* Accept-Contact */
	buffer_lit(&out, "\r\n");
	text[out.n] = 0;
	parse(&m, text);
	size_t room = deferred_head_max(&m) / 2;
	char *memory = malloc(2 * room);
	assert_non_null(memory);
	struct buffer head = buffer_over(memory, room), summary = buffer_over(memory + room, room);
	assert_true(deferred_write_head(&head, &summary, &im, &who, &m, DEFERRED_PAGER, 0));
	free(memory);
}

/* ---- time ---- */

static const struct {
	const char *headers;
	bool is_expired;
	uint64_t lives_s; /* from the reception */
} times[] = {
	{ "", false, 7 },
	{ "Expires: 100\r\n", false, 100 }, /* the most */
	{ "Expires: 101\r\n", false, 7 },   /* more: the default, not the most */
	{ "Expires: 99999999999\r\n", false, 7 },
	{ "Expires: x\r\n", false, 7 },
	{ "Expires: 0\r\n", false, 0 },
	{ "Date: Sun, 09 Sep 2001 01:46:20 GMT\r\nExpires: 50\r\n", false, 30 },
	{ "Date: Sun, 09 Sep 2001 01:46:20 GMT\r\nExpires: 20\r\n", true, 0 },
	{ "Date: Sun, 09 Sep 2001 01:46:20 GMT\r\nExpires: 19\r\n", true, 0 },
	{ "Date: Sun, 09 Sep 2001 01:46:20 GMT\r\n", false, 7 },                  /* no Expires that it could begin */
	{ "Date: Sun, 09 Sep 2001 01:46:20 GMT\r\nExpires: 1000\r\n", false, 7 }, /* none that is used */
	{ "Date: Sun, 09 Sep 2001 01:47:40 GMT\r\nExpires: 50\r\n", false, 110 }, /* 60 s ahead */
	{ "Date: Sun, 09 Sep 2001 01:47:41 GMT\r\nExpires: 50\r\n", false, 50 },  /* a wrong clock */
	{ "Date: Sun, 09 Sep 2001 00:46:40 GMT\r\nExpires: 90\r\n", true, 0 },    /* an hour ago */
	{ "Date: Sun, 09 Sep 2001 00:46:39 GMT\r\nExpires: 90\r\n", false, 90 },
	{ "Date: yesterday\r\nExpires: 90\r\n", false, 90 },
};

static void test_times(void **state)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct sip_message m;
		char text[512];
		configure(MODE_IMS);
		snprintf(text, sizeof(text), LINE FROM COMMON "%s\r\n", times[i].headers);
		parse(&m, text);
		CHECK(deferred_is_expired(&im, &m) == times[i].is_expired, "expired: %s", times[i].headers);
		if (times[i].is_expired)
			continue;
		struct deferred_times t = deferred_times_of(&im, &m, DEFERRED_PAGER);
		CHECK(t.expires_at_s == RECEIVED_S + times[i].lives_s, "lives %llu s: %s",
			(unsigned long long)(t.expires_at_s - RECEIVED_S), times[i].headers);
		REQ("CR001-12.2.2.3-10", "CR001-12.2.2.3-11", "CR001-12.2.2.3-12");
		t = deferred_times_of(&im, &m, DEFERRED_LARGE);
		assert_int_equal(t.expires_at_s, RECEIVED_S + 7); /* whatever the INVITE says */
		REQ("CR001-12.2.2.3-13");
	}
}

/* ---- sorts ---- */

static void test_sorts(void **state)
{
	static const struct {
		const char *headers;
		bool is_urgent, is_multimedia, is_for_now;
	} sorts[] = {
		{ "Content-Type: text/plain\r\n", false, false, false },
		{ "Priority: urgent\r\nContent-Type: TEXT/html;x=y\r\n", true, false, false },
		{ "Priority: Emergency\r\nContent-Type: image/png\r\n", true, true, false },
		{ "Priority: normal\r\nContent-Type: message/cpim\r\n", false, false, false },
		{ "Content-Type: Application/IM-isComposing+xml\r\n", false, true, true },
		{ "Content-Type: message/imdn+xml;x=y\r\n", false, false, true },
		{ "Expires: 0\r\n", false, false, true },
		{ "", false, false, false },
		{ "Content-Type: message/CPIM\r\n\r\nFrom: <im:a@b>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n<imdn/>", false, false, true },
		{ "Content-Type: message/cpim\r\n\r\nFrom: <im:a@b>\r\n\r\nContent-type: application/im-iscomposing+xml\r\n\r\nx",
		  false, false, true },
		{ "Content-Type: message/cpim\r\n\r\nFrom: <im:a@b>\r\n\r\nContent-Type: text/plain\r\n\r\nmessage/imdn+xml", false, false, false },
		{ "Content-Type: message/cpim\r\n\r\nFrom", false, false, false },
	};

	for (size_t i = 0; i < sizeof(sorts) / sizeof(sorts[0]); i++) {
		struct sip_message m;
		char text[512];
		snprintf(text, sizeof(text), LINE FROM COMMON "%s%s", sorts[i].headers, strstr(sorts[i].headers, "\r\n\r\n") ? "" : "\r\n");
		parse(&m, text);
		CHECK(deferred_is_urgent(&m) == sorts[i].is_urgent, "urgent: %s", sorts[i].headers);
		CHECK(deferred_is_multimedia(sip_header_value(&m, SIP_HDR_CONTENT_TYPE)) == sorts[i].is_multimedia,
			"multimedia: %s", sorts[i].headers);
		CHECK(deferred_is_for_now_only(&m) == sorts[i].is_for_now, "for now: %s", sorts[i].headers);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(room_is_enough_for_the_longest_names),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_sorts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
