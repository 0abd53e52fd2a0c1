#include "tests/unit/test.h"

#include "sip/sdp.h"

#define V  "v=0\r\n"
#define O  "o=alice 2890844526 2890844527 IN IP4 10.0.0.1\r\n"
#define S  "s=-\r\n"
#define C  "c=IN IP4 10.0.0.1\r\n"
#define T  "t=0 0\r\n"
#define M  "m=message 7654 TCP/MSRP *\r\n"
#define P  "a=path:msrp://10.0.0.1:7654/jshA7weztas;tcp\r\n"
#define OK V O S C T M P

static const struct {
	const char *what, *text;
	enum sdp_verdict want;
} verdicts[] = {
	{ "an offer", OK "a=accept-types:message/cpim\r\n", SDP_OK },
	{ "no media", V O S T, SDP_OK },
	{ "lines that end with LF", "v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 h\nt=0 0\nm=message 1 TCP/MSRP *\n", SDP_OK },
	{ "last line without end", V O S C T "m=message 1 TCP/MSRP *", SDP_OK },
	{ "unknown types are passed on", V O S C T "y=x\r\n", SDP_OK },
	{ "c= in each m=", V O S T M C, SDP_OK },
	{ "rejected media need no c=", V O S T "m=audio 0 RTP/AVP 0\r\n", SDP_OK },
	{ "port with count", V O S C T "m=audio 2000/2 RTP/AVP 0\r\n", SDP_OK },
	{ "empty", "", SDP_BAD_VERSION },
	{ "no v=", O S C T M, SDP_BAD_VERSION },
	{ "v=1", "v=1\r\n" O S C T M, SDP_BAD_VERSION },
	{ "no o=", V S C T M, SDP_BAD_ORIGIN },
	{ "only v=", V, SDP_BAD_ORIGIN },
	{ "two o=", V O O S C T M, SDP_BAD_ORIGIN },
	{ "o= too short", V "o=- 1 1 IN IP4\r\n" S C T M, SDP_BAD_ORIGIN },
	{ "o= too long", V "o=- 1 1 IN IP4 h h\r\n" S C T M, SDP_BAD_ORIGIN },
	{ "c= too short", V O S "c=IN IP4\r\n" T M, SDP_BAD_CONNECTION },
	{ "m= without format", V O S C T "m=message 1 TCP/MSRP\r\n", SDP_BAD_MEDIA },
	{ "m= without proto", V O S C T "m=message 1\r\n", SDP_BAD_MEDIA },
	{ "m= empty", V O S C T "m=\r\n", SDP_BAD_MEDIA },
	{ "port 65536", V O S C T "m=message 65536 TCP/MSRP *\r\n", SDP_BAD_MEDIA },
	{ "port -1", V O S C T "m=message -1 TCP/MSRP *\r\n", SDP_BAD_MEDIA },
	{ "port 1/x", V O S C T "m=message 1/x TCP/MSRP *\r\n", SDP_BAD_MEDIA },
	{ "no c= anywhere", V O S T M, SDP_NO_CONNECTION },
	{ "no c= for the second", V O S T M C M, SDP_NO_CONNECTION },
	{ "no =", OK "a\r\n", SDP_BAD_LINE },
	{ "blank before =", OK "a =x\r\n", SDP_BAD_LINE },
	{ "capital", OK "A=x\r\n", SDP_BAD_LINE },
	{ "empty line", OK "\r\na=x\r\n", SDP_BAD_LINE },
	{ "CR inside", OK "a=x\ry\r\n", SDP_BAD_LINE },
};

static void test_verdicts(void **state)
{
	static struct sdp sdp;

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		size_t n = strlen(verdicts[i].text);
		char *copy = exact_copy(verdicts[i].text, n);
		enum sdp_verdict got = sdp_parse(&sdp, slice_of(copy, n));

		CHECK(got == verdicts[i].want, "%s: %s\n", verdicts[i].what, sdp_verdict_text(got));
		for (size_t cut = 0; cut < n; cut++) { /* nothing is read behind the end */
			char *tight = exact_copy(verdicts[i].text, cut);
			if (sdp_parse(&sdp, slice_of(tight, cut)) == SDP_OK)
				assert_true(sdp.origin.n > 0);
			free(tight);
		}
		free(copy);
	}
	const char nul[] = OK "a=x\0y\r\n";
	assert_int_equal(sdp_parse(&sdp, slice_of(nul, sizeof(nul) - 1)), SDP_BAD_LINE);
}

static void test_media_limit(void **state)
{
	static struct sdp sdp;
	char text[2048];

	for (unsigned count = SDP_MEDIA_MAX; count <= SDP_MEDIA_MAX + 1; count++) {
		strcpy(text, V O S C T);
		for (unsigned i = 0; i < count; i++)
			strcat(text, M);
		assert_int_equal(sdp_parse(&sdp, slice_str(text)),
				 count > SDP_MEDIA_MAX ? SDP_TOO_MANY_MEDIA : SDP_OK);
	}
}

static void test_index(void **state)
{
	static struct sdp sdp;
	bool tls;
	struct slice value;
	const char text[] = V O S C T "a=SendOnly\r\na=setup:active\r\na=fingerprint:SHA-1 00\r\n"
			    "m=audio 9 RTP/AVP 0 8\r\na=recvonly\r\n"
			    "m=message 7654 TCP/TLS/MSRP *\r\nc=IN IP6 ::1\r\n" P
			    "a=Accept-Types: message/cpim text/* \r\na=accept-wrapped-types:*\r\n"
			    "a=max-size:1000\r\na=SETUP:ActPass\r\na=connection:new\r\n"
			    "a=file-selector:name:\"a b\" size:3\r\na=file-transfer-id:x\r\n"
			    "a=filesize:3\r\na=filelength:4\r\na=own\r\na=path:second\r\n";

	assert_int_equal(sdp_parse(&sdp, slice_str(text)), SDP_OK);
	assert_int_equal(sdp.media_count, 2);
	assert_true(slice_eq(sdp.origin, SLICE("alice 2890844526 2890844527 IN IP4 10.0.0.1")));
	const struct sdp_media *m = sdp_msrp_media(&sdp);
	assert_ptr_equal(m, &sdp.media[1]);
	assert_true(sdp_media_is_msrp(m, &tls) && tls);
	assert_false(sdp_media_is_msrp(&sdp.media[0], NULL));
	assert_int_equal(m->port, 7654);
	assert_true(slice_eq(sdp.media[0].formats, SLICE("0 8")));
	assert_true(slice_eq(m->connection, SLICE("IN IP6 ::1")));
	assert_true(slice_eq(sdp.connection, SLICE("IN IP4 10.0.0.1")));
	assert_true(slice_eq(m->path, SLICE("msrp://10.0.0.1:7654/jshA7weztas;tcp")));
	assert_true(slice_eq(m->accept_types, SLICE("message/cpim text/*")));
	assert_true(slice_eq(m->accept_wrapped_types, SLICE("*")));
	assert_true(slice_eq(m->max_size, SLICE("1000")));
	assert_true(slice_eq(m->connection_attribute, SLICE("new")));
	assert_true(slice_eq(m->file_selector, SLICE("name:\"a b\" size:3")));
	assert_true(slice_eq(m->file_transfer_id, SLICE("x")));
	assert_true(slice_eq(m->file_size, SLICE("3")));
	assert_true(slice_eq(m->file_length, SLICE("4")));
	/* media overrides session, without case */
	assert_int_equal(sdp_media_direction(&sdp, m), SDP_SENDONLY);
	assert_int_equal(sdp_media_direction(&sdp, &sdp.media[0]), SDP_RECVONLY);
	assert_int_equal(sdp_media_setup(&sdp, m), SDP_SETUP_ACTPASS);
	assert_int_equal(sdp_media_setup(&sdp, &sdp.media[0]), SDP_SETUP_ACTIVE);
	assert_true(slice_eq(sdp_media_fingerprint(&sdp, m), SLICE("SHA-1 00")));
	assert_true(sdp_attribute(m->whole, "OWN", &value) && value.n == 0);
	assert_true(sdp_attribute(sdp.attributes, "setup", &value));
	assert_true(slice_eq(value, SLICE("active")));
	assert_false(sdp_attribute(sdp.media[0].whole, "own", NULL));
	assert_int_equal(sdp_direction_inverted(SDP_SENDONLY), SDP_RECVONLY);
	assert_int_equal(sdp_direction_inverted(SDP_RECVONLY), SDP_SENDONLY);
	assert_int_equal(sdp_direction_inverted(SDP_SENDRECV), SDP_SENDRECV);

	assert_int_equal(sdp_parse(&sdp, SLICE(OK)), SDP_OK);
	assert_int_equal(sdp_media_direction(&sdp, &sdp.media[0]), SDP_SENDRECV);
	assert_int_equal(sdp_parse(&sdp, SLICE(V O S C T "m=message 0 TCP/MSRP *\r\n" P)), SDP_OK);
	assert_null(sdp_msrp_media(&sdp));
}

static const struct {
	const char *what, *text;
	unsigned accepted;
	enum sdp_setup setup;
	const char *fingerprint, *proto, *want;
} rewrites[] = {
	{ "plain", OK "a=accept-types:*\r\n", 0, SDP_SETUP_NONE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "c=IN IP4 192.0.2.9\r\n" T
	  "m=message 2855 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://me/x;tcp\r\n" },
	{ "unknown lines and attributes stand as they stood",
	  V O "s=Caf\xc3\xa9\r\ni=a  b \r\nu=http://x\r\n" C "b=AS:10\r\n" T "r=7d 1h 0\r\n"
	  "a=x-own:1  2\r\n" M "i=t\r\nb=AS:1\r\na=sendonly\r\n" P "a=msrp-own\r\na=:odd\r\n"
	  "a=file-selector:name:\"a\" size:3\r\n",
	  0, SDP_SETUP_PASSIVE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\ns=Caf\xc3\xa9\r\ni=a  b \r\nu=http://x\r\n"
	  "c=IN IP4 192.0.2.9\r\nb=AS:10\r\n" T "r=7d 1h 0\r\na=x-own:1  2\r\n"
	  "m=message 2855 TCP/MSRP *\r\ni=t\r\nb=AS:1\r\na=sendonly\r\na=msrp-own\r\na=:odd\r\n"
	  "a=file-selector:name:\"a\" size:3\r\na=path:msrp://me/x;tcp\r\na=setup:passive\r\n" },
	{ "what is of the peer's connection goes, at both levels",
	  V O S T "a=setup:active\r\na=fingerprint:SHA-1 00\r\n"
	  "m=message 7654 TCP/TLS/MSRP *\r\n" C P "a=Setup:actpass\r\na=connection:existing\r\n"
	  "a=fingerprint:SHA-1 11\r\na=crypto:1 x\r\na=msrp-cema\r\na=path:two\r\n",
	  0, SDP_SETUP_ACTIVE, "SHA-256 AB", "TCP/MSRP",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "c=IN IP4 192.0.2.9\r\n" T
	  "m=message 2855 TCP/MSRP *\r\na=path:msrp://me/x;tcp\r\na=setup:active\r\n"
	  "a=fingerprint:SHA-256 AB\r\n" },
	{ "other media are rejected, in their places",
	  V O S C T "m=audio 9 RTP/AVP 0 8\r\na=rtpmap:0 x\r\nc=IN IP4 h\r\n" M P "m=video 8/2 RTP/AVP 3\r\n" M,
	  1, SDP_SETUP_NONE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "c=IN IP4 192.0.2.9\r\n" T
	  "m=audio 0 RTP/AVP 0 8\r\nm=message 2855 TCP/MSRP *\r\na=path:msrp://me/x;tcp\r\n"
	  "m=video 0 RTP/AVP 3\r\nm=message 0 TCP/MSRP *\r\n" },
	{ "what the peer forgot is added, in its place", V O "a=x:1\r\nm=message 1 TCP/MSRP * x\r\n" C,
	  0, SDP_SETUP_NONE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "c=IN IP4 192.0.2.9\r\n" T "a=x:1\r\n"
	  "m=message 2855 TCP/MSRP *\r\na=path:msrp://me/x;tcp\r\n" },
	{ "forgotten with nothing behind", V O "m=message 1 TCP/MSRP *\r\n" C,
	  0, SDP_SETUP_NONE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "c=IN IP4 192.0.2.9\r\n" T
	  "m=message 2855 TCP/MSRP *\r\na=path:msrp://me/x;tcp\r\n" },
	{ "all lines of the session, in their order",
	  V O S "i=x\r\nu=x\r\ne=x\r\np=x\r\n" C "b=AS:1\r\nt=1 2\r\nr=7d 1h 0\r\nt=3 4\r\nz=1 1h\r\nk=clear:x\r\n"
	  "a=own\r\n" M P,
	  0, SDP_SETUP_NONE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "i=x\r\nu=x\r\ne=x\r\np=x\r\nc=IN IP4 192.0.2.9\r\nb=AS:1\r\nt=1 2\r\n"
	  "r=7d 1h 0\r\nt=3 4\r\nz=1 1h\r\nk=clear:x\r\na=own\r\n"
	  "m=message 2855 TCP/MSRP *\r\na=path:msrp://me/x;tcp\r\n" },
	{ "line ends become CRLF", "v=0\no=- 1 1 IN IP4 h\ns=-\nt=0 0\nm=message 1 TCP/MSRP *\nc=IN IP4 h\na=x",
	  0, SDP_SETUP_NONE, "", "",
	  V "o=- 5 6 IN IP4 192.0.2.9\r\n" S "c=IN IP4 192.0.2.9\r\n" T
	  "m=message 2855 TCP/MSRP *\r\na=x\r\na=path:msrp://me/x;tcp\r\n" },
};

static void test_rewrite(void **state)
{
	static struct sdp sdp, again;

	for (size_t i = 0; i < sizeof(rewrites) / sizeof(rewrites[0]); i++) {
		char memory[1024];
		size_t n = strlen(rewrites[i].want);
		struct buffer out = buffer_over(memory, sizeof(memory));

		assert_int_equal(sdp_parse(&sdp, slice_str(rewrites[i].text)), SDP_OK);
		struct sdp_own own = {
			.session_id = 5,
			.version = 6,
			.address = SLICE("192.0.2.9"),
			.media = &sdp.media[rewrites[i].accepted],
			.port = 2855,
			.proto = slice_str(rewrites[i].proto),
			.path = SLICE("msrp://me/x;tcp"),
			.setup = rewrites[i].setup,
			.fingerprint = slice_str(rewrites[i].fingerprint),
		};
		assert_true(sdp_rewrite(&out, &sdp, &own));
		CHECK(slice_eq(buffer_slice(&out), slice_str(rewrites[i].want)), "%s: got:\n%.*s\n",
		      rewrites[i].what, SLICE_ARG(buffer_slice(&out)));
		/* what we write we can read */
		assert_int_equal(sdp_parse(&again, buffer_slice(&out)), SDP_OK);
		assert_true(slice_eq(sdp_msrp_media(&again)->path, own.path));
		char *tight = malloc(n - 1);
		out = buffer_over(tight, n - 1);
		assert_false(sdp_rewrite(&out, &sdp, &own));
		free(tight);
	}
}

/* What we decide too: types, the smaller size, the direction; an answer's times are its offer's. */
/* RFC 6714: said once, whether or not the peer said it; an attribute of the media, not of the session. */
static void test_rewrite_cema(void **state)
{
	static const char *const said[] = { "", "a=msrp-cema\r\n", "a=MSRP-CEMA\r\na=msrp-cema\r\n" };
	static struct sdp sdp;

	for (size_t i = 0; i < 6; i++) {
		char text[512], memory[1024];
		struct buffer out = buffer_over(memory, sizeof(memory));
		snprintf(text, sizeof(text), V O S C T M P "%s", said[i / 2]);
		assert_int_equal(sdp_parse(&sdp, slice_str(text)), SDP_OK);
		assert_int_equal(sdp_media_has_cema(&sdp.media[0]), i >= 2);
		struct sdp_own own = { .address = SLICE("h"), .media = &sdp.media[0], .port = 7, .path = SLICE("p"),
			.has_cema = i % 2 };
		assert_true(sdp_rewrite(&out, &sdp, &own));
		assert_int_equal(sdp_parse(&sdp, buffer_slice(&out)), SDP_OK);
		assert_int_equal(sdp_media_has_cema(&sdp.media[0]), i % 2);
	}
	assert_int_equal(sdp_parse(&sdp, SLICE(V O S C T "a=msrp-cema\r\n" M P)), SDP_OK);
	assert_false(sdp_media_has_cema(&sdp.media[0]));
}

static void test_rewrite_decided(void **state)
{
	static const char answer[] = V O S C "t=5 6\r\na=sendrecv\r\nm=message 9 TCP/MSRP *\r\na=accept-types:* text/x\r\n"
		"a=MAX-SIZE: 2000\r\na=accept-wrapped-types:image/x\r\na=SendRecv\r\na=own\r\n" P;
	static const struct {
		uint64_t ours;
		const char *want;
	} sizes[] = { { 3000, "a=max-size:2000\r\n" }, { 1000, "a=max-size:1000\r\n" }, { 0, "" } };
	static struct sdp offer, sdp;
	char memory[1024], want[1024];

	assert_int_equal(sdp_parse(&offer, SLICE(V O S C "t=1 2\r\nr=7d 1h 0\r\n" M P)), SDP_OK);
	assert_int_equal(sdp_parse(&sdp, SLICE(answer)), SDP_OK);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buffer out = buffer_over(memory, sizeof(memory));
		struct sdp_own own = { .address = SLICE("h"), .media = &sdp.media[0], .offer = &offer,
			.offered = &offer.media[0], .port = 7, .path = SLICE("p"), .max_size = sizes[i].ours,
			.accept_types = SLICE("text/plain"), .accept_wrapped_types = SLICE(""), .direction = SDP_RECVONLY };
		assert_true(sdp_rewrite(&out, &sdp, &own));
		snprintf(want, sizeof(want), V "o=- 0 0 IN IP4 h\r\n" S "c=IN IP4 h\r\nt=1 2\r\nr=7d 1h 0\r\na=sendrecv\r\n"
			"m=message 7 TCP/MSRP *\r\n%sa=own\r\na=accept-types:text/plain\r\n%sa=recvonly\r\na=path:p\r\n",
			sizes[i].ours ? "" : "a=MAX-SIZE: 2000\r\n", sizes[i].want);
		CHECK(slice_eq(buffer_slice(&out), slice_str(want)), "max_size %d: got:\n%.*s\n", (int)sizes[i].ours,
			SLICE_ARG(buffer_slice(&out)));
	}
	/* theirs is no number: ours alone is right */
	assert_int_equal(sdp_parse(&sdp, SLICE(OK "a=max-size:many\r\n")), SDP_OK);
	struct buffer out = buffer_over(memory, sizeof(memory));
	struct sdp_own own = { .address = SLICE("h"), .media = &sdp.media[0], .port = 7, .path = SLICE("p"), .max_size = 9 };
	assert_true(sdp_rewrite(&out, &sdp, &own));
	assert_non_null(memmem(out.p, out.n, "*\r\na=max-size:9\r\n", 17));
}

static void test_rewrite_ipv6_and_injection(void **state)
{
	static struct sdp sdp;
	char memory[1024];
	struct buffer out = buffer_over(memory, sizeof(memory));
	struct slice evil = SLICE("x\r\na=evil");

	assert_int_equal(sdp_parse(&sdp, SLICE(OK)), SDP_OK);
	struct sdp_own good = { .address = SLICE("2001:db8::9"), .media = &sdp.media[0],
				.port = 1, .path = SLICE("p") }, own;
	assert_true(sdp_rewrite(&out, &sdp, &good));
	assert_true(slice_starts(buffer_slice(&out),
				 SLICE(V "o=- 0 0 IN IP6 2001:db8::9\r\n" S "c=IN IP6 2001:db8::9\r\n")));
	own = good, own.path = evil;
	assert_false(sdp_rewrite(&out, &sdp, &own));
	own = good, own.address = evil;
	assert_false(sdp_rewrite(&out, &sdp, &own));
	own = good, own.fingerprint = evil;
	assert_false(sdp_rewrite(&out, &sdp, &own));
	own = good, own.proto = evil;
	assert_false(sdp_rewrite(&out, &sdp, &own));
}

/* Several lines of ours: each with its own path, the rest rejected in an answer and left out of an offer. */
static void test_rewrite_several(void **state)
{
	static const char lines[] = V O S C T "m=audio 4 RTP/AVP 0\r\n" M P "a=filename:x\r\n" M P "a=filename:y\r\n" M P;
	static struct sdp offer, answer, again;
	char memory[2048];
	struct buffer out = buffer_over(memory, sizeof(memory));

	assert_int_equal(sdp_parse(&offer, SLICE(lines)), SDP_OK);
	struct sdp_own more[] = { { .media = &offer.media[3], .port = 9, .path = SLICE("third") } };
	struct sdp_own own = { .address = SLICE("h"), .media = &offer.media[1], .port = 7, .path = SLICE("first"),
		.is_alone = true, .more = more, .more_count = 1 };
	assert_true(sdp_rewrite(&out, &offer, &own));
	assert_int_equal(sdp_parse(&again, buffer_slice(&out)), SDP_OK);
	assert_int_equal(again.media_count, 2);
	assert_true(slice_eq(again.media[0].path, SLICE("first")) && slice_eq(again.media[1].path, SLICE("third")));
	assert_true(sdp_attribute(again.media[0].whole, "filename", NULL));
	/* B took the second of the two: it answers the fourth line of the offer */
	assert_int_equal(sdp_parse(&answer, SLICE(V O S C T "m=message 0 TCP/MSRP *\r\n" M P "a=b\r\n")), SDP_OK);
	more[0] = (struct sdp_own){ .media = &answer.media[1], .offered = &offer.media[2], .port = 9, .path = SLICE("z") };
	own = (struct sdp_own){ .address = SLICE("h"), .media = &answer.media[1], .offer = &offer,
		.offered = &offer.media[3], .port = 7, .path = SLICE("w"), .more = more, .more_count = 1 };
	out = buffer_over(memory, sizeof(memory));
	assert_true(sdp_rewrite(&out, &answer, &own));
	assert_int_equal(sdp_parse(&again, buffer_slice(&out)), SDP_OK);
	assert_int_equal(again.media_count, 4);
	assert_true(again.media[0].port == 0 && again.media[1].port == 0 && again.media[2].port == 9 && again.media[3].port == 7);
	more[0].path = SLICE("x\r\na=evil");
	assert_false(sdp_rewrite(&out, &answer, &own));
}

static void test_rewrite_nameless(void **state)
{
	static const char text[] = "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=Alice\r\ni=of Alice\r\n"
		"u=http://alice.example\r\ne=alice@example.com\r\np=+1 alice\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
		"m=message 9 TCP/MSRP *\r\ni=alice types\r\na=path:msrp://192.0.2.1:9/s;tcp\r\na=accept-types:*\r\n";
	static struct sdp sdp;
	char memory[1024];
	struct buffer out = buffer_over(memory, sizeof(memory));

	assert_int_equal(sdp_parse(&sdp, SLICE(text)), SDP_OK);
	struct sdp_own own = { .address = SLICE("192.0.2.9"), .media = &sdp.media[0], .port = 7,
		.path = SLICE("msrp://192.0.2.9:7/x;tcp"), .is_nameless = true };
	assert_true(sdp_rewrite(&out, &sdp, &own));
	assert_true(slice_eq(buffer_slice(&out), SLICE("v=0\r\no=- 0 0 IN IP4 192.0.2.9\r\ns=-\r\n"
		"c=IN IP4 192.0.2.9\r\nt=0 0\r\nm=message 7 TCP/MSRP *\r\na=accept-types:*\r\n"
		"a=path:msrp://192.0.2.9:7/x;tcp\r\n")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_media_limit),
		cmocka_unit_test(test_index),	 cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_rewrite_cema),
		cmocka_unit_test(test_rewrite_decided),
		cmocka_unit_test(test_rewrite_several),
		cmocka_unit_test(test_rewrite_ipv6_and_injection),
		cmocka_unit_test(test_rewrite_nameless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
