/* imservd: command line, configuration, signals (design.md 8). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "actors/server.h"
#include "config/command_line.h"
#include "core/log.h"
#include "core/notify.h"

static void block_signals(sigset_t *handled)
{
	sigemptyset(handled);
	sigaddset(handled, SIGTERM);
	sigaddset(handled, SIGINT);
	sigaddset(handled, SIGHUP);
	/* before any thread starts: all inherit the mask, and only main waits for them */
	pthread_sigmask(SIG_BLOCK, handled, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* The signal, or 0: `ms` are over. */
static int wait_for_signal(const sigset_t *handled, uint64_t ms)
{
	struct timespec longest = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
	int which = ms == UINT64_MAX ? sigwaitinfo(handled, NULL) : sigtimedwait(handled, NULL, &longest);

	return which > 0 ? which : 0;
}

static void wait_for_end(struct server *server, const sigset_t *handled)
{
	for (;;) {
		int which = wait_for_signal(handled, server_watch(server));
		if (which == 0)
			continue;
		if (which != SIGHUP)
			return;
		notify_reloading();
		server_reload(server);
		notify_say("READY=1\nSTATUS=running");
	}
}

static int serve(struct config *config, const struct config_source *source)
{
	static struct server *server; /* a start that failed leaves it to the end of the process */
	sigset_t handled;

	block_signals(&handled);
	int err = server_open_log(config);
	if (err) {
		fprintf(stderr, "imservd: log.sink %s: %s\n", config->log.sink, strerror(err));
		return EXIT_RUNTIME;
	}
	notify_open();
	if (server_start(&server, config, source) != 0)
		return EXIT_RUNTIME;
	server_print_ready(server, stderr);
	(void)log_start(); /* without its thread, lines are written at once */
	notify_say("READY=1\nSTATUS=running");
	wait_for_end(server, &handled);
	server_drain(server);
	server_stop(server);
	LOG(INFO, NULL, "server", 0, "stopped");
	notify_close();
	log_stop();
	return EXIT_CLEAN;
}

static int run(const struct command_line *line)
{
	struct config_errors errors = { 0 };
	struct config *config = NULL;
	int err = config_load(&config, &line->source, &errors), code = EXIT_CLEAN;

	config_errors_print(&errors, stderr);
	config_errors_free(&errors);
	if (err)
		return EXIT_USAGE;
	if (line->command == COMMAND_PRINT_CONFIG)
		config_print(config, stdout);
	else if (line->command == COMMAND_CHECK_CONFIG)
		printf("configuration is good\n");
	else
		code = serve(config, &line->source);
	config_free(config);
	return code;
}

int main(int argc, char **argv)
{
	struct command_line line;
	int code = config_command_line(argc, argv, &line);

	if (code) {
		fprintf(stderr, "imservd: %s\nimservd --help lists the options\n", line.error);
	} else if (line.command == COMMAND_HELP) {
		config_command_help(stdout);
	} else if (line.command == COMMAND_VERSION) {
		printf("imservd " IMSERV_VERSION "\n");
	} else {
		code = run(&line);
	}
	command_line_free(&line);
	return code;
}
