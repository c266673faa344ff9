/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>

static bool open_segment(struct segment *segment, const struct welcome *w, const struct segment_ref *ref,
	enum segment_direction direction, struct segment_error *error)
{
	char name[NAME_BYTES];
	text_copy(name, sizeof(name), ref->name.bytes, ref->name.size);
	const struct segment_promise promise = {
		.name = name,
		.size_bytes = ref->size_bytes,
		.generation = w->generation,
		.slots = ref->slots,
		.width = w->width,
		.height = w->height,
		.direction = direction,
	};
	return segment_open(segment, &promise, error);
}

struct stream *stream_open(const struct welcome *welcome, struct segment_error *error)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(error->text, sizeof(error->text), "out of memory");
		return NULL;
	}
	if (!open_segment(&s->input, welcome, &welcome->input, DIRECTION_INPUT, error) ||
		!open_segment(&s->output, welcome, &welcome->output, DIRECTION_OUTPUT, error)) {
		stream_close(s, false);
		return NULL;
	}
	s->generation = welcome->generation;
	s->width = welcome->width;
	s->height = welcome->height;
	slots_reset(&s->input_slots, s->input.slot_count, true);
	slots_reset(&s->output_slots, s->output.slot_count, false);
	playout_reset(&s->playout, s->output.slot_count);
	for (uint32_t slot = 0; slot < s->input.slot_count; slot++)
		ring_put(&s->input_free, &(struct frame_ref){.slot = slot});
	return s;
}

void stream_close(struct stream *stream, bool unlink)
{
	if (!stream)
		return;
	if (unlink) {
		segment_unlink(&stream->input);
		segment_unlink(&stream->output);
	}
	segment_close(&stream->input);
	segment_close(&stream->output);
	free(stream);
}
