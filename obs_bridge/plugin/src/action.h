/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a hotkey or a request may ask for, and what that means for the settings in force. Pure. */
#pragma once

#include "link.h"

#define STRENGTH_STEP 0.05

/* The style `step` places after `now`, around the end; NULL: no styles are known. A look of one's own stands
 * before the first and after the last. */
const char *action_style_after(const struct link_status *status, const char *now, int step);
/* The style at a place, counted from 1; NULL: there are fewer. */
const char *action_style_at(const struct link_status *status, uint32_t place);
/* So many steps of 0.05 up or down, within 0..1, on whole steps. */
double action_strength_after(double now, int steps);
