/* imservctl: the documents of users, as XCAP knows them (design.md 10). */
#include "actors/ctl.h"

#include <errno.h>
#include <stdlib.h>

#define DOCUMENT_MAX (4u << 20) /* a server takes far less: limits.xml_bytes */

/* design.md 13 "XCAP" */
static const char *media_type(const char *auid)
{
	static const struct {
		const char *auid, *type;
	} types[] = {
		{ "org.openmobilealliance.groups", "application/vnd.oma.poc.groups+xml" },
		{ "org.openmobilealliance.im-rules", "application/auth-policy+xml" },
		{ "resource-lists", "application/resource-lists+xml" },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].auid, auid) == 0)
			return types[i].type;
	return "application/xml";
}

/* Standard input, terminated; the caller's.  NULL: *wrong says why. */
static char *read_document(const char **wrong)
{
	char *text = malloc(DOCUMENT_MAX + 1);
	size_t n = text ? fread(text, 1, DOCUMENT_MAX, stdin) : 0;

	*wrong = !text ? strerror(ENOMEM) : ferror(stdin) ? "standard input cannot be read" :
		 n == DOCUMENT_MAX ? "the document is too large" : n == 0 ? "expected a document on standard input" :
		 memchr(text, 0, n) ? "standard input is no XML" : NULL;
	if (*wrong) {
		free(text);
		return NULL;
	}
	text[n] = 0;
	return text;
}

static void tell_written(json_t *answer)
{
	(void)answer;
	puts("written");
}

static void tell_deleted(json_t *answer)
{
	(void)answer;
	puts("deleted");
}

static int put(struct ctl *ctl, struct ctl_request *request)
{
	const char *wrong;
	char *body = read_document(&wrong);

	if (!body)
		return ctl_usage(ctl, "%s", wrong);
	request->method = "PUT";
	request->body = body;
	request->type = media_type(ctl->words[2]);
	int code = ctl_do(ctl, request, tell_written);
	free(body);
	return code;
}

/* The document itself; with --json {"document":"..."}. */
static int get(struct ctl *ctl, struct ctl_request *request)
{
	char *text;

	request->method = "GET";
	int code = ctl_ask(ctl, request, NULL, &text);
	if (code)
		return code;
	if (!ctl->is_json) {
		fputs(text ? text : "", stdout);
	} else {
		json_t *json = json_pack("{s:s?}", "document", text); /* null when it is no UTF-8 */
		ctl_print_json(json);
		json_decref(json);
	}
	free(text);
	return CTL_DONE;
}

int ctl_doc(struct ctl *ctl)
{
	char path[CTL_PATH_MAX];
	struct ctl_request request = { .path = path };
	const char *verb = ctl->words[1];

	if (!ctl->words[2][0] || !ctl->words[3][0] || !ctl->words[4][0] ||
	    !ctl_path(path, (const char *[]){ "docs", ctl->words[2], ctl->words[3], ctl->words[4], NULL }))
		return ctl_usage(ctl, "that is no document");
	if (strcmp(verb, "put") == 0)
		return put(ctl, &request);
	if (strcmp(verb, "get") == 0)
		return get(ctl, &request);
	request.method = "DELETE";
	return strcmp(verb, "del") == 0 ? ctl_do(ctl, &request, tell_deleted) : ctl_usage(ctl, "expected put, get or del");
}
