/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A locale of a few words, to test what is said in a user's language. */
#pragma once

#include <string.h>

static inline const char *in_german(const char *key)
{
	static const char *const known[][2] = {{"Say_live", "Live: {fps} Bilder, {model}"},
		{"Say_none", "{} {"}, {"LastAccepted", "{accepted} {what}."},
		{"LastApplied", "{what}, {shown}, {chunk}."}, {"LastShown", "{what}!"},
		{"ShowsSource", "Quelle"}, {"Change", "{name}: {value}"}, {"NothingDiffers", "nichts"},
		{"On", "an"}};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(key, known[i][0]) == 0)
			return known[i][1];
	return key;
}
