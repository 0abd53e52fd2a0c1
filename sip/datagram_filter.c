/*
 * Under overload most of what comes by UDP cannot be served, and merely reading it would take the time of serving
 * the rest.  So a part of the new work is dropped before it is queued, by a socket filter in the kernel (classic BPF),
 * which costs the sender's side; it shows in the socket's drop count.  What it drops is repeated by its sender, later.
 *
 * The filter knows the method by the first four octets and lets pass what has 36 characters for a user in its
 * Request-URI, as names that we mint: requests inside dialogs go to our Contact.  It only looks at INVITE, MESSAGE,
 * REGISTER and OPTIONS; responses and everything else pass.
 */
#include <linux/filter.h>

#include "core/minted.h"
#include "sip/layer.h"

#define UDP_HEADER  8 /* the filter sees the datagram from there on */
#define METHOD(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define SHORTEST    (UDP_HEADER + 64) /* no request that could be answered: looking further would drop it */
#define USER_AT(method) (UDP_HEADER + sizeof(method " sip:") - 1)

/* Places in the program below; jumps count from the next instruction. */
enum { AT_LENGTH, AT_SHORT, AT_METHOD, AT_INVITE, AT_MESSAGE, AT_REGISTER, AT_OPTIONS, AT_PASS_OTHER,
	AT_LOAD_INVITE, AT_GO_INVITE, AT_LOAD_MESSAGE, AT_GO_MESSAGE, AT_LOAD_OPTIONS, AT_IS_MINTED,
	AT_RANDOM, AT_CHANCE, AT_PASS, AT_DROP, PROGRAM_N };

#define TO(from, to) ((to) - (from) - 1)
#define IF_EQUAL(at, value, yes, no) [at] = { BPF_JMP | BPF_JEQ | BPF_K, TO(at, yes), TO(at, no), value }
#define LOAD_AFTER_USER(at, method) \
	[at] = { BPF_LD | BPF_B | BPF_ABS, 0, 0, USER_AT(method) + MINTED_CHARS }
#define GO(at, to) [at] = { BPF_JMP | BPF_JA, 0, 0, TO(at, to) }

int sip_datagram_filter(struct ring *ring, int fd, double share)
{
	uint32_t most = share >= 1 ? UINT32_MAX : (uint32_t)(share * UINT32_MAX);
	struct sock_filter program[PROGRAM_N] = {
		[AT_LENGTH] = { BPF_LD | BPF_W | BPF_LEN, 0, 0, 0 },
		[AT_SHORT] = { BPF_JMP | BPF_JGE | BPF_K, TO(AT_SHORT, AT_METHOD), TO(AT_SHORT, AT_PASS), SHORTEST },
		[AT_METHOD] = { BPF_LD | BPF_W | BPF_ABS, 0, 0, UDP_HEADER },
		IF_EQUAL(AT_INVITE, METHOD('I', 'N', 'V', 'I'), AT_LOAD_INVITE, AT_MESSAGE),
		IF_EQUAL(AT_MESSAGE, METHOD('M', 'E', 'S', 'S'), AT_LOAD_MESSAGE, AT_REGISTER),
		IF_EQUAL(AT_REGISTER, METHOD('R', 'E', 'G', 'I'), AT_RANDOM, AT_OPTIONS),
		IF_EQUAL(AT_OPTIONS, METHOD('O', 'P', 'T', 'I'), AT_LOAD_OPTIONS, AT_PASS_OTHER),
		[AT_PASS_OTHER] = { BPF_RET | BPF_K, 0, 0, UINT32_MAX },
		LOAD_AFTER_USER(AT_LOAD_INVITE, "INVITE"),
		GO(AT_GO_INVITE, AT_IS_MINTED),
		LOAD_AFTER_USER(AT_LOAD_MESSAGE, "MESSAGE"),
		GO(AT_GO_MESSAGE, AT_IS_MINTED),
		LOAD_AFTER_USER(AT_LOAD_OPTIONS, "OPTIONS"),
		IF_EQUAL(AT_IS_MINTED, '@', AT_PASS, AT_RANDOM),
		[AT_RANDOM] = { BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM) },
		[AT_CHANCE] = { BPF_JMP | BPF_JGT | BPF_K, TO(AT_CHANCE, AT_DROP), TO(AT_CHANCE, AT_PASS), most },
		[AT_PASS] = { BPF_RET | BPF_K, 0, 0, UINT32_MAX },
		[AT_DROP] = { BPF_RET | BPF_K, 0, 0, 0 },
	};

	return ring->ops->filter(ring, fd, share < 1 ? program : NULL, PROGRAM_N);
}
