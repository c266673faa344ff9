/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "receipt.h"

#include <stdio.h>
#include <string.h>

/* A prompt is told by its beginning: it stands in full just below. */
#define PROMPT_CHARS 40

struct list {
	char *to;
	size_t capacity;
	words_lookup words;
};

static void add_text(struct list *list, const char *text)
{
	const size_t used = strlen(list->to);
	snprintf(list->to + used, list->capacity - used, "%s%s", used ? ", " : "", text);
}

static void add(struct list *list, const char *key, const char *value)
{
	char text[NAME_BYTES + 200];
	words_say(text, sizeof(text), list->words("Change"), "name", list->words(key), "value", value, NULL);
	add_text(list, text);
}

static void add_real(struct list *list, const char *key, double before, double after)
{
	char value[32];
	snprintf(value, sizeof(value), "%.2f", after);
	if (before != after)
		add(list, key, value);
}

static void add_whole(struct list *list, const char *key, uint32_t before, uint32_t after, const char *unit)
{
	char value[32];
	snprintf(value, sizeof(value), "%u%s", after, unit);
	if (before != after)
		add(list, key, value);
}

static void add_prompt(struct list *list, const char *prompt)
{
	char begin[PROMPT_CHARS * 4 + 1], value[sizeof(begin) + 10];
	text_copy_chars(begin, prompt, PROMPT_CHARS);
	snprintf(value, sizeof(value), "“%s%s”", begin, strlen(begin) < strlen(prompt) ? "…" : "");
	add(list, "Prompt", value);
}

static const char *mode_key(const char *mode)
{
	if (strcmp(mode, "throughput") == 0)
		return "ModeThroughput";
	return strcmp(mode, "latency") == 0 ? "ModeLatency" : "ModeAuto";
}

static void add_look(struct list *list, const struct settings *before, const struct settings *after)
{
	const bool restyled = strcmp(before->style, after->style) != 0;
	const bool own_words = strcmp(after->style, "custom") == 0;
	if (restyled)
		add(list, "Style", own_words ? list->words("StyleCustom") : after->style);
	if (strcmp(before->prompt, after->prompt) != 0 && (own_words || !restyled))
		add_prompt(list, after->prompt);
	add_real(list, "Strength", before->strength, after->strength);
	add_whole(list, "Steps", before->steps, after->steps, "");
	add_whole(list, "Transition", before->transition_ms, after->transition_ms, " ms");
}

static void add_advanced(struct list *list, const struct settings *before, const struct settings *after)
{
	add_whole(list, "Seed", before->seed, after->seed, "");
	add_real(list, "Steadiness", before->steadiness, after->steadiness);
	if (before->motion_aware != after->motion_aware)
		add(list, "MotionAware", list->words(after->motion_aware ? "On" : "Off"));
	add_real(list, "MotionLow", before->motion_low, after->motion_low);
	add_real(list, "MotionHigh", before->motion_high, after->motion_high);
	if (strcmp(before->mode, after->mode) != 0)
		add(list, "Mode", list->words(mode_key(after->mode)));
}

void receipt_changes(char *to, size_t capacity, const struct settings *before, const struct settings *after,
	words_lookup words)
{
	struct list list = {to, capacity, words};
	to[0] = '\0';
	if (before->bypass != after->bypass)
		add_text(&list, words(after->bypass ? "ShowsSource" : "Paints"));
	add_look(&list, before, after);
	add_advanced(&list, before, after);
	if (!to[0])
		add_text(&list, words("NothingDiffers"));
	text_make_utf8(to); /* it may have been cut */
}

static void tell_time(char *to, size_t capacity, time_t when)
{
	struct tm local;
	if (!localtime_r(&when, &local) || strftime(to, capacity, "%H:%M:%S", &local) == 0)
		snprintf(to, capacity, "?");
}

void receipt_sentence(char *to, size_t capacity, const struct receipt *receipt, words_lookup words)
{
	char what[1200], accepted[16], shown[16], chunk[24];
	to[0] = '\0';
	if (receipt->rev == 0)
		return;
	receipt_changes(what, sizeof(what), &receipt->before, &receipt->after, words);
	tell_time(accepted, sizeof(accepted), receipt->accepted_s);
	tell_time(shown, sizeof(shown), receipt->shown_s);
	snprintf(chunk, sizeof(chunk), "%llu", (unsigned long long)receipt->chunk);
	/* With bypass there is no chunk to wait for: the source shows at once. */
	const char *key = !receipt->applied       ? "LastAccepted"
			  : receipt->after.bypass ? "LastShown"
						  : "LastApplied";
	words_say(to, capacity, words(key), "what", what, "accepted", accepted, "shown", shown, "chunk",
		chunk, NULL);
	const size_t used = strlen(to);
	if (receipt->note[0])
		snprintf(to + used, capacity - used, " (%s)", receipt->note);
	text_make_utf8(to);
}
