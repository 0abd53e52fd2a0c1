#include "msrp/message.h"

#include <stdlib.h>

/* Nobody but its sender is harmed by two that are the same, on his own leg: it need not be hard to find them. */
uint64_t msrp_message_hash(struct slice message_id)
{
	uint64_t hash = message_id.n, word;

	for (; message_id.n; message_id = slice_skip(message_id, sizeof(word))) {
		word = 0;
		memcpy(&word, message_id.p, message_id.n < sizeof(word) ? message_id.n : sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return hash;
}

bool msrp_message_is_open(const struct msrp_leg *leg, uint64_t message)
{
	for (unsigned i = 0; i < leg->open_count; i++) {
		if (leg->open_messages[i] == message)
			return true;
	}
	return leg->open_overflow;
}

static bool has_table(struct msrp_leg *leg)
{
	if (!leg->open_messages)
		leg->open_messages = malloc((MSRP_OPEN_MESSAGES + MSRP_REFUSED_MESSAGES) * sizeof(*leg->open_messages));
	return leg->open_messages != NULL;
}

void msrp_message_remember(struct msrp_leg *leg, uint64_t message, char flag)
{
	unsigned i = 0;

	while (i < leg->open_count && leg->open_messages[i] != message)
		i++;
	if (flag != '+') {
		if (i < leg->open_count)
			leg->open_messages[i] = leg->open_messages[--leg->open_count];
		return;
	}
	if (i < leg->open_count)
		return;
	/* Without room an empty SEND may always be somebody's last chunk: it is forwarded then. */
	if (!has_table(leg) || leg->open_count == MSRP_OPEN_MESSAGES)
		leg->open_overflow = true;
	else
		leg->open_messages[leg->open_count++] = message;
}

/* ---- refused ones: the newest first; the lowest bit of each is set for a 415 ---- */

static unsigned find_refused(const struct msrp_leg *leg, uint64_t message)
{
	unsigned i = 0;

	while (i < leg->refused_count && (leg->open_messages[MSRP_OPEN_MESSAGES + i] ^ message) >> 1)
		i++;
	return i;
}

void msrp_message_forgive(struct msrp_leg *leg, uint64_t message)
{
	unsigned i = find_refused(leg, message);
	uint64_t *at;

	if (i == leg->refused_count)
		return;
	at = &leg->open_messages[MSRP_OPEN_MESSAGES + i];
	memmove(at, at + 1, (--leg->refused_count - i) * sizeof(*at));
}

void msrp_message_refuse(struct msrp_leg *leg, uint64_t message, unsigned status)
{
	uint64_t *first;

	if ((status != 413 && status != 415) || !has_table(leg))
		return; /* its later chunks are the far side's to refuse then */
	msrp_message_forgive(leg, message);
	if (leg->refused_count == MSRP_REFUSED_MESSAGES)
		leg->refused_count--;
	first = &leg->open_messages[MSRP_OPEN_MESSAGES];
	memmove(first + 1, first, leg->refused_count++ * sizeof(*first));
	*first = (message & ~(uint64_t)1) | (status == 415);
}

unsigned msrp_message_refused(const struct msrp_leg *leg, uint64_t message)
{
	unsigned i = find_refused(leg, message);

	if (i == leg->refused_count)
		return 0;
	return leg->open_messages[MSRP_OPEN_MESSAGES + i] & 1 ? 415 : 413;
}
