/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said of a filter to scripts: pieces of answers and events. */
#pragma once

#include "filter.h"

/* A new object that names the filter and its source. */
obs_data_t *about_filter(const struct filter *filter);
void about_put_look(obs_data_t *to, const struct settings *settings);
/* obs-websocket ends OBS over a text that is not UTF-8: all of ours go this way. */
void about_put_text(obs_data_t *to, const char *key, const char *text);
