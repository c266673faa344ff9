/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small helpers for UTF-8 text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A piece of text that somebody else owns; no final zero. */
struct text {
	const char *bytes;
	size_t size;
};

/* Is it UTF-8 (no surrogates, nothing overlong)? Sets *chars to the number of code points. */
bool text_check_utf8(const char *bytes, size_t size, size_t *chars);

/* Copy with a final zero, cut at a character's border when it does not fit. */
void text_copy(char *to, size_t capacity, const char *bytes, size_t size);

/* Copy at most so many characters, with a final zero; `to` has room for 4 × max_chars + 1 bytes. What is not
 * UTF-8 becomes "". */
void text_copy_chars(char *to, const char *from, size_t max_chars);

/* Turn each byte that is not of UTF-8 into '?': for those who take nothing else. */
void text_make_utf8(char *text);

/* Turn control characters into '?', so that what others wrote cannot break a line of ours. */
void text_make_printable(char *text);

/* Write as the inside of a JSON string; cut when it does not fit. */
void text_to_json(char *to, size_t capacity, const char *from);
