/* The syslog sink of core/log.c.  Any thread. */
#ifndef CORE_LOG_SYSLOG_H
#define CORE_LOG_SYSLOG_H

void log_syslog_open(void);

/* level: enum log_level of core/options.h */
void log_syslog_write(int level, const char *text, int n);

#endif
