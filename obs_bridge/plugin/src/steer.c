/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steer.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "settings.h"
#include "settings_keys.h"

/* Of what is wished of any filter; held for moments, and never on the graphics thread. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct steering take(struct filter *f)
{
	pthread_mutex_lock(&mutex);
	const struct steering taken = f->steering;
	f->steering = (struct steering){0};
	pthread_mutex_unlock(&mutex);
	return taken;
}

static void apply(struct filter *f)
{
	const struct steering wanted = take(f);
	if (!wanted.settings)
		return;
	if (wanted.new_style) {
		obs_data_t *s = obs_source_get_settings(f->context);
		settings_leave_to_style(s);
		obs_data_release(s);
	}
	obs_source_update(f->context, wanted.settings);
	obs_data_release(wanted.settings);
	link_ask_refresh(f->link);
}

static void apply_on_ui(void *data)
{
	obs_weak_source_t *weak = data;
	obs_source_t *filter = obs_weak_source_get_source(weak);
	if (filter)
		apply(obs_obj_get_data(filter));
	obs_source_release(filter);
	obs_weak_source_release(weak);
}

/* True: nobody else has asked the UI thread yet. */
static bool put(struct filter *f, obs_data_t *settings, bool new_style)
{
	pthread_mutex_lock(&mutex);
	struct steering *s = &f->steering;
	const bool is_first = !s->settings;
	/* What was wished for the style before goes with it; whether the source is shown is no part of it. */
	if (new_style && s->settings && obs_data_has_user_value(s->settings, S_BYPASS))
		obs_data_set_bool(settings, S_BYPASS, obs_data_get_bool(s->settings, S_BYPASS));
	if (is_first || new_style) {
		obs_data_release(s->settings);
		obs_data_addref(settings);
		s->settings = settings;
	} else {
		obs_data_apply(s->settings, settings);
	}
	s->new_style = s->new_style || new_style;
	pthread_mutex_unlock(&mutex);
	return is_first;
}

/* Settings are the UI thread's: they have no lock, and the page writes them there. What comes before it gets
 * to them is taken together: a script must not fill its queue. */
static void steer(struct filter *f, obs_data_t *settings, bool new_style)
{
	const bool is_first = put(f, settings, new_style);
	obs_data_release(settings);
	if (obs_in_task_thread(OBS_TASK_UI)) {
		apply(f);
	} else if (is_first) {
		obs_weak_source_addref(f->weak);
		obs_queue_task(OBS_TASK_UI, apply_on_ui, f->weak, false);
	}
}

void steer_release(struct filter *f)
{
	obs_data_release(take(f).settings);
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
	steer_bypass_for_now(f, bypass);
	obs_data_t *s = obs_data_create();
	obs_data_set_bool(s, S_BYPASS, bypass);
	steer(f, s, false);
}

void steer_bypass_for_now(struct filter *f, bool bypass)
{
	atomic_store(&f->hotkeys.holds_bypass, false);
	link_ask_bypass(f->link, bypass);
}

void steer_panic(struct filter *f)
{
	steer_bypass_for_now(f, true);
	atomic_store(&f->cut_away, true);
}

void steer_reset(struct filter *f)
{
	link_ask_reset(f->link);
}
