#include "sip/trace.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "sip/header.h"
#include "sip/layer.h"
#include "sip/pcap.h"
#include "sip/trace_lines.h"

#define TEXT_MAX     (32 * 1024) /* of one message; a longer one is cut */
#define WAIT_MS      1000        /* then the peer is looked at again */
#define NEWS_PENDING UINT64_C(1)

atomic_bool sip_trace_is_on;
static atomic_bool is_stopped;

/* One message, as lines and as a record of a capture file; what its reader does not want of them is empty. */
struct line {
	struct msg msg;
	size_t text_n, capture_n;
	char octets[]; /* the lines, then the record */
};

/*
 * Slots are never freed, so that a worker may look at any of them at any time.  A worker enters (`inside` up),
 * looks whether it is open, posts, and leaves; who closes it waits until nobody is inside.
 */
struct sip_trace_reader {
	atomic_bool is_taken, is_open;
	atomic_uint inside;
	atomic_size_t queued;   /* octets */
	atomic_ullong left_out; /* messages that did not fit, not yet told */
	struct mailbox mailbox;
	int news;               /* eventfd */
	char name[SIP_TRACE_NAME_MAX];
	size_t name_n;
	const struct sip_home *home;
	bool is_pcap, has_file;
	/* ---- the reader's own ---- */
	struct line *line; /* partly read */
	size_t line_at;
	bool has_begun;
	int file;               /* -1: none, or no more */
	uint64_t file_n, file_max;
	char note[128];         /* to be told; empty: nothing */
};

static struct sip_trace_reader readers[SIP_TRACE_READERS_MAX];

/* True: it is open, and stays so until leave(). */
static bool enter(struct sip_trace_reader *r)
{
	atomic_fetch_add(&r->inside, 1);
	if (atomic_load(&r->is_open))
		return true;
	atomic_fetch_sub(&r->inside, 1);
	return false;
}

static void leave(struct sip_trace_reader *r)
{
	atomic_fetch_sub(&r->inside, 1);
}

/* ---- the file beside what is read ---- */

static void end_file(struct sip_trace_reader *r, const char *why)
{
	/* a record that is not whole would be the end for whoever opens it */
	if (ftruncate(r->file, (off_t)r->file_n) != 0)
		why = strerror(errno);
	close(r->file);
	r->file = -1;
	snprintf(r->note, sizeof(r->note), "# the file ends here: %s\n", why);
	LOG(WARN, NULL, "trace", 0, "file-ended user=%.*s error=\"%s\"", (int)r->name_n, r->name, why);
}

static void write_file(struct sip_trace_reader *r, struct slice octets)
{
	size_t done = 0;

	if (r->file < 0)
		return;
	if (octets.n > r->file_max - r->file_n) {
		end_file(r, "it is full");
		return;
	}
	while (done < octets.n) {
		ssize_t n = write(r->file, octets.p + done, octets.n - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			end_file(r, n < 0 ? strerror(errno) : "nothing was written");
			return;
		}
		done += (size_t)n;
	}
	r->file_n += octets.n;
}

static void begin_file(struct sip_trace_reader *r)
{
	char head[64];
	struct buffer out = buffer_over(head, sizeof(head));

	sip_pcap_write_head(&out);
	write_file(r, buffer_slice(&out));
}

/* ---- the reader ---- */

static struct sip_trace_reader *take_slot(void)
{
	for (unsigned i = 0; i < SIP_TRACE_READERS_MAX; i++)
		if (!atomic_exchange(&readers[i].is_taken, true))
			return &readers[i];
	return NULL;
}

static void update_flag(void)
{
	bool is_on = false;

	for (unsigned i = 0; i < SIP_TRACE_READERS_MAX; i++)
		is_on = is_on || atomic_load(&readers[i].is_open);
	atomic_store(&sip_trace_is_on, is_on);
}

int sip_trace_open(struct sip_trace_reader **out, struct slice canonical, const struct sip_home *home,
	const struct sip_trace_options *options)
{
	struct sip_trace_reader *r;

	if (canonical.n == 0 || canonical.n > sizeof(r->name))
		return EINVAL;
	r = atomic_load(&is_stopped) ? NULL : take_slot();
	if (!r)
		return EBUSY;
	r->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->news < 0) {
		int err = errno;
		atomic_store(&r->is_taken, false);
		return err;
	}
	mailbox_init(&r->mailbox);
	memcpy(r->name, canonical.p, canonical.n);
	r->name_n = canonical.n;
	r->home = home;
	r->line = NULL;
	r->has_begun = false;
	r->is_pcap = options->is_pcap;
	r->has_file = options->file >= 0;
	r->file = options->file;
	r->file_n = 0;
	r->file_max = options->file_max;
	r->note[0] = 0;
	begin_file(r);
	atomic_store(&r->queued, 0);
	atomic_store(&r->left_out, 0);
	atomic_store(&r->is_open, true);
	update_flag();
	*out = r;
	return 0;
}

void sip_trace_stop(void)
{
	atomic_store(&is_stopped, true);
	for (unsigned i = 0; i < SIP_TRACE_READERS_MAX; i++) {
		if (!enter(&readers[i])) /* else its descriptor might be another one's by now */
			continue;
		(void)eventfd_write(readers[i].news, NEWS_PENDING); /* else it looks in a second */
		leave(&readers[i]);
	}
}

/* Each message has its octets in the count until it is freed. */
static void free_line(struct sip_trace_reader *r, struct line *line)
{
	atomic_fetch_sub(&r->queued, line->text_n + line->capture_n);
	free(line);
}

void sip_trace_close(struct sip_trace_reader *r)
{
	struct timespec moment = { 0, 100000 };
	struct msg *msg;

	atomic_store(&r->is_open, false);
	update_flag();
	while (atomic_load(&r->inside) > 0) /* some microseconds of a worker */
		nanosleep(&moment, NULL);
	if (r->line)
		free_line(r, r->line);
	r->line = NULL;
	while ((msg = mailbox_take(&r->mailbox)))
		free_line(r, (struct line *)msg);
	if (r->file >= 0)
		close(r->file); /* its errors were told when it was written */
	close(r->news);
	atomic_store(&r->is_taken, false);
}

/* Remarks between the messages; a capture file has no place for them. */
static size_t say_left_out(struct sip_trace_reader *r, char *to, size_t size)
{
	struct buffer out = buffer_over(to, size);
	unsigned long long count;

	if (size < 256 || r->is_pcap)
		return 0;
	buffer_str(&out, r->note);
	r->note[0] = 0;
	count = atomic_exchange(&r->left_out, 0);
	if (count)
		buffer_printf(&out, "# %llu left out: the reader is too slow\n", count);
	return out.n;
}

/* The next one, which is in the file from here on. */
static void take_line(struct sip_trace_reader *r)
{
	r->line = (struct line *)mailbox_take(&r->mailbox);
	r->line_at = 0;
	if (r->line)
		write_file(r, slice_of(r->line->octets + r->line->text_n, r->line->capture_n));
}

static struct slice shown(const struct sip_trace_reader *r)
{
	return r->is_pcap ? slice_of(r->line->octets + r->line->text_n, r->line->capture_n) :
			    slice_of(r->line->octets, r->line->text_n);
}

static size_t take_lines(struct sip_trace_reader *r, char *to, size_t size)
{
	size_t n = 0;

	while (n < size) {
		if (!r->line) {
			n += say_left_out(r, to + n, size - n);
			take_line(r);
		}
		if (!r->line)
			break;
		struct slice rest = slice_skip(shown(r), r->line_at);
		size_t part = rest.n < size - n ? rest.n : size - n;
		memcpy(to + n, rest.p, part);
		n += part;
		r->line_at += part;
		if (part < rest.n)
			break;
		free_line(r, r->line);
		r->line = NULL;
	}
	return n;
}

/* False: nobody reads any more. */
static bool wait_for_news(struct sip_trace_reader *r, int peer)
{
	struct pollfd fds[] = { { r->news, POLLIN, 0 }, { peer, POLLRDHUP, 0 } };
	eventfd_t ignored;

	if (mailbox_sleep(&r->mailbox))
		(void)poll(fds, peer < 0 ? 1 : 2, WAIT_MS); /* whatever woke us is looked for */
	mailbox_awake(&r->mailbox);
	(void)eventfd_read(r->news, &ignored); /* nothing to read: it was the time */
	return !(fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

size_t sip_trace_read(struct sip_trace_reader *r, char *to, size_t size, int peer)
{
	struct buffer out = buffer_over(to, size);

	if (!r->has_begun) { /* whoever waits for it knows that from here on nothing is missed */
		r->has_begun = true;
		if (r->is_pcap) {
			sip_pcap_write_head(&out);
			return out.n;
		}
		buffer_printf(&out, "# trace of %.*s\n", (int)r->name_n, r->name);
		return out.n;
	}
	for (;;) {
		size_t n = take_lines(r, to, size);
		if (n > 0)
			return n;
		if (atomic_load(&is_stopped) || !wait_for_news(r, peer))
			return 0;
	}
}

/* ---- whom a message names ---- */

static bool uri_names(const struct sip_trace_reader *r, struct slice text)
{
	char canonical[SIP_TRACE_NAME_MAX];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	struct sip_uri uri;

	return sip_uri_parse(text, &uri) && sip_uri_canonical(&out, &uri, r->home) &&
	       slice_eq(buffer_slice(&out), slice_of(r->name, r->name_n));
}

static bool value_names(const struct sip_trace_reader *r, struct slice value)
{
	struct sip_address address;

	return value.n && sip_address_decode(value, &address) && uri_names(r, address.uri);
}

static bool message_names(const struct sip_trace_reader *r, const struct sip_message *m)
{
	struct sip_items asserted = sip_items_of(m, SIP_HDR_P_ASSERTED_IDENTITY);
	struct slice value;

	if (value_names(r, sip_header_value(m, SIP_HDR_FROM)) || value_names(r, sip_header_value(m, SIP_HDR_TO)) ||
	    (m->is_request && uri_names(r, m->uri)))
		return true;
	while (sip_items_next(&asserted, &value))
		if (value_names(r, value))
			return true;
	return false;
}

/* ---- to the readers ---- */

static void post(struct worker *worker, struct sip_trace_reader *r, struct slice text, struct slice capture)
{
	size_t n = text.n + capture.n;
	struct line *line = NULL;

	if (atomic_fetch_add(&r->queued, n) + n <= SIP_TRACE_QUEUE_OCTETS)
		line = malloc(sizeof(*line) + n);
	if (!line) {
		atomic_fetch_sub(&r->queued, n);
		atomic_fetch_add(&r->left_out, 1);
		COUNT(&worker->counters, trace_left_out);
		return;
	}
	line->text_n = text.n;
	line->capture_n = capture.n;
	if (text.n)
		memcpy(line->octets, text.p, text.n);
	if (capture.n)
		memcpy(line->octets + text.n, capture.p, capture.n);
	if (mailbox_post(&r->mailbox, &line->msg))
		(void)eventfd_write(r->news, NEWS_PENDING); /* full: it is awake anyway */
}

static struct slice cut_text(struct buffer *out)
{
	if (out->overflow) {
		static const char end[] = "\n# cut here\n";
		size_t at = out->n < out->size - sizeof(end) ? out->n : out->size - sizeof(end);
		memcpy(out->p + at, end, sizeof(end) - 1);
		out->n = at + sizeof(end) - 1;
	}
	return buffer_slice(out);
}

/* A message in the forms that readers want, each made when the first one does. */
struct forms {
	struct worker *worker;
	enum sip_trace_way way;
	const struct sip_flow *flow;
	const struct sip_message *message;
	char *text, *capture;
	struct slice lines, record;
};

/* False: no memory. */
static bool make_lines(struct forms *f)
{
	struct buffer out;

	if (f->text || !(f->text = malloc(TEXT_MAX)))
		return f->text;
	out = buffer_over(f->text, TEXT_MAX);
	sip_trace_write_message(&out, f->worker, f->way, f->flow, f->message);
	f->lines = cut_text(&out);
	return true;
}

static bool make_record(struct forms *f)
{
	struct sip_copy_ends ends;
	struct buffer out;

	if (f->capture || !(f->capture = malloc(SIP_PCAP_RECORD_MAX)))
		return f->capture;
	out = buffer_over(f->capture, SIP_PCAP_RECORD_MAX);
	sip_copy_find_ends(f->worker, f->flow, f->way == SIP_TRACE_IN, &ends);
	sip_pcap_write(&out, f->worker->ring->ops->wall_us(f->worker->ring), &ends, f->message);
	f->record = buffer_slice(&out);
	return true;
}

void sip_trace_message_now(struct worker *worker, enum sip_trace_way way, const struct sip_flow *flow,
	const struct sip_message *m)
{
	struct forms forms = { .worker = worker, .way = way, .flow = flow, .message = m };

	for (unsigned i = 0; i < SIP_TRACE_READERS_MAX; i++) {
		struct sip_trace_reader *r = &readers[i];
		if (!enter(r))
			continue;
		if (message_names(r, m)) {
			bool wants_record = r->is_pcap || r->has_file;
			if ((r->is_pcap || make_lines(&forms)) && (!wants_record || make_record(&forms))) {
				post(worker, r, r->is_pcap ? SLICE_EMPTY : forms.lines, wants_record ? forms.record : SLICE_EMPTY);
			} else {
				atomic_fetch_add(&r->left_out, 1);
				COUNT(&worker->counters, trace_left_out);
			}
		}
		leave(r);
	}
	free(forms.text);
	free(forms.capture);
}

void sip_trace_wire_now(struct worker *worker, const struct sip_flow *flow, struct slice wire)
{
	struct sip_limits limits = { wire.n + 1, wire.n + 1, 0 };
	struct sip_message m;
	size_t used;

	if (sip_message_parse(&m, wire, &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
		sip_trace_message_now(worker, SIP_TRACE_OUT, flow, &m);
}

void sip_trace_refusal_now(struct worker *worker, const struct sip_trace_refusal *refusal)
{
	char text[512];
	struct buffer out = buffer_over(text, sizeof(text));

	sip_trace_write_refusal(&out, worker, refusal);
	for (unsigned i = 0; i < SIP_TRACE_READERS_MAX; i++) {
		struct sip_trace_reader *r = &readers[i];
		if (!enter(r))
			continue;
		if (!r->is_pcap && (value_names(r, refusal->from) || value_names(r, refusal->to)))
			post(worker, r, cut_text(&out), SLICE_EMPTY);
		leave(r);
	}
}
