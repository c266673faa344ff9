/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hotkeys.h"

#include <stdio.h>

#include <util/dstr.h>

#include "action.h"
#include "filters.h"
#include "settings_keys.h"
#include "steer.h"

struct hotkey {
	const char *name; /* as OBS saves it; never change one */
	const char *text; /* key of its words */
	void (*act)(struct filter *f, int argument, bool pressed);
	int argument;
	bool steers; /* changes settings, which only the UI thread does */
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
	const bool was = link_is_bypassed(f->link);
	if (pressed) {
		steer_bypass_for_now(f, true);
		atomic_store(&f->hotkeys.holds_bypass, !was);
	} else if (atomic_load(&f->hotkeys.holds_bypass)) { /* and nobody asked for it meanwhile */
		steer_bypass_for_now(f, false);
	}
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
	{"limner.next_style", "HotkeyNextStyle", step_style, 1, true},
	{"limner.previous_style", "HotkeyPreviousStyle", step_style, -1, true},
	{"limner.style_1", "HotkeyStyle", set_style, 1, true},
	{"limner.style_2", "HotkeyStyle", set_style, 2, true},
	{"limner.style_3", "HotkeyStyle", set_style, 3, true},
	{"limner.style_4", "HotkeyStyle", set_style, 4, true},
	{"limner.style_5", "HotkeyStyle", set_style, 5, true},
	{"limner.style_6", "HotkeyStyle", set_style, 6, true},
	{"limner.style_7", "HotkeyStyle", set_style, 7, true},
	{"limner.style_8", "HotkeyStyle", set_style, 8, true},
	{"limner.style_9", "HotkeyStyle", set_style, 9, true},
	{"limner.more_strength", "HotkeyMoreStrength", step_strength, 1, true},
	{"limner.less_strength", "HotkeyLessStrength", step_strength, -1, true},
	{"limner.bypass", "HotkeyBypass", toggle_bypass, 0, false},
	{"limner.hold_bypass", "HotkeyHoldBypass", hold_bypass, 0, false},
	{"limner.panic", "HotkeyPanic", panic, 0, false},
	{"limner.reset", "HotkeyReset", reset, 0, false},
};

struct press {
	obs_weak_source_t *filter;
	const struct hotkey *hotkey;
	bool pressed;
};

static void press_on_ui(void *data)
{
	struct press *press = data;
	obs_source_t *filter = obs_weak_source_get_source(press->filter);
	if (filter)
		press->hotkey->act(obs_obj_get_data(filter), press->hotkey->argument, press->pressed);
	obs_source_release(filter);
	obs_weak_source_release(press->filter);
	bfree(press);
}

/* On the UI thread where a key was pressed, on another one where a script says so. */
static void on_hotkey(void *data, obs_hotkey_id id, obs_hotkey_t *key, bool pressed)
{
	UNUSED_PARAMETER(id);
	UNUSED_PARAMETER(key);
	const struct hotkey_entry *entry = data;
	if (!entry->hotkey->steers) {
		entry->hotkey->act(entry->filter, entry->hotkey->argument, pressed);
		return;
	}
	struct press *press = bzalloc(sizeof(*press));
	obs_weak_source_addref(entry->filter->weak);
	*press = (struct press){entry->filter->weak, entry->hotkey, pressed};
	obs_queue_task(OBS_TASK_UI, press_on_ui, press, false);
}

struct numbering {
	const struct filter *filter;
	const obs_source_t *parent;
	uint64_t taken; /* a bit a number */
};

static int kept_number(const struct filter *f)
{
	obs_data_t *s = obs_source_get_settings(f->context);
	const long long number = obs_data_get_int(s, S_NUMBER);
	obs_data_release(s);
	return number >= 1 && number < 64 ? (int)number : 0;
}

static void note_number(struct filter *f, void *data)
{
	struct numbering *numbering = data;
	const int number = f->hotkeys.number ? f->hotkeys.number : kept_number(f);
	if (f != numbering->filter && number && obs_filter_get_parent(f->context) == numbering->parent)
		numbering->taken |= 1ull << number;
}

/* OBS tells the hotkeys of a source apart by their names alone, so several filters on one need a number each:
 * one that stays, for the keys are saved by it. */
static int choose_number(struct filter *f, const obs_source_t *parent)
{
	struct numbering numbering = {f, parent, 1};
	const int kept = kept_number(f);
	int number = 1;
	filters_each(NULL, note_number, &numbering);
	if (kept && !(numbering.taken >> kept & 1))
		return kept;
	while (number < 63 && (numbering.taken >> number & 1))
		number++;
	obs_data_t *s = obs_source_get_settings(f->context);
	obs_data_set_int(s, S_NUMBER, number);
	obs_data_release(s);
	return number;
}

/* Only the nine styles have a place for a number, and only further filters on a source need their own name.
 */
static char *words_of(const struct hotkey *hotkey, const struct filter *f)
{
	struct dstr words = {0};
	dstr_copy(&words, obs_module_text(hotkey->text));
	if (hotkey->act == set_style)
		dstr_catf(&words, " %d", hotkey->argument);
	if (f->hotkeys.number > 1)
		dstr_catf(&words, " (%s)", obs_source_get_name(f->context));
	return words.array;
}

static void register_on(struct filter *f, obs_source_t *parent)
{
	f->hotkeys.number = choose_number(f, parent);
	for (size_t i = 0; i < HOTKEY_COUNT; i++) {
		struct hotkey_entry *entry = &f->hotkeys.entries[i];
		char name[64];
		char *words = words_of(&hotkeys[i], f);
		snprintf(name, sizeof(name), f->hotkeys.number > 1 ? "%s.%d" : "%s", hotkeys[i].name,
			f->hotkeys.number);
		*entry = (struct hotkey_entry){.filter = f, .hotkey = &hotkeys[i]};
		entry->id = obs_hotkey_register_source(parent, name, words, on_hotkey, entry);
		bfree(words);
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
