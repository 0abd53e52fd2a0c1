/* The rules of fuzz_msrp_stream.c: see msrp_check.h. */
#include "tests/fuzz/msrp_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNKS_MAX = 1024, PARTS_MAX = 2048, ANSWERS_MAX = 4096, NUMBERS_MAX = 10001, NOBODY = -1, MANY = -2 };

/* A request of a client. */
struct chunk {
	struct seen seen;
	const struct wire_end *end;
	unsigned at;         /* how many before it on its connection */
	bool is_whole;
	int side;            /* whose To-Path; NOBODY                */
	unsigned answers, status, answered_step;
	/* of what went on */
	unsigned parts;
	size_t gone;         /* octets of content                    */
	char flag;           /* of the last part                     */
};

/* A request that the server wrote for it. */
struct part {
	struct slice id;
	const struct wire_end *end;
	struct chunk *chunk;
	unsigned status, answered_step; /* of its first answer       */
};

/* A response of a client. */
struct answer {
	struct slice id;
	const struct wire_end *end;
	unsigned status, step;
};

static struct chunk chunks[CHUNKS_MAX];
static struct part parts[PARTS_MAX];
static struct answer answers[ANSWERS_MAX];
static unsigned chunk_count, part_count, answer_count;
static int by_number[NUMBERS_MAX];
static bool is_unclear[WIRE_ENDS_MAX]; /* after this nobody knows what the client meant */
static bool is_any_unclear, has_room;

void check_fail(const char *rule, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "step %u: not %s: ", wire.step, rule);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (getenv("FUZZ_TELL"))
		wire_tell();
	abort();
}

static unsigned index_of(const struct wire_end *end)
{
	return (unsigned)(end - wire.ends);
}

static int side_of(const struct check *check, struct slice uri)
{
	for (int i = 0; i < CHECK_SIDES; i++) {
		const char *ours = check->sides[i].uri;
		if (strlen(ours) == uri.n && memcmp(ours, uri.p, uri.n) == 0)
			return i;
	}
	return NOBODY;
}

/* ---- what the clients sent ---- */

static void add_chunk(const struct check *check, const struct wire_end *end, const struct seen *seen, unsigned at)
{
	if (chunk_count == CHUNKS_MAX) {
		has_room = false;
		return;
	}
	if (seen->number != SEEN_NO_NUMBER)
		by_number[seen->number] = by_number[seen->number] == NOBODY ? (int)chunk_count : MANY;
	chunks[chunk_count++] = (struct chunk){ .seen = *seen, .end = end, .at = at, .is_whole = seen->n > 0,
		.side = side_of(check, seen->to_path) };
}

static void add_answer(const struct wire_end *end, const struct seen *seen, size_t offset)
{
	if (answer_count == ANSWERS_MAX)
		has_room = false;
	else
		answers[answer_count++] = (struct answer){ seen->id, end, seen->status, wire_when(&end->got, offset) };
}

static void read_input(const struct check *check, const struct wire_end *end)
{
	struct slice in = slice_of(end->in, end->got.n);
	enum seen_verdict verdict = SEEN_WHOLE;
	struct seen seen;

	for (unsigned at = 0; in.n && verdict == SEEN_WHOLE; at++, in = slice_skip(in, seen.n)) {
		verdict = seen_read(in, &seen);
		if (verdict == SEEN_BAD)
			is_unclear[index_of(end)] = is_any_unclear = true;
		else if (seen.method.n && seen.has_head)
			add_chunk(check, end, &seen, at);
		else if (seen.has_head)
			add_answer(end, &seen, (size_t)(seen.lines.p + seen.lines.n + 1 - end->in)); /* its head says all */
	}
}

/* ---- what they got: requests ---- */

/* All lines but the three that are written anew are those of the client, in their order. */
static void check_lines(const struct seen *got, const struct seen *sent)
{
	static const struct slice rewritten[] = { { "To-Path", 7 }, { "From-Path", 9 }, { "Byte-Range", 10 } };
	struct slice left = got->lines, right = sent->lines;

	for (;;) {
		struct slice lines[2] = { SLICE_EMPTY, SLICE_EMPTY };
		for (unsigned i = 0; i < 2; i++) {
			struct slice name, value, line, *from = i ? &right : &left;
			bool is_rewritten = true;
			while (is_rewritten && seen_next_line(from, &line, &name, &value)) {
				is_rewritten = false;
				for (unsigned j = 0; j < 3; j++)
					is_rewritten |= slice_case_eq(name, rewritten[j]);
				if (!is_rewritten)
					lines[i] = line;
			}
		}
		MUST(slice_eq(lines[0], lines[1]), "\"%.*s\" became \"%.*s\"", SLICE_ARG(lines[1]), SLICE_ARG(lines[0]));
		if (!lines[0].p)
			return;
	}
}

static void check_range(const struct chunk *chunk, const struct seen *got)
{
	uint64_t first = 1, last = UINT64_MAX, all = UINT64_MAX, start, end, total;

	if (chunk->seen.range.p && !seen_range(chunk->seen.range, &first, &last, &all))
		return; /* 400 */
	if (!got->range.p) {
		MUST(!chunk->seen.range.p && chunk->gone == 0, "Byte-Range is lost");
		return;
	}
	MUST(seen_range(got->range, &start, &end, &total), "Byte-Range is \"%.*s\"", SLICE_ARG(got->range));
	MUST(start == first + chunk->gone, "starts at %ju", (uintmax_t)start);
	MUST(total == all, "total %ju", (uintmax_t)total);
	MUST(end == UINT64_MAX || end == last, "range %.*s", SLICE_ARG(got->range));
	MUST(start - 1 <= total && got->body.n <= total - (start - 1), "%zu octets in %.*s", got->body.n,
		SLICE_ARG(got->range));
}

/* As check_run() found them: content comes in its order, each octet once. */
static void check_content(struct chunk *chunk, const struct seen *got)
{
	size_t left = chunk->seen.body.n - chunk->gone;

	MUST(got->body.n <= left && (!got->body.n || !memcmp(got->body.p, chunk->seen.body.p + chunk->gone, got->body.n)),
		"content of %.*s changed behind %zu", SLICE_ARG(chunk->seen.id), chunk->gone);
	chunk->gone += got->body.n;
	chunk->parts++;
	chunk->flag = got->flag;
	MUST(got->flag != '$' || (chunk->seen.flag == '$' && chunk->gone == chunk->seen.body.n), "ends too early");
}

static void check_paths(const struct check *check, const struct seen *got, int side)
{
	MUST(side >= 0 && side < CHECK_SIDES, "from nobody's session");
	const struct check_side *far = &check->sides[side ^ 1];

	MUST(slice_eq(got->from_path, slice_str(far->uri)), "From-Path is \"%.*s\"", SLICE_ARG(got->from_path));
	MUST(slice_eq(got->to_path, slice_str(far->path[0])) || slice_eq(got->to_path, slice_str(far->path[1])),
		"To-Path is \"%.*s\"", SLICE_ARG(got->to_path));
}

/* Chunks of one connection for one leg are not reordered. */
static void check_order(struct chunk *const *before, struct chunk *chunk)
{
	for (unsigned i = 0; i < WIRE_ENDS_MAX; i++) {
		if (before[i] && before[i]->end == chunk->end && before[i]->side == chunk->side)
			MUST(before[i]->at <= chunk->at, "%.*s after %.*s", SLICE_ARG(chunk->seen.id),
				SLICE_ARG(before[i]->seen.id));
	}
}

static void on_request(const struct check *check, const struct wire_end *end, const struct seen *got,
	struct chunk **before)
{
	int which = got->number == SEEN_NO_NUMBER ? NOBODY : by_number[got->number];

	MUST(slice_case_eq(slice_cut(got->lines, ':', NULL), SLICE("To-Path")), "To-Path is not the first");
	if (which < 0) {
		MUST(got->number == SEEN_NO_NUMBER || which == MANY || is_any_unclear, "chunk %d out of nothing", got->number);
		return;
	}
	struct chunk *chunk = &chunks[which];
	MUST(chunk->side != NOBODY, "chunk %d is for nobody", got->number);
	MUST(slice_eq(got->method, chunk->seen.method), "method is %.*s", SLICE_ARG(got->method));
	check_paths(check, got, chunk->side);
	check_lines(got, &chunk->seen);
	check_range(chunk, got);
	check_content(chunk, got);
	check_order(before, chunk);
	before[chunk->side] = chunk;
	if (part_count == PARTS_MAX)
		has_room = false;
	else
		parts[part_count++] = (struct part){ .id = got->id, .end = end, .chunk = chunk };
}

/* ---- what they got: responses ---- */

/* RFC 4975 7.2: only those to SEND are from hop to hop. */
static bool is_way_back(const struct seen *request, const struct seen *got)
{
	struct slice to = slice_eq(request->method, SLICE("SEND")) ? slice_cut(request->from_path, ' ', NULL) :
		request->from_path;

	return slice_eq(got->to_path, to) && slice_eq(got->from_path, slice_cut(request->to_path, ' ', NULL));
}

static void on_response(const struct wire_end *end, const struct seen *got, size_t offset)
{
	struct chunk *first = NULL;

	for (unsigned i = 0; i < chunk_count; i++) {
		struct chunk *chunk = &chunks[i];
		if (chunk->end != end || !slice_eq(chunk->seen.id, got->id) || slice_eq(chunk->seen.method, SLICE("REPORT")))
			continue;
		if (!first || first->answers || !is_way_back(&first->seen, got)) /* an id may be used again */
			first = chunk;
	}
	if (!first) {
		MUST(is_unclear[index_of(end)] || !has_room, "answer %u to nothing: %.*s", got->status, SLICE_ARG(got->id));
		return;
	}
	if (is_unclear[index_of(end)] && !is_way_back(&first->seen, got))
		return; /* to what came last: a head that was refused before its end was known to be none, with this id again */
	MUST(first->answers == 0 || is_unclear[index_of(end)], "second answer %u to %.*s", got->status, SLICE_ARG(got->id));
	MUST(is_way_back(&first->seen, got), "answer from %.*s to %.*s", SLICE_ARG(got->from_path), SLICE_ARG(got->to_path));
	first->answers++;
	first->status = got->status;
	first->answered_step = wire_when(&end->said, offset);
}

static void read_output(const struct check *check, const struct wire_end *end)
{
	struct slice out = slice_of(end->out, end->said.n);
	struct chunk *before[WIRE_ENDS_MAX] = { NULL };
	enum seen_verdict verdict = SEEN_WHOLE;
	struct seen got;

	for (; out.n && verdict == SEEN_WHOLE; out = slice_skip(out, got.n)) {
		verdict = seen_read(out, &got);
		MUST(verdict != SEEN_BAD, "connection %u got no MSRP at %zu", index_of(end), (size_t)(out.p - end->out));
		if (verdict == SEEN_PARTIAL && !got.has_head)
			break;
		if (got.method.n)
			on_request(check, end, &got, before);
		else if (verdict == SEEN_WHOLE)
			on_response(end, &got, (size_t)(out.p - end->out) + got.n);
	}
	MUST(verdict == SEEN_WHOLE || !end->is_open || end->was_reset || end->said.n == WIRE_OUT_MAX,
		"connection %u got half of %.*s", index_of(end), SLICE_ARG(got.id));
}

/* ---- who answered what ---- */

static void find_answers_of_parts(void)
{
	for (unsigned i = 0; i < answer_count; i++) {
		for (unsigned j = 0; j < part_count; j++) {
			struct part *part = &parts[j];
			if (part->end == answers[i].end && !part->status && slice_eq(part->id, answers[i].id)) {
				part->status = answers[i].status;
				part->answered_step = answers[i].step;
				break;
			}
		}
	}
}

/* Empty SENDs are answered by the server itself. */
static bool is_only_for_us(const struct seen *seen)
{
	return seen->body.n == 0 && !seen->content_type.n;
}

/* A 200 is said when the other side has said it to all of it. */
static void check_success(const struct chunk *chunk)
{
	if (is_only_for_us(&chunk->seen) || chunk->seen.number == SEEN_NO_NUMBER || by_number[chunk->seen.number] == MANY)
		return;
	MUST(chunk->parts && chunk->gone == chunk->seen.body.n && chunk->flag == chunk->seen.flag,
		"200 to %.*s, of which %zu octets and '%c' went on", SLICE_ARG(chunk->seen.id), chunk->gone, chunk->flag);
	for (unsigned i = 0; i < part_count; i++) {
		if (parts[i].chunk == chunk)
			MUST(parts[i].status >= 200 && parts[i].status < 300 &&
					(wire.is_vague || parts[i].answered_step <= chunk->answered_step),
				"200 to %.*s, but %u to a part of it", SLICE_ARG(chunk->seen.id), parts[i].status);
	}
}

static void check_failure(const struct chunk *chunk)
{
	static const unsigned ours[] = { 400, 403, 408, 413, 415, 481, 501, 506 };

	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (chunk->status == ours[i])
			return;
	}
	for (unsigned i = 0; i < part_count; i++) {
		if (parts[i].chunk == chunk && parts[i].status == chunk->status)
			return;
	}
	MUST(is_any_unclear || chunk->seen.number == SEEN_NO_NUMBER || by_number[chunk->seen.number] == MANY,
		"%u to %.*s: nobody said that", chunk->status, SLICE_ARG(chunk->seen.id));
}

static bool is_gone(const struct wire_end *end)
{
	return !end->is_open || end->has_ended || end->was_reset || end->said.n == WIRE_OUT_MAX;
}

static void check_outcome(const struct check *check, const struct chunk *chunk)
{
	const struct seen *seen = &chunk->seen;
	const struct check_side *side = chunk->side == NOBODY ? NULL : &check->sides[chunk->side];
	bool is_send = slice_eq(seen->method, SLICE("SEND"));
	bool wants_answer = is_send && (!seen->failure_report.p || slice_case_eq(seen->failure_report, SLICE("yes")));
	bool is_excused = is_gone(chunk->end) || check->is_stopped[index_of(chunk->end)] ||
		is_unclear[index_of(chunk->end)] ||
		(side && (side->is_excused || side->is_waiting || check->sides[chunk->side ^ 1].is_excused));

	if (chunk->answers && chunk->status < 300) {
		MUST(!is_send || wants_answer || seen->has_repeated, "%u to %.*s with Failure-Report %.*s", chunk->status,
			SLICE_ARG(seen->id), SLICE_ARG(seen->failure_report));
		if (is_send)
			check_success(chunk);
	} else if (chunk->answers) {
		check_failure(chunk);
	} else if (chunk->is_whole && !is_excused) {
		MUST(!wants_answer || seen->has_repeated, "no answer to %.*s", SLICE_ARG(seen->id));
		MUST(check->has_refused || is_only_for_us(seen) || !side ||
				(chunk->parts && chunk->gone == seen->body.n && chunk->flag == seen->flag),
			"%.*s was dropped and nobody counted it", SLICE_ARG(seen->id));
	}
}

void check_run(const struct check *check)
{
	for (unsigned i = 0; i < chunk_count; i++) {
		if (chunks[i].seen.number != SEEN_NO_NUMBER)
			by_number[chunks[i].seen.number] = NOBODY;
	}
	static bool is_ready;
	for (unsigned i = 0; !is_ready && i < NUMBERS_MAX; i++)
		by_number[i] = NOBODY;
	is_ready = has_room = true;
	is_any_unclear = false;
	chunk_count = part_count = answer_count = 0;
	for (unsigned i = 0; i < wire.end_count; i++) {
		is_unclear[i] = false;
		read_input(check, &wire.ends[i]);
	}
	for (unsigned i = 0; i < wire.end_count; i++)
		read_output(check, &wire.ends[i]);
	find_answers_of_parts();
	for (unsigned i = 0; has_room && i < chunk_count; i++)
		check_outcome(check, &chunks[i]);
}
