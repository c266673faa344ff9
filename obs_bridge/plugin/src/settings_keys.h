/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the filter's settings, as OBS saves them. */
#pragma once

#define S_STYLE "style"
#define S_PROMPT "prompt"
#define S_STRENGTH "strength"
#define S_STEPS "steps"
#define S_SEED "seed"
#define S_TRANSITION_MS "transition_ms"
#define S_MODE "mode"
#define S_MOTION_AWARE "motion_aware"
#define S_MOTION_LOW "motion_low"
#define S_MOTION_HIGH "motion_high"
#define S_STEADINESS "steadiness"
#define S_FIT "fit"
#define S_MIX "mix"
#define S_ON_STALL "on_stall"
#define S_HOLD_MS "hold_ms"
#define S_SOUND "sound_in_step"
/* "": the sound of the filter's own source. */
#define S_SOUND_SOURCE "sound_source"
#define S_START_DAEMON "start_daemon"
/* Without a property: which of several filters on one source this is, for the names of its hotkeys. */
#define S_NUMBER "number"
/* Without a property: the source is shown, and was so when OBS was closed. */
#define S_BYPASS "bypass"
/* Without a property: for tests with an engine that can paint at any size. */
#define S_EXACT_SIZE "exact_size"

/* The style of whoever has written a prompt of their own. */
#define CUSTOM "custom"
#define MOST_STEPS 4
#define MOST_STEADINESS 0.95
#define MOST_MOTION_HIGH 1.5

#define MODE_COUNT 3
#define FIT_COUNT 2
#define STALL_COUNT 3
extern const char *const mode_names[MODE_COUNT], *const fit_names[FIT_COUNT], *const stall_names[STALL_COUNT];
