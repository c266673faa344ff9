/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "action.h"

#include <math.h>
#include <string.h>

const char *action_style_after(const struct link_status *status, const char *now, int step)
{
	const int count = (int)status->style_count;
	if (count == 0)
		return NULL;
	for (int i = 0; i < count; i++)
		if (strcmp(status->styles[i], now) == 0)
			return status->styles[((i + step) % count + count) % count];
	return status->styles[step > 0 ? 0 : count - 1];
}

const char *action_style_at(const struct link_status *status, uint32_t place)
{
	return place >= 1 && place <= status->style_count ? status->styles[place - 1] : NULL;
}

double action_strength_after(double now, int steps)
{
	const double places = round(now / STRENGTH_STEP + steps);
	const double most = round(1 / STRENGTH_STEP);
	return fmin(fmax(places, 0), most) / most;
}
