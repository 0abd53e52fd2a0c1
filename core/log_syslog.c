/* On its own because syslog.h claims the names of our log levels. */
#include <syslog.h>

#include "core/log_syslog.h"

void log_syslog_open(void)
{
	openlog("imservd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_syslog_write(int level, const char *text, int n)
{
	static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	syslog(priority[level & 3], "%.*s", n, text);
}
