/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much of the painted picture shows, 0..1: fades in when painting begins, holds the last painted frame on
 * a stall, and cross-fades to the source. Pure: the clock is an argument. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FADE_NS 300000000ull
/* A chunk may be late by this much before "source at once" calls it a stall. */
#define AT_ONCE_NS 250000000ull

enum on_stall { STALL_HOLD_THEN_SOURCE, STALL_HOLD, STALL_SOURCE_AT_ONCE };

struct fade {
	double shown;         /* share of the painted picture, 0..1 */
	uint64_t advanced_ns; /* when it was last moved; 0: never */
	uint64_t last_new_ns; /* when a new painted frame was last shown; 0: never */
};

struct fade_rules {
	enum on_stall on_stall;
	uint64_t hold_ns;
	bool wanted; /* false: the user wants to see the source */
};

/* Move on to `now_ns`; `new_frame`: a new painted frame is shown from now on. Returns the share. */
double fade_advance(struct fade *fade, const struct fade_rules *rules, uint64_t now_ns, bool new_frame);
