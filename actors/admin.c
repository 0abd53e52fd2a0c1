#include "actors/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actors/admin_internal.h"
#include "actors/admin_worker.h"
#include "actors/reload.h"
#include "actors/trace_file.h"
#include "core/log.h"

#define SESSIONS_DEFAULT 100
#define STOP_WAITS       50 /* times 10 ms */

/* ---- opening ---- */

static char *token_path(const struct config *config)
{
	char *name, *path;

	if (config->http.token_file[0])
		return config_path(config, config->http.token_file);
	if (asprintf(&name, "%s.token", config->store.path) < 0)
		return NULL;
	path = config_path(config, name);
	free(name);
	return path;
}

int admin_open(struct admin **out, const struct admin_source *source)
{
	struct admin *admin = calloc(1, sizeof(*admin));
	char *path = token_path(source->im->config);
	int err = admin && path ? admin_token_load(path, admin->token) : ENOMEM;

	if (err) {
		LOG(ERROR, NULL, "admin", 0, "no-token file=%s error=\"%s\"", path ? path : "", err == EPERM ?
			"others can read it: chmod 600" : err == EINVAL ? "no token in it" : strerror(err));
		free(admin);
	} else {
		admin->source = *source;
		clock_gettime(CLOCK_MONOTONIC, &admin->started);
		*out = admin;
	}
	free(path);
	return err;
}

void admin_stop(struct admin *admin)
{
	struct timespec step = { 0, 10000000 };

	if (!admin)
		return;
	sip_trace_stop();
	/* whoever reads gets the end of his answer; who does not, not for ever */
	for (unsigned i = 0; i < STOP_WAITS && sip_trace_on(); i++)
		nanosleep(&step, NULL);
}

void admin_close(struct admin *admin)
{
	free(admin);
}

/* ---- who may ---- */

/* A name that a page elsewhere can point at us (DNS rebinding) is no address of ours. */
static bool host_is_ours(const char *host, const struct sockaddr_storage *local)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)local;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)local;
	bool is_v6 = local->ss_family == AF_INET6;
	const char *colon = host ? strrchr(host, ':') : NULL;
	const char *bracket = host ? strrchr(host, ']') : NULL;
	size_t n = host ? strlen(host) : 0;
	char literal[INET6_ADDRSTRLEN];
	uint64_t port;

	if (colon && (!bracket || colon > bracket)) {
		if (!slice_u64(slice_str(colon + 1), 65535, &port) || port != ntohs(is_v6 ? v6->sin6_port : v4->sin_port))
			return false;
		n = (size_t)(colon - host);
	}
	if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(literal))
		return false;
	memcpy(literal, host, n);
	literal[n] = 0;
	if (is_v6) {
		struct in6_addr address;
		return inet_pton(AF_INET6, literal, &address) == 1 && IN6_ARE_ADDR_EQUAL(&address, &v6->sin6_addr);
	}
	struct in_addr address;
	return inet_pton(AF_INET, literal, &address) == 1 && address.s_addr == v4->sin_addr.s_addr;
}

/* In a time that does not tell how much of it was right. */
bool admin_token_is(const struct admin *admin, const char *authorization)
{
	static const char scheme[] = "Bearer ";
	size_t n = strlen(admin->token);
	unsigned char differs = 0;

	if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
		return false;
	struct slice given = slice_trim(slice_str(authorization + sizeof(scheme) - 1));
	if (given.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		differs |= (unsigned char)(given.p[i] ^ admin->token[i]);
	return differs == 0;
}

unsigned admin_refuses(const struct admin *admin, const struct admin_credentials *c, const char **why)
{
	if (c->origin) {
		*why = "not for web pages: there is an Origin";
		return 403;
	}
	if (!host_is_ours(c->host, &c->local)) {
		*why = "Host is no address of this listener";
		return 403;
	}
	if (!admin_token_is(admin, c->authorization)) {
		*why = "expected Authorization: Bearer and the token of http.token_file";
		return 401;
	}
	return 0;
}

/* ---- answers ---- */

void admin_answer_json(struct admin_answer *answer, unsigned code, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;
	char *line = text ? realloc(text, n + 2) : NULL;

	json_decref(json);
	if (!line) {
		free(text);
		return;
	}
	line[n++] = '\n';
	line[n] = 0;
	answer->code = code;
	answer->body = line;
	answer->n = n;
}

void admin_error(struct admin_answer *answer, unsigned code, const char *reason)
{
	admin_answer_json(answer, code, json_pack("{s:i,s:s}", "error", (int)code, "reason", reason));
}

void admin_answer_method(struct admin_answer *answer, const char *allow)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "only %s", allow);
	admin_error(answer, 405, reason);
	answer->allow = allow;
}

/* ---- sessions ---- */

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static int append_session(json_t *items, const struct admin_session *s)
{
	char id[24];

	snprintf(id, sizeof(id), "%llx", (unsigned long long)s->id);
	return json_array_append_new(items, json_pack("{s:s,s:o,s:o,s:s,s:f,s:I}", "id", id,
		"from", text_or_null(s->caller), "to", text_or_null(s->callee), "state", s->state,
		"age_s", (double)s->age_ms / 1000.0, "octets", (json_int_t)s->octets));
}

static int append_conference(json_t *items, const struct admin_session *c)
{
	char id[24];

	snprintf(id, sizeof(id), "%llx", (unsigned long long)c->id);
	return json_array_append_new(items, json_pack("{s:s,s:o,s:s,s:o,s:i,s:i,s:f}", "id", id, "uri",
		text_or_null(c->callee), "kind", c->state, "from", text_or_null(c->caller), "participants", (int)c->participants,
		"messages", (int)c->messages, "age_s", (double)c->age_ms / 1000.0));
}

/* The place where a page begins: `WORKER.SLOT`. */
static bool read_place(const char *text, unsigned workers, unsigned *worker, uint32_t *slot)
{
	struct slice rest, first = slice_cut(slice_str(text), '.', &rest);
	uint64_t w, s;

	if (!slice_u64(first, workers - 1, &w) || !slice_u64(rest, POOL_SLOTS_MAX, &s))
		return false;
	*worker = (unsigned)w;
	*slot = (uint32_t)s;
	return true;
}

/* Sessions or conferences of one worker; false: `answer` says why not. */
static bool append_page(struct admin *admin, enum admin_kind kind, json_t *items, unsigned worker, uint32_t *slot,
	unsigned limit, struct admin_answer *answer)
{
	struct admin_question *q = admin_question_make(kind, limit);
	bool is_answered = false;

	if (q) {
		q->from_slot = *slot;
		is_answered = admin_question_ask(q, admin->source.group, worker);
	}
	for (unsigned i = 0; is_answered && i < q->count; i++)
		if ((kind == ADMIN_SESSIONS ? append_session : append_conference)(items, &q->sessions[i]) != 0)
			is_answered = false;
	if (is_answered)
		*slot = q->next_slot;
	else
		admin_error(answer, 503, q ? "a worker does not answer" : "no memory");
	if (q)
		admin_question_release(q);
	return is_answered;
}

static void list(struct admin *admin, enum admin_kind kind, const struct admin_request *request,
	struct admin_answer *answer)
{
	unsigned workers = admin->source.group->count, worker = 0;
	uint64_t limit = SESSIONS_DEFAULT;
	json_t *items;
	uint32_t slot = 0;
	char next[32];

	if ((request->from && !read_place(request->from, workers, &worker, &slot)) ||
	    (request->limit && (!slice_u64(slice_str(request->limit), ADMIN_SESSIONS_MAX, &limit) || limit == 0))) {
		admin_error(answer, 400, "from is what next was, limit 1 to 200");
		return;
	}
	items = json_array();
	while (items && worker < workers && json_array_size(items) < limit) {
		if (!append_page(admin, kind, items, worker, &slot, (unsigned)(limit - json_array_size(items)), answer)) {
			json_decref(items);
			return;
		}
		if (slot == 0)
			worker++;
	}
	snprintf(next, sizeof(next), "%u.%u", worker, slot);
	admin_answer_json(answer, 200, json_pack("{s:o,s:o}", "items", items, "next",
		worker < workers ? json_string(next) : json_null()));
}

static void on_sessions(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	list(admin, ADMIN_SESSIONS, request, answer);
}

static void on_conferences(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	list(admin, ADMIN_CONFERENCES, request, answer);
}

/* ---- drain, reload, trace ---- */

static void on_drain(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	(void)request;
	atomic_store(&admin->source.im->is_draining, true); /* what the answer says is so when it arrives */
	answer->drains = true;
	admin_answer_json(answer, 202, json_pack("{s:b,s:i}", "draining", 1, "sessions",
		(int)atomic_load(&admin->source.im->session_count)));
}

void admin_drain(struct admin *admin)
{
	admin->source.drain(admin->source.arg);
}

static void on_reload(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	json_t *said = NULL;

	(void)request;
	if (!admin->source.is_ready(admin->source.arg)) {
		admin_error(answer, 503, "starting or draining");
		return;
	}
	unsigned code = reloader_ask(admin->source.reloader, &said);
	admin_answer_json(answer, code, said);
}

static void on_trace(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	struct sip_trace_options options = { .file_max = TRACE_FILE_OCTETS_MAX };
	struct admin_user_name name;

	options.is_pcap = request->format && strcmp(request->format, "pcap") == 0;
	if (request->format && !options.is_pcap && strcmp(request->format, "text") != 0) {
		admin_error(answer, 400, "format is text or pcap");
		return;
	}
	if (!admin_read_user(admin, request->path, &name)) {
		admin_error(answer, 400, "expected a user of the home domain: NAME, NAME@DOMAIN or sip:NAME@DOMAIN");
		return;
	}
	struct slice canonical = slice_of(name.canonical, name.canonical_n);
	int err = trace_file_open(canonical, &options.file);
	if (err) /* what was asked for goes on without */
		LOG(WARN, NULL, "trace", 0, "no-file user=%.*s error=\"%s\"", SLICE_ARG(canonical),
			err == EMFILE ? "as many as may be are in log.trace_dir" : strerror(err));
	err = sip_trace_open(&answer->trace, canonical, &admin->source.im->sip.home, &options);
	if (err && options.file >= 0)
		close(options.file);
	answer->is_pcap = options.is_pcap;
	if (err)
		admin_error(answer, 503, err == EBUSY ? "too many readers" : strerror(err));
	else
		answer->code = 200;
}

/* ---- what a later version has ---- */

static void on_later(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	(void)admin;
	(void)request;
	admin_error(answer, 501, "not in this version");
}

/* ---- the door ---- */

static const struct {
	const char *path; /* one that ends in a slash has a name behind it */
	const char *method; /* NULL: its own business */
	void (*handle)(struct admin *, const struct admin_request *, struct admin_answer *);
} resources[] = {
	{ "status", "GET", admin_on_status },
	{ "sessions", "GET", on_sessions },
	{ "users/", NULL, admin_on_user },
	{ "drain", "POST", on_drain },
	{ "reload", "POST", on_reload },
	{ "trace/", "GET", on_trace },
	{ "conferences", "GET", on_conferences },
	{ "mailbox/", NULL, admin_on_mailbox },
	{ "docs/", NULL, admin_on_document },
	{ "history", "GET", on_later },
};

void admin_answer(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
		size_t n = strlen(resources[i].path);
		bool has_name = resources[i].path[n - 1] == '/';
		if (strncmp(request->path, resources[i].path, n) != 0 || has_name != (request->path[n] != 0))
			continue;
		struct admin_request inner = *request;
		inner.path += n;
		if (resources[i].method && strcmp(request->method, resources[i].method) != 0)
			admin_answer_method(answer, resources[i].method);
		else
			resources[i].handle(admin, &inner, answer);
		return;
	}
	admin_error(answer, 404, "not served by this server");
}
