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
	if (!leg->open_messages)
		leg->open_messages = malloc(MSRP_OPEN_MESSAGES * sizeof(*leg->open_messages));
	/* Without room an empty SEND may always be somebody's last chunk: it is forwarded then. */
	if (!leg->open_messages || leg->open_count == MSRP_OPEN_MESSAGES)
		leg->open_overflow = true;
	else
		leg->open_messages[leg->open_count++] = message;
}
