/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter's hotkeys, in OBS's own settings page. OBS lets no filter have any: they stand under the name of
 * the source that it is on, and their keys are saved with that. */
#pragma once

#include <obs-module.h>
#include <stdatomic.h>

#define HOTKEY_COUNT 17

struct filter;
struct hotkey;

struct hotkeys {
	struct hotkey_entry {
		struct filter *filter;
		const struct hotkey *hotkey;
		obs_hotkey_id id;
	} entries[HOTKEY_COUNT];
	size_t count;
	int number; /* of the filter among those on its source, from 1 on; UI thread. 0: none yet */
	atomic_bool holds_bypass; /* what is shown while a key is held was not shown before */
	bool asked;               /* graphics thread only */
};

/* Once the filter is on a source. Graphics thread: it is done on the UI thread, for it takes OBS's locks. */
void hotkeys_register_soon(struct filter *filter);
void hotkeys_unregister(struct hotkeys *hotkeys);
