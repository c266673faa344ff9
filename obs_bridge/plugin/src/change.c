/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "change.h"

#include <string.h>

bool change_from(const struct change *wish, const struct settings *now, struct change *d)
{
	*d = *wish;
	d->has_style = wish->has_style && strcmp(wish->style, now->style) != 0;
	d->has_prompt = wish->has_prompt && strcmp(wish->prompt, now->prompt) != 0;
	d->has_strength = wish->has_strength && wish->strength != now->strength;
	d->has_steps = wish->has_steps && wish->steps != now->steps;
	d->has_seed = wish->has_seed && wish->seed != now->seed;
	d->has_motion_aware = wish->has_motion_aware && wish->motion_aware != now->motion_aware;
	d->has_bypass = wish->has_bypass && wish->bypass != now->bypass;
	return d->has_style || d->has_prompt || d->has_strength || d->has_steps || d->has_seed ||
	       d->has_motion_aware || d->has_bypass;
}

bool change_matches(const struct change *wish, const struct settings *now)
{
	struct change difference;
	return wish->has_style && wish->has_prompt && wish->has_strength && wish->has_steps &&
	       wish->has_seed && wish->has_motion_aware && !change_from(wish, now, &difference);
}

void change_to_settings(const struct change *wish, struct settings *settings)
{
	*settings = (struct settings){
		.strength = wish->strength,
		.steps = wish->steps,
		.seed = wish->seed,
		.motion_aware = wish->motion_aware,
	};
	memcpy(settings->style, wish->style, sizeof(settings->style));
	memcpy(settings->prompt, wish->prompt, sizeof(settings->prompt));
}

void change_drop_stale(struct change *wish, const struct settings *before)
{
	if (!wish->has_style || strcmp(wish->style, before->style) == 0)
		return;
	if (strcmp(wish->prompt, before->prompt) == 0)
		wish->has_prompt = false;
	if (wish->strength == before->strength)
		wish->has_strength = false;
	if (wish->steps == before->steps)
		wish->has_steps = false;
}
