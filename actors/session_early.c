/*
 * Early dialogs of who is called: made by reliable provisional responses, which are
 * acknowledged by PRACK in them (RFC 3262 4, D1-34: whatever A asked for).
 */
#include <stdlib.h>

#include "actors/outgoing.h"
#include "actors/session_fork.h"
#include "actors/session_internal.h"
#include "core/log.h"
#include "sip/header.h"

#define EARLY_MAX 16 /* of one fork: a proxy behind may have as many targets as it likes */

void session_early_free(struct session_early *early)
{
	if (early->dialog)
		sip_dialog_close(early->dialog);
	free(early->answer);
	free(early);
}

void session_early_forget(struct session_fork *f, const struct session_branch *branch)
{
	struct session_early **link = &f->early, *early;

	while ((early = *link)) {
		if (branch && early->branch != branch) {
			link = &early->next;
			continue;
		}
		*link = early->next;
		session_early_free(early);
	}
}

static struct session_early **find(struct session_fork *f, struct slice tag)
{
	struct session_early **link = &f->early;

	while (*link && !slice_eq(sip_dialog_remote_tag((*link)->dialog), tag))
		link = &(*link)->next;
	return link;
}

struct session_early *session_early_take(struct session_fork *f, struct slice tag)
{
	struct session_early **link = find(f, tag), *early = *link;

	if (early)
		*link = early->next;
	return early;
}

static struct session_early *make(struct session_branch *branch, const struct sip_message *m)
{
	struct session_fork *f = branch->fork;
	struct session_early *early = NULL;
	unsigned count = 0;

	for (const struct session_early *e = f->early; e; e = e->next)
		count++;
	if (count < EARLY_MAX)
		early = calloc(1, sizeof(*early));
	if (early)
		early->dialog = session_branch_dialog(branch);
	if (!early || !early->dialog || sip_dialog_confirm(early->dialog, m) != 0) {
		/* without PRACK he repeats it, and ends his INVITE in the end */
		REFUSED(&f->im->worker->counters, REASON_EARLY_DIALOG);
		LOG(WARN, f->im->worker, "session", f->id, "refused status=%u reason=%s", m->status,
			reason_label(REASON_EARLY_DIALOG));
		if (early)
			session_early_free(early);
		return NULL;
	}
	early->branch = branch;
	early->next = f->early;
	f->early = early;
	return early;
}

const struct sip_message *session_answer_description(const struct session_answer *answer, struct sip_message *early)
{
	const struct session_early *from = answer->early;
	size_t used;

	if (!from || !from->answer)
		return answer->response;
	struct sip_limits limits = { from->answer_n + 1, from->answer_n + 1, 0 };
	return sip_message_parse(early, slice_of(from->answer, from->answer_n), &limits, SIP_DATAGRAM, &used) ==
			       SIP_PARSE_OK ? early : answer->response;
}

static bool send_prack(struct session_early *early, uint32_t rseq)
{
	char text[64];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_client *prack;

	buffer_printf(&headers, "RAck: %u %u INVITE\r\n", rseq, early->branch->cseq);
	/* whatever it is answered, or nobody: B's transaction says what becomes of it */
	return session_send_in(early->dialog, "PRACK", buffer_slice(&headers), SLICE_EMPTY, NULL, NULL, &prack) == 0;
}

bool session_early_receive(struct session_branch *branch, const struct sip_message *m)
{
	struct session_early *early;
	struct sip_address to;
	uint32_t rseq;

	if (!sip_seconds_of(m, SIP_HDR_RSEQ, &rseq) || rseq == 0 ||
	    !sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to))
		return false;
	early = *find(branch->fork, to.tag);
	if (early && rseq != early->rseq + 1) /* again, or too early: then it comes again */
		return false;
	if (!early && !(early = make(branch, m)))
		return false;
	if (!send_prack(early, rseq)) {
		if (early->rseq == 0) /* as if it had not come: it comes again */
			session_early_free(session_early_take(branch->fork, to.tag));
		return false;
	}
	early->rseq = rseq;
	if (m->body.n && !early->answer) /* RFC 3262 5: without memory the 2xx may say it again */
		(void)session_keep(&early->answer, &early->answer_n, m->wire);
	return true;
}

/* ---- requests of B in an early dialog ---- */

static void take_update(struct session_branch *branch, struct sip_dialog *dialog, struct sip_server *server,
	const struct sip_message *m)
{
	char text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct session_fork *f = branch->fork;

	(void)sip_dialog_refresh_target(dialog, m); /* without memory the old one may still do */
	f->events->write_contact(&headers, sip_server_flow(server), f->owner);
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers) });
}

static void on_early_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	struct session_branch *branch = owner;

	if (m->method == SIP_BYE || !branch->fork->owner) { /* RFC 3261 15: who is called ends it by his answer */
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
	} else if (m->method == SIP_UPDATE && m->body.n == 0) {
		take_update(branch, dialog, server, m);
	} else if (m->method == SIP_UPDATE || m->method == SIP_INVITE) { /* RFC 3311 5.2: our offer comes first */
		sip_server_refuse(server, 491, REASON_REQUEST_PENDING);
	} else {
		sip_server_tell_refusal(dialog->worker, server, 405, REASON_METHOD_NOT_ALLOWED, NULL);
		sip_server_respond(server, &(struct sip_reply){ .status = 405,
			.headers = SLICE("Allow: " IM_ALLOW "\r\n") });
	}
}

const struct sip_dialog_events session_early_events = { on_early_request };
