/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sentences in the user's language: templates with {names} in data/locale, and what the daemon says by code.
 */
#pragma once

#include <stdbool.h>

#include "protocol.h"

/* Words for people by key; the key itself where there are none. */
typedef const char *(*words_lookup)(const char *key);

/* The words of a key; NULL: there are none (or `words` is NULL). */
const char *words_find(words_lookup words, const char *key);

/* Write a template with the values in its places; a name without a value stays as it is. */
void words_fill(
	char *to, size_t capacity, const char *format, const struct value *values, size_t value_count);

/* The same with "name", "text", …, NULL. */
void words_say(char *to, size_t capacity, const char *format, ...) __attribute__((sentinel));

/* What the daemon says, joined by "; ": each piece by its code (key "Say_" and the code), one that `words`
 * does not know in English. `words` may be NULL: all in English. */
void words_join(char *to, size_t capacity, const struct sayings *sayings, words_lookup words);
