/*
 * What sip_calls.c (states, timers, responses), sip_call_requests.c (what A and the registering users send),
 * sip_unregister.c (the end of it) and sip_callee.c (requests of the server) share.
 */
#ifndef LOAD_TESTS_SIP_CALLS_PRIVATE_H
#define LOAD_TESTS_SIP_CALLS_PRIVATE_H

#include <string.h>

#include "load-tests/sip_calls.h"

#define TEXT_MAX 8192
#define MILLISECOND_NS 1000000ull
#define CALL_NS        (20000 * MILLISECOND_NS) /* from REGISTER to the 200; and for a BYE */
#define FEATURE_TAG "+g.oma.sip-im"
/* What kind of transaction a Call-ID stands for, beside the index of its session. */
#define KIND_REGISTER_A 'r'
#define KIND_REGISTER_B 's'
#define KIND_CALL       'c'

static inline uint32_t sip_call_index(const struct sip_calls *s, const struct sip_call *call)
{
	return (uint32_t)(call - s->calls);
}

static inline unsigned sip_call_flow(const struct sip_calls *s, uint32_t index)
{
	return index % s->options->flows;
}

static inline char *slice_copy(struct slice s)
{
	return strndup(s.n ? s.p : "", s.n);
}

/* ---- sip_calls.c ---- */

/* Nothing is to be repeated when the answer and the ACK of the last INVITE have come. */
void sip_call_settle(struct sip_call *call);
/* It has nothing to repeat and cannot be late any more. */
void sip_call_untime(struct sip_call *call);
void sip_call_time(struct sip_calls *s, struct sip_call *call); /* to be repeated from now on */
void sip_call_over(struct sip_calls *s, struct sip_call *call);
/* Reports the error; on_failed() follows. */
void sip_call_failed(struct sip_calls *s, struct sip_call *call, enum flood_error error, const char *what);
/* "RUN-KIND INDEX.CYCLE@imflood"; NULL: not a Call-ID of this run.  *is_late: of a call before. */
struct sip_call *sip_call_of(struct sip_calls *s, struct slice call_id, char *kind, bool *is_late);

/* ---- sip_call_requests.c ---- */

void sip_call_put_contact(struct sip_calls *s, struct buffer *b, uint32_t index, char role);
void sip_call_put_body(struct buffer *b, struct slice sdp);
void sip_call_send_register(struct sip_calls *s, uint32_t index, char role);
void sip_call_send_invite(struct sip_calls *s, uint32_t index);
/* In the dialog, with the number that call->cseq says: ACK of the last INVITE, a re-INVITE, BYE. */
void sip_call_send_ack(struct sip_calls *s, uint32_t index);
void sip_call_send_reinvite(struct sip_calls *s, uint32_t index);
void sip_call_send_bye(struct sip_calls *s, uint32_t index);
/* The ACK of a refused INVITE, with the number of the refusal. */
void sip_call_ack_refusal(struct sip_calls *s, uint32_t index, const struct sip_text *response);

/* ---- sip_unregister.c ---- */

/* Those not answered yet. */
void sip_call_send_unregister(struct sip_calls *s, uint32_t index);
void sip_call_on_unregistered(struct sip_calls *s, struct sip_call *call, char role, const struct sip_text *m);

/* ---- sip_callee.c ---- */

void sip_calls_on_request(struct sip_calls *s, struct sip_flow *flow, const struct sip_text *m);

#endif
