/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_PLACES 8
#define JOINT "; "

struct target {
	char *to;
	size_t capacity, used;
};

static void append(struct target *t, const char *bytes, size_t size)
{
	if (t->used + 1 >= t->capacity)
		return;
	text_copy(t->to + t->used, t->capacity - t->used, bytes, size);
	t->used += strlen(t->to + t->used);
}

static const struct value *find(const struct value *values, size_t count, const char *name, size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (values[i].name.size == size && memcmp(values[i].name.bytes, name, size) == 0)
			return &values[i];
	return NULL;
}

static void append_filled(struct target *t, const char *format, const struct value *values, size_t count)
{
	while (*format) {
		const char *open = strchr(format, '{');
		const char *end = open ? strchr(open, '}') : NULL;
		if (!end) {
			append(t, format, strlen(format));
			return;
		}
		const struct value *value = find(values, count, open + 1, (size_t)(end - open - 1));
		append(t, format, (size_t)(open - format));
		if (value)
			append(t, value->text.bytes, value->text.size);
		else
			append(t, open, (size_t)(end + 1 - open));
		format = end + 1;
	}
}

const char *words_find(words_lookup words, const char *key)
{
	const char *found = words ? words(key) : NULL;
	return found && strcmp(found, key) != 0 ? found : NULL;
}

void words_fill(char *to, size_t capacity, const char *format, const struct value *values, size_t value_count)
{
	struct target t = {to, capacity, 0};
	if (capacity > 0)
		to[0] = '\0';
	append_filled(&t, format, values, value_count);
}

void words_say(char *to, size_t capacity, const char *format, ...)
{
	struct value values[MAX_PLACES];
	size_t count = 0;
	va_list args;
	va_start(args, format);
	for (const char *name; count < MAX_PLACES && (name = va_arg(args, const char *));) {
		const char *text = va_arg(args, const char *);
		values[count++] = (struct value){{name, strlen(name)}, {text, strlen(text)}};
	}
	va_end(args);
	words_fill(to, capacity, format, values, count);
}

/* The template of a code; NULL: nobody has translated it. */
static const char *template_of(const struct text *code, words_lookup words)
{
	char key[NAME_BYTES + 4];
	snprintf(key, sizeof(key), "Say_%.*s", (int)code->size, code->bytes);
	return code->size ? words_find(words, key) : NULL;
}

void words_join(char *to, size_t capacity, const struct sayings *sayings, words_lookup words)
{
	struct target t = {to, capacity, 0};
	if (capacity > 0)
		to[0] = '\0';
	for (uint32_t i = 0; i < sayings->count; i++) {
		const struct saying *saying = &sayings->list[i];
		const char *format = template_of(&saying->code, words);
		if (i > 0)
			append(&t, JOINT, strlen(JOINT));
		if (format)
			append_filled(&t, format, saying->values, saying->value_count);
		else
			append(&t, saying->text.bytes, saying->text.size);
	}
}
