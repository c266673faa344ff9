/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to show which painted frame: by presentation time, behind a small delay that follows the engine.
 * Painted frames come in bursts (a chunk at a time) and with jitter; shown as they come they would stutter.
 * Pure: no clock, no memory of its own. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ring.h"

#define PLAYOUT_WINDOW 128
/* Slow engines take seconds; what waits is bounded by the slots as well. */
#define PLAYOUT_MAX_DELAY_NS 10000000000ull

struct playout {
	struct frame_ref queue[RING_CAPACITY]; /* by presentation time, oldest first */
	uint32_t queued;
	uint32_t queue_limit;                  /* more must not wait: the engine needs slots too */
	uint64_t latencies_ns[PLAYOUT_WINDOW]; /* arrival − presentation time of the latest frames */
	uint32_t measured;                     /* counted for ever */
	uint64_t target_ns;                    /* where the delay ought to be */
	uint64_t delay_ns;                     /* where it is */
	uint64_t advanced_ns;                  /* when it was last moved */
	uint64_t last_shown_pts_ns;
};

void playout_reset(struct playout *p, uint32_t slot_count);
/* A painted frame arrived. False: it came too late to be shown in order, or its time is none of ours; the
 * caller frees its slot. */
bool playout_push(struct playout *p, const struct frame_ref *frame);
/* The newest frame that is due now goes to *due; false when none is. Frames that it overtakes go to
 * passed[] (room for RING_CAPACITY), their number to *passed_count. */
bool playout_pop(struct playout *p, uint64_t now_ns, struct frame_ref *due, struct frame_ref *passed,
	uint32_t *passed_count);
