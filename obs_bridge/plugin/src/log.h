/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the parts without OBS write their log lines; the plugin sends them to OBS's own log. */
#pragma once

enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR };

typedef void (*log_sink)(enum log_level level, const char *line);

/* Set once, before any thread starts. */
void log_set_sink(log_sink sink);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
