/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "playout.h"

#include <stdlib.h>
#include <string.h>

/* A frame that comes this much later than most still finds its turn. */
#define MARGIN_NS 4000000ull
/* The delay grows by at most half of the time that passes, and shrinks by a fortieth of it, more when it is
 * far too long: motion slows or quickens a little instead of jumping. */
#define GROWTH_DIVISOR 2
#define SHRINK_DIVISOR 40
#define SHRINK_TIME_NS 2000000000ull
/* Within this the delay stays as it is, so that noise in the measurement does not move the picture. */
#define DEAD_BAND_NS 25000000ull
/* Share of frames that ought to be there in time. */
#define PERCENT 98
#define REMEASURE_EVERY 4

/* A frame further in the future than this is not one of ours. */
#define MAX_FUTURE_NS 1000000000ull

void playout_reset(struct playout *p, uint32_t slot_count)
{
	memset(p, 0, sizeof(*p));
	p->queue_limit = slot_count - slot_count / 4;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static uint64_t percentile(const struct playout *p)
{
	uint64_t sorted[PLAYOUT_WINDOW];
	const uint32_t count = p->measured < PLAYOUT_WINDOW ? p->measured : PLAYOUT_WINDOW;
	memcpy(sorted, p->latencies_ns, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_size);
	return sorted[(count - 1) * PERCENT / 100];
}

static void measure(struct playout *p, uint64_t latency_ns)
{
	p->latencies_ns[p->measured++ % PLAYOUT_WINDOW] = latency_ns;
	if (p->measured > REMEASURE_EVERY && p->measured % REMEASURE_EVERY != 0)
		return;
	p->target_ns = percentile(p) + MARGIN_NS;
	if (p->target_ns > PLAYOUT_MAX_DELAY_NS)
		p->target_ns = PLAYOUT_MAX_DELAY_NS;
	/* Nothing was shown yet: no motion to disturb. */
	if (p->measured <= REMEASURE_EVERY)
		p->delay_ns = p->target_ns;
}

bool playout_push(struct playout *p, const struct frame_ref *frame)
{
	if (frame->pts_ns > frame->arrival_ns + MAX_FUTURE_NS)
		return false;
	measure(p, frame->arrival_ns > frame->pts_ns ? frame->arrival_ns - frame->pts_ns : 0);
	if (p->queued == RING_CAPACITY || frame->pts_ns <= p->last_shown_pts_ns)
		return false;
	uint32_t at = p->queued;
	while (at > 0 && p->queue[at - 1].pts_ns > frame->pts_ns)
		at--;
	memmove(&p->queue[at + 1], &p->queue[at], (p->queued - at) * sizeof(*p->queue));
	p->queue[at] = *frame;
	p->queued++;
	return true;
}

static void move_delay(struct playout *p, uint64_t now_ns)
{
	const uint64_t passed_ns = p->advanced_ns && now_ns > p->advanced_ns ? now_ns - p->advanced_ns : 0;
	p->advanced_ns = now_ns;
	if (p->target_ns > p->delay_ns) {
		const uint64_t step = passed_ns / GROWTH_DIVISOR;
		const uint64_t missing = p->target_ns - p->delay_ns;
		p->delay_ns += missing < step ? missing : step;
	} else if (p->delay_ns - p->target_ns > DEAD_BAND_NS) {
		const uint64_t surplus = p->delay_ns - p->target_ns;
		const double share = (double)surplus / (double)SHRINK_TIME_NS;
		const uint64_t step = passed_ns / SHRINK_DIVISOR + (uint64_t)((double)passed_ns * share);
		p->delay_ns -= surplus < step ? surplus : step;
	}
}

/* A chunk that came after its time found us with nothing new to show: the picture stands still already. So
 * the delay may jump without harm, and all of the chunk is shown in its own rhythm instead of its last frame
 * only. */
static void wait_for_late_burst(struct playout *p, uint64_t now_ns)
{
	if (p->queued < 2 || p->queue[1].pts_ns + p->delay_ns > now_ns)
		return;
	const struct frame_ref *oldest = &p->queue[0];
	const uint64_t needed_ns =
		oldest->arrival_ns > oldest->pts_ns ? oldest->arrival_ns - oldest->pts_ns : 0;
	if (needed_ns > p->delay_ns && needed_ns <= PLAYOUT_MAX_DELAY_NS)
		p->delay_ns = needed_ns;
}

bool playout_pop(struct playout *p, uint64_t now_ns, struct frame_ref *due, struct frame_ref *passed,
	uint32_t *passed_count)
{
	uint32_t ready = 0;
	*passed_count = 0;
	move_delay(p, now_ns);
	wait_for_late_burst(p, now_ns);
	while (ready < p->queued && p->queue[ready].pts_ns + p->delay_ns <= now_ns)
		ready++;
	if (p->queued - ready > p->queue_limit) {
		/* The engine would run out of slots to paint into: the delay is longer than they allow. */
		ready = p->queued - p->queue_limit;
		const uint64_t pts_ns = p->queue[ready - 1].pts_ns;
		p->delay_ns = now_ns > pts_ns ? now_ns - pts_ns : 0;
	}
	if (ready == 0)
		return false;
	*passed_count = ready - 1;
	memcpy(passed, p->queue, *passed_count * sizeof(*passed));
	*due = p->queue[ready - 1];
	p->last_shown_pts_ns = due->pts_ns;
	p->queued -= ready;
	memmove(p->queue, &p->queue[ready], p->queued * sizeof(*p->queue));
	return true;
}
