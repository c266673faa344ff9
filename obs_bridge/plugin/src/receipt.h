/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last change of a filter's settings, in words: what it became after clamping, and since when it shows.
 */
#pragma once

#include <time.h>

#include "words.h"

struct receipt {
	uint64_t rev; /* 0: nothing was changed yet */
	bool applied;
	uint64_t chunk;
	time_t accepted_s, shown_s; /* of the day, as people read it; shown: once applied */
	struct settings before, after;
	char note[512]; /* what the daemon says of it, in the user's words */
};

/* "Style: neon, Strength: 0.80": what differs. At least one thing is named, be it that nothing differs. */
void receipt_changes(char *to, size_t capacity, const struct settings *before, const struct settings *after,
	words_lookup words);

/* "" as long as nothing was changed. */
void receipt_sentence(char *to, size_t capacity, const struct receipt *receipt, words_lookup words);
