/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lying count ("this array has four thousand million elements") must not make us reserve memory: every
 * element takes at least a byte, so a count larger than what is left of the message is a lie. */
#include "wire_check.h"

struct cursor {
	const uint8_t *at;
	size_t left;
};

struct head {
	size_t payload;  /* bytes that follow and are no values */
	size_t children; /* values that follow */
};

static bool take(struct cursor *c, size_t bytes)
{
	if (c->left < bytes)
		return false;
	c->at += bytes;
	c->left -= bytes;
	return true;
}

/* Read a big-endian number of 1, 2 or 4 bytes. */
static bool take_number(struct cursor *c, size_t bytes, size_t *number)
{
	const uint8_t *from = c->at;
	if (!take(c, bytes))
		return false;
	*number = 0;
	for (size_t i = 0; i < bytes; i++)
		*number = *number << 8 | from[i];
	return true;
}

static bool take_sized(struct cursor *c, size_t bytes, size_t extra, struct head *head)
{
	if (!take_number(c, bytes, &head->payload))
		return false;
	head->payload += extra;
	return true;
}

static bool take_counted(struct cursor *c, size_t bytes, size_t per_entry, struct head *head)
{
	size_t count;
	if (!take_number(c, bytes, &count) || count > c->left)
		return false;
	head->children = count * per_entry;
	return true;
}

/* First bytes from 0xc0 on that are no "fix" kinds. */
static bool take_long_head(struct cursor *c, uint8_t first, struct head *head)
{
	static const uint8_t fixed_payload[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* 0xca..0xd3: numbers */
	if (first >= 0xca && first <= 0xd3) {
		head->payload = fixed_payload[first - 0xca];
		return true;
	}
	if (first >= 0xd4 && first <= 0xd8) { /* fixext 1..16 and their type */
		head->payload = ((size_t)1 << (first - 0xd4)) + 1;
		return true;
	}
	switch (first) {
	case 0xc0: /* nil, false, true */
	case 0xc2:
	case 0xc3:
		return true;
	case 0xc4: /* bin, ext, str */
		return take_sized(c, 1, 0, head);
	case 0xc5:
		return take_sized(c, 2, 0, head);
	case 0xc6:
		return take_sized(c, 4, 0, head);
	case 0xc7:
		return take_sized(c, 1, 1, head);
	case 0xc8:
		return take_sized(c, 2, 1, head);
	case 0xc9:
		return take_sized(c, 4, 1, head);
	case 0xd9:
		return take_sized(c, 1, 0, head);
	case 0xda:
		return take_sized(c, 2, 0, head);
	case 0xdb:
		return take_sized(c, 4, 0, head);
	case 0xdc:
		return take_counted(c, 2, 1, head);
	case 0xdd:
		return take_counted(c, 4, 1, head);
	case 0xde:
		return take_counted(c, 2, 2, head);
	case 0xdf:
		return take_counted(c, 4, 2, head);
	default:
		return false; /* 0xc1 is never used */
	}
}

static bool take_head(struct cursor *c, struct head *head)
{
	*head = (struct head){0};
	if (c->left == 0)
		return false;
	const uint8_t first = *c->at;
	take(c, 1);
	if (first < 0x80 || first >= 0xe0) /* small numbers */
		return true;
	if (first < 0x90)
		head->children = (size_t)(first & 0x0f) * 2;
	else if (first < 0xa0)
		head->children = first & 0x0f;
	else if (first < 0xc0)
		head->payload = first & 0x1f;
	else
		return take_long_head(c, first, head);
	return true;
}

static bool take_value(struct cursor *c, unsigned depth)
{
	struct head head;
	if (depth == 0 || !take_head(c, &head) || !take(c, head.payload) || head.children > c->left)
		return false;
	for (size_t i = 0; i < head.children; i++)
		if (!take_value(c, depth - 1))
			return false;
	return true;
}

bool wire_is_one_value(const uint8_t *data, size_t size, unsigned max_depth)
{
	struct cursor c = {.at = data, .left = size};
	return take_value(&c, max_depth) && c.left == 0;
}
