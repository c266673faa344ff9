/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared-memory segments, the C side of daemon/limner/daemon/segment.py (layout there). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_NAME_BYTES 256

enum segment_direction { DIRECTION_INPUT = 1, DIRECTION_OUTPUT = 2 };

struct segment {
	uint8_t *base; /* NULL: not open */
	size_t size_bytes;
	char name[SEGMENT_NAME_BYTES];
	uint32_t generation, slot_count, slot_stride, width, height;
};

/* What a message promised of a segment; all of it is held against the header, and both against its size. */
struct segment_promise {
	const char *name;
	uint64_t size_bytes;
	uint32_t generation, slots, width, height;
	enum segment_direction direction;
};

struct segment_error {
	char text[320];
};

/* Map an existing segment. False: *error names it and the fault, and nothing is mapped. */
bool segment_open(
	struct segment *segment, const struct segment_promise *promise, struct segment_error *error);
/* Harmless when it is not open. */
void segment_close(struct segment *segment);
/* Remove the name (of a daemon that died); the memory goes when the last side unmaps it. */
void segment_unlink(const struct segment *segment);

size_t segment_frame_bytes(const struct segment *segment);
/* RGBA, rows without padding; slot must be below slot_count. */
uint8_t *segment_pixels(const struct segment *segment, uint32_t slot);
void segment_write_slot_header(
	const struct segment *segment, uint32_t slot, uint64_t sequence, uint64_t pts_ns);
