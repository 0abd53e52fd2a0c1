#include "actors/records.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/trace_file.h"
#include "config/address.h"
#include "core/log.h"
#include "core/record_file.h"
#include "sip/hep.h"

static int prepare_cdr(struct im_server *server, const struct config *config, struct record_target **target)
{
	const char *file = config->log.cdr;
	bool is_on = file && *file;
	char *path = is_on ? config_path(config, file) : NULL; /* design.md 13: from the configuration's directory */
	int err = is_on && !path ? ENOMEM : record_file_prepare(server->cdr, path, target);

	if (err)
		LOG(ERROR, NULL, "cdr", 0, "cannot-open file=\"%s\" error=\"%s\"", is_on ? file : "", strerror(err));
	free(path);
	return err;
}

static int prepare_hep(const struct config *config, struct sip_hep_target **target)
{
	struct hep_collector collector = { 0 };

	if (config->log.hep && *config->log.hep)
		(void)collector_parse(slice_str(config->log.hep), &collector); /* config_check() has seen that it can */
	int err = sip_hep_prepare(&collector, target);
	if (err)
		LOG(ERROR, NULL, "hep", 0, "cannot-begin error=\"%s\"", strerror(err));
	return err;
}

static int prepare_trace_dir(const struct config *config, int *directory)
{
	const char *name = config->log.trace_dir;
	bool is_on = name && *name;
	char *path = is_on ? config_path(config, name) : NULL;
	int err = is_on && !path ? ENOMEM : trace_files_prepare(path, directory);

	if (err)
		LOG(ERROR, NULL, "trace", 0, "cannot-open directory=\"%s\" error=\"%s\"", is_on ? name : "", strerror(err));
	free(path);
	return err;
}

static int fail(struct records_turn *turn, const char *key, const char *name, int err)
{
	records_forget(turn);
	turn->failed_key = key;
	turn->failed_name = name;
	return err;
}

int records_prepare(struct im_server *server, const struct config *config, struct records_turn *turn)
{
	int err;

	*turn = (struct records_turn){ .trace_dir = -1 };
	if ((err = prepare_cdr(server, config, &turn->cdr)))
		return fail(turn, "log.cdr", config->log.cdr, err);
	if ((err = prepare_hep(config, &turn->hep)))
		return fail(turn, "log.hep", config->log.hep, err);
	if ((err = prepare_trace_dir(config, &turn->trace_dir)))
		return fail(turn, "log.trace_dir", config->log.trace_dir, err);
	return 0;
}

void records_turn(struct im_server *server, struct records_turn *turn)
{
	record_file_turn_to(server->cdr, turn->cdr);
	sip_hep_turn_to(turn->hep);
	trace_files_turn_to(turn->trace_dir);
}

void records_forget(struct records_turn *turn)
{
	record_file_forget(turn->cdr);
	sip_hep_forget(turn->hep);
	if (turn->trace_dir >= 0)
		close(turn->trace_dir);
}

int records_open(struct im_server *server, struct counters **counters, unsigned *counters_count)
{
	struct records_turn turn;
	int err;

	if ((err = record_file_make(&server->cdr, RECORD_QUEUE_OCTETS)) || (err = sip_hep_open()) ||
	    (err = records_prepare(server, server->config, &turn)))
		return err;
	records_turn(server, &turn);
	counters[(*counters_count)++] = record_file_counters(server->cdr);
	counters[(*counters_count)++] = sip_hep_counters();
	return 0;
}

void records_close(struct im_server *server)
{
	record_file_free(server->cdr);
	server->cdr = NULL;
	sip_hep_close();
	trace_files_turn_to(-1);
}
