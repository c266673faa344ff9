/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

#include "text.h"

static void to_stderr(enum log_level level, const char *line)
{
	if (level >= LEVEL_WARNING)
		fprintf(stderr, "[limner] %s\n", line);
}

static log_sink current_sink = to_stderr;

void log_set_sink(log_sink sink)
{
	current_sink = sink ? sink : to_stderr;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	text_make_printable(line);
	current_sink(level, line);
}
