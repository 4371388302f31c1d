/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line a message, to stderr, or to syslog after log_to_syslog().
 *
 * Whoever knows the context logs, once; everybody else passes the -errno up. log_error_errno() and
 * its kin log and return in one statement:
 *
 *	return log_error_errno(r, "%s: cannot be opened", path);	// "...: No such file or directory"
 *
 * Any thread; errno is kept.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <syslog.h>
#include "common/cleanup.h"

/* The most talkative level that is still written: LOG_ERR … LOG_DEBUG. LOG_INFO at start. */
void log_set_level(int level);
/* What a daemon without a terminal does. */
void log_to_syslog(void);

void log_write(int level, const char *format, ...) printf_like(2, 3);
/* Appends ": " and the text of -ERROR; returns ERROR as it came. */
int log_write_errno(int level, int error, const char *format, ...) printf_like(3, 4);

#define log_error(...)   log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

#define log_error_errno(error, ...)   log_write_errno(LOG_ERR, error, __VA_ARGS__)
#define log_warning_errno(error, ...) log_write_errno(LOG_WARNING, error, __VA_ARGS__)

#endif
