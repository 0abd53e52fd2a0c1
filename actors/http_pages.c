#include "actors/http_pages.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"

/* What may run and load in the dashboard: what is in it, as named by their hashes, and /metrics. */
static const char dashboard_policy[] =
#define DASHBOARD_POLICY
#include "dashboard.html.h"
#undef DASHBOARD_POLICY
	;

static char dashboard[] =
#define DASHBOARD_PAGE
#include "dashboard.html.h"
#undef DASHBOARD_PAGE
	;

#define HTML	    "text/html; charset=utf-8"
#define JSON	    "application/json"
#define PLAIN	    "text/plain; charset=utf-8"
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

static struct http_answer answer_text(unsigned code, const char *text)
{
	return (struct http_answer){ code, PLAIN, strdup(text), strlen(text) };
}

/* `reason` is ours: nothing in it needs escaping. */
static struct http_answer answer_error(unsigned code, const char *reason)
{
	struct http_answer a = { code, JSON, NULL, 0 };
	int n = asprintf(&a.body, "{\"error\":%u,\"reason\":\"%s\"}\n", code, reason);

	if (n < 0)
		a.body = NULL;
	else
		a.n = (size_t)n;
	return a;
}

static struct http_answer on_livez(const struct metrics_source *source)
{
	return answer_text(MHD_HTTP_OK, "ok\n");
}

static struct http_answer on_readyz(const struct metrics_source *source)
{
	switch (source->state(source->arg)) {
	case SERVER_STARTING:
		return answer_error(MHD_HTTP_SERVICE_UNAVAILABLE, "starting");
	case SERVER_DRAINING:
		return answer_error(MHD_HTTP_SERVICE_UNAVAILABLE, "draining");
	case SERVER_READY:
		break;
	}
	return answer_text(MHD_HTTP_OK, "ok\n");
}

static struct http_answer on_metrics(const struct metrics_source *source)
{
	struct http_answer a = { MHD_HTTP_OK, OPENMETRICS, NULL, 0 };
	FILE *out = open_memstream(&a.body, &a.n);
	bool is_whole;

	if (!out)
		return a;
	metrics_write(source, out);
	is_whole = !ferror(out);
	if (fclose(out) != 0 || !is_whole) {
		free(a.body);
		a.body = NULL;
	}
	return a;
}

static struct http_answer on_dashboard(const struct metrics_source *source)
{
	return (struct http_answer){ MHD_HTTP_OK, HTML, dashboard, sizeof(dashboard) - 1,
		.policy = dashboard_policy, .is_static = true };
}

static const struct {
	const char *path;
	unsigned serve; /* 0: always */
	struct http_answer (*handle)(const struct metrics_source *source);
} pages[] = {
	{ "/livez", 0, on_livez },
	{ "/readyz", 0, on_readyz },
	{ "/metrics", SERVE_METRICS, on_metrics },
	{ "/", SERVE_METRICS, on_dashboard },
};

struct http_answer http_page(const struct metrics_source *source, unsigned serve, const char *path,
	const char *method)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(path, pages[i].path) != 0)
			continue;
		if (pages[i].serve && !(serve & pages[i].serve))
			break;
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return answer_error(MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
		return pages[i].handle(source);
	}
	return answer_error(MHD_HTTP_NOT_FOUND, "no such resource");
}
