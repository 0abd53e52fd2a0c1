/* imservctl: the messages of one user as they come; with --json one object a line. */
#include "actors/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRY_MAX (256 * 1024) /* of one message; the server cuts at 32 KiB */

struct trace {
	FILE *out; /* stdout, or the capture file */
	bool is_json;
	char *entry; /* lines of a message that is not whole yet */
	size_t n, line; /* of these, where the last line begins */
};

/* ---- one message ---- */

/* What a peer sent may be no UTF-8, JSON must be: its octets outside ASCII then become `?`. */
static json_t *text_of(struct slice s)
{
	json_t *json = json_stringn(s.n ? s.p : "", s.n);
	char *copy;

	if (json || !(copy = malloc(s.n + 1)))
		return json;
	for (size_t i = 0; i < s.n; i++)
		copy[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
	json = json_stringn(copy, s.n);
	free(copy);
	return json;
}

static void set(json_t *object, const char *key, struct slice value)
{
	(void)json_object_set_new(object, key, text_of(value)); /* no memory: the key is missing */
}

static void add_line(json_t *message, json_t *headers, json_t *sdp, struct slice line)
{
	struct slice value, name = slice_cut(line, ':', &value);
	uint64_t octets;

	if (slice_starts(line, SLICE("| "))) {
		(void)json_array_append_new(sdp, text_of(slice_skip(line, 2)));
	} else if (slice_starts(line, SLICE("("))) {
		if (slice_u64(slice_cut(slice_skip(line, 1), ' ', NULL), UINT32_MAX, &octets))
			(void)json_object_set_new(message, "content_octets", json_integer((json_int_t)octets));
	} else {
		json_t *header = json_object();
		set(header, "name", name);
		set(header, "value", slice_trim(value));
		(void)json_array_append_new(headers, header);
	}
}

/* `method=MESSAGE status=480 why="a sentence" call_id=...`; the last value is all that follows, it is a peer's. */
static void add_fields(json_t *message, struct slice rest)
{
	while (rest.n) {
		struct slice key = slice_cut(rest, '=', &rest), value;
		char name[32];
		snprintf(name, sizeof(name), "%.*s", SLICE_ARG(key));
		if (rest.n && rest.p[0] == '"') {
			value = slice_cut(slice_skip(rest, 1), '"', &rest);
			rest = slice_skip(rest, 1);
		} else if (slice_eq(key, SLICE("call_id"))) {
			value = rest;
			rest = SLICE_EMPTY;
		} else {
			value = slice_cut(rest, ' ', &rest);
		}
		uint64_t number;
		if (slice_eq(key, SLICE("status")) && slice_u64(value, 999, &number))
			(void)json_object_set_new(message, "status", json_integer((json_int_t)number));
		else
			set(message, name, value);
	}
}

json_t *ctl_trace_json(struct slice lines)
{
	struct slice rest, first = slice_cut(lines, '\n', &lines), time = slice_cut(first, ' ', &rest);
	json_t *message = json_object();

	if (slice_starts(first, SLICE("#"))) {
		set(message, "note", slice_trim(slice_skip(first, 1)));
		return message;
	}
	struct slice way = slice_cut(rest, ' ', &rest);
	set(message, "time", time);
	set(message, "way", way);
	if (slice_eq(way, SLICE("refused"))) {
		add_fields(message, rest);
		return message;
	}
	json_t *headers = json_array(), *sdp = json_array();
	set(message, "transport", slice_cut(rest, ' ', &rest));
	set(message, "peer", slice_cut(rest, ' ', &rest));
	set(message, "start", rest);
	while (lines.n) {
		struct slice line = slice_cut(lines, '\n', &lines);
		if (slice_starts(line, SLICE("\t")))
			add_line(message, headers, sdp, slice_skip(line, 1));
	}
	(void)json_object_set(message, "headers", headers);
	if (json_array_size(sdp))
		(void)json_object_set(message, "sdp", sdp);
	json_decref(headers);
	json_decref(sdp);
	return message;
}

/* ---- as it comes ---- */

static bool print_entry(struct trace *t, size_t n)
{
	json_t *json = n ? ctl_trace_json(slice_of(t->entry, n)) : NULL;

	if (json) {
		ctl_print_part(json, JSON_COMPACT);
		putchar('\n');
		json_decref(json);
	}
	return fflush(stdout) == 0 && !ferror(stdout);
}

/* A message ends with an empty line; what begins with a number sign, and refusals, are a line. */
static bool on_line(struct trace *t)
{
	struct slice line = slice_of(t->entry + t->line, t->n - t->line), rest;
	bool is_good = true, is_note = line.p[0] == '#', is_empty = line.n == 1;

	if (is_note || is_empty) {
		is_good = print_entry(t, t->line);
		memmove(t->entry, t->entry + t->line, line.n);
		t->n = is_empty ? 0 : line.n;
		t->line = 0;
	}
	slice_cut(slice_of(t->entry + t->line, t->n - t->line), ' ', &rest);
	if (is_good && (is_note || (t->line == 0 && slice_starts(rest, SLICE("refused "))))) {
		is_good = print_entry(t, t->n);
		t->n = 0;
	}
	t->line = t->n;
	return is_good;
}

static bool print_json_piece(struct slice piece, struct trace *t)
{
	for (size_t i = 0; i < piece.n; i++) {
		if (t->n == ENTRY_MAX - 1 && piece.p[i] != '\n')
			continue; /* no message of ours: what is too much is left out */
		t->entry[t->n++] = piece.p[i];
		if (piece.p[i] == '\n' && !on_line(t))
			return false;
		if (t->n == ENTRY_MAX)
			t->n = t->line = 0;
	}
	return true;
}

static bool print_piece(struct slice piece, void *arg)
{
	struct trace *t = arg;

	if (t->is_json)
		return print_json_piece(piece, t);
	return fwrite(piece.p, 1, piece.n, t->out) == piece.n && fflush(t->out) == 0;
}

/* Who talks to whom is nobody else's business. */
static FILE *open_capture(const char *name)
{
	int fd = strcmp(name, "-") == 0 ? dup(STDOUT_FILENO) : open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	if (!file && fd >= 0)
		close(fd); /* nothing was written */
	return file;
}

static int trace_to_file(struct ctl *ctl, struct trace *trace, struct ctl_request *request)
{
	char why[200];
	int code, err;

	errno = 0;
	trace->out = open_capture(ctl->pcap);
	if (!trace->out) {
		err = errno;
	} else {
		code = ctl_ask(ctl, request, NULL, NULL);
		err = ferror(trace->out) ? EIO : 0;
		if (fclose(trace->out) != 0)
			err = errno;
		if (!err || code != CTL_DONE)
			return code;
	}
	snprintf(why, sizeof(why), "%.100s: %s", ctl->pcap, strerror(err));
	ctl_tell_error(ctl, 0, why);
	return CTL_REFUSED;
}

int ctl_trace(struct ctl *ctl)
{
	char path[CTL_PATH_MAX];
	struct trace trace = { .out = stdout, .is_json = ctl->is_json };
	struct ctl_request request = { .method = "GET", .path = path, .on_piece = print_piece, .arg = &trace };

	if (!ctl->words[1][0] || !ctl_path(path, (const char *[]){ "trace", ctl->words[1], NULL }))
		return ctl_usage(ctl, "that is no name of a user");
	if (ctl->pcap) {
		if (strlen(path) + sizeof("?format=pcap") > sizeof(path))
			return ctl_usage(ctl, "that is no name of a user");
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "?format=pcap");
		return trace_to_file(ctl, &trace, &request);
	}
	if (trace.is_json && !(trace.entry = malloc(ENTRY_MAX))) {
		ctl_tell_error(ctl, 0, "no memory");
		return CTL_REFUSED;
	}
	int code = ctl_ask(ctl, &request, NULL, NULL);
	free(trace.entry);
	return code;
}
