/*
 * A Content-Type in the first line, a body behind it: what of a MESSAGE with them goes to many.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/pager_content.h"

/* Whole lines that describe a body, of which nothing begins another header. */
static void check_lines(struct slice lines)
{
	assert(lines.n == 0 || lines.p[lines.n - 1] == '\n');
	while (lines.n) {
		struct slice line = slice_cut(lines, '\n', &lines);
		assert(line.n && line.p[line.n - 1] == '\r' && !memchr(line.p, '\r', line.n - 1));
		assert(slice_case_starts(line, SLICE("Content-")) || slice_case_starts(line, SLICE("MIME-Version:")));
		assert(!slice_case_starts(line, SLICE("Content-Length:")));
	}
}

static void make(const struct sip_message *m, bool is_list, unsigned depth)
{
	struct pager_content *content;

	if (pager_content_make(&content, m, is_list, depth) != PAGER_CONTENT_OK)
		return;
	assert(content->body.n <= m->body.n);
	assert(is_list || content->body.n == 0 || content->lines.n || !sip_header_first(m, SIP_HDR_CONTENT_TYPE));
	check_lines(content->lines);
	pager_content_drop(content);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	struct slice rest, line = slice_cut(slice_of((const char *)octets, n), '\n', &rest);
	struct sip_limits limits = { n + 256, n + 256, 0 };
	char *text = malloc(n + 256);
	struct sip_message m;
	size_t used;

	int at = snprintf(text, n + 256, "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nContent-Type: %.*s\r\n\r\n", SLICE_ARG(line));
	if (at > 0 && (size_t)at + rest.n < n + 256) {
		if (rest.n)
			memcpy(text + at, rest.p, rest.n);
		struct slice wire = fuzz_copy(slice_of(text, (size_t)at + rest.n));
		if (sip_message_parse(&m, wire, &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
			for (unsigned depth = 1; depth <= 4; depth++)
				for (unsigned is_list = 0; is_list < 2; is_list++)
					make(&m, is_list, depth);
		fuzz_free(wire);
	}
	free(text);
	return 0;
}
