/*
 * Several m= lines of one INVITE: the second and each further one that goes one
 * way is an MSRP session of its own, a leg on each side, paired like the
 * session's own (F22; RFC 5547 8).  The called side takes or declines each
 * line.  Whatever the session needs one leg for - binding, reattaching, the
 * path in what is kept - it has in side->leg, which is the first line that was
 * taken, and when that is over, another that still runs.
 */
#include "actors/session_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"

static struct session_files *make(unsigned count)
{
	struct session_files *files = calloc(1, sizeof(*files) + count * sizeof(files->at[0]));

	if (files)
		files->count = count;
	return files;
}

void session_files_free(struct session_files *files)
{
	for (unsigned i = 0; files && i < files->count; i++)
		if (files->at[i].leg)
			msrp_leg_close(files->at[i].leg);
	free(files);
}

static int open_leg(struct side *side, struct session_file *file, const struct sip_flow *flow, bool is_secure,
	struct slice path)
{
	struct worker *worker = side->session->im->worker;
	struct sockaddr_storage local;

	session_leg_address(worker, flow, is_secure, path, &local);
	return msrp_leg_open(&file->leg, worker, &local, is_secure, &session_leg_events, side);
}

/* ---- the offer to B ---- */

int session_files_offer(struct side *b, const struct sip_flow *flow, const struct session_further *lines)
{
	if (lines->count == 0)
		return 0;
	b->files = make(lines->count);
	if (!b->files)
		return ENOMEM;
	for (unsigned i = 0; i < lines->count; i++) {
		struct session_file *file = &b->files->at[i];
		file->line = (uint8_t)(i + 1);
		int err = open_leg(b, file, flow, session_sdp_is_secure(lines->media[i]), SLICE_EMPTY);
		if (err)
			return err;
	}
	return 0;
}

unsigned session_files_lines(const struct session_files *files, const struct session_further *lines,
	struct session_line *more)
{
	for (unsigned i = 0; files && i < files->count; i++)
		more[i] = (struct session_line){ lines->media[i], NULL, SDP_SETUP_ACTPASS, files->at[i].leg };
	return files ? files->count : 0;
}

/* ---- what a side says of one line ---- */

static const struct sdp_media *line_of(const struct sdp *sdp, unsigned line)
{
	const struct sdp_media *media = line < sdp->media_count ? &sdp->media[line] : NULL;

	return media && session_sdp_is_usable(sdp, media) ? media : NULL;
}

/* False: we may not connect there, or no memory. */
static bool attach(const struct side *side, struct session_file *file, const struct session_peer *said)
{
	struct msrp_peer peer;

	if (!session_sdp_peer(side->session->im, said, &peer)) {
		REFUSED(&side->session->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		return false;
	}
	return msrp_leg_is_bound_to(file->leg, &peer) || msrp_leg_set_peer(file->leg, &peer) == 0;
}

/* What the side was told last has these lines rejected from now on. */
static bool keep_declined(struct side *side, uint32_t lines, const char *appended)
{
	char text[SDP_TEXT_MAX], before[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	sdp_text_with_declined(&out, session_sdp_of(side, before), lines);
	buffer_str(&out, appended);
	return !out.overflow && session_keep_sdp(side, buffer_slice(&out));
}

/* The leg of `file` is the session's own from here on; what is kept is packed by its path. */
static bool change_places(struct side *side, struct session_file *file)
{
	char room[SDP_TEXT_MAX];
	struct slice kept = session_sdp_of(side, room);
	struct session_file other = { side->leg, side->line, side->is_bound };
	char text[SDP_TEXT_MAX];

	memcpy(text, kept.p, kept.n);
	side->leg = file->leg;
	side->line = file->line;
	side->is_bound = file->is_bound;
	*file = other;
	return session_set_sdp(side, slice_of(text, kept.n));
}

/* ---- B's answer ---- */

/* The first line that he took.  False: none of those that were offered. */
static bool choose_main(struct side *b, const struct sdp *answer, const struct sdp_media **media)
{
	unsigned line = 0;

	while (line <= b->files->count && !line_of(answer, line))
		line++;
	if (line > b->files->count)
		return false;
	*media = line_of(answer, line);
	return line == 0 || change_places(b, &b->files->at[line - 1]);
}

bool session_files_answered(struct side *b, const struct sdp *answer, const struct sdp_media **media,
	const struct sockaddr_storage *from)
{
	uint32_t declined = 0;

	if (!choose_main(b, answer, media))
		return false;
	for (unsigned i = 0; i < b->files->count; i++) {
		struct session_file *file = &b->files->at[i];
		const struct sdp_media *said = line_of(answer, file->line);
		if (said && attach(b, file, &(struct session_peer){ answer, said, true, from, b->identity }))
			continue;
		declined |= 1u << file->line;
		session_close_one_leg(b->session, &file->leg);
	}
	return !declined || keep_declined(b, declined, "");
}

/* ---- our answer to A ---- */

static const struct sdp_media *offered_line(const struct session_further *further, const struct sdp_media *first,
	unsigned line_of_b)
{
	return line_of_b == 0 ? first : further->media[line_of_b - 1];
}

const struct sdp_media *session_files_main(const struct session *s, const struct sdp *offer,
	const struct sdp_media *first)
{
	struct session_further further;

	if (!s->b.files)
		return first;
	session_sdp_further(offer, first, &further);
	return offered_line(&further, first, s->b.line);
}

/* A's end of what B took; false: no memory.  What A may not have is B's no longer either. */
static bool accept_one(struct session *s, unsigned i, const struct sdp *offer, const struct sdp_media *offered)
{
	struct session_file *file = &s->a.files->at[i];
	struct sockaddr_storage from = { 0 };

	file->line = (uint8_t)(offered - offer->media);
	if (!s->b.files->at[i].leg)
		return true;
	sip_flow_get_peer(sip_server_flow(s->invite), &from);
	if (open_leg(&s->a, file, sip_server_flow(s->invite), session_sdp_is_secure(offered), offered->path) != 0)
		return false;
	if (attach(&s->a, file, &(struct session_peer){ offer, offered, false, &from, s->a.identity }))
		return true;
	session_close_one_leg(s, &file->leg);
	session_close_one_leg(s, &s->b.files->at[i].leg);
	return true;
}

int session_files_accept(struct session *s, const struct sdp *answer, const struct sdp *offer,
	const struct sdp_media *main, struct session_line more[SDP_MEDIA_MAX])
{
	struct session_further further;
	int count = 0;

	if (!s->b.files)
		return 0;
	session_sdp_further(offer, main, &further);
	s->a.line = (uint8_t)(offered_line(&further, main, s->b.line) - offer->media);
	s->a.files = make(s->b.files->count);
	if (!s->a.files)
		return -1;
	for (unsigned i = 0; i < s->a.files->count; i++) {
		const struct session_file *theirs = &s->b.files->at[i];
		const struct sdp_media *offered = offered_line(&further, main, theirs->line);
		if (!accept_one(s, i, offer, offered))
			return -1;
		if (s->a.files->at[i].leg)
			more[count++] = (struct session_line){ line_of(answer, theirs->line), offered,
				session_sdp_answer_setup(offer, offered), s->a.files->at[i].leg };
	}
	return count;
}

void session_files_pair(struct session *s)
{
	for (unsigned i = 0; s->a.files && i < s->a.files->count; i++)
		if (s->a.files->at[i].leg)
			msrp_leg_pair(s->a.files->at[i].leg, s->b.files->at[i].leg);
}

/* ---- offers inside the dialog ---- */

static void close_file(struct session *s, unsigned i)
{
	session_close_one_leg(s, &s->a.files->at[i].leg);
	session_close_one_leg(s, &s->b.files->at[i].leg);
}

/* Lines that he added: we know of nothing that could be done with them. */
static bool write_added(struct buffer *out, const struct sdp *offer, unsigned known)
{
	for (unsigned i = known; i < offer->media_count; i++) {
		const struct sdp_media *media = &offer->media[i];
		buffer_printf(out, "m=%.*s 0 %.*s %.*s\r\n", SLICE_ARG(media->media), SLICE_ARG(media->proto),
			SLICE_ARG(media->formats));
	}
	return !out->overflow;
}

static unsigned count_lines(struct side *side)
{
	char room[SDP_TEXT_MAX];
	struct sdp sdp;

	return sdp_parse(&sdp, session_sdp_of(side, room)) == SDP_OK ? sdp.media_count : 0;
}

bool session_files_take_offer(struct side *side, const struct sdp *offer, const struct sockaddr_storage *from)
{
	struct session_file own = { side->leg, side->line, side->is_bound };
	char text[SDP_TEXT_MAX];
	struct buffer added = buffer_over(text, sizeof(text) - 1);
	const struct sdp_media *said = line_of(offer, side->line);
	unsigned known = count_lines(side);
	uint32_t declined = 0;

	if (offer->media_count < known || !write_added(&added, offer, known)) /* RFC 3264 8: lines stay */
		return false;
	text[added.n] = 0;
	if (said && !attach(side, &own, &(struct session_peer){ offer, said, false, from, side->identity }))
		return false;
	if (!said) /* what it carried is over; as the session's own leg it stays until BYE */
		declined |= 1u << side->line;
	for (unsigned i = 0; i < side->files->count; i++) {
		struct session_file *file = &side->files->at[i];
		said = line_of(offer, file->line);
		if (file->leg && said && attach(side, file, &(struct session_peer){ offer, said, false, from, side->identity }))
			continue;
		declined |= 1u << file->line;
		close_file(side->session, i);
	}
	return keep_declined(side, declined, text);
}

/* ---- their connections ---- */

static int find(const struct side *side, const struct msrp_leg *leg)
{
	for (unsigned i = 0; side->files && i < side->files->count; i++)
		if (side->files->at[i].leg == leg)
			return (int)i;
	return -1;
}

void session_file_bound(struct side *side, const struct msrp_leg *leg)
{
	int i = find(side, leg);

	if (i >= 0)
		side->files->at[i].is_bound = true;
}

static bool is_running(const struct session *s, unsigned i)
{
	const struct session_file *a = &s->a.files->at[i], *b = &s->b.files->at[i];

	return a->leg && b->leg && a->is_bound && b->is_bound;
}

bool session_files_go_on(struct session *s)
{
	for (unsigned i = 0; s->a.files && s->b.files && i < s->a.files->count; i++) {
		if (!is_running(s, i))
			continue;
		if (!change_places(&s->a, &s->a.files->at[i]) || !change_places(&s->b, &s->b.files->at[i]))
			return false;
		close_file(s, i); /* which is the leg that was lost, and the one at its other end */
		LOG(INFO, s->im->worker, "session", s->actor.id, "file over, another goes on");
		return true;
	}
	return false;
}

/* A file has no reattaching of its own: who sends on hears 481, and may offer the line again. */
void session_file_lost(struct side *side, const struct msrp_leg *leg, enum reason why)
{
	struct session *s = side->session;
	int i = find(side, leg);

	if (i < 0 || !s->a.files || !s->b.files || !session_is_established(s))
		return;
	if (why == REASON_QUEUE_FULL || why == REASON_QUEUED_BYTES) {
		session_end(s, reason_label(why));
		return;
	}
	LOG(INFO, s->im->worker, "session", s->actor.id, "file over line=%u reason=%s", side->files->at[i].line,
		reason_label(why));
	close_file(s, (unsigned)i);
}
