/* The thread around c-ares.  Its mailbox is the workers' kind, its doorbell a descriptor that poll() sees. */
#include "core/resolver.h"

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"

#define TIMEOUT_MS 1500 /* of one try at one server; doubles with each round */
#define TRIES      3
#define CLASS_IN   1
#define TYPE_SRV   33
#define TYPE_NAPTR 35

struct resolver_thread {
	struct resolver door; /* first: the two are one */
	struct worker_group *group;
	struct mailbox mailbox;
	int doorbell;
	ares_channel channel;
	pthread_t thread;
	struct msg stop;
};

/* On its way through c-ares, which calls back with one pointer. */
struct asking {
	struct resolver_thread *resolver;
	struct name_question *question;
};

void resolver_send_home(struct worker_group *group, struct name_question *question)
{
	question->msg.kind = MSG_NAME_ANSWERED;
	worker_post_from_outside(group, question->msg.from, &question->msg);
}

static int error_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_ENONAME:
	case ARES_EBADNAME:
	case ARES_ESERVICE:
		return ENOENT;
	default:
		return EAGAIN;
	}
}

static void answer(struct resolver_thread *r, struct name_question *question, int err)
{
	question->msg.err = !err && question->count == 0 ? ENOENT : err;
	resolver_send_home(r->group, question);
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct asking *asking = arg;
	struct name_question *question = asking->question;

	question->ttl_s = UINT32_MAX;
	for (struct ares_addrinfo_node *node = found ? found->nodes : NULL; node; node = node->ai_next) {
		if (question->count == NAME_RECORDS_MAX || node->ai_addrlen > sizeof(question->records[0].address))
			continue;
		memcpy(&question->records[question->count++].address, node->ai_addr, node->ai_addrlen);
		if (node->ai_ttl >= 0 && (uint32_t)node->ai_ttl < question->ttl_s)
			question->ttl_s = (uint32_t)node->ai_ttl;
	}
	if (found)
		ares_freeaddrinfo(found);
	answer(asking->resolver, question, error_of(status));
	free(asking);
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *reply, int n)
{
	struct asking *asking = arg;
	int err = error_of(status);

	if (!err && !name_reply_parse(slice_of((const char *)reply, (size_t)n), asking->question))
		err = EAGAIN;
	answer(asking->resolver, asking->question, err);
	free(asking);
}

static void ask(struct resolver_thread *r, struct name_question *question)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct asking *asking = malloc(sizeof(*asking));

	question->count = 0;
	if (!asking) {
		answer(r, question, EAGAIN);
		return;
	}
	*asking = (struct asking){ r, question };
	switch (question->kind) { /* each calls back exactly once, perhaps before it returns */
	case NAME_ADDRESSES:
		ares_getaddrinfo(r->channel, question->name, NULL, &hints, on_addresses, asking);
		break;
	case NAME_SERVERS:
		ares_query(r->channel, question->name, CLASS_IN, TYPE_SRV, on_reply, asking);
		break;
	case NAME_POINTERS:
		ares_query(r->channel, question->name, CLASS_IN, TYPE_NAPTR, on_reply, asking);
		break;
	}
}

/* False: it was the message to stop. */
static bool take_questions(struct resolver_thread *r)
{
	struct msg *msg;

	while ((msg = mailbox_take(&r->mailbox))) {
		if (msg == &r->stop)
			return false;
		ask(r, (struct name_question *)msg);
	}
	return true;
}

static int time_to_wait_ms(struct resolver_thread *r)
{
	struct timeval most = { .tv_sec = 60 }, wait;
	struct timeval *shorter = ares_timeout(r->channel, &most, &wait);

	return (int)(shorter->tv_sec * 1000 + shorter->tv_usec / 1000 + 1);
}

static void wait_and_process(struct resolver_thread *r)
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	struct pollfd polled[ARES_GETSOCK_MAXNUM + 1] = { { .fd = r->doorbell, .events = POLLIN } };
	/* the macros of ares.h shift into the sign */
	uint32_t wanted = (uint32_t)ares_getsock(r->channel, sockets, ARES_GETSOCK_MAXNUM);
	unsigned count = 1;
	uint64_t rings;

	for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		short events = (short)((wanted & 1u << i ? POLLIN : 0) |
				       (wanted & 1u << (i + ARES_GETSOCK_MAXNUM) ? POLLOUT : 0));
		if (events)
			polled[count++] = (struct pollfd){ .fd = sockets[i], .events = events };
	}
	int wait_ms = mailbox_sleep(&r->mailbox) ? time_to_wait_ms(r) : 0;
	int ready = poll(polled, count, wait_ms);
	mailbox_awake(&r->mailbox);
	if (ready > 0 && polled[0].revents && read(r->doorbell, &rings, sizeof(rings)) < 0 && errno != EAGAIN)
		LOG(ERROR, NULL, "resolver", 0, "doorbell-lost error=\"%s\"", strerror(errno));
	for (unsigned i = 1; i < count && ready > 0; i++) {
		bool may_read = polled[i].revents & (POLLIN | POLLERR | POLLHUP);
		ares_process_fd(r->channel, may_read ? polled[i].fd : ARES_SOCKET_BAD,
			polled[i].revents & POLLOUT ? polled[i].fd : ARES_SOCKET_BAD);
	}
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what has waited too long */
}

static void *run_resolver(void *arg)
{
	struct resolver_thread *r = arg;

	while (take_questions(r))
		wait_and_process(r);
	ares_destroy(r->channel); /* calls back for all that is under way */
	return NULL;
}

static void post(struct resolver_thread *r, struct msg *msg)
{
	uint64_t one = 1;

	if (mailbox_post(&r->mailbox, msg))
		(void)!write(r->doorbell, &one, sizeof(one)); /* full means that it rings already */
}

static void submit(struct resolver *door, struct name_question *question)
{
	post((struct resolver_thread *)door, &question->msg);
}

static int open_channel(struct resolver_thread *r, const char *servers)
{
	struct ares_options options = { .timeout = TIMEOUT_MS, .tries = TRIES };
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	if (!status)
		status = ares_init_options(&r->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
	if (!status && servers)
		status = ares_set_servers_ports_csv(r->channel, servers);
	if (!status)
		return 0;
	LOG(ERROR, NULL, "resolver", 0, "cannot-start servers=%s error=\"%s\"", servers ? servers : "system",
		ares_strerror(status));
	return status == ARES_ENOMEM ? ENOMEM : EINVAL;
}

int resolver_start(struct resolver **out, struct worker_group *group, const char *servers)
{
	struct resolver_thread *r = calloc(1, sizeof(*r));

	if (!r)
		return ENOMEM;
	r->door.submit = submit;
	r->group = group;
	r->doorbell = -1;
	mailbox_init(&r->mailbox);
	int err = open_channel(r, servers);
	if (!err && (r->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		err = errno;
	if (!err)
		err = pthread_create(&r->thread, NULL, run_resolver, r);
	if (err) {
		if (r->channel)
			ares_destroy(r->channel);
		if (r->doorbell >= 0)
			close(r->doorbell);
		free(r);
		return err;
	}
	*out = &r->door;
	return 0;
}

void resolver_stop(struct resolver *door)
{
	struct resolver_thread *r = (struct resolver_thread *)door;

	if (!r)
		return;
	post(r, &r->stop);
	pthread_join(r->thread, NULL);
	close(r->doorbell);
	ares_library_cleanup();
	free(r);
}
