/* imservctl: the admin API of a running imserv on the command line (design.md 8). */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/admin_token.h"
#include "actors/ctl_http.h"
#include "core/buffer.h"

#define API_DEFAULT   "http://127.0.0.1:9090"
#define TOKEN_DEFAULT "imserv.db.token"
#define PASSWORD_MAX  1024
#define PATH_SIZE     2048

enum { EXIT_OK, EXIT_REFUSED, EXIT_BAD_USAGE, EXIT_UNREACHABLE };

struct ctl {
	const char *api, *token_file;
	bool is_json;
	char **words; /* the command's own */
	int count;
	char token[ADMIN_TOKEN_MAX];
};

static void print_usage(FILE *out)
{
	fputs("usage: imservctl [--api URL] [--json] [--token-file FILE] COMMAND\n"
	      "  --api URL          where the server's http listener is, default " API_DEFAULT "\n"
	      "  --token-file FILE  the server's http.token_file, default " TOKEN_DEFAULT "\n"
	      "  --json             print what the server answered, as it is\n"
	      "  status                     what the server is and how much it has to do\n"
	      "  sessions                   the IM sessions that exist now\n"
	      "  user add|del|passwd USER   passwd reads the new password from standard input\n"
	      "  drain                      no new work, then the end, as SIGTERM\n"
	      "  reload                     as SIGHUP\n"
	      "  trace USER                 the SIP messages of a user as they come, until interrupted\n"
	      "  --help, --version          print this, the version\n"
	      "USER is a name of the home domain: alice, alice@example.org or sip:alice@example.org\n"
	      "not served yet: conferences, mailbox USER [delete ID], doc put|get|del AUID XUI NAME, history search WHAT...\n"
	      "exit code: 0 done, 1 refused, 2 usage, 3 the server cannot be reached\n", out);
}

static const char *token_file(const struct ctl *ctl)
{
	return ctl->token_file ? ctl->token_file : TOKEN_DEFAULT;
}

static int usage(const char *why)
{
	fprintf(stderr, "imservctl: %s\nimservctl --help lists the commands\n", why);
	return EXIT_BAD_USAGE;
}

/* ---- asking ---- */

/* Everything that a path may hold without a meaning of its own. */
static void put_escaped(struct buffer *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~@:", c))
			buffer_char(out, (char)c);
		else
			buffer_printf(out, "%%%02X", c);
	}
}

static int refused(const struct ctl *ctl, const struct ctl_answer *answer)
{
	json_t *json = answer->body ? json_loads(answer->body, 0, NULL) : NULL;
	const char *reason = json_string_value(json_object_get(json, "reason"));

	fprintf(stderr, "imservctl: refused, %u: %s\n", answer->status, reason ? reason : "");
	if (answer->status == 401)
		fprintf(stderr, "imservctl: %s %s: say with --token-file where the server's token is\n",
			token_file(ctl), ctl->token[0] ? "holds another server's token" : "does not exist");
	json_decref(json);
	return EXIT_REFUSED;
}

/* The exit code.  On 0 *json (may be NULL) is the answer, the caller's. */
static int ask(const struct ctl *ctl, struct ctl_request *request, json_t **json)
{
	struct ctl_answer answer;
	int code = EXIT_OK;

	request->api = ctl->api;
	request->token = ctl->token;
	int err = ctl_http(request, &answer);
	if (err == EINVAL) {
		code = usage(answer.error);
	} else if (err) {
		fprintf(stderr, "imservctl: %s\n", answer.error);
		code = EXIT_UNREACHABLE;
	} else if (answer.status >= 300) {
		code = refused(ctl, &answer);
	} else if (json) {
		*json = answer.body ? json_loads(answer.body, 0, NULL) : NULL;
		if (!*json) {
			fprintf(stderr, "imservctl: %s does not answer as imserv does\n", ctl->api);
			code = EXIT_UNREACHABLE;
		}
	}
	free(answer.body);
	return code;
}

static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
	putchar('\n');
}

/* `key value` lines, or the answer as it is; takes `json` over. */
static int print_answer(const struct ctl *ctl, json_t *json)
{
	const char *key;
	json_t *value;

	if (ctl->is_json) {
		print_json(json);
	} else {
		json_object_foreach(json, key, value) {
			char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
			printf("%-18s %s\n", key, json_is_string(value) ? json_string_value(value) : text ? text : "");
			free(text);
		}
	}
	json_decref(json);
	return EXIT_OK;
}

static int simple(const struct ctl *ctl, const char *method, const char *path)
{
	struct ctl_request request = { .method = method, .path = path };
	json_t *json = NULL;
	int code = ask(ctl, &request, &json);

	return code ? code : print_answer(ctl, json);
}

/* ---- commands ---- */

static int on_status(const struct ctl *ctl)
{
	return simple(ctl, "GET", "status");
}

static int on_drain(const struct ctl *ctl)
{
	return simple(ctl, "POST", "drain");
}

static int on_reload(const struct ctl *ctl)
{
	return simple(ctl, "POST", "reload");
}

static const char *text_of(json_t *item, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(item, key));

	return text ? text : otherwise;
}

static void print_session(json_t *item)
{
	printf("%-14s %-9s %10.1f %12lld  %s -> %s\n", text_of(item, "id", ""), text_of(item, "state", ""),
		json_number_value(json_object_get(item, "age_s")),
		(long long)json_integer_value(json_object_get(item, "octets")), text_of(item, "from", "(anonymous)"),
		text_of(item, "to", "(anonymous)"));
}

/* All pages. */
static int on_sessions(const struct ctl *ctl)
{
	json_t *all = json_array(), *page = NULL, *item;
	char path[128] = "sessions";
	int code = EXIT_OK;
	size_t i;

	while (!code && path[0] && all) {
		struct ctl_request request = { .method = "GET", .path = path };
		code = ask(ctl, &request, &page);
		if (code)
			break;
		(void)json_array_extend(all, json_object_get(page, "items")); /* no list: nothing is added */
		const char *next = json_string_value(json_object_get(page, "next"));
		if (next)
			snprintf(path, sizeof(path), "sessions?from=%.64s", next);
		else
			path[0] = 0;
		json_decref(page);
	}
	if (!code && ctl->is_json) {
		print_json(all);
	} else if (!code) {
		printf("%-14s %-9s %10s %12s  %s\n", "ID", "STATE", "SECONDS", "OCTETS", "WHO");
		json_array_foreach(all, i, item)
			print_session(item);
	}
	json_decref(all);
	return code;
}

/* The first line of standard input. */
static bool read_password(char password[PASSWORD_MAX])
{
	if (isatty(STDIN_FILENO))
		fputs("password: ", stderr);
	if (!fgets(password, PASSWORD_MAX, stdin))
		return false;
	password[strcspn(password, "\r\n")] = 0;
	return password[0] != 0;
}

static int on_user(const struct ctl *ctl)
{
	char path[PATH_SIZE], password[PASSWORD_MAX];
	struct buffer out = buffer_over(path, sizeof(path));
	struct ctl_request request = { .path = path };
	json_t *json = NULL;
	char *body = NULL;

	if (ctl->count != 3)
		return usage("user: expected add, del or passwd, and a user");
	if (!ctl->words[2][0])
		return usage("user: that is no name"); /* nor a resource of the server's */
	buffer_lit(&out, "users/");
	put_escaped(&out, ctl->words[2]);
	buffer_char(&out, 0);
	if (out.overflow)
		return usage("user: that is no name");
	if (strcmp(ctl->words[1], "add") == 0) {
		request.method = "PUT";
		request.condition = "If-None-Match: *";
	} else if (strcmp(ctl->words[1], "del") == 0) {
		request.method = "DELETE";
	} else if (strcmp(ctl->words[1], "passwd") == 0) {
		if (!read_password(password))
			return usage("user passwd: expected a password on standard input");
		json_t *object = json_pack("{s:s}", "password", password);
		request.body = body = object ? json_dumps(object, JSON_COMPACT) : NULL;
		json_decref(object);
		if (!body)
			return usage("user passwd: expected a password in UTF-8");
		request.method = "PUT";
		request.condition = "If-Match: *"; /* a mistyped name is no new user */
	} else {
		return usage("user: expected add, del or passwd");
	}
	int code = ask(ctl, &request, &json);
	free(body);
	return code ? code : print_answer(ctl, json);
}

static bool print_piece(struct slice piece, void *arg)
{
	(void)arg;
	return fwrite(piece.p, 1, piece.n, stdout) == piece.n && fflush(stdout) == 0;
}

static int on_trace(const struct ctl *ctl)
{
	char path[PATH_SIZE];
	struct buffer out = buffer_over(path, sizeof(path));
	struct ctl_request request = { .method = "GET", .path = path, .on_piece = print_piece };

	if (ctl->count != 2 || !ctl->words[1][0])
		return usage("trace: expected a user");
	buffer_lit(&out, "trace/");
	put_escaped(&out, ctl->words[1]);
	buffer_char(&out, 0);
	return out.overflow ? usage("trace: that is no name") : ask(ctl, &request, NULL);
}

/* What this version of the server may not serve: its answer says so. */
static int on_resource(const struct ctl *ctl)
{
	char path[PATH_SIZE];
	struct buffer out = buffer_over(path, sizeof(path));

	for (int i = 0; i < ctl->count; i++) {
		buffer_str(&out, i ? "/" : "");
		put_escaped(&out, ctl->words[i]);
	}
	buffer_char(&out, 0);
	return out.overflow ? usage("too long") : simple(ctl, "GET", path);
}

static const struct {
	const char *name;
	int least, most; /* words, itself included */
	int (*run)(const struct ctl *ctl);
} commands[] = {
	{ "status", 1, 1, on_status },
	{ "sessions", 1, 1, on_sessions },
	{ "user", 3, 3, on_user },
	{ "drain", 1, 1, on_drain },
	{ "reload", 1, 1, on_reload },
	{ "trace", 2, 2, on_trace },
	{ "conferences", 1, 1, on_resource },
	{ "mailbox", 2, 4, on_resource },
	{ "doc", 5, 5, on_resource },
	{ "history", 2, 64, on_resource },
};

/* ---- start ---- */

static int load_token(struct ctl *ctl)
{
	const char *file = token_file(ctl);
	int err = access(file, F_OK) == 0 ? admin_token_load(file, ctl->token) : errno;

	if (!err || err == ENOENT) /* without one the server refuses, if there is a server */
		return EXIT_OK;
	fprintf(stderr, "imservctl: token file %s: %s\n", file, err == EPERM ? "others can read it: chmod 600" : strerror(err));
	return EXIT_REFUSED;
}

static int run(struct ctl *ctl)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(ctl->words[0], commands[i].name) != 0)
			continue;
		if (ctl->count < commands[i].least || ctl->count > commands[i].most)
			return usage("wrong number of words");
		int code = load_token(ctl);
		return code ? code : commands[i].run(ctl);
	}
	return usage("no such command");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "api", required_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ "token-file", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct ctl ctl = { .api = API_DEFAULT };
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (option) {
		case 'a':
			ctl.api = optarg;
			break;
		case 'j':
			ctl.is_json = true;
			break;
		case 't':
			ctl.token_file = optarg;
			break;
		case 'h':
			print_usage(stdout);
			return EXIT_OK;
		case 'v':
			printf("imservctl " IMSERV_VERSION "\n");
			return EXIT_OK;
		default: /* getopt said which */
			return usage("unknown option, or one without its value");
		}
	ctl.words = argv + optind;
	ctl.count = argc - optind;
	return ctl.count ? run(&ctl) : usage("expected a command");
}
