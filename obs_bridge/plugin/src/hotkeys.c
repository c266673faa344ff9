/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hotkeys.h"

#include <stdio.h>

#include "action.h"
#include "settings_keys.h"
#include "steer.h"

struct hotkey {
	const char *name; /* as OBS saves it; never change one */
	const char *text; /* key of its words */
	void (*act)(struct filter *f, int argument, bool pressed);
	int argument;
};

/* What is wished by now: quick presses do not wait for the daemon's answers. */
struct wished {
	struct link_status status;
	char style[STYLE_BYTES];
	double strength;
};

static struct wished *ask_wished(struct filter *f)
{
	struct wished *wished = bzalloc(sizeof(*wished));
	obs_data_t *s = obs_source_get_settings(f->context);
	link_get_status(f->link, &wished->status);
	const struct settings *in_force = &wished->status.settings;
	const char *style = obs_data_get_string(s, S_STYLE);
	snprintf(wished->style, sizeof(wished->style), "%.*s", (int)sizeof(wished->style) - 1,
		style[0] ? style : in_force->style);
	const bool own = obs_data_has_user_value(s, S_STRENGTH) || !wished->status.settings_known;
	wished->strength = own ? obs_data_get_double(s, S_STRENGTH) : in_force->strength;
	obs_data_release(s);
	return wished;
}

static void step_style(struct filter *f, int step, bool pressed)
{
	if (!pressed)
		return;
	struct wished *wished = ask_wished(f);
	const char *style = action_style_after(&wished->status, wished->style, step);
	if (style)
		steer_style(f, style);
	bfree(wished);
}

static void set_style(struct filter *f, int place, bool pressed)
{
	if (!pressed)
		return;
	struct wished *wished = ask_wished(f);
	const char *style = action_style_at(&wished->status, (uint32_t)place);
	if (style)
		steer_style(f, style);
	bfree(wished);
}

static void step_strength(struct filter *f, int step, bool pressed)
{
	if (!pressed)
		return;
	struct wished *wished = ask_wished(f);
	steer_strength(f, action_strength_after(wished->strength, step));
	bfree(wished);
}

static void toggle_bypass(struct filter *f, int unused, bool pressed)
{
	UNUSED_PARAMETER(unused);
	if (pressed)
		steer_bypass(f, !link_is_bypassed(f->link));
}

static void hold_bypass(struct filter *f, int unused, bool pressed)
{
	UNUSED_PARAMETER(unused);
	steer_bypass(f, pressed);
}

static void panic(struct filter *f, int unused, bool pressed)
{
	UNUSED_PARAMETER(unused);
	if (pressed)
		steer_panic(f);
}

static void reset(struct filter *f, int unused, bool pressed)
{
	UNUSED_PARAMETER(unused);
	if (pressed)
		steer_reset(f);
}

static const struct hotkey hotkeys[HOTKEY_COUNT] = {
	{"limner.next_style", "HotkeyNextStyle", step_style, 1},
	{"limner.previous_style", "HotkeyPreviousStyle", step_style, -1},
	{"limner.style_1", "HotkeyStyle", set_style, 1},
	{"limner.style_2", "HotkeyStyle", set_style, 2},
	{"limner.style_3", "HotkeyStyle", set_style, 3},
	{"limner.style_4", "HotkeyStyle", set_style, 4},
	{"limner.style_5", "HotkeyStyle", set_style, 5},
	{"limner.style_6", "HotkeyStyle", set_style, 6},
	{"limner.style_7", "HotkeyStyle", set_style, 7},
	{"limner.style_8", "HotkeyStyle", set_style, 8},
	{"limner.style_9", "HotkeyStyle", set_style, 9},
	{"limner.more_strength", "HotkeyMoreStrength", step_strength, 1},
	{"limner.less_strength", "HotkeyLessStrength", step_strength, -1},
	{"limner.bypass", "HotkeyBypass", toggle_bypass, 0},
	{"limner.hold_bypass", "HotkeyHoldBypass", hold_bypass, 0},
	{"limner.panic", "HotkeyPanic", panic, 0},
	{"limner.reset", "HotkeyReset", reset, 0},
};

static void on_hotkey(void *data, obs_hotkey_id id, obs_hotkey_t *key, bool pressed)
{
	UNUSED_PARAMETER(id);
	UNUSED_PARAMETER(key);
	const struct hotkey_entry *entry = data;
	entry->hotkey->act(entry->filter, entry->hotkey->argument, pressed);
}

static void register_on(struct filter *f, obs_source_t *parent)
{
	for (size_t i = 0; i < HOTKEY_COUNT; i++) {
		struct hotkey_entry *entry = &f->hotkeys.entries[i];
		char words[200];
		/* Only the nine styles have a place for a number. */
		if (hotkeys[i].act == set_style)
			snprintf(words, sizeof(words), "%s %d", obs_module_text(hotkeys[i].text),
				hotkeys[i].argument);
		else
			snprintf(words, sizeof(words), "%s", obs_module_text(hotkeys[i].text));
		*entry = (struct hotkey_entry){.filter = f, .hotkey = &hotkeys[i]};
		entry->id = obs_hotkey_register_source(parent, hotkeys[i].name, words, on_hotkey, entry);
	}
	f->hotkeys.count = HOTKEY_COUNT;
}

static void register_on_ui(void *data)
{
	obs_weak_source_t *weak = data;
	obs_source_t *filter = obs_weak_source_get_source(weak);
	obs_source_t *parent = filter ? obs_source_get_ref(obs_filter_get_parent(filter)) : NULL;
	/* Whoever holds a reference keeps it from being destroyed. */
	if (parent)
		register_on(obs_obj_get_data(filter), parent);
	obs_source_release(parent);
	obs_source_release(filter);
	obs_weak_source_release(weak);
}

void hotkeys_register_soon(struct filter *f)
{
	if (f->hotkeys.asked)
		return;
	f->hotkeys.asked = true;
	obs_weak_source_addref(f->weak);
	obs_queue_task(OBS_TASK_UI, register_on_ui, f->weak, false);
}

void hotkeys_unregister(struct hotkeys *registered)
{
	for (size_t i = 0; i < registered->count; i++)
		obs_hotkey_unregister(registered->entries[i].id);
	registered->count = 0;
}
