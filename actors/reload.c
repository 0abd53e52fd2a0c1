#include "actors/reload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "actors/descriptors.h"
#include "actors/records.h"
#include "actors/server.h"
#include "actors/settings.h"
#include "actors/store_actor.h"
#include "config/tls_files.h"
#include "core/buffer.h"
#include "core/log.h"

#define ASK_S (RELOAD_TAKEN_MS / 1000 + 10) /* how long the API waits for main */

struct reloader {
	/* ---- main ---- */
	struct reload_source source;
	unsigned missing;  /* workers that have not yet changed over to what is in force */
	/* ---- main and whoever asks ---- */
	pthread_mutex_t mutex;
	pthread_cond_t was_done;
	uint64_t asked, done; /* numbers of requests: all up to `done` have their answer */
	unsigned code;        /* of the last: 0: there was none */
	json_t *answer;
	char time[32];
	bool is_stopping;
	struct counters counters; /* written by main */
};

/* One attempt. */
struct attempt {
	struct config_errors errors;
	struct text_list restart;
	struct config *config;
	struct tls_set *tls;
	const char *not_now; /* then code 503 */
	bool is_posted;
};

/* ---- what an operator is told ---- */

/* No double quote: it stands between them on the log. */
static const char *quotable(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text);
	for (char *p = to; (p = strchr(p, '"')) != NULL;)
		*p = '\'';
	return to;
}

/* A site holds back what is more than a burst: a long list of errors has several. */
static void log_list(const struct config_errors *errors)
{
	static struct log_site sites[2][CONFIG_ERRORS_MAX / LOG_SITE_BURST + 1];
	unsigned said[2] = { 0 };
	char text[LOG_LINE_MAX];

	for (unsigned i = 0; i < errors->count; i++) {
		const struct config_error *e = &errors->list[i];
		enum log_level level = e->is_warning ? LOG_WARN : LOG_ERROR;
		if ((int)level <= atomic_load(&log_level_now))
			log_write(&sites[e->is_warning][said[e->is_warning]++ / LOG_SITE_BURST], level, NULL, "config", 0,
				"%s file=\"%s\" line=%u key=%s reason=\"%s\"", e->is_warning ? "warning" : "error",
				e->source, e->line, e->key[0] ? e->key : "-", quotable(text, sizeof(text), e->text));
	}
}

static json_t *names_of(const struct text_list *names)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < names->count; i++)
		json_array_append_new(list, json_string(names->list[i])); /* no memory: the log has it */
	return list;
}

/* `FILE:LINE: KEY: TEXT`, as at the start. */
static json_t *line_text(const char *source, unsigned line, const char *key, const char *text)
{
	char place[16] = "";

	if (line)
		snprintf(place, sizeof(place), ":%u", line);
	return json_sprintf("%s%s: %s%s%s", source, place, key, key[0] ? ": " : "", text);
}

static json_t *warnings_of(const struct config_errors *errors)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < errors->count; i++)
		if (errors->list[i].is_warning)
			json_array_append_new(list, line_text(errors->list[i].source, errors->list[i].line,
				errors->list[i].key, errors->list[i].text));
	return list;
}

static json_t *errors_of(const struct config_errors *errors)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < errors->count; i++) {
		const struct config_error *e = &errors->list[i];
		if (!e->is_warning)
			json_array_append_new(list, json_pack("{s:s,s:i,s:s,s:s}", "file", e->source, "line", (int)e->line,
				"key", e->key, "reason", e->text));
	}
	return list;
}

static json_t *refusal_of(const struct attempt *a)
{
	unsigned count = a->errors.errors;

	return json_pack("{s:i,s:o,s:o}", "error", 409, "reason",
		json_sprintf("%u error%s in the configuration; what was in force stays", count, count == 1 ? "" : "s"),
		"errors", errors_of(&a->errors));
}

static json_t *success_of(const struct attempt *a, unsigned missing)
{
	char text[160] = "new limits count at once, other keys for what begins from now on";

	if (missing)
		snprintf(text, sizeof(text), "%u workers are too busy to change over at once, but will", missing);
	return json_pack("{s:b,s:s,s:o,s:o}", "reloaded", 1, "result", text, "restart_required", names_of(&a->restart),
		"warnings", warnings_of(&a->errors));
}

static void log_restart(const struct text_list *names)
{
	char text[LOG_LINE_MAX];
	struct buffer b = buffer_over(text, sizeof(text) - 1);

	if (!names->count)
		return;
	for (unsigned i = 0; i < names->count; i++)
		buffer_printf(&b, "%s%s", i ? "," : "", names->list[i]);
	text[b.n] = '\0';
	LOG(WARN, NULL, "config", 0, "restart-required keys=%s", text);
}

static unsigned conclude(struct reloader *r, const struct attempt *a, json_t **answer)
{
	COUNT(&r->counters, config_reloads);
	log_list(&a->errors);
	if (a->is_posted) {
		log_restart(&a->restart);
		LOG(INFO, NULL, "config", 0, "reloaded restart_required=%u warnings=%u waiting_for_workers=%u",
			a->restart.count, a->errors.warnings, r->missing);
		*answer = success_of(a, r->missing);
		return 200;
	}
	COUNT(&r->counters, config_reloads_refused);
	LOG(ERROR, NULL, "config", 0, "reload-refused errors=%u reason=\"%s\"", a->errors.errors,
		a->not_now ? a->not_now : "see the lines before");
	*answer = a->not_now ? json_pack("{s:i,s:s}", "error", 503, "reason", a->not_now) : refusal_of(a);
	return a->not_now ? 503 : 409;
}

/* ---- one attempt ---- */

static void on_complaint(void *arg, unsigned entry, const char *key, const char *text)
{
	struct attempt *a = arg;
	char name[64];

	snprintf(name, sizeof(name), "tls[%u].%s", entry, key);
	config_error(&a->errors, (struct config_place){ a->config->file, 0 }, name, "%s", text);
}

static bool refuse_file(struct attempt *a, const char *key, const char *file, int err)
{
	if (err == ENOMEM)
		a->not_now = "no memory";
	else
		config_error(&a->errors, (struct config_place){ a->config->file, 0 }, key, "\"%s\": cannot be opened: %s",
			file, strerror(err));
	return false;
}

/* Last of all that may fail: then the log is the new one's.  False: nothing has changed. */
static bool change_files(struct reloader *r, struct attempt *a)
{
	struct im_server *im = r->source.im;
	struct records_turn records;
	int err = records_prepare(im, a->config, &records);

	if (err)
		return refuse_file(a, records.failed_key, records.failed_name, err);
	if ((err = server_open_log(a->config))) {
		records_forget(&records);
		return refuse_file(a, "log.sink", a->config->log.sink, err);
	}
	records_turn(im, &records);
	return true;
}

/* Nothing of this can be taken back, and nothing of it can fail. */
static void put_in_force(struct reloader *r, struct im_settings *settings, struct settings_news *news[])
{
	struct im_server *im = r->source.im;

	settings_news_post(news, r->source.group);
	store_actor_set_options(im->store, &settings->config->store);
	settings_replace(im, settings);
	r->missing = settings_wait(settings, r->source.group->count, RELOAD_TAKEN_MS);
}

static void apply(struct reloader *r, struct attempt *a, const struct config *running)
{
	struct settings_news *news[WORKERS_MAX];
	unsigned workers = r->source.group->count;
	struct im_settings *settings = NULL;

	descriptors_fit(a->config, running);
	int err = config_tls_open(&a->tls, a->config, on_complaint, a);
	if (err) {
		a->not_now = err == EINVAL ? NULL : "no memory";
		return;
	}
	err = settings_make(&settings, r->source.im, a->config, false, a->tls);
	if (err == E2BIG)
		config_error(&a->errors, (struct config_place){ a->config->file, 0 }, "core.next_hop",
			"\"%s\": more than %u different hosts since the start: expected a restart",
			a->config->core.next_hop, IM_HOPS_MAX);
	if (err == ENOMEM)
		a->not_now = "no memory";
	if (err) {
		tls_set_drop(a->tls);
		return;
	}
	if (settings_news_make(news, workers, settings) != 0) {
		a->not_now = "no memory";
	} else if (!change_files(r, a)) {
		settings_news_drop(news, workers);
	} else {
		a->is_posted = true;
		a->config = NULL;
		put_in_force(r, settings, news);
		return;
	}
	a->config = NULL; /* the settings' */
	settings_drop(settings);
}

static void attempt(struct reloader *r, struct attempt *a)
{
	struct im_settings *running = settings_take(r->source.im);

	if (r->missing)
		r->missing = settings_wait(running, r->missing, 0);
	if (r->missing)
		a->not_now = "workers are still busy with the last reload";
	else if (config_reload(&a->config, r->source.config, running->config, &a->restart, &a->errors) == ENOMEM)
		a->not_now = "no memory";
	if (a->config)
		apply(r, a, running->config);
	settings_drop(running);
}

void reloader_run(struct reloader *r)
{
	struct attempt a = { 0 };
	json_t *answer = NULL;
	struct timespec now;
	struct tm tm;

	pthread_mutex_lock(&r->mutex);
	uint64_t ticket = r->asked; /* who asks from here on may have changed the file meanwhile */
	pthread_mutex_unlock(&r->mutex);
	attempt(r, &a);
	unsigned code = conclude(r, &a, &answer);
	config_free(a.config);
	config_errors_free(&a.errors);
	text_list_free(&a.restart);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	pthread_mutex_lock(&r->mutex);
	json_decref(r->answer);
	r->answer = answer;
	r->code = code;
	r->done = ticket;
	(void)strftime(r->time, sizeof(r->time), "%Y-%m-%dT%H:%M:%SZ", &tm); /* it fits */
	pthread_cond_broadcast(&r->was_done);
	pthread_mutex_unlock(&r->mutex);
}

/* ---- whoever asks ---- */

unsigned reloader_ask(struct reloader *r, json_t **answer)
{
	struct timespec until;
	unsigned code = 503;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ASK_S;
	pthread_mutex_lock(&r->mutex);
	uint64_t ticket = ++r->asked;
	(void)kill(getpid(), SIGHUP); /* main waits for it; to oneself it cannot fail */
	int err = 0;
	while (r->done < ticket && !r->is_stopping && !err)
		err = pthread_cond_timedwait(&r->was_done, &r->mutex, &until);
	if (r->done >= ticket) {
		code = r->code;
		*answer = json_deep_copy(r->answer);
	} else {
		*answer = json_pack("{s:i,s:s}", "error", 503, "reason", r->is_stopping ? "draining" : "not done yet");
	}
	pthread_mutex_unlock(&r->mutex);
	return code;
}

/* The result in one sentence: a single error is told instead of counted. */
static json_t *sentence_of(json_t *answer)
{
	json_t *errors = json_object_get(answer, "errors"), *result = json_object_get(answer, "result");
	json_t *text = result ? result : json_object_get(answer, "reason");

	if (json_array_size(errors) != 1)
		return text ? json_deep_copy(text) : json_string("");
	json_t *only = json_array_get(errors, 0);
	return line_text(json_string_value(json_object_get(only, "file")),
		(unsigned)json_integer_value(json_object_get(only, "line")),
		json_string_value(json_object_get(only, "key")), json_string_value(json_object_get(only, "reason")));
}

json_t *reloader_last(struct reloader *r)
{
	json_t *last = NULL;

	pthread_mutex_lock(&r->mutex);
	json_t *keys = json_object_get(r->answer, "restart_required");
	if (r->code)
		last = json_pack("{s:s,s:b,s:o,s:o}", "time", r->time, "reloaded", r->code == 200, "reason",
			sentence_of(r->answer), "restart_required",
			keys ? json_deep_copy(keys) : json_array());
	pthread_mutex_unlock(&r->mutex);
	return last;
}

/* ---- beginning and end ---- */

int reloader_open(struct reloader **out, const struct reload_source *source)
{
	/* counters keep a cache line of their own */
	struct reloader *r = aligned_alloc(64, (sizeof(*r) + 63) & ~(size_t)63);
	pthread_condattr_t monotonic;

	if (!r)
		return ENOMEM;
	memset(r, 0, sizeof(*r));
	r->source = *source;
	pthread_mutex_init(&r->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->was_done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = r;
	return 0;
}

void reloader_stop(struct reloader *r)
{
	pthread_mutex_lock(&r->mutex);
	r->is_stopping = true;
	pthread_cond_broadcast(&r->was_done);
	pthread_mutex_unlock(&r->mutex);
}

void reloader_close(struct reloader *r)
{
	json_decref(r->answer);
	pthread_cond_destroy(&r->was_done);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

struct counters *reloader_counters(struct reloader *r)
{
	return &r->counters;
}
