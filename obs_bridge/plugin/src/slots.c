/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "slots.h"

void slots_reset(struct slots *slots, uint32_t count, bool ours)
{
	slots->count = count;
	for (uint32_t i = 0; i < MAX_SLOTS; i++)
		slots->ours[i] = ours && i < count;
}

enum slot_verdict slots_receive(
	struct slots *slots, uint32_t generation, uint32_t message_generation, uint32_t slot)
{
	if (message_generation != generation)
		return SLOT_OLD;
	if (slot >= slots->count)
		return SLOT_OUT_OF_RANGE;
	if (slots->ours[slot])
		return SLOT_NOT_THEIRS;
	slots->ours[slot] = true;
	return SLOT_TAKEN;
}

bool slots_give(struct slots *slots, uint32_t slot)
{
	if (slot >= slots->count || !slots->ours[slot])
		return false;
	slots->ours[slot] = false;
	return true;
}

const char *slot_verdict_text(enum slot_verdict verdict)
{
	switch (verdict) {
	case SLOT_TAKEN:
		return "taken";
	case SLOT_OLD:
		return "of an older generation";
	case SLOT_OUT_OF_RANGE:
		return "out of range";
	case SLOT_NOT_THEIRS:
		return "not the sender's to give";
	}
	return "?";
}
