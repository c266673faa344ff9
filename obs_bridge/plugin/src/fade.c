/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fade.h"

static void measure_pause(struct fade *fade, uint64_t now_ns)
{
	const uint64_t pause_ns =
		fade->last_new_ns && now_ns > fade->last_new_ns ? now_ns - fade->last_new_ns : 0;
	if (pause_ns < PAUSE_NS)
		return;
	fade->pauses_ns[1] = fade->pauses_ns[0];
	fade->pauses_ns[0] = pause_ns;
	fade->pause_end_ns = now_ns;
}

/* Twice the pause that comes again and again; 0: there is none. A single long one was a stall. */
static uint64_t patience_ns(const struct fade *fade, uint64_t now_ns)
{
	const uint64_t *pauses_ns = fade->pauses_ns;
	const uint64_t usual_ns = pauses_ns[0] < pauses_ns[1] ? pauses_ns[0] : pauses_ns[1];
	if (now_ns > fade->pause_end_ns + 4 * usual_ns) /* painting has become quick, or has ended */
		return 0;
	return 2 * usual_ns < LONGEST_HOLD_NS ? 2 * usual_ns : LONGEST_HOLD_NS;
}

static uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool wants_painted(const struct fade *fade, const struct fade_rules *rules, uint64_t now_ns)
{
	if (!rules->wanted || fade->last_new_ns == 0)
		return false;
	const uint64_t age_ns = now_ns > fade->last_new_ns ? now_ns - fade->last_new_ns : 0;
	switch (rules->on_stall) {
	case STALL_HOLD:
		return true;
	case STALL_SOURCE_AT_ONCE:
		return age_ns <= longer(AT_ONCE_NS, patience_ns(fade, now_ns));
	case STALL_HOLD_THEN_SOURCE:
		break;
	}
	return age_ns <= longer(rules->hold_ns, patience_ns(fade, now_ns));
}

void fade_forget_pauses(struct fade *fade)
{
	fade->pauses_ns[0] = fade->pauses_ns[1] = 0;
}

void fade_cut_away(struct fade *fade)
{
	fade->shown = 0;
}

double fade_advance(struct fade *fade, const struct fade_rules *rules, uint64_t now_ns, bool new_frame)
{
	if (new_frame) {
		measure_pause(fade, now_ns);
		fade->last_new_ns = now_ns;
	}
	const uint64_t passed_ns =
		fade->advanced_ns && now_ns > fade->advanced_ns ? now_ns - fade->advanced_ns : 0;
	fade->advanced_ns = now_ns;
	const bool painted = wants_painted(fade, rules, now_ns);
	const double step = (double)passed_ns / (double)FADE_NS;
	if (painted)
		fade->shown = fade->shown + step < 1 ? fade->shown + step : 1;
	else if (rules->wanted && rules->on_stall == STALL_SOURCE_AT_ONCE)
		fade->shown = 0;
	else
		fade->shown = fade->shown > step ? fade->shown - step : 0;
	/* What was painted before the user saw the source does not come back: wait for a new frame. */
	if (!rules->wanted && fade->shown <= 0)
		fade->last_new_ns = 0;
	return fade->shown;
}
