/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sync.h"

/* Weight of a new frame: half a second of frames settle it. */
#define WEIGHT (1.0 / 16)
#define NS_PER_MS 1000000ull

static void measure(struct sync *s, uint64_t delay_ns)
{
	if (s->delay_ns <= 0)
		s->delay_ns = (double)delay_ns;
	else
		s->delay_ns += ((double)delay_ns - s->delay_ns) * WEIGHT;
}

static bool is_let_go(struct sync *s, bool painted, uint64_t now_ns)
{
	if (painted)
		s->source_since_ns = 0;
	else if (s->source_since_ns == 0)
		s->source_since_ns = now_ns;
	if (painted || now_ns - s->source_since_ns < SYNC_LETS_GO_NS)
		return false;
	s->delay_ns = 0;
	return true;
}

static bool is_near(uint64_t a, uint64_t b)
{
	return (a == 0) == (b == 0) && (a > b ? a - b : b - a) <= SYNC_TOLERANCE_NS;
}

bool sync_advance(struct sync *s, bool painted, uint64_t delay_ns, uint64_t now_ns)
{
	if (painted && delay_ns > 0)
		measure(s, delay_ns);
	const bool let_go = is_let_go(s, painted, now_ns);
	const uint64_t wanted_ns = (uint64_t)(s->delay_ns / NS_PER_MS + 0.5) * NS_PER_MS;
	if (is_near(wanted_ns, s->applied_ns)) {
		s->astray_since_ns = 0;
		return false;
	}
	if (s->astray_since_ns == 0)
		s->astray_since_ns = now_ns;
	if (!let_go && now_ns - s->astray_since_ns < SYNC_SETTLES_NS)
		return false;
	s->astray_since_ns = 0;
	s->applied_ns = wanted_ns;
	return true;
}
