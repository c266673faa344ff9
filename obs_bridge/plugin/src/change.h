/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparing what the user wishes with what is in force. Pure. */
#pragma once

#include "protocol.h"

/* What of `wish` differs from `now`. False: nothing does. */
bool change_from(const struct change *wish, const struct settings *now, struct change *difference);
/* Does `wish` say all of `now` (bypass aside), and nothing else? */
bool change_matches(const struct change *wish, const struct settings *now);
/* The settings that a wish amounts to where nothing else is known. */
void change_to_settings(const struct change *wish, struct settings *settings);
/* A wish for a first hello after the daemon was away: where the style was changed meanwhile, what belonged to
 * the style before it (as `before` has it) is left to the new one. */
void change_drop_stale(struct change *wish, const struct settings *before);
