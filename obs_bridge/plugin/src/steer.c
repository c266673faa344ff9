/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steer.h"

#include <math.h>
#include <string.h>

#include "settings.h"
#include "settings_keys.h"

struct steering {
	obs_weak_source_t *filter;
	obs_data_t *settings; /* the others stay */
	bool new_style;
};

static void steer_on_ui(void *data)
{
	struct steering *steering = data;
	obs_source_t *filter = obs_weak_source_get_source(steering->filter);
	if (filter) {
		obs_data_t *s = obs_source_get_settings(filter);
		if (steering->new_style)
			settings_leave_to_style(s);
		obs_data_release(s);
		obs_source_update(filter, steering->settings);
		obs_source_update_properties(filter);
	}
	obs_source_release(filter);
	obs_weak_source_release(steering->filter);
	obs_data_release(steering->settings);
	bfree(steering);
}

/* Settings are the UI thread's: they have no lock, and the page writes them there. Takes over `settings`. */
static void steer(struct filter *f, obs_data_t *settings, bool new_style)
{
	struct steering *steering = bzalloc(sizeof(*steering));
	obs_weak_source_addref(f->weak);
	*steering = (struct steering){f->weak, settings, new_style};
	obs_queue_task(OBS_TASK_UI, steer_on_ui, steering, false);
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
	obs_data_t *s = obs_data_create();
	obs_data_set_string(s, S_STYLE, style);
	steer(f, s, true);
	return true;
}

void steer_prompt(struct filter *f, const char *prompt)
{
	obs_data_t *s = obs_data_create();
	obs_data_set_string(s, S_STYLE, CUSTOM);
	obs_data_set_string(s, S_PROMPT, prompt);
	steer(f, s, false);
}

double steer_strength(struct filter *f, double strength)
{
	const double clamped = fmin(fmax(strength, 0), 1);
	obs_data_t *s = obs_data_create();
	obs_data_set_double(s, S_STRENGTH, clamped);
	steer(f, s, false);
	return clamped;
}

int steer_steps(struct filter *f, int steps)
{
	const int clamped = steps < 1 ? 1 : steps > MOST_STEPS ? MOST_STEPS : steps;
	obs_data_t *s = obs_data_create();
	obs_data_set_int(s, S_STEPS, clamped);
	steer(f, s, false);
	return clamped;
}

void steer_bypass(struct filter *f, bool bypass)
{
	atomic_store(&f->hotkeys.holds_bypass, false);
	link_ask_bypass(f->link, bypass);
}

void steer_panic(struct filter *f)
{
	steer_bypass(f, true);
	atomic_store(&f->cut_away, true);
}

void steer_reset(struct filter *f)
{
	link_ask_reset(f->link);
}
