#include "actors/message_summary.h"

#include "sip/header.h"
#include "sip/owner.h"

#define LINES_MAX 256 /* what of the body does not grow with names and rows */

static struct slice store_host(const struct im *im)
{
	return slice_str(im->config->domain.store_host[0] ? im->config->domain.store_host : im->config->domain.home);
}

size_t message_summary_octets(const struct im *im, const struct store_deferred_summary *summary)
{
	size_t n = LINES_MAX + IM_CANONICAL_MAX + store_host(im).n;

	for (unsigned i = 0; i < summary->count; i++)
		n += 2 * summary->rows[i].summary.n + /* angle brackets, where there were none */
		     summary->rows[i].id.n + store_host(im).n + sizeof("\r\nMessage-ID: sip:@\r\n");
	return n;
}

/* RFC 3842 5.2: new and old, urgent ones in parentheses.  Nothing here is old: what was delivered is gone. */
static void write_count(struct buffer *out, const char *class, uint64_t new, uint64_t urgent)
{
	if (new)
		buffer_printf(out, "%s: %llu/0 (%llu/0)\r\n", class, (unsigned long long)new, (unsigned long long)urgent);
}

/* Whose tag it has concerns nobody any more. */
static void write_party(struct buffer *out, struct slice name, struct slice value)
{
	struct sip_address address;

	if (!sip_address_decode(value, &address)) {
		buffer_printf(out, "%.*s: %.*s\r\n", SLICE_ARG(name), SLICE_ARG(value));
		return;
	}
	buffer_printf(out, "%.*s: %.*s%s<%.*s>\r\n", SLICE_ARG(name), SLICE_ARG(address.display),
		address.display.n ? " " : "", SLICE_ARG(address.uri));
}

/* All lines of that name, of which P-Asserted-Identity may have two. */
static void write_lines(struct buffer *out, struct slice lines, struct slice name)
{
	while (lines.n) {
		struct slice rest, value, line = slice_cut(lines, '\n', &rest);
		struct slice this = slice_trim(slice_cut(line, ':', &value));
		lines = rest;
		if (!slice_case_eq(this, name))
			continue;
		if (slice_eq(name, SLICE("From")) || slice_eq(name, SLICE("To")))
			write_party(out, name, slice_trim(value));
		else
			buffer_printf(out, "%.*s: %.*s\r\n", SLICE_ARG(name), SLICE_ARG(slice_trim(value)));
	}
}

/* In the order in which 10.3.2.6 and D2-27 name them. */
static void write_row(struct buffer *out, const struct im *im, const struct store_deferred_row *row)
{
	static const char *const before[] = { "To", "From", "Subject", "Date", "Priority" };

	buffer_lit(out, "\r\n");
	for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		write_lines(out, row->summary, slice_str(before[i]));
	buffer_printf(out, "Message-ID: sip:%.*s@%.*s\r\n", SLICE_ARG(row->id), SLICE_ARG(store_host(im)));
	write_lines(out, row->summary, SLICE("P-Asserted-Identity"));
}

void message_summary_write(struct buffer *out, const struct im *im, struct slice canonical,
	const struct store_deferred_summary *summary)
{
	const struct store_deferred_counts *counts = &summary->counts;

	buffer_printf(out, "Messages-Waiting: %s\r\nMessage-Account: sip:%.*s@%.*s\r\n", counts->messages ? "yes" : "no",
		SLICE_ARG(sip_canonical_user(canonical)), SLICE_ARG(store_host(im)));
	write_count(out, "Text-Message", counts->text, counts->text_urgent);
	write_count(out, "Multimedia-Message", counts->multimedia, counts->multimedia_urgent);
	for (unsigned i = 0; i < summary->count; i++)
		write_row(out, im, &summary->rows[i]);
}
