/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has which slot of a segment. Only the I/O thread keeps this book. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

struct slots {
	uint32_t count;
	bool ours[MAX_SLOTS];
};

enum slot_verdict {
	SLOT_TAKEN,        /* it changed hands */
	SLOT_OLD,          /* the message is of another generation: ignore it */
	SLOT_OUT_OF_RANGE, /* there is no such slot */
	SLOT_NOT_THEIRS,   /* the sender did not have it */
};

void slots_reset(struct slots *slots, uint32_t count, bool ours);
/* A message of the daemon hands us a slot. */
enum slot_verdict slots_receive(
	struct slots *slots, uint32_t generation, uint32_t message_generation, uint32_t slot);
/* We hand a slot over; false when it is not ours. */
bool slots_give(struct slots *slots, uint32_t slot);
const char *slot_verdict_text(enum slot_verdict verdict);
