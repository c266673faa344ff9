/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fade.h"

static bool wants_painted(const struct fade *fade, const struct fade_rules *rules, uint64_t now_ns)
{
	if (!rules->wanted || fade->last_new_ns == 0)
		return false;
	const uint64_t age_ns = now_ns > fade->last_new_ns ? now_ns - fade->last_new_ns : 0;
	switch (rules->on_stall) {
	case STALL_HOLD:
		return true;
	case STALL_SOURCE_AT_ONCE:
		return age_ns <= AT_ONCE_NS;
	case STALL_HOLD_THEN_SOURCE:
		break;
	}
	return age_ns <= rules->hold_ns;
}

double fade_advance(struct fade *fade, const struct fade_rules *rules, uint64_t now_ns, bool new_frame)
{
	if (new_frame)
		fade->last_new_ns = now_ns;
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
	return fade->shown;
}
