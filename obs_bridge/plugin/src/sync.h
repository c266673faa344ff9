/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much later the sound must be so that it is in step with the painted picture. Steady: it follows the
 * measured delay only when that stays away from it. Pure: the clock is an argument. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Nobody hears less. */
#define SYNC_TOLERANCE_NS 20000000ull
/* Another delay must last this long before the sound follows. */
#define SYNC_SETTLES_NS 1000000000ull
/* The source alone must be seen for this long before the sound is as it was. */
#define SYNC_LETS_GO_NS 2000000000ull

struct sync {
	double delay_ns;          /* of the painted frames, smoothed; 0: none yet */
	uint64_t applied_ns;      /* what the sound should be later by */
	uint64_t astray_since_ns; /* 0: it is what it should be */
	uint64_t source_since_ns; /* 0: the painted picture shows */
};

/* Move on to `now_ns`: does the painted picture show, and what is the delay of a painted frame that is new
 * (0: none is)? True: `applied_ns` is another from now on. */
bool sync_advance(struct sync *sync, bool painted, uint64_t delay_ns, uint64_t now_ns);
