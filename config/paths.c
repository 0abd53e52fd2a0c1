#include "config/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log_sink.h"

/* 0, or why `path` cannot be opened for writing; `directory` is shortened to where a new file would be made. */
static int why_not(const char *path, char *directory)
{
	char *slash = strrchr(directory, '/');
	struct stat status;

	if (stat(path, &status) == 0)
		return S_ISDIR(status.st_mode) ? EISDIR : access(path, W_OK) == 0 ? 0 : errno;
	if (errno != ENOENT)
		return errno;
	if (slash)
		slash[slash == directory] = '\0';
	return access(slash ? directory : ".", W_OK | X_OK) == 0 ? 0 : errno;
}

static void check_path(const struct config *config, struct config_place place, const char *key, const char *value,
		       struct config_errors *errors)
{
	char *path = config_path(config, value), *directory = path ? strdup(path) : NULL;
	int err = directory ? why_not(path, directory) : ENOMEM;

	if (err == ENOMEM)
		errors->out_of_memory = true;
	else if (err == ENOENT)
		config_error(errors, place, key, "\"%.200s\": there is no directory %.200s", value, directory);
	else if (err == EACCES || err == EROFS || err == EPERM)
		config_warning(errors, place, key, "\"%.200s\": this user may not write it: %s", value, strerror(err));
	else if (err)
		config_error(errors, place, key, "\"%.200s\": cannot be written: %s", value, strerror(err));
	free(path);
	free(directory);
}

void config_check_paths(const struct config *config, const struct node *root, enum config_paths which,
			struct config_errors *errors)
{
	if (which == CONFIG_PATHS_NONE)
		return;
	if (which == CONFIG_PATHS_ALL && config->store.path)
		check_path(config, node_place(root, "store", "path"), "store.path", config->store.path, errors);
	if (config->log.sink && log_sink_is_file(config->log.sink))
		check_path(config, node_place(root, "log", "sink"), "log.sink", config->log.sink, errors);
	if (config->log.cdr && config->log.cdr[0])
		check_path(config, node_place(root, "log", "cdr"), "log.cdr", config->log.cdr, errors);
}
