#include "tests/sim/rfc4975_play.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"

#define REST_US     60       /* longer than octets travel here */
#define PATIENCE_MS 1000     /* what does not come within that does not come by itself */
#define GIVE_UP_MS  35000    /* longer than a transaction lasts */
#define TRIES_MAX   60
#define RELAY       "msrp://relay.example.com:2855/relay7;tcp"

/* A session whose clients' MSRP is ours. */
struct stage {
	struct world *w;
	const struct show *show;
	struct ua *users[2];
	struct call *calls[2];   /* NULL: none is open */
	struct call *carrier;    /* the session that its connections had first, or NULL */
	struct link *links[TABLE_SIDES];
	struct side_names names[2];
	jmp_buf out;             /* where a surprise without memory ends */
	bool is_lost;            /* a play ended with the connection that was to end */
	unsigned fresh;
	size_t lengths[TABLE_STEPS_MAX]; /* octets of each write, when it was played last */
};

/* How a case is played. */
struct way {
	size_t cut_step, cut_at; /* cut_at 0: nothing is cut */
	bool is_octet_by_octet, are_writes_short, is_lost;
};

/* Goes on only where memory is there. */
static void leave_if_short(struct stage *s)
{
	if (s->w->is_memory_short)
		longjmp(s->out, 1);
}

_Noreturn static void fail(struct stage *s, const struct step *step, const struct way *way, const char *what, struct slice octets, size_t wrong_at)
{
	char shown[8192];
	struct buffer out = buffer_over(shown, sizeof(shown) - 5);

	leave_if_short(s);
	for (size_t i = 0; i < octets.n && !out.overflow; i++) {
		if (i == wrong_at)
			buffer_lit(&out, " >>> ");
		if (isprint((unsigned char)octets.p[i]) || octets.p[i] == '\n')
			buffer_char(&out, octets.p[i]);
		else if (octets.p[i] != '\r')
			buffer_printf(&out, "\\x%02x", (unsigned char)octets.p[i]);
	}
	world_fail(s->w, "line %u, %s%zu at %zu: %s%.*s", step->line_number,
		way->is_octet_by_octet ? "octet by octet, " : way->is_lost ? "lost in step " : way->are_writes_short ? "writes cut short, " : "step ",
		way->cut_step, way->cut_at, what, SLICE_ARG(buffer_slice(&out)));
}

/* ---- the session ---- */

static void split_uri(const char *uri, char *host, size_t host_size, char *id, size_t id_size)
{
	struct slice rest, authority = slice_cut(slice_skip(slice_str(uri), strlen("msrp://")), '/', &rest);

	rest = slice_cut(rest, ';', NULL);
	snprintf(host, host_size, "%.*s", SLICE_ARG(authority));
	snprintf(id, id_size, "%.*s", SLICE_ARG(rest));
}

static void name_side(struct side_names *names, const struct leg *leg)
{
	struct slice first = slice_cut(slice_str(leg->path), ' ', NULL);

	snprintf(names->to, sizeof(names->to), "%s", leg->remote);
	snprintf(names->me, sizeof(names->me), "%s", leg->path);
	snprintf(names->me1, sizeof(names->me1), "%.*s", SLICE_ARG(first));
	split_uri(names->to, names->host, sizeof(names->host), names->id, sizeof(names->id));
	split_uri(names->me1, names->my_host, sizeof(names->my_host), names->my_id, sizeof(names->my_id));
	for (size_t i = 0; i < sizeof(names->id); i++)
		names->ID[i] = (char)toupper((unsigned char)names->id[i]);
}

static bool has_come(void *arg)
{
	struct stage *s = arg;
	const struct link *link = ua_raw_accepted(s->users[1]);

	return link && !link->is_dead;
}

static bool is_acknowledged(void *arg)
{
	struct stage *s = arg;

	s->calls[1] = s->calls[0]->far;
	return s->calls[1] && s->calls[0]->is_acked && s->calls[1]->is_acked && s->calls[0]->leg->remote[0];
}

static void play(struct stage *s, const struct table_case *c, const struct way *way);

static void bind_side(struct stage *s, unsigned side)
{
	struct slice lines[] = { SLICE("MSRP {t} SEND"), SLICE("{paths}"), SLICE("Message-ID: {m}"), SLICE("-------{t}$") };
	struct slice answer = SLICE("{answer {t} 200}");
	struct step steps[] = {
		{ .kind = STEP_WRITES, .side = side, .lines = lines, .line_count = 4 },
		{ .kind = STEP_HEARS, .side = side, .lines = &answer, .line_count = 1 },
	};

	if (!s->links[side])
		s->links[side] = ua_raw_connect(s->users[side]);
	play(s, &(struct table_case){ .steps = steps, .step_count = 2 }, &(struct way){ 0 });
}

/* Its plays come to need new registrations and refreshed sessions. */
static bool takes_time(const struct table_case *c)
{
	for (size_t i = 0; i < c->step_count; i++)
		if (c->steps[i].kind == STEP_AFTER)
			return true;
	return false;
}

static void invite(struct stage *s)
{
	s->calls[0] = ua_invite(s->users[0], s->users[1]);
	if (!world_until(s->w, is_acknowledged, s, PATIENCE_MS)) {
		leave_if_short(s);
		world_fail(s->w, "the session does not come about");
	}
	for (unsigned i = 0; i < 2; i++)
		name_side(&s->names[i], s->calls[i]->leg);
}

static void hang_up(struct call *call)
{
	if (!call->is_over)
		ua_bye(call);
	expect_over(call);
}

/* Sessions are opened on the connections of a first one until one belongs to another worker. */
static void open_foreign(struct stage *s)
{
	uint64_t before = world_counter(s->w, COUNTER_msrp_foreign_chunks);

	invite(s);
	s->carrier = s->calls[0];
	bind_side(s, 0);
	bind_side(s, 1);
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		invite(s);
		bind_side(s, 0);
		bind_side(s, 1);
		if (world_counter(s->w, COUNTER_msrp_foreign_chunks) > before)
			return;
		hang_up(s->calls[0]);
	}
	leave_if_short(s);
	world_fail(s->w, "all sessions belong to one worker");
}

static void open_session(struct stage *s)
{
	const struct table_case *c = s->show->c;

	for (unsigned i = 0; i < 2 && takes_time(c); i++)
		expect_status(ua_register(s->users[i], 3600), 200);
	if (s->show->is_foreign) {
		open_foreign(s);
		return;
	}
	invite(s);
	for (unsigned i = 0; i < 2; i++) {
		if (c->is_unbound[i])
			s->links[i] = ua_raw_connect(s->users[i]);
		else if (i == 0 || !c->is_passive)
			bind_side(s, i);
	}
	if (!c->is_passive)
		return;
	if (!world_until(s->w, has_come, s, PATIENCE_MS)) {
		leave_if_short(s);
		world_fail(s->w, "the server does not connect");
	}
	s->links[1] = ua_raw_accepted(s->users[1]);
}

static void close_session(struct stage *s)
{
	for (unsigned i = 0; i < TABLE_SIDES; i++) {
		if (s->links[i])
			ua_link_close(s->links[i]);
		s->links[i] = NULL;
	}
	hang_up(s->calls[0]);
	if (s->carrier)
		hang_up(s->carrier);
	s->calls[0] = s->calls[1] = s->carrier = NULL;
}

/* ---- steps ---- */

static void lose_link(struct stage *s, unsigned side, bool is_reset)
{
	struct link *link = s->links[side];

	if (is_reset && !link->is_dead)
		sim_reset(s->w->sim, link->fd);
	else
		ua_link_close(link);
	s->links[side] = NULL;
	s->is_lost = true;
}

static void write_step(struct stage *s, struct play *p, const struct step *step, const struct way *way, size_t *length)
{
	size_t cut = way->cut_at && length == &s->lengths[way->cut_step] ? way->cut_at : 0;
	struct slice all = play_octets(p, step), left = all;

	*length = all.n;
	if (step->side == 2 && !s->links[2])
		s->links[2] = ua_raw_connect(s->users[0]);
	while (left.n) {
		size_t n = way->is_octet_by_octet ? 1 : cut && left.n == all.n ? cut : left.n;
		ua_link_write(s->links[step->side], slice_of(left.p, n));
		left = slice_skip(left, n);
		if (left.n)
			world_us(s->w, REST_US);
		if (cut && way->is_lost) {
			lose_link(s, step->side, cut % 2);
			break;
		}
	}
	free((void *)all.p);
}

struct overhearing {
	struct play *play;
	const struct step *step;
	struct link *link;
	enum match match;
	size_t used, looked_at;
};

static bool has_heard(void *arg)
{
	struct overhearing *h = arg;

	if (h->looked_at == h->link->in_n)
		return h->link->is_dead;
	h->looked_at = h->link->in_n;
	h->match = play_match(h->play, h->step, slice_of(h->link->in, h->link->in_n), &h->used);
	return h->match != MATCH_MORE || h->link->is_dead;
}

static void hear_step(struct stage *s, struct play *p, const struct step *step, const struct way *way)
{
	struct link *link = s->links[step->side];
	struct overhearing h = { p, step, link, MATCH_MORE, 0, 0 };

	world_until(s->w, has_heard, &h, PATIENCE_MS);
	if (h.match != MATCH_WHOLE) {
		world_us(s->w, 1000 * REST_US); /* what follows tells more */
		fail(s, step, way, h.match == MATCH_MORE ? link->is_dead ? "closed after: " : "no more than: " : "got: ",
			slice_of(link->in, link->in_n < h.used + 900 ? link->in_n : h.used + 900), h.used);
	}
	link->in_n -= h.used;
	memmove(link->in, link->in + h.used, link->in_n);
}

static bool is_dead(void *arg)
{
	return ((const struct link *)arg)->is_dead;
}

static void is_closed_step(struct stage *s, const struct step *step, const struct way *way)
{
	struct link *link = s->links[step->side];

	if (!world_until(s->w, is_dead, link, PATIENCE_MS))
		fail(s, step, way, "not closed", SLICE_EMPTY, 0);
	if (link->in_n)
		fail(s, step, way, "before the end came: ", slice_of(link->in, link->in_n), 0);
	s->links[step->side] = NULL;
}

static bool have_bye(void *arg)
{
	struct stage *s = arg;

	return s->calls[0]->got_bye && s->calls[1]->got_bye;
}

static void play_step(struct stage *s, struct play *p, const struct step *step, const struct way *way, size_t *length)
{
	switch (step->kind) {
	case STEP_WRITES:
		write_step(s, p, step, way, length);
		break;
	case STEP_HEARS:
		hear_step(s, p, step, way);
		break;
	case STEP_IS_CLOSED:
		is_closed_step(s, step, way);
		break;
	case STEP_CLOSES:
		ua_link_close(s->links[step->side]);
		s->links[step->side] = NULL;
		break;
	case STEP_OVER:
		if (!world_until(s->w, have_bye, s, 60000))
			fail(s, step, way, "no BYE", SLICE_EMPTY, 0);
		break;
	case STEP_AFTER:
		world_ms(s->w, 1000ull * step->seconds);
		break;
	case STEP_THEN:
		world_us(s->w, REST_US);
		break;
	}
}

static void play(struct stage *s, const struct table_case *c, const struct way *way)
{
	struct play p = { .sides = s->names, .fresh = &s->fresh };
	size_t unused;

	sim_settings(s->w->sim)->short_write = way->are_writes_short ? 900 : 0;
	for (size_t i = 0; i < c->step_count && !s->is_lost; i++)
		play_step(s, &p, &c->steps[i], way, c == s->show->c ? &s->lengths[i] : &unused);
	for (size_t i = 0; i < p.name_count; i++)
		for (size_t k = 0; k < i; k++)
			if (p.names[i].was_heard && p.names[k].was_heard && p.names[i].n == p.names[k].n &&
				memcmp(p.names[i].octets, p.names[k].octets, p.names[i].n) == 0)
				world_fail(s->w, "a transaction id twice");
	if (s->links[2])
		ua_link_close(s->links[2]);
	s->links[2] = NULL;
	++*s->show->plays;
}

/* ---- a case in all ways ---- */

static bool has_setup(const struct table_case *c)
{
	return c->is_unbound[0] || c->is_unbound[1] || c->is_passive || c->has_relay;
}

bool show_can_be_foreign(const struct table_case *c)
{
	for (size_t i = 0; i < c->step_count; i++)
		for (size_t k = 0; k < c->steps[i].line_count && c->steps[i].kind == STEP_HEARS; k++)
			if (slice_starts(c->steps[i].lines[k], SLICE("Byte-Range: ")) &&
				memmem(c->steps[i].lines[k].p, c->steps[i].lines[k].n, "-*/", 3))
				return false;
	return !has_setup(c);
}

static void probe(struct stage *s)
{
	const struct table_case *c = s->show->c;

	for (unsigned i = 0; i < 2 && !has_setup(c); i++)
		play(s, s->show->probes[i], &(struct way){ 0 });
	for (unsigned i = 0; i < 2; i++)
		if (s->links[i] && s->links[i]->in_n) {
			leave_if_short(s);
			world_fail(s->w, "more came: %.*s", (int)s->links[i]->in_n, s->links[i]->in);
		}
}

static bool is_alone(const struct table_case *c)
{
	return has_setup(c) || takes_time(c) || !table_case_lives(c);
}

static void play_one_way(struct stage *s, const struct way *way)
{
	const struct table_case *c = s->show->c;

	if (!s->calls[0])
		open_session(s);
	play(s, c, way);
	if (!is_alone(c) && !s->is_lost)
		return;
	if (table_case_lives(c) && !s->is_lost)
		probe(s);
	close_session(s);
	s->is_lost = false;
}

/* The way with this number; the lengths of writes are known.  False: there are not so many. */
static bool find_way(const struct stage *s, size_t number, struct way *way)
{
	const struct table_case *c = s->show->c;

	*way = (struct way){ .is_octet_by_octet = number == 0, .are_writes_short = number == 1 };
	if (number < 2)
		return true;
	number -= 2;
	for (size_t i = 0; i < c->step_count; i++) {
		size_t cuts = c->steps[i].kind == STEP_WRITES ? s->lengths[i] - 1 : 0;
		if (number < cuts) {
			*way = (struct way){ .cut_step = i, .cut_at = number + 1, .is_lost = s->show->is_lost };
			return true;
		}
		number -= cuts;
	}
	return false;
}

static void set_manners(struct stage *s)
{
	const struct table_case *c = s->show->c;

	for (unsigned i = 0; i < 2; i++)
		s->users[i]->manners = (struct manners){ .never_connects = true, .is_raw = true, .setup = SETUP_ACTIVE };
	if (c->has_relay)
		s->users[1]->manners.relay = RELAY;
	if (c->is_passive)
		s->users[1]->manners.setup = SETUP_PASSIVE;
}

/* Who rang and said no more would be waited for. */
static void give_up(struct stage *s)
{
	struct call *calls[] = { s->calls[0], s->carrier };

	for (unsigned i = 0; i < 2; i++)
		if (calls[i] && !calls[i]->is_over)
			ua_cancel(calls[i]);
	world_ms(s->w, GIVE_UP_MS);
}

/* As many ways of the case as this world gets.  Not inline: its variables do not live in the frame of setjmp(). */
__attribute__((noinline)) static void play_ways(struct stage *s)
{
	const struct show *show = s->show;
	size_t most = show->most ? show->most : is_alone(show->c) || show->is_lost ? 60 : 600;
	struct way way = { 0 };

	play_one_way(s, &way);
	for (size_t i = 0; i < most && find_way(s, *show->next_way, &way); i++, *show->next_way += show->stride)
		play_one_way(s, &way);
	if (!find_way(s, *show->next_way, &way))
		*show->next_way = SHOW_ALL_WAYS;
	if (s->calls[0]) {
		probe(s);
		close_session(s);
	}
}

/* False: it ended with a surprise, and there was no memory. */
static bool play_all(struct stage *s)
{
	if (setjmp(s->out))
		return false;
	play_ways(s);
	return true;
}

void show_play(struct world *w)
{
	struct stage stage = { .w = w, .show = (const struct show *)w->scenario }, *s = &stage;
	struct sim_options *o = sim_settings(w->sim);

	o->latency_min_us = o->latency_max_us = 20;
	o->spike = o->short_write = o->short_read = o->late = 0;
	o->is_whole = true;
	s->users[0] = ua_registered(w, "alice");
	s->users[1] = ua_registered(w, "bob");
	set_manners(s);
	if (!play_all(s))
		give_up(s);
}
