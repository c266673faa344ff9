/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "settings.h"

#include <string.h>

#include "change.h"
#include "settings_keys.h"

#define T_(key) obs_module_text(key)

static const char *const fit_names[] = {[FIT_CROP] = "crop", [FIT_LETTERBOX] = "letterbox"};
static const char *const stall_names[] = {[STALL_HOLD_THEN_SOURCE] = "hold_then_source",
	[STALL_HOLD] = "hold",
	[STALL_SOURCE_AT_ONCE] = "source"};

void settings_defaults(obs_data_t *s)
{
	obs_data_set_default_string(s, S_STYLE, "");
	obs_data_set_default_string(s, S_PROMPT, "");
	obs_data_set_default_double(s, S_STRENGTH, 0.5);
	obs_data_set_default_int(s, S_STEPS, 1);
	obs_data_set_default_int(s, S_SEED, 0);
	obs_data_set_default_bool(s, S_MOTION_AWARE, true);
	/* All of the source is painted, whatever sizes the engine has. */
	obs_data_set_default_string(s, S_FIT, fit_names[FIT_LETTERBOX]);
	obs_data_set_default_int(s, S_MIX, 100);
	obs_data_set_default_string(s, S_ON_STALL, stall_names[STALL_HOLD_THEN_SOURCE]);
	obs_data_set_default_int(s, S_HOLD_MS, 1000);
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
		.fit = (enum fit)choice(obs_data_get_string(s, S_FIT), fit_names, 2),
		.mix = (float)between((double)obs_data_get_int(s, S_MIX) / 100, 0, 1),
		.fade = {.on_stall =
				 (enum on_stall)choice(obs_data_get_string(s, S_ON_STALL), stall_names, 3),
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
	c->has_motion_aware = obs_data_has_user_value(s, S_MOTION_AWARE);
	c->strength = between(obs_data_get_double(s, S_STRENGTH), 0, 1);
	c->steps = (uint32_t)between((double)obs_data_get_int(s, S_STEPS), 1, MOST_STEPS);
	c->seed = (uint32_t)between((double)obs_data_get_int(s, S_SEED), 0, UINT32_MAX);
	c->motion_aware = obs_data_get_bool(s, S_MOTION_AWARE);
	wish.may_start_daemon = obs_data_get_bool(s, S_START_DAEMON);
	return wish;
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

/* On the UI thread, as if the user had done it; unless the user is doing something else just now. */
static void mirror_on_ui(void *data)
{
	struct mirror_task *task = data;
	obs_source_t *filter = obs_weak_source_get_source(task->filter);
	if (filter) {
		obs_data_t *s = obs_source_get_settings(filter);
		const struct link_wish wish = settings_wish(s);
		if (settings_hash(&wish) == task->wish_hash) {
			obs_data_set_string(s, S_STYLE, task->now.style);
			obs_data_set_string(s, S_PROMPT, task->now.prompt);
			obs_data_set_double(s, S_STRENGTH, task->now.strength);
			obs_data_set_int(s, S_STEPS, task->now.steps);
			obs_data_set_int(s, S_SEED, task->now.seed);
			obs_data_set_bool(s, S_MOTION_AWARE, task->now.motion_aware);
			obs_source_update(filter, NULL);
			obs_source_update_properties(filter);
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

/* ---- properties ---- */

static bool refresh_clicked(obs_properties_t *properties, obs_property_t *button, void *data)
{
	UNUSED_PARAMETER(properties);
	UNUSED_PARAMETER(button);
	struct filter *f = data;
	if (f)
		obs_source_update_properties(f->context);
	return false;
}

/* Whoever edits a style's prompt has a look of their own. Said here and now, because the daemon's word for it
 * would come while they type, and rebuild the field under their hands. */
static bool prompt_edited(void *data, obs_properties_t *properties, obs_property_t *property, obs_data_t *s)
{
	UNUSED_PARAMETER(properties);
	UNUSED_PARAMETER(property);
	struct filter *f = data;
	struct link_status *status = bzalloc(sizeof(*status));
	link_get_status(f->link, status);
	if (status->settings_known && strcmp(obs_data_get_string(s, S_STYLE), status->settings.style) == 0 &&
		strcmp(obs_data_get_string(s, S_PROMPT), status->settings.prompt) != 0)
		obs_data_set_string(s, S_STYLE, CUSTOM);
	bfree(status);
	return false;
}

static void add_state(obs_properties_t *p, struct filter *f, const struct link_status *status)
{
	obs_property_t *info = obs_properties_add_text(p, "state", status->sentence, OBS_TEXT_INFO);
	const bool bad = status->state == STATE_FAILED;
	const bool poor = status->state == STATE_WAITING || status->state == STATE_OVERLOADED;
	obs_property_text_set_info_type(info, bad    ? OBS_TEXT_INFO_ERROR
					      : poor ? OBS_TEXT_INFO_WARNING
						     : OBS_TEXT_INFO_NORMAL);
	/* No long description: with one, OBS squeezes the sentence into the column of labels. */
	obs_properties_add_button2(p, "refresh", T_("Refresh"), refresh_clicked, f);
}

static void add_styles(obs_properties_t *p, struct filter *f, const struct link_status *status)
{
	obs_data_t *s = f ? obs_source_get_settings(f->context) : obs_data_create();
	const char *chosen = obs_data_get_string(s, S_STYLE);
	/* A list that can only be picked from, but that never loses what is set, daemon or not. */
	bool listed = strcmp(chosen, CUSTOM) == 0;
	obs_property_t *list = obs_properties_add_list(
		p, S_STYLE, T_("Style"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
	if (!chosen[0])
		obs_property_list_add_string(list, T_("StyleDefault"), "");
	for (uint32_t i = 0; i < status->style_count; i++) {
		obs_property_list_add_string(list, status->styles[i], status->styles[i]);
		listed = listed || strcmp(status->styles[i], chosen) == 0;
	}
	if (chosen[0] && !listed)
		obs_property_list_add_string(list, chosen, chosen);
	obs_property_list_add_string(list, T_("StyleCustom"), CUSTOM);
	obs_property_set_long_description(list, T_("StyleHint"));
	obs_data_release(s);
}

static void add_choice(obs_properties_t *p, const char *name, const char *const *names,
	const char *const *texts, int count, const char *hint)
{
	obs_property_t *list =
		obs_properties_add_list(p, name, T_(texts[0]), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
	for (int i = 0; i < count; i++)
		obs_property_list_add_string(list, T_(texts[i + 1]), names[i]);
	obs_property_set_long_description(list, T_(hint));
}

static void add_drawing(obs_properties_t *p)
{
	static const char *const fit_texts[] = {"Fit", "FitLetterbox", "FitCrop"};
	static const char *const stall_texts[] = {
		"OnStall", "StallHoldThenSource", "StallHold", "StallSource"};
	obs_property_t *mix = obs_properties_add_int_slider(p, S_MIX, T_("Mix"), 0, 100, 1);
	obs_property_int_set_suffix(mix, " %");
	obs_property_set_long_description(mix, T_("MixHint"));
	add_choice(p, S_FIT, fit_names, fit_texts, 2, "FitHint");
	add_choice(p, S_ON_STALL, stall_names, stall_texts, 3, "OnStallHint");
	obs_property_t *hold = obs_properties_add_int(p, S_HOLD_MS, T_("HoldTime"), 0, 60000, 100);
	obs_property_int_set_suffix(hold, " ms");
}

static void add_advanced(obs_properties_t *p)
{
	obs_properties_t *group = obs_properties_create();
	obs_properties_add_int(group, S_SEED, T_("Seed"), 0, INT32_MAX, 1);
	obs_property_t *motion = obs_properties_add_bool(group, S_MOTION_AWARE, T_("MotionAware"));
	obs_property_set_long_description(motion, T_("MotionAwareHint"));
	obs_properties_add_bool(group, S_START_DAEMON, T_("StartDaemon"));
	obs_properties_add_group(p, "advanced", T_("Advanced"), OBS_GROUP_NORMAL, group);
}

obs_properties_t *settings_properties(struct filter *f)
{
	obs_properties_t *p = obs_properties_create();
	struct link_status *status = bzalloc(sizeof(*status));
	if (f) /* OBS also asks what any such filter would have */
		link_get_status(f->link, status);
	add_state(p, f, status);
	add_styles(p, f, status);
	obs_property_t *prompt = obs_properties_add_text(p, S_PROMPT, T_("Prompt"), OBS_TEXT_MULTILINE);
	obs_property_set_long_description(prompt, T_("PromptHint"));
	if (f)
		obs_property_set_modified_callback2(prompt, prompt_edited, f);
	obs_property_t *strength = obs_properties_add_float_slider(p, S_STRENGTH, T_("Strength"), 0, 1, 0.01);
	obs_property_set_long_description(strength, T_("StrengthHint"));
	obs_property_t *steps = obs_properties_add_int_slider(p, S_STEPS, T_("Steps"), 1, MOST_STEPS, 1);
	obs_property_set_long_description(steps, T_("StepsHint"));
	add_drawing(p);
	add_advanced(p);
	bfree(status);
	return p;
}
