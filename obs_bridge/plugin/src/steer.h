/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Change a filter from outside its properties page: hotkeys and requests. As if the user had done it there,
 * so that it is saved and shown there. Any thread but the graphics one. */
#pragma once

#include "filter.h"

/* False: the daemon knows no such style (or, while it is not there, none is known). */
bool steer_style(struct filter *filter, const char *style);
void steer_prompt(struct filter *filter, const char *prompt);
/* Both return the value after clamping. */
double steer_strength(struct filter *filter, double strength);
int steer_steps(struct filter *filter, int steps);
/* Show the source or paint, also when OBS is started again. */
void steer_bypass(struct filter *filter, bool bypass);
/* The same for a moment, as long as a key is held: OBS may end in it. */
void steer_bypass_for_now(struct filter *filter, bool bypass);
/* The source at once, without a fade; for now. */
void steer_panic(struct filter *filter);
void steer_reset(struct filter *filter);
/* The filter ends. */
void steer_release(struct filter *filter);
