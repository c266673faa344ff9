/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the character that begins with this byte; 0 when none can. */
static size_t length_of(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* The second byte's range closes out overlong forms, surrogates and what lies beyond U+10FFFF. */
static bool second_fits(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

bool text_check_utf8(const char *bytes, size_t size, size_t *chars)
{
	const uint8_t *at = (const uint8_t *)bytes;
	const uint8_t *end = at + size;
	*chars = 0;
	while (at < end) {
		const size_t length = length_of(*at);
		if (length == 0 || (size_t)(end - at) < length)
			return false;
		for (size_t i = 1; i < length; i++)
			if ((at[i] & 0xc0) != 0x80)
				return false;
		if (length > 1 && !second_fits(at[0], at[1]))
			return false;
		at += length;
		++*chars;
	}
	return true;
}

void text_copy(char *to, size_t capacity, const char *bytes, size_t size)
{
	if (capacity == 0)
		return;
	if (size >= capacity) {
		size = capacity - 1;
		while (size > 0 && ((uint8_t)bytes[size] & 0xc0) == 0x80)
			size--;
	}
	if (size > 0)
		memcpy(to, bytes, size);
	to[size] = '\0';
}

void text_copy_chars(char *to, const char *from, size_t max_chars)
{
	size_t bytes = 0, chars = 0;
	while (from[bytes] && chars < max_chars) {
		bytes++;
		while (((uint8_t)from[bytes] & 0xc0) == 0x80)
			bytes++;
		chars++;
	}
	if (!text_check_utf8(from, bytes, &chars))
		bytes = 0;
	text_copy(to, max_chars * 4 + 1, from, bytes);
}

void text_make_utf8(char *text)
{
	size_t left = strlen(text), chars;
	while (left > 0) {
		size_t length = length_of((uint8_t)*text);
		if (length == 0 || length > left || !text_check_utf8(text, length, &chars)) {
			*text = '?';
			length = 1;
		}
		text += length;
		left -= length;
	}
}

void text_make_printable(char *text)
{
	for (; *text; text++)
		if ((uint8_t)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void text_to_json(char *to, size_t capacity, const char *from)
{
	size_t used = 0;
	for (; *from; from++) {
		char piece[8];
		const uint8_t c = (uint8_t)*from;
		if (c == '"' || c == '\\')
			snprintf(piece, sizeof(piece), "\\%c", c);
		else if (c < 0x20)
			snprintf(piece, sizeof(piece), "\\u%04x", c);
		else
			snprintf(piece, sizeof(piece), "%c", c);
		const size_t length = strlen(piece);
		if (used + length >= capacity)
			break;
		memcpy(to + used, piece, length);
		used += length;
	}
	if (capacity > 0)
		to[used] = '\0';
}
