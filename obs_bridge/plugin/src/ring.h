/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue between two threads, one that puts and one that takes, without a lock. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* As many as a segment can have slots: a slot is in one queue at a time, so none can overflow. */
#define RING_CAPACITY 256

struct frame_ref {
	uint32_t slot;
	uint64_t sequence;
	uint64_t pts_ns;
	uint64_t arrival_ns;
	/* Only on the way to the daemon: where the pixels are to be copied from, before the slot is handed
	 * over. */
	const uint8_t *pixels;
	uint32_t linesize;
	atomic_int *copied; /* set to 1 when they are */
};

struct ring {
	_Atomic uint32_t put, taken; /* counted for ever */
	struct frame_ref items[RING_CAPACITY];
};

/* Only the thread that puts. False: full. */
static inline bool ring_put(struct ring *ring, const struct frame_ref *item)
{
	const uint32_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
	if (put - atomic_load_explicit(&ring->taken, memory_order_acquire) == RING_CAPACITY)
		return false;
	ring->items[put % RING_CAPACITY] = *item;
	atomic_store_explicit(&ring->put, put + 1, memory_order_release);
	return true;
}

/* Only the thread that takes. False: empty. */
static inline bool ring_take(struct ring *ring, struct frame_ref *item)
{
	const uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
	if (taken == atomic_load_explicit(&ring->put, memory_order_acquire))
		return false;
	*item = ring->items[taken % RING_CAPACITY];
	atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
	return true;
}

static inline bool ring_is_empty(struct ring *ring)
{
	return atomic_load_explicit(&ring->taken, memory_order_relaxed) ==
	       atomic_load_explicit(&ring->put, memory_order_acquire);
}
