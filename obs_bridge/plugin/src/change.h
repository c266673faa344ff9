/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparing what the user wishes with what is in force. Pure. */
#pragma once

#include "protocol.h"

/* What of `wish` is to be said so that it comes to be, from `now` on. False: nothing is. */
bool change_from(const struct change *wish, const struct settings *now, struct change *difference);
/* Does `wish` say all of `now` (bypass aside), and nothing else? */
bool change_matches(const struct change *wish, const struct settings *now);
/* The settings that a wish amounts to where nothing else is known. */
void change_to_settings(const struct change *wish, struct settings *settings);
/* Where a wish's style is another than when wish and daemon last agreed (`before`), what still is as it was
 * then belonged to that style, and is left to the new one. */
void change_drop_stale(struct change *wish, const struct settings *before);
/* Leave out what still is as it was shown to the user, or as it was said before (`shown`): whatever is in
 * force by now, nobody wants it changed. What goes with another style stays. */
void change_drop_untouched(struct change *wish, const struct settings *shown);
/* Note in `shown` what was said. */
void change_note_said(const struct change *said, struct settings *shown);
