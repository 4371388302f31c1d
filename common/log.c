/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"
#include "common/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static atomic_int max_level = LOG_INFO;
static atomic_bool use_syslog;

void log_set_level(int level)
{
	atomic_store(&max_level, level);
}

void log_to_syslog(void)
{
	openlog("weightfs", LOG_PID, LOG_DAEMON);
	atomic_store(&use_syslog, true);
}

/* One write(2) a line, so that lines of two threads do not mix. */
static void write_line(int level, char *text)
{
	char line[1200];
	int len;

	/* Names of files and what servers say end up here: none of it may make two lines of one. */
	utf8_make_printable(text);
	if (atomic_load(&use_syslog)) {
		syslog(level, "%s", text);
		return;
	}
	/* sd-daemon(3): under systemd a "<N>" prefix carries the level to the journal. */
	if (getenv("JOURNAL_STREAM"))
		len = snprintf(line, sizeof(line), "<%d>%s\n", level, text);
	else
		len = snprintf(line, sizeof(line), "weightfs: %s\n", text);
	if ((size_t)len >= sizeof(line)) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return; /* there is nobody left to tell */
}

void log_write(int level, const char *format, ...)
{
	int saved = errno;
	char text[1024];
	va_list args;

	if (level > atomic_load(&max_level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(level, text);
	errno = saved;
}

int log_write_errno(int level, int error, const char *format, ...)
{
	int saved = errno;
	char text[1024], reason[128];
	va_list args;
	int len;

	if (level > atomic_load(&max_level))
		return error;
	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(text))
		snprintf(text + len, sizeof(text) - (size_t)len, ": %s",
			 strerror_r(error < 0 ? -error : error, reason, sizeof(reason)));
	write_line(level, text);
	errno = saved;
	return error;
}
