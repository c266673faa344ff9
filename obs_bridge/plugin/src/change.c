/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "change.h"

#include <string.h>

/* All that can be compared and copied as it is; texts cannot. First what a style may bring of its own. */
#define EACH_OF_STYLE(X)                                                                                     \
	X(strength)                                                                                          \
	X(steps)                                                                                             \
	X(seed)                                                                                              \
	X(transition_ms)                                                                                     \
	X(steadiness)
#define EACH_OF_THE_USER(X)                                                                                  \
	X(motion_aware)                                                                                      \
	X(motion_low)                                                                                        \
	X(motion_high)
#define EACH_NUMBER(X)                                                                                       \
	EACH_OF_STYLE(X)                                                                                     \
	EACH_OF_THE_USER(X)
#define EACH_TEXT(X)                                                                                         \
	X(style)                                                                                             \
	X(prompt)                                                                                            \
	X(mode)

bool change_from(const struct change *wish, const struct settings *now, struct change *d)
{
	bool any = false;
	*d = *wish;
#define COMPARE_TEXT(m) any |= d->has_##m = wish->has_##m && strcmp(wish->m, now->m) != 0;
#define COMPARE_NUMBER(m) any |= d->has_##m = wish->has_##m && wish->m != now->m;
	EACH_TEXT(COMPARE_TEXT)
	EACH_NUMBER(COMPARE_NUMBER)
	COMPARE_NUMBER(bypass)
	/* Said with a style even where it is so already: the style's own would take its place. */
#define KEEP(m) d->has_##m = wish->has_##m;
	if (d->has_style) {
		KEEP(prompt)
		EACH_OF_STYLE(KEEP)
	}
	return any;
}

bool change_matches(const struct change *wish, const struct settings *now)
{
	struct change difference;
	bool all = true;
#define IS_SET(m) all = all && wish->has_##m;
	EACH_TEXT(IS_SET)
	EACH_NUMBER(IS_SET)
	return all && !change_from(wish, now, &difference);
}

void change_to_settings(const struct change *wish, struct settings *settings)
{
	*settings = (struct settings){0};
#define COPY_TEXT(m) memcpy(settings->m, wish->m, sizeof(settings->m));
#define COPY_NUMBER(m) settings->m = wish->m;
	EACH_TEXT(COPY_TEXT)
	EACH_NUMBER(COPY_NUMBER)
}

void change_drop_stale(struct change *wish, const struct settings *before)
{
	if (!wish->has_style || strcmp(wish->style, before->style) == 0)
		return;
	/* Whoever chose the style by a key or a request has cleared the rest: what is there is meant. */
	if (!wish->has_prompt)
		return;
	if (strcmp(wish->prompt, before->prompt) == 0)
		wish->has_prompt = false;
#define DROP(m) wish->has_##m = wish->has_##m && wish->m != before->m;
	EACH_OF_STYLE(DROP)
}

void change_drop_untouched(struct change *wish, const struct settings *shown)
{
#define LEAVE_TEXT(m) wish->has_##m = wish->has_##m && strcmp(wish->m, shown->m) != 0;
#define LEAVE_NUMBER(m) wish->has_##m = wish->has_##m && wish->m != shown->m;
	LEAVE_TEXT(style)
	LEAVE_TEXT(mode)
	EACH_OF_THE_USER(LEAVE_NUMBER)
	if (wish->has_style)
		return;
	LEAVE_TEXT(prompt)
	EACH_OF_STYLE(LEAVE_NUMBER)
}

void change_note_said(const struct change *said, struct settings *shown)
{
#define NOTE_TEXT(m)                                                                                         \
	if (said->has_##m)                                                                                   \
		memcpy(shown->m, said->m, sizeof(shown->m));
#define NOTE_NUMBER(m)                                                                                       \
	if (said->has_##m)                                                                                   \
		shown->m = said->m;
	EACH_TEXT(NOTE_TEXT)
	EACH_NUMBER(NOTE_NUMBER)
}
