#include "actors/policy.h"
#include "actors/session_sdp.h"

/* An answer to sendonly that does not say so itself would be one that sends too (RFC 3264 6.1). */
static enum sdp_direction direction_of_answer(const struct session_description *d, const struct session_line *line)
{
	enum sdp_direction said = sdp_media_direction(d->sdp, line->media);

	if (!d->offer || sdp_media_direction(d->offer, line->offered) != SDP_SENDONLY || said == SDP_INACTIVE)
		return SDP_UNSAID;
	return SDP_RECVONLY;
}

/* The content types that the policy leaves, of all lines one behind the other. */
struct permitted {
	char text[SESSION_SDP_MAX];
	size_t n;
};

/* False: nothing is left of them, or too many. */
static bool permit_more(const struct im *im, struct slice said, struct permitted *room, struct slice *permitted)
{
	struct buffer out = buffer_over(room->text + room->n, sizeof(room->text) - room->n);

	*permitted = SLICE_EMPTY;
	if (!said.p || policy_permits_every_type(im->config))
		return true;
	bool is_any_left = policy_permitted_types(im->config, said, &out);
	*permitted = slice_of(room->text + room->n, is_any_left ? out.n : 0);
	room->n += permitted->n;
	return is_any_left;
}

/* What we say in one m= line.  False: no content type is permitted. */
static bool describe_line(const struct im *im, const struct session_description *d, const struct session_line *line,
	struct permitted room[2], struct sdp_own *own)
{
	const struct sdp *limiting = d->offer ? d->offer : d->sdp;

	own->media = line->media;
	own->offered = line->offered;
	own->port = msrp_leg_port(line->leg);
	own->proto = msrp_leg_is_secure(line->leg) ? SLICE("TCP/TLS/MSRP") : SLICE("TCP/MSRP");
	own->path = msrp_leg_uri(line->leg);
	own->fingerprint = msrp_leg_fingerprint(line->leg);
	own->setup = line->setup;
	own->is_nameless = d->hides;
	own->has_cema = !d->offer || sdp_media_has_cema(line->offered);
	own->direction = direction_of_answer(d, line);
	own->max_size = session_sdp_size_limit(im, limiting, d->offer ? line->offered : line->media);
	(void)permit_more(im, line->media->accept_wrapped_types, &room[1], &own->accept_wrapped_types); /* none: left out */
	return permit_more(im, line->media->accept_types, &room[0], &own->accept_types);
}

bool session_sdp_write(const struct im *im, struct buffer *out, const struct session_description *d,
	const struct msrp_leg *leg, uint64_t session_id)
{
	const struct session_line first = { d->media, d->offered, d->setup, leg };
	struct sdp_own more[SDP_MEDIA_MAX];
	struct sdp_own ours = { .session_id = session_id, .version = d->version ? d->version : 1,
		.address = slice_str(msrp_leg_host(leg)), .offer = d->offer, .is_alone = !d->offer,
		.more = more, .more_count = d->more_count };
	struct permitted room[2];

	room[0].n = room[1].n = 0;
	if (!describe_line(im, d, &first, room, &ours))
		return false;
	for (unsigned i = 0; i < d->more_count; i++) {
		more[i] = (struct sdp_own){ 0 };
		if (!describe_line(im, d, &d->more[i], room, &more[i]))
			return false;
	}
	return sdp_rewrite(out, d->sdp, &ours);
}
