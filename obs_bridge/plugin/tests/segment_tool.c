/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads lines "NAME SIZE GENERATION SLOTS WIDTH HEIGHT DIRECTION" (what a message would promise), opens the
 * segment, and answers with "ok SUM" (of all its pixels' bytes; it then marks each slot) or "error text". */
#include <stdio.h>
#include <string.h>

#include "segment.h"

static void use(struct segment *segment)
{
	unsigned long long sum = 0;
	for (uint32_t slot = 0; slot < segment->slot_count; slot++) {
		uint8_t *pixels = segment_pixels(segment, slot);
		for (size_t i = 0; i < segment_frame_bytes(segment); i++)
			sum += pixels[i];
		memset(pixels, (int)(slot + 1), segment_frame_bytes(segment));
		segment_write_slot_header(segment, slot, 1000 + slot, 0x1122334455667788ull + slot);
	}
	printf("ok %llu\n", sum);
	segment_close(segment);
}

int main(void)
{
	char line[1024], name[512];
	while (fgets(line, sizeof(line), stdin)) {
		struct segment_promise promise = {.name = name};
		struct segment segment;
		struct segment_error error = {{0}};
		unsigned long long size;
		int direction;
		if (sscanf(line, "%511s %llu %u %u %u %u %d", name, &size, &promise.generation,
			    &promise.slots, &promise.width, &promise.height, &direction) != 7)
			return 2;
		promise.size_bytes = size;
		promise.direction = (enum segment_direction)direction;
		if (segment_open(&segment, &promise, &error))
			use(&segment);
		else
			printf("error %s\n", error.text);
		fflush(stdout);
	}
	return 0;
}
