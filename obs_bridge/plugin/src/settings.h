/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter's settings: defaults, properties (properties.c), and how they become wishes. */
#pragma once

#include "filter.h"

void settings_defaults(obs_data_t *settings);
obs_properties_t *settings_properties(struct filter *filter);
struct look settings_look(obs_data_t *settings);
struct link_wish settings_wish(obs_data_t *settings);
/* Clear what a style brings of its own. UI thread. */
void settings_leave_to_style(obs_data_t *settings);
bool settings_exact_size(obs_data_t *settings);
uint64_t settings_hash(const struct link_wish *wish);
/* link_hooks.mirror: take over what somebody else set. */
void settings_mirror(void *filter, const struct settings *now, uint64_t serial);
/* The state sentence of OBS's own language. */
const char *settings_words(const char *key);
