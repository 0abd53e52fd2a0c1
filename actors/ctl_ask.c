/* imservctl: asking the server, and telling what it refuses. */
#include "actors/ctl.h"

#include <errno.h>
#include <stdlib.h>

void ctl_put_escaped(struct buffer *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~@:", c))
			buffer_char(out, (char)c);
		else
			buffer_printf(out, "%%%02X", c);
	}
}

bool ctl_path(char path[CTL_PATH_MAX], const char *const *parts)
{
	struct buffer out = buffer_over(path, CTL_PATH_MAX);

	for (size_t i = 0; parts[i]; i++) {
		buffer_str(&out, i ? "/" : "");
		ctl_put_escaped(&out, parts[i]);
	}
	buffer_char(&out, 0);
	return !out.overflow;
}

/* What a person could do about it. */
static void advise(const struct ctl *ctl, unsigned status)
{
	if (status == 401)
		fprintf(stderr, "imservctl: %s %s: say with --token-file where the server's token is (http.token_file, "
			"else its store.path with .token behind it)\n", ctl->token_file,
			ctl->token[0] ? "holds another server's token" : "does not exist");
}

/* `FILE:LINE: KEY: what is wrong`, as imservd says it at its start. */
static void tell_place(json_t *error)
{
	long long line = ctl_number(error, "line");

	fputs("  ", stderr);
	ctl_print_clean(stderr, ctl_text(error, "file"));
	if (line)
		fprintf(stderr, ":%lld", line);
	fputs(": ", stderr);
	ctl_print_clean(stderr, ctl_text(error, "key"));
	fputs(": ", stderr);
	ctl_print_clean(stderr, ctl_text(error, "reason"));
	fputc('\n', stderr);
}

/* All that is wrong, for instance with a configuration: a line each. */
static void tell_list(json_t *errors)
{
	json_t *item;
	size_t i;

	json_array_foreach(errors, i, item) {
		if (json_object_get(item, "file")) {
			tell_place(item);
			continue;
		}
		char *text = json_is_string(item) ? NULL : json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);
		fputs("  ", stderr);
		ctl_print_clean(stderr, json_is_string(item) ? json_string_value(item) : text ? text : "");
		fputc('\n', stderr);
		free(text);
	}
}

static int refused(const struct ctl *ctl, const struct ctl_answer *answer)
{
	json_t *json = answer->body ? json_loads(answer->body, 0, NULL) : NULL;
	const char *reason = json_string_value(json_object_get(json, "reason"));
	char other[128];

	if (reason) {
		fprintf(stderr, "imservctl: refused, %u: ", answer->status);
		ctl_print_clean(stderr, reason);
		fputc('\n', stderr);
		tell_list(json_object_get(json, "errors"));
		if (ctl->is_json)
			ctl_print_json(json); /* as the server said it */
	} else {
		snprintf(other, sizeof(other), "refused, %u: who answers is no imserv", answer->status);
		ctl_tell_error(ctl, answer->status, other);
	}
	advise(ctl, answer->status);
	json_decref(json);
	return CTL_REFUSED;
}

static int take(const struct ctl *ctl, struct ctl_answer *answer, json_t **json, char **text)
{
	char why[400];

	if (json) {
		*json = answer->body ? json_loads(answer->body, 0, NULL) : NULL;
		if (!json_is_object(*json)) {
			json_decref(*json);
			snprintf(why, sizeof(why), "%.200s does not answer as imserv does", ctl->api);
			ctl_tell_error(ctl, 0, why);
			return CTL_UNREACHABLE;
		}
	}
	if (text) {
		*text = answer->body ? answer->body : strdup("");
		answer->body = NULL;
	}
	return CTL_DONE;
}

int ctl_ask(const struct ctl *ctl, struct ctl_request *request, json_t **json, char **text)
{
	struct ctl_answer answer;
	int code;

	request->api = ctl->api;
	request->token = ctl->token;
	request->wait_ms = ctl->wait_ms;
	int err = ctl_http(request, &answer);
	if (err == EINVAL) {
		code = ctl_usage(ctl, "--api %s", answer.error);
	} else if (err) {
		ctl_tell_error(ctl, 0, answer.error);
		code = CTL_UNREACHABLE;
	} else if (answer.status >= 300) {
		code = refused(ctl, &answer);
	} else {
		code = take(ctl, &answer, json, text);
	}
	free(answer.body);
	return code;
}

int ctl_do(const struct ctl *ctl, struct ctl_request *request, void (*tell)(json_t *answer))
{
	json_t *json;
	int code = ctl_ask(ctl, request, &json, NULL);

	if (code)
		return code;
	if (ctl->is_json)
		ctl_print_json(json);
	else
		tell(json);
	json_decref(json);
	return CTL_DONE;
}
