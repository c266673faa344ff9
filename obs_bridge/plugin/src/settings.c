/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "settings.h"

#include <string.h>

#include "change.h"
#include "settings_keys.h"

const char *const mode_names[MODE_COUNT] = {"auto", "throughput", "latency"};
const char *const fit_names[FIT_COUNT] = {[FIT_CROP] = "crop", [FIT_LETTERBOX] = "letterbox"};
const char *const stall_names[STALL_COUNT] = {[STALL_HOLD_THEN_SOURCE] = "hold_then_source",
	[STALL_HOLD] = "hold",
	[STALL_SOURCE_AT_ONCE] = "source"};

void settings_defaults(obs_data_t *s)
{
	obs_data_set_default_string(s, S_STYLE, "");
	obs_data_set_default_string(s, S_PROMPT, "");
	obs_data_set_default_double(s, S_STRENGTH, 0.5);
	obs_data_set_default_int(s, S_STEPS, 1);
	obs_data_set_default_int(s, S_SEED, 0);
	obs_data_set_default_int(s, S_TRANSITION_MS, 0);
	obs_data_set_default_string(s, S_MODE, mode_names[0]);
	obs_data_set_default_bool(s, S_MOTION_AWARE, true);
	obs_data_set_default_double(s, S_MOTION_LOW, 0.7);
	obs_data_set_default_double(s, S_MOTION_HIGH, 1);
	obs_data_set_default_double(s, S_STEADINESS, 0.93);
	/* All of the source is painted, whatever sizes the engine has. */
	obs_data_set_default_string(s, S_FIT, fit_names[FIT_LETTERBOX]);
	obs_data_set_default_int(s, S_MIX, 100);
	obs_data_set_default_string(s, S_ON_STALL, stall_names[STALL_HOLD_THEN_SOURCE]);
	obs_data_set_default_int(s, S_HOLD_MS, 1000);
	obs_data_set_default_bool(s, S_SOUND, true);
	obs_data_set_default_string(s, S_SOUND_SOURCE, "");
	obs_data_set_default_bool(s, S_START_DAEMON, true);
	obs_data_set_default_bool(s, S_EXACT_SIZE, false);
}

/* ---- from settings to what the parts want ---- */

static int choice(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return 0;
}

static double between(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

struct look settings_look(obs_data_t *s)
{
	const double hold_ms = between((double)obs_data_get_int(s, S_HOLD_MS), 0, 60000);
	return (struct look){
		.fit = (enum fit)choice(obs_data_get_string(s, S_FIT), fit_names, FIT_COUNT),
		.mix = (float)between((double)obs_data_get_int(s, S_MIX) / 100, 0, 1),
		.fade = {.on_stall = (enum on_stall)choice(
				 obs_data_get_string(s, S_ON_STALL), stall_names, STALL_COUNT),
			.hold_ns = (uint64_t)hold_ms * 1000000},
	};
}

/* Only what was set by someone: for the rest the daemon (and its style) decides. */
struct link_wish settings_wish(obs_data_t *s)
{
	struct link_wish wish;
	memset(&wish, 0, sizeof(wish)); /* its bytes are hashed */
	struct change *c = &wish.change;
	/* A text may have been put there by hand or by a script: at most so many characters are sent. */
	text_copy_chars(c->style, obs_data_get_string(s, S_STYLE), MAX_NAME_CHARS);
	text_copy_chars(c->prompt, obs_data_get_string(s, S_PROMPT), MAX_PROMPT_CHARS);
	c->has_style = c->style[0] != '\0';
	c->has_prompt = obs_data_has_user_value(s, S_PROMPT);
	c->has_strength = obs_data_has_user_value(s, S_STRENGTH);
	c->has_steps = obs_data_has_user_value(s, S_STEPS);
	c->has_seed = obs_data_has_user_value(s, S_SEED);
	c->has_transition_ms = obs_data_has_user_value(s, S_TRANSITION_MS);
	c->has_mode = obs_data_has_user_value(s, S_MODE);
	c->has_motion_aware = obs_data_has_user_value(s, S_MOTION_AWARE);
	c->has_motion_low = obs_data_has_user_value(s, S_MOTION_LOW);
	c->has_motion_high = obs_data_has_user_value(s, S_MOTION_HIGH);
	c->has_steadiness = obs_data_has_user_value(s, S_STEADINESS);
	c->strength = between(obs_data_get_double(s, S_STRENGTH), 0, 1);
	c->steps = (uint32_t)between((double)obs_data_get_int(s, S_STEPS), 1, MOST_STEPS);
	c->seed = (uint32_t)between((double)obs_data_get_int(s, S_SEED), 0, UINT32_MAX);
	c->transition_ms =
		(uint32_t)between((double)obs_data_get_int(s, S_TRANSITION_MS), 0, MAX_TRANSITION_MS);
	const int mode = choice(obs_data_get_string(s, S_MODE), mode_names, MODE_COUNT);
	text_copy_chars(c->mode, mode_names[mode], MAX_MODE_CHARS);
	c->motion_aware = obs_data_get_bool(s, S_MOTION_AWARE);
	c->motion_low = between(obs_data_get_double(s, S_MOTION_LOW), 0, 1);
	c->motion_high = between(obs_data_get_double(s, S_MOTION_HIGH), 1, MOST_MOTION_HIGH);
	c->steadiness = between(obs_data_get_double(s, S_STEADINESS), 0, MOST_STEADINESS);
	wish.may_start_daemon = obs_data_get_bool(s, S_START_DAEMON);
	return wish;
}

void settings_leave_to_style(obs_data_t *s)
{
	static const char *const keys[] = {
		S_PROMPT, S_STRENGTH, S_STEPS, S_SEED, S_TRANSITION_MS, S_STEADINESS};
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		obs_data_unset_user_value(s, keys[i]);
}

bool settings_exact_size(obs_data_t *s)
{
	return obs_data_get_bool(s, S_EXACT_SIZE);
}

/* FNV-1a. */
uint64_t settings_hash(const struct link_wish *wish)
{
	uint64_t hash = 14695981039346656037ull;
	const unsigned char *bytes = (const unsigned char *)&wish->change;
	for (size_t i = 0; i < sizeof(wish->change); i++)
		hash = (hash ^ bytes[i]) * 1099511628211ull;
	return hash;
}

const char *settings_words(const char *key)
{
	return obs_module_text(key);
}

/* ---- from the daemon's settings to ours ---- */

struct mirror_task {
	obs_weak_source_t *filter;
	struct settings now;
	uint64_t wish_hash;
};

static void fill_page(obs_data_t *s, const struct settings *now, struct filter *f)
{
	pthread_mutex_lock(&f->mirror_mutex);
	obs_data_set_string(s, S_STYLE, now->style);
	obs_data_set_string(s, S_PROMPT, now->prompt);
	obs_data_set_double(s, S_STRENGTH, now->strength);
	obs_data_set_int(s, S_STEPS, now->steps);
	obs_data_set_int(s, S_SEED, now->seed);
	obs_data_set_int(s, S_TRANSITION_MS, now->transition_ms);
	obs_data_set_string(s, S_MODE, now->mode);
	obs_data_set_bool(s, S_MOTION_AWARE, now->motion_aware);
	obs_data_set_double(s, S_MOTION_LOW, now->motion_low);
	obs_data_set_double(s, S_MOTION_HIGH, now->motion_high);
	obs_data_set_double(s, S_STEADINESS, now->steadiness);
	f->mirrored = *now;
	f->mirrors++;
	pthread_mutex_unlock(&f->mirror_mutex);
}

/* On the UI thread, as if the user had done it; unless the user is doing something else just now. */
static void mirror_on_ui(void *data)
{
	struct mirror_task *task = data;
	obs_source_t *filter = obs_weak_source_get_source(task->filter);
	if (filter) {
		obs_data_t *s = obs_source_get_settings(filter);
		const struct link_wish wish = settings_wish(s);
		if (settings_hash(&wish) == task->wish_hash) {
			fill_page(s, &task->now, obs_obj_get_data(filter));
			obs_source_update(filter, NULL);
			link_ask_refresh(((struct filter *)obs_obj_get_data(filter))->link);
		}
		obs_data_release(s);
		obs_source_release(filter);
	}
	obs_weak_source_release(task->filter);
	bfree(task);
}

void settings_mirror(void *data, const struct settings *now, uint64_t serial)
{
	struct filter *f = data;
	if (serial != atomic_load(&f->wish_serial))
		return;
	struct mirror_task *task = bzalloc(sizeof(*task));
	task->filter = f->weak;
	obs_weak_source_addref(f->weak);
	task->now = *now;
	task->wish_hash = atomic_load(&f->wish_hash);
	obs_queue_task(OBS_TASK_UI, mirror_on_ui, task, false);
}
