#include "msrp/refusal.h"

#include "msrp/content.h"
#include "msrp/message.h"
#include "msrp/switch.h"
#include "msrp/waiting.h"

/* Before any octet of the chunk went on. */
static void refuse_message(struct msrp_connection *c, struct slice kept, unsigned status, enum reason why)
{
	struct msrp_incoming *in = c->in;

	if (msrp_message_is_open(in->leg, in->message) && (!msrp_leg_is_ready(in->leg) || in->leg->waiting.n)) {
		msrp_waiting_begin(c, kept); /* nobody can be told now: it is looked at again then */
		return;
	}
	in->head = slice_of(kept.p, in->head_n);
	in->next = in->range.start;
	msrp_switch_give_up(c, status, why);
}

unsigned msrp_refusal_of_head(const struct msrp_head *head)
{
	switch (head->method) {
	case MSRP_METHOD_SEND:
	case MSRP_METHOD_REPORT:
		return head->fault == MSRP_FAULT_NONE ? 0 : 400;
	case MSRP_METHOD_NICKNAME:
	case MSRP_METHOD_AUTH:
	case MSRP_METHOD_UNKNOWN:
	case MSRP_METHOD_NONE:
		break;
	}
	return 501;
}

void msrp_refusal_look_at_head(struct msrp_connection *c, struct slice kept)
{
	struct slice content_type = c->parser->head.content_type;
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg;
	bool begins = in->range.start == 1;
	unsigned status;

	if (msrp_content_is_announced_beyond(leg, &in->range)) {
		refuse_message(c, kept, 413, REASON_MSRP_TOO_LARGE);
		return;
	}
	if (content_type.n && !msrp_content_is_taken(leg, content_type)) {
		refuse_message(c, kept, 415, REASON_MSRP_CONTENT_TYPE);
		return;
	}
	if (leg->refused_count && begins)
		msrp_message_forgive(leg, in->message);
	else if (leg->refused_count && (status = msrp_message_refused(leg, in->message))) {
		refuse_message(c, kept, status, REASON_MSRP_REFUSED_BEFORE);
		return;
	}
	in->is_wrapper = begins && content_type.n && msrp_content_is_wrapper(leg, content_type);
}

bool msrp_refusal_is_none(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;
	struct slice content = slice_skip(kept, in->head_n);

	if (in->is_send && !in->has_content_type && content.n) { /* RFC 4975 7.1: it has to be there then */
		refuse_message(c, kept, 400, REASON_SYNTAX);
		return false;
	}
	if (!in->is_wrapper)
		return true;
	switch (msrp_content_inside(in->leg, content)) {
	case MSRP_INSIDE_UNSEEN:
		return false;
	case MSRP_INSIDE_REFUSED:
		refuse_message(c, kept, 415, REASON_MSRP_CONTENT_TYPE);
		return false;
	case MSRP_INSIDE_TAKEN:
		break;
	}
	in->is_wrapper = false;
	return true;
}
