/*
 * A leg that receives for its owner (msrp/receiver.h): what is taken, in which
 * pieces, and each refusal.
 */
#include "msrp/receiver.h"
#include "tests/unit/msrp_world.h"

#define ALICE "msrp://alice.example:7654/a1;tcp"
#define RELAY "msrp://relay.example:1/r;tcp msrp://alice.example:7654/a1;tcp"

/* What the owner was told, and how he answers. */
struct owner {
	char told[4096];        /* "begin[m1] whole[0:abc] aborted[msrp_range]" */
	char *content;          /* all that was handed on                        */
	size_t n;
	unsigned pieces;        /* not taken yet                                 */
	unsigned refusal;       /* of messages                                   */
	unsigned status;        /* of whole ones; 0: it is said later            */
	bool takes_at_once, refuses_piece;
};

struct session {
	struct world w;
	struct owner owner;
	struct side *a;
	struct client *alice;
};

__attribute__((format(printf, 2, 3))) static void tell(struct owner *o, const char *format, ...)
{
	size_t n = strlen(o->told);
	va_list ap;

	va_start(ap, format);
	vsnprintf(o->told + n, sizeof(o->told) - n, format, ap);
	va_end(ap);
}

static void add(struct owner *o, uint64_t offset, struct slice octets)
{
	assert_int_equal(offset, o->n);
	o->content = realloc(o->content, o->n + octets.n + 1);
	assert_non_null(o->content);
	memcpy(o->content + o->n, octets.p, octets.n);
	o->n += octets.n;
}

static struct owner *owner_of(void *arg)
{
	struct session *s = arg;

	return &s->owner;
}

static unsigned on_message(struct msrp_leg *leg, const struct msrp_head *head, enum reason *why, void *arg)
{
	struct owner *o = owner_of(arg);

	if (o->refusal) {
		*why = REASON_STORE_BUSY;
		return o->refusal;
	}
	tell(o, "begin[%.*s] ", SLICE_ARG(head->message_id));
	o->n = 0;
	return 0;
}

static void on_piece(struct msrp_leg *leg, uint64_t offset, struct slice octets, void *arg)
{
	struct owner *o = owner_of(arg);

	assert_int_equal(octets.n, MSRP_PIECE_MAX);
	add(o, offset, octets);
	o->pieces++;
	assert_in_range(o->pieces, 1, MSRP_PIECES_IN_FLIGHT);
	if (o->refuses_piece)
		msrp_receiver_refuse(leg, 413, REASON_STORE);
	if (o->takes_at_once) {
		o->pieces--;
		msrp_receiver_taken(leg);
	}
}

static void on_whole(struct msrp_leg *leg, uint64_t offset, struct slice octets, void *arg)
{
	struct owner *o = owner_of(arg);

	assert_in_range(octets.n, 0, MSRP_PIECE_MAX);
	add(o, offset, octets);
	if (o->n < 64)
		tell(o, "whole[%.*s] ", (int)o->n, o->content);
	else
		tell(o, "whole[%zu] ", o->n);
	if (o->status)
		msrp_receiver_conclude(leg, o->status);
}

static void on_aborted(struct msrp_leg *leg, enum reason why, void *arg)
{
	tell(owner_of(arg), "aborted[%s] ", reason_label(why));
}

static const struct msrp_receiver_events receiver_events = { on_message, on_piece, on_whole, on_aborted };

static void begin_with(struct session *s, const struct msrp_receiver_options *options, const char *path)
{
	s->owner = (struct owner){ .status = 200, .takes_at_once = true };
	world_start(&s->w);
	s->a = side_open(&s->w, 0, path);
	assert_int_equal(msrp_receiver_attach(s->a->leg, options, &receiver_events, s), 0);
	s->alice = client_open(&s->w, 0);
	client_send(s->alice, HEAD("bind1234", "SEND") "Message-ID: bind\r\n-------bind1234$\r\n", PATHS(s->a));
	expect(&s->w, s->alice, "MSRP bind1234 200 OK");
	expect(&s->w, s->alice, "-------bind1234$\r\n");
	WAIT_FOR(&s->w, s->a->bound == 1);
}

static void begin(struct session *s, const struct msrp_receiver_options *options)
{
	world_init(&s->w, 1);
	begin_with(s, options, ALICE);
}

static void finish(struct session *s)
{
	world_end(&s->w);
	free(s->owner.content);
}

static void expect_told(struct session *s, const char *what, const char *told)
{
	uint64_t end = world_now_ms() + PATIENCE_MS;

	while (strcmp(s->owner.told, told) != 0) {
		CHECK(world_now_ms() < end, "%s: told \"%s\", not \"%s\"\n", what, s->owner.told, told);
		world_lap(&s->w);
	}
}

/* "m1 1-3/6 + abc": Message-ID, range ("-": none), flag, content ("": none, no Content-Type), more header lines. */
struct piece {
	const char *message, *range, *flag, *content, *lines;
};

static void send_piece(struct session *s, const struct piece *p, const char *id)
{
	client_send(s->alice, HEAD("%s", "SEND") "Message-ID: %s\r\n", id, PATHS(s->a), p->message);
	if (strcmp(p->range, "-") != 0)
		client_send(s->alice, "Byte-Range: %s\r\n", p->range);
	client_send(s->alice, "%s", p->lines ? p->lines : "");
	if (*p->content)
		client_send(s->alice, "%s\r\n%s\r\n", p->lines && strstr(p->lines, "Content-Type") ? "" : p->lines &&
			strstr(p->lines, "X-No-Type") ? "" : "Content-Type: text/plain\r\n", p->content);
	client_send(s->alice, "-------%s%s\r\n", id, p->flag);
}

#define TYPE "Content-Type: text/plain\r\n"

/* What is agreed: 8 octets exactly, or at most 12; of two types. */
static const struct {
	const char *what;
	uint64_t size, max;
	struct piece pieces[4];
	unsigned answers[5]; /* one each */
	const char *told;
} cases[] = {
	{ "a message in one chunk", 8, 0, { { "m1", "1-8/8", "$", "abcdefgh" } }, { 200 }, "begin[m1] whole[abcdefgh] " },
	{ "in two", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "4-8/8", "$", "defgh" } }, { 200, 200 },
		"begin[m1] whole[abcdefgh] " },
	{ "cut where it likes", 8, 0, { { "m1", "1-*/8", "+", "abc" }, { "m1", "4-*/8", "$", "defgh" } }, { 200, 200 },
		"begin[m1] whole[abcdefgh] " },
	{ "the end in a chunk of its own", 8, 0, { { "m1", "1-8/8", "+", "abcdefgh" }, { "m1", "9-8/8", "$", "" } }, { 200, 200 },
		"begin[m1] whole[abcdefgh] " },
	{ "the beginning, too", 8, 0, { { "m1", "1-0/8", "+", "", TYPE }, { "m1", "1-8/8", "$", "abcdefgh" } }, { 200, 200 },
		"begin[m1] whole[abcdefgh] " },
	{ "no range at all", 8, 0, { { "m1", "-", "$", "abcdefgh" } }, { 200 }, "begin[m1] whole[abcdefgh] " },
	{ "a total that comes late", 8, 0, { { "m1", "1-3/*", "+", "abc" }, { "m1", "4-8/8", "$", "defgh" } }, { 200, 200 },
		"begin[m1] whole[abcdefgh] " },
	{ "an interrupted chunk that had said more", 8, 0, { { "m1", "1-8/8", "+", "abc" }, { "m1", "4-8/8", "$", "defgh" } },
		{ 200, 200 }, "begin[m1] whole[abcdefgh] " },
	{ "no content", 0, 12, { { "m1", "1-0/0", "$", "", TYPE } }, { 200 }, "begin[m1] whole[] " },
	{ "nothing at all", 8, 0, { { "m1", "1-0/0", "$", "" }, { "m2", "-", "+", "" }, { "m3", "1-0/0", "#", "" } },
		{ 200, 200, 200 }, "" },
	{ "nothing, within a message", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "k1", "1-0/0", "$", "" },
		{ "m1", "4-8/8", "$", "defgh" } }, { 200, 200, 200 }, "begin[m1] whole[abcdefgh] " },
	{ "two messages", 0, 12, { { "m1", "1-3/3", "$", "abc" }, { "m2", "1-2/2", "$", "de" } }, { 200, 200 },
		"begin[m1] whole[abc] begin[m2] whole[de] " },
	{ "the same again", 0, 12, { { "m1", "1-3/3", "$", "abc" }, { "m1", "1-3/3", "$", "abc" } }, { 200, 200 },
		"begin[m1] whole[abc] begin[m1] whole[abc] " },
	{ "given up", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "4-*/8", "#", "de" }, { "m1", "6-8/8", "$", "fgh" } },
		{ 200, 200, 400 }, "begin[m1] aborted[msrp_aborted] " },
	{ "given up without a word more", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "4-3/8", "#", "" } }, { 200, 200 },
		"begin[m1] aborted[msrp_aborted] " },
	{ "given up and begun again", 8, 0, { { "m1", "1-3/8", "#", "abc" }, { "m1", "1-8/8", "$", "abcdefgh" } }, { 200, 200 },
		"begin[m1] aborted[msrp_aborted] begin[m1] whole[abcdefgh] " },
	/* ---- 400 ---- */
	{ "shorter than its offer said", 8, 0, { { "m1", "1-7/*", "$", "abcdefg" } }, { 400 }, "begin[m1] aborted[msrp_range] " },
	{ "shorter, and says so", 8, 0, { { "m1", "1-7/7", "$", "abcdefg" } }, { 400 }, "begin[m1] aborted[msrp_range] " },
	{ "shorter than itself", 0, 12, { { "m1", "1-8/8", "$", "abcdefg" } }, { 400 }, "begin[m1] aborted[msrp_range] " },
	{ "shorter, in two", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "4-7/8", "$", "defg" } }, { 200, 400 },
		"begin[m1] aborted[msrp_range] " },
	{ "longer than its range", 0, 12, { { "m1", "1-2/8", "+", "abc" }, { "m1", "4-8/8", "$", "defgh" } }, { 400, 400 },
		"begin[m1] aborted[msrp_range] " },
	{ "longer than its total", 0, 12, { { "m1", "1-*/2", "$", "abc" } }, { 400 }, "begin[m1] aborted[msrp_range] " },
	{ "a gap", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "5-8/8", "$", "efgh" } }, { 200, 400 },
		"begin[m1] aborted[msrp_range] " },
	{ "an overlap", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "3-8/8", "$", "cdefgh" } }, { 200, 400 },
		"begin[m1] aborted[msrp_range] " },
	{ "a repetition", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "1-3/8", "+", "abc" } }, { 200, 400 },
		"begin[m1] aborted[msrp_range] " },
	{ "the end first", 8, 0, { { "m1", "4-8/8", "$", "defgh" }, { "m1", "1-3/8", "+", "abc" } }, { 400, 200 }, "begin[m1] " },
	{ "a total that changes", 0, 12, { { "m1", "1-3/8", "+", "abc" }, { "m1", "4-8/9", "$", "defgh" } }, { 200, 400 },
		"begin[m1] aborted[msrp_range] " },
	{ "a total below what came", 0, 12, { { "m1", "1-3/*", "+", "abc" }, { "m1", "4-3/3", "+", "" }, { "m1", "4-2/2", "$", "" } },
		{ 200, 200, 400 }, "begin[m1] " },
	{ "content without type", 8, 0, { { "m1", "1-8/8", "$", "abcdefgh", "X-No-Type: 1\r\n" } }, { 400 }, "" },
	{ "content without type, later", 8, 0, { { "m1", "1-3/8", "+", "abc" },
		{ "m1", "4-8/8", "$", "defgh", "X-No-Type: 1\r\n" } }, { 200, 400 }, "begin[m1] aborted[syntax] " },
	{ "a range that makes no sense", 8, 0, { { "m1", "3-1/8", "$", "abcdefgh" } }, { 400 }, "" },
	/* ---- 413 ---- */
	{ "a total beyond the offer", 8, 0, { { "m1", "1-9/9", "$", "abcdefghi" } }, { 413 }, "" },
	{ "an end beyond the offer", 8, 0, { { "m1", "1-9/*", "$", "abcdefghi" } }, { 413 }, "" },
	{ "content beyond the offer", 8, 0, { { "m1", "1-*/*", "$", "abcdefghi" } }, { 413 }, "begin[m1] aborted[msrp_too_large] " },
	{ "beyond its total and the offer", 8, 0, { { "m1", "1-*/8", "$", "abcdefghi" } }, { 413 },
		"begin[m1] aborted[msrp_too_large] " },
	{ "beyond, in two, and more of it", 8, 0, { { "m1", "1-3/*", "+", "abc" }, { "m1", "4-*/*", "+", "defghi" },
		{ "m1", "10-*/*", "$", "j" } }, { 200, 413, 413 }, "begin[m1] aborted[msrp_too_large] " },
	{ "as many as are allowed", 0, 12, { { "m1", "1-*/*", "$", "abcdefghijkl" } }, { 200 }, "begin[m1] whole[abcdefghijkl] " },
	{ "one more", 0, 12, { { "m1", "1-*/*", "$", "abcdefghijklm" } }, { 413 }, "begin[m1] aborted[msrp_too_large] " },
	{ "begun where there is nothing any more", 0, 12, { { "m1", "14-*/*", "$", "" } }, { 400 }, "" },
	{ "one within another", 0, 12, { { "m1", "1-3/8", "+", "abc" }, { "m2", "1-2/2", "$", "zz" }, { "m2", "1-2/2", "$", "zz" },
		{ "m1", "4-8/8", "$", "defgh" } }, { 200, 413, 413, 200 }, "begin[m1] whole[abcdefgh] " },
	/* ---- 415 ---- */
	{ "a type that was not asked for", 8, 0, { { "m1", "1-3/8", "+", "abc", "Content-Type: text/html\r\n" },
		{ "m1", "4-8/8", "$", "defgh" } }, { 415, 415 }, "" },
	{ "a type among the others", 0, 12, { { "m1", "1-3/3", "$", "abc", "Content-Type: Image/PNG;x=1\r\n" } }, { 200 },
		"begin[m1] whole[abc] " },
	{ "a type that changes", 8, 0, { { "m1", "1-3/8", "+", "abc" }, { "m1", "4-8/8", "$", "defgh",
		"Content-Type: text/html\r\n" } }, { 200, 415 }, "begin[m1] aborted[msrp_content_type] " },
	/* ---- who is answered ---- */
	{ "no answers wanted", 8, 0, { { "m1", "1-3/8", "+", "abc", "Failure-Report: no\r\n" },
		{ "m1", "4-8/8", "$", "defgh", "Failure-Report: no\r\n" } }, { 0 }, "begin[m1] whole[abcdefgh] " },
	{ "not of errors either", 8, 0, { { "m1", "1-9/9", "$", "abcdefghi", "Failure-Report: no\r\n" } }, { 0 }, "" },
	{ "errors only", 8, 0, { { "m1", "1-8/8", "$", "abcdefgh", "Failure-Report: partial\r\n" },
		{ "m2", "1-9/9", "$", "abcdefghi", "Failure-Report: partial\r\n" } }, { 413 }, "begin[m1] whole[abcdefgh] " },
};

static void expect_status(struct session *s, const char *what, unsigned status)
{
	uint64_t end = world_now_ms() + PATIENCE_MS;
	struct chunk chunk = { .flag = 0 };
	size_t used = 0;

	while (!chunk_scan(s->alice, &chunk, &used)) {
		CHECK(world_now_ms() < end, "%s: no answer %u\n", what, status);
		world_lap(&s->w);
	}
	s->alice->seen += used;
	CHECK(strtoul(chunk.what, NULL, 10) == status, "%s: not %u but %s\n", what, status, chunk.what);
}

static void play(struct session *s, size_t i)
{
	const char *what = cases[i].what;
	char id[16];

	s->owner.told[0] = 0;
	for (unsigned j = 0; j < 4 && cases[i].pieces[j].message; j++) {
		snprintf(id, sizeof(id), "tid%u", 1000 + j);
		send_piece(s, &cases[i].pieces[j], id);
	}
	for (unsigned j = 0; cases[i].answers[j]; j++)
		expect_status(s, what, cases[i].answers[j]);
	expect_told(s, what, cases[i].told);
	client_send(s->alice, HEAD("last", "SEND") "Message-ID: last\r\n-------last$\r\n", PATHS(s->a));
	expect_answer(&s->w, s->alice, s->a, "last", "200 OK"); /* and nothing before it */
}

static void each_chunk_gets_its_answer(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session s;
		begin(&s, &(struct msrp_receiver_options){ .size = cases[i].size, .max_octets = cases[i].max,
			.types = SLICE("text/plain image/* ") });
		play(&s, i);
		finish(&s);
	}
}

static void what_the_owner_says(void **state)
{
	struct session s;

	begin(&s, &(struct msrp_receiver_options){ 0 });
	s.owner.refusal = 403;
	send_piece(&s, &(struct piece){ "m1", "1-3/3", "$", "abc", NULL }, "tid1");
	expect_answer(&s.w, s.alice, s.a, "tid1", "403 Forbidden");
	assert_int_equal(world_refused(&s.w, REASON_STORE_BUSY), 1);
	s.owner.refusal = 0;
	s.owner.status = 0;
	send_piece(&s, &(struct piece){ "m2", "1-3/3", "$", "abc", "Success-Report: yes\r\n" }, "tid2");
	expect_told(&s, "held back", "begin[m2] whole[abc] ");
	expect_nothing(&s.w, s.alice); /* until it is committed */
	assert_true(msrp_receiver_is_open(s.a->leg));
	msrp_receiver_conclude(s.a->leg, 200);
	assert_false(msrp_receiver_is_open(s.a->leg));
	expect_answer(&s.w, s.alice, s.a, "tid2", "200 OK");
	expect(&s.w, s.alice, " REPORT\r\nTo-Path: " ALICE "\r\n");
	expect(&s.w, s.alice, "Message-ID: m2\r\nByte-Range: 1-3/3\r\nStatus: 000 200 OK\r\n");
	expect(&s.w, s.alice, "$\r\n");
	send_piece(&s, &(struct piece){ "m3", "1-3/3", "$", "abc", "Success-Report: yes\r\n" }, "tid3");
	expect_told(&s, "again", "begin[m2] whole[abc] begin[m3] whole[abc] ");
	msrp_receiver_conclude(s.a->leg, 413);
	expect_answer(&s.w, s.alice, s.a, "tid3", "413 Stop Sending");
	expect_nothing(&s.w, s.alice); /* no REPORT */
	assert_int_equal(COUNTED(&s.w, msrp_messages_received), 1);
	assert_int_equal(msrp_leg_messages(s.a->leg), 1);
	finish(&s);
}

static void a_relay_gets_the_answer_and_the_peer_the_report(void **state)
{
	struct session s;

	world_init(&s.w, 1);
	begin_with(&s, &(struct msrp_receiver_options){ 0 }, RELAY);
	send_piece(&s, &(struct piece){ "m1", "1-3/3", "$", "abc", "Success-Report: yes\r\n" }, "tid1");
	expect(&s.w, s.alice, "MSRP tid1 200 OK\r\nTo-Path: msrp://relay.example:1/r;tcp\r\n");
	expect(&s.w, s.alice, " REPORT\r\nTo-Path: " RELAY "\r\n");
	finish(&s);
}

/* ---- pieces ---- */

static char *make_content(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = i % 61 == 60 ? '\n' : (char)('a' + i * 31 % 26);
	return p;
}

static void send_long(struct session *s, const char *p, size_t n)
{
	client_send(s->alice, HEAD("long", "SEND") "Message-ID: long\r\nByte-Range: 1-*/%zu\r\n" TYPE "\r\n", PATHS(s->a), n);
	client_send_n(s->alice, p, n);
	client_send(s->alice, "\r\n-------long$\r\n");
}

/* Also of exactly so many octets that nothing is left for the last piece. */
static void long_content_comes_in_pieces(void **state)
{
	static const size_t sizes[] = { MSRP_PIECE_MAX - 1, MSRP_PIECE_MAX, MSRP_PIECE_MAX + 1, 3 * MSRP_PIECE_MAX,
		KB(2000) + 17 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct session s;
		char *p = make_content(sizes[i]);
		begin(&s, &(struct msrp_receiver_options){ .size = sizes[i] });
		send_long(&s, p, sizes[i]);
		expect_answer(&s.w, s.alice, s.a, "long", "200 OK");
		assert_int_equal(s.owner.n, sizes[i]);
		assert_memory_equal(s.owner.content, p, sizes[i]);
		assert_int_equal(msrp_leg_octets(s.a->leg), sizes[i]);
		finish(&s);
		free(p);
	}
}

static void who_does_not_take_is_not_fed(void **state)
{
	const size_t n = KB(8192); /* more than sockets take */
	struct session s;
	char *p = make_content(n);

	begin(&s, &(struct msrp_receiver_options){ .max_octets = n });
	s.owner.takes_at_once = false;
	setsockopt(s.alice->fd, SOL_SOCKET, SO_SNDBUF, &(int){ KB(64) }, sizeof(int));
	send_long(&s, p, n);
	WAIT_FOR(&s.w, COUNTED(&s.w, msrp_rx_paused) == 1);
	world_run_ms(&s.w, 30);
	assert_int_equal(s.owner.n, MSRP_PIECES_IN_FLIGHT * MSRP_PIECE_MAX);
	assert_true(s.alice->out_n > 0); /* TCP holds the sender */
	while (!strstr(s.owner.told, "whole")) {
		if (s.owner.pieces) {
			s.owner.pieces--;
			msrp_receiver_taken(s.a->leg);
		}
		world_lap(&s.w);
	}
	expect_answer(&s.w, s.alice, s.a, "long", "200 OK");
	assert_memory_equal(s.owner.content, p, n);
	while (s.owner.pieces--)
		msrp_receiver_taken(s.a->leg);
	finish(&s);
	free(p);
}

/* What is given up is not handed on, and the connection is read again. */
static void given_up_by_its_owner(void **state)
{
	const size_t n = KB(2048);
	struct session s;
	char *p = make_content(n);

	begin(&s, &(struct msrp_receiver_options){ 0 });
	s.owner.refuses_piece = true;
	send_long(&s, p, n);
	expect_answer(&s.w, s.alice, s.a, "long", "413 Stop Sending");
	expect_told(&s, "refused in a piece", "begin[long] ");
	assert_int_equal(world_refused(&s.w, REASON_STORE), 1);
	s.owner.refuses_piece = s.owner.takes_at_once = false;
	s.owner.told[0] = 0;
	client_send(s.alice, HEAD("half", "SEND") "Message-ID: half\r\n" TYPE "\r\n", PATHS(s.a));
	client_send_n(s.alice, p, n);
	WAIT_FOR(&s.w, s.owner.pieces == MSRP_PIECES_IN_FLIGHT && COUNTED(&s.w, msrp_rx_paused));
	msrp_receiver_refuse(s.a->leg, 408, REASON_STORE);
	expect_answer(&s.w, s.alice, s.a, "half", "408 Request Timeout");
	client_send(s.alice, "\r\n-------half$\r\n");
	while (s.owner.pieces--)
		msrp_receiver_taken(s.a->leg);
	s.owner.status = 0; /* whole, and refused before it is concluded */
	send_piece(&s, &(struct piece){ "m3", "1-3/3", "$", "abc", NULL }, "tid3");
	expect_told(&s, "whole", "begin[half] begin[m3] whole[abc] ");
	msrp_receiver_refuse(s.a->leg, 408, REASON_STORE);
	expect_answer(&s.w, s.alice, s.a, "tid3", "408 Request Timeout");
	msrp_receiver_refuse(s.a->leg, 408, REASON_STORE); /* nothing is there to refuse */
	expect_nothing(&s.w, s.alice);
	finish(&s);
	free(p);
}

static void a_lost_connection_ends_it(void **state)
{
	struct session s;

	begin(&s, &(struct msrp_receiver_options){ 0 });
	send_piece(&s, &(struct piece){ "m1", "1-3/9", "+", "abc", NULL }, "tid1");
	expect_answer(&s.w, s.alice, s.a, "tid1", "200 OK");
	client_close(s.alice);
	WAIT_FOR(&s.w, s.a->lost == 1);
	expect_told(&s, "lost", "begin[m1] aborted[msrp_leg_lost] ");
	finish(&s);

	begin(&s, &(struct msrp_receiver_options){ 0 }); /* whole ones are concluded all the same */
	s.owner.status = 0;
	send_piece(&s, &(struct piece){ "m1", "1-3/3", "$", "abc", "Success-Report: yes\r\n" }, "tid1");
	expect_told(&s, "whole", "begin[m1] whole[abc] ");
	client_close(s.alice);
	WAIT_FOR(&s.w, s.a->lost == 1);
	msrp_receiver_conclude(s.a->leg, 200);
	assert_string_equal(s.owner.told, "begin[m1] whole[abc] ");
	finish(&s);
}

/* A connection with another session on it is not stopped: what may wait is bounded instead. */
static void on_a_shared_connection(void **state)
{
	const size_t n = KB(2048);
	struct side *far;
	struct session s;
	char *p = make_content(n);

	begin(&s, &(struct msrp_receiver_options){ 0 });
	far = side_open(&s.w, 0, "msrp://carol.example:1/c;tcp");
	assert_int_equal(msrp_receiver_attach(far->leg, &(struct msrp_receiver_options){ 0 }, &receiver_events, &s), 0);
	bind_side(&s.w, s.alice, far);
	s.owner.takes_at_once = false;
	send_long(&s, p, n);
	expect_answer(&s.w, s.alice, s.a, "long", "408 Request Timeout");
	expect_told(&s, "too much", "begin[long] aborted[queue_full] ");
	assert_int_equal(COUNTED(&s.w, msrp_rx_paused), 0);
	while (s.owner.pieces) {
		s.owner.pieces--;
		msrp_receiver_taken(s.a->leg);
	}
	bind_side(&s.w, s.alice, far); /* the other session goes on */
	finish(&s);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_chunk_gets_its_answer),
		cmocka_unit_test(what_the_owner_says),
		cmocka_unit_test(a_relay_gets_the_answer_and_the_peer_the_report),
		cmocka_unit_test(long_content_comes_in_pieces),
		cmocka_unit_test(who_does_not_take_is_not_fed),
		cmocka_unit_test(given_up_by_its_owner),
		cmocka_unit_test(a_lost_connection_ends_it),
		cmocka_unit_test(on_a_shared_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
