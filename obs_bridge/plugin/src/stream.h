/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open session: both segments and the queues by which slots pass between the graphics thread and the I/O
 * thread. Each member is used by the threads that are named; the queues by one on either side. */
#pragma once

#include "playout.h"
#include "protocol.h"
#include "ring.h"
#include "segment.h"
#include "slots.h"

struct stream {
	/* Both; never changes while it is open. */
	uint32_t generation, width, height;
	struct segment input, output;
	/* Slots on their way. */
	struct ring input_free;   /* I/O → graphics: may be written */
	struct ring input_filled; /* graphics → I/O: to be handed over */
	struct ring output_ready; /* I/O → graphics: painted */
	struct ring output_done;  /* graphics → I/O: to be given back */
	/* Graphics only. */
	struct playout playout;
	/* I/O only. */
	struct slots input_slots, output_slots;
};

/* Map what a welcome speaks of. NULL: *error says why. */
struct stream *stream_open(const struct welcome *welcome, struct segment_error *error);
/* `unlink`: the daemon died, so its segments' names are ours to remove. */
void stream_close(struct stream *stream, bool unlink);
