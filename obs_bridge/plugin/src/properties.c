/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter's properties page. */
#include <stdio.h>
#include <string.h>

#include "settings.h"
#include "settings_keys.h"
#include "steer.h"

#define T_(key) obs_module_text(key)

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
	if (status->settings_known && obs_data_has_user_value(s, S_PROMPT) &&
		strcmp(obs_data_get_string(s, S_STYLE), status->settings.style) == 0 &&
		strcmp(obs_data_get_string(s, S_PROMPT), status->settings.prompt) != 0)
		obs_data_set_string(s, S_STYLE, CUSTOM);
	bfree(status);
	return false;
}

/* A setting that is none of the wish: whoever finds the source shown must find the way back. */
static bool bypass_clicked(obs_properties_t *properties, obs_property_t *button, void *data)
{
	UNUSED_PARAMETER(properties);
	UNUSED_PARAMETER(button);
	struct filter *f = data;
	if (f)
		steer_bypass(f, !link_is_bypassed(f->link));
	return false;
}

/* What paints, how fast, and how late: where something does. */
static void add_figures(obs_properties_t *p, const struct filter *f, const struct link_status *status)
{
	char line[NAME_BYTES * 2 + 300], fps[24], delay[24], paint[24], dropped[24];
	if (!status->device[0])
		return;
	snprintf(fps, sizeof(fps), "%.1f", status->fps_out);
	snprintf(delay, sizeof(delay), "%.0f", (double)f->stats.delay_us / 1000);
	snprintf(paint, sizeof(paint), "%.0f", status->latency_ms);
	snprintf(dropped, sizeof(dropped), "%llu", (unsigned long long)status->dropped);
	words_say(line, sizeof(line), T_("Figures"), "model", status->model, "device", status->device, "fps",
		fps, "delay", delay, "paint", paint, "dropped", dropped, NULL);
	obs_properties_add_text(p, "figures", line, OBS_TEXT_INFO);
}

static void add_receipt(obs_properties_t *p, const struct link_status *status)
{
	char line[2048];
	receipt_sentence(line, sizeof(line), &status->last, settings_words);
	if (line[0])
		obs_properties_add_text(p, "receipt", line, OBS_TEXT_INFO);
}

static void add_state(obs_properties_t *p, struct filter *f, const struct link_status *status)
{
	obs_property_t *info = obs_properties_add_text(p, "state", status->sentence, OBS_TEXT_INFO);
	const bool bad = status->state == STATE_FAILED;
	const bool poor = status->state == STATE_WAITING || status->state == STATE_OVERLOADED;
	obs_property_text_set_info_type(info, bad    ? OBS_TEXT_INFO_ERROR
					      : poor ? OBS_TEXT_INFO_WARNING
						     : OBS_TEXT_INFO_NORMAL);
	add_figures(p, f, status);
	add_receipt(p, status);
	const bool bypassed = f && link_is_bypassed(f->link);
	obs_properties_add_button2(
		p, "show_source", T_(bypassed ? "PaintAgain" : "ShowSource"), bypass_clicked, f);
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

/* Its words are `key`, and `key`Hint. */
static void add_slider(obs_properties_t *p, const char *name, const char *key, double low, double high)
{
	char hint[64];
	snprintf(hint, sizeof(hint), "%sHint", key);
	obs_property_t *slider = obs_properties_add_float_slider(p, name, T_(key), low, high, 0.01);
	obs_property_set_long_description(slider, T_(hint));
}

static void add_drawing(obs_properties_t *p)
{
	static const char *const fit_texts[] = {"Fit", "FitLetterbox", "FitCrop"};
	static const char *const stall_texts[] = {
		"OnStall", "StallHoldThenSource", "StallHold", "StallSource"};
	obs_property_t *mix = obs_properties_add_int_slider(p, S_MIX, T_("Mix"), 0, 100, 1);
	obs_property_int_set_suffix(mix, " %");
	obs_property_set_long_description(mix, T_("MixHint"));
	add_choice(p, S_FIT, fit_names, fit_texts, FIT_COUNT, "FitHint");
	add_choice(p, S_ON_STALL, stall_names, stall_texts, STALL_COUNT, "OnStallHint");
	obs_property_t *hold = obs_properties_add_int(p, S_HOLD_MS, T_("HoldTime"), 0, 60000, 100);
	obs_property_int_set_suffix(hold, " ms");
}

static bool add_if_heard(void *list, obs_source_t *source)
{
	const char *name = obs_source_get_name(source);
	if (name && (obs_source_get_output_flags(source) & OBS_SOURCE_AUDIO))
		obs_property_list_add_string(list, name, name);
	return true;
}

static void add_sound(obs_properties_t *p)
{
	obs_properties_t *group = obs_properties_create();
	obs_property_t *list = obs_properties_add_list(
		group, S_SOUND_SOURCE, T_("SoundSource"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
	obs_property_list_add_string(list, T_("SoundOwn"), "");
	obs_enum_sources(add_if_heard, list);
	obs_property_set_long_description(list, T_("SoundSourceHint"));
	obs_properties_add_group(p, S_SOUND, T_("Sound"), OBS_GROUP_CHECKABLE, group);
}

static void add_advanced(obs_properties_t *p)
{
	static const char *const mode_texts[] = {"Mode", "ModeAuto", "ModeThroughput", "ModeLatency"};
	obs_properties_t *group = obs_properties_create();
	obs_properties_add_int(group, S_SEED, T_("Seed"), 0, INT32_MAX, 1);
	add_slider(group, S_STEADINESS, "Steadiness", 0, MOST_STEADINESS);
	obs_property_t *motion = obs_properties_add_bool(group, S_MOTION_AWARE, T_("MotionAware"));
	obs_property_set_long_description(motion, T_("MotionAwareHint"));
	add_slider(group, S_MOTION_LOW, "MotionLow", 0, 1);
	add_slider(group, S_MOTION_HIGH, "MotionHigh", 1, MOST_MOTION_HIGH);
	add_choice(group, S_MODE, mode_names, mode_texts, MODE_COUNT, "ModeHint");
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
	add_slider(p, S_STRENGTH, "Strength", 0, 1);
	obs_property_t *steps = obs_properties_add_int_slider(p, S_STEPS, T_("Steps"), 1, MOST_STEPS, 1);
	obs_property_set_long_description(steps, T_("StepsHint"));
	obs_property_t *transition =
		obs_properties_add_int(p, S_TRANSITION_MS, T_("Transition"), 0, MAX_TRANSITION_MS, 100);
	obs_property_int_set_suffix(transition, " ms");
	obs_property_set_long_description(transition, T_("TransitionHint"));
	add_drawing(p);
	add_sound(p);
	add_advanced(p);
	bfree(status);
	return p;
}
