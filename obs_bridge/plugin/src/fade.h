/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much of the painted picture shows, 0..1: fades in when painting begins, holds the last painted frame on
 * a stall, and cross-fades to the source. An engine that paints slowly but regularly does not stall. Pure:
 * the clock is an argument. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FADE_NS 300000000ull
/* A chunk may be late by this much before "source at once" calls it a stall. */
#define AT_ONCE_NS 250000000ull
/* From here on the time between two painted frames is a pause. */
#define PAUSE_NS 150000000ull
/* However slowly it is painted: longer is a stall. */
#define LONGEST_HOLD_NS 10000000000ull

enum on_stall { STALL_HOLD_THEN_SOURCE, STALL_HOLD, STALL_SOURCE_AT_ONCE };

struct fade {
	double shown;          /* share of the painted picture, 0..1 */
	uint64_t advanced_ns;  /* when it was last moved; 0: never */
	uint64_t last_new_ns;  /* when a new painted frame was last shown; 0: never */
	uint64_t pauses_ns[2]; /* the last pauses between painted frames, the newest first; 0: none */
	uint64_t pause_end_ns;
};

struct fade_rules {
	enum on_stall on_stall;
	uint64_t hold_ns;
	bool wanted; /* false: the user wants to see the source */
};

/* Move on to `now_ns`; `new_frame`: a new painted frame is shown from now on. Returns the share. */
double fade_advance(struct fade *fade, const struct fade_rules *rules, uint64_t now_ns, bool new_frame);
/* Nobody paints just now: the pause until the next painted frame is not the engine's own, and what was before
 * says nothing about the next engine. */
void fade_forget_pauses(struct fade *fade);
/* Show the source at once. */
void fade_cut_away(struct fade *fade);
