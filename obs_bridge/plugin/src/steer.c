/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steer.h"

#include <math.h>
#include <string.h>

#include "settings_keys.h"

/* The settings of a filter, and word that they are others now. */
static obs_data_t *begin(struct filter *f)
{
	return obs_source_get_settings(f->context);
}

static void end(struct filter *f, obs_data_t *s)
{
	obs_data_release(s);
	obs_source_update(f->context, NULL);
	obs_source_update_properties(f->context);
}

static bool knows(struct filter *f, const char *style)
{
	struct link_status *status = bzalloc(sizeof(*status));
	link_get_status(f->link, status);
	bool found = false;
	for (uint32_t i = 0; i < status->style_count && !found; i++)
		found = strcmp(status->styles[i], style) == 0;
	bfree(status);
	return found;
}

bool steer_style(struct filter *f, const char *style)
{
	if (!knows(f, style))
		return false;
	obs_data_t *s = begin(f);
	obs_data_set_string(s, S_STYLE, style);
	end(f, s);
	return true;
}

void steer_prompt(struct filter *f, const char *prompt)
{
	obs_data_t *s = begin(f);
	obs_data_set_string(s, S_STYLE, CUSTOM);
	obs_data_set_string(s, S_PROMPT, prompt);
	end(f, s);
}

double steer_strength(struct filter *f, double strength)
{
	const double clamped = fmin(fmax(strength, 0), 1);
	obs_data_t *s = begin(f);
	obs_data_set_double(s, S_STRENGTH, clamped);
	end(f, s);
	return clamped;
}

int steer_steps(struct filter *f, int steps)
{
	const int clamped = steps < 1 ? 1 : steps > MOST_STEPS ? MOST_STEPS : steps;
	obs_data_t *s = begin(f);
	obs_data_set_int(s, S_STEPS, clamped);
	end(f, s);
	return clamped;
}

void steer_bypass(struct filter *f, bool bypass)
{
	link_ask_bypass(f->link, bypass);
}

void steer_panic(struct filter *f)
{
	link_ask_bypass(f->link, true);
	atomic_store(&f->cut_away, true);
}

void steer_reset(struct filter *f)
{
	link_ask_reset(f->link);
}
