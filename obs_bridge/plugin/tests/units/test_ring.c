/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <sched.h>

#include "ring.h"
#include "units.h"

static void ring_keeps_order_and_bounds(void)
{
	static struct ring ring;
	struct frame_ref item = {0};
	CHECK(!ring_take(&ring, &item));
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < RING_CAPACITY; i++)
			CHECK(ring_put(&ring, &(struct frame_ref){.slot = i}));
		CHECK(!ring_put(&ring, &item));
		for (uint32_t i = 0; i < RING_CAPACITY; i++)
			CHECK(ring_take(&ring, &item) && item.slot == i);
		CHECK(ring_is_empty(&ring));
	}
}

#define MANY 200000

static void *put_many(void *data)
{
	for (uint64_t i = 0; i < MANY;)
		if (ring_put(data, &(struct frame_ref){.sequence = i, .pts_ns = ~i}))
			i++;
		else
			sched_yield();
	return NULL;
}

static void ring_passes_between_threads(void)
{
	static struct ring ring;
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, put_many, &ring) == 0);
	for (uint64_t i = 0; i < MANY;) {
		struct frame_ref item;
		if (!ring_take(&ring, &item)) {
			sched_yield();
			continue;
		}
		CHECK(item.sequence == i && item.pts_ns == ~i);
		i++;
	}
	pthread_join(thread, NULL);
}

const struct test ring_tests[] = {
	TEST(ring_keeps_order_and_bounds),
	TEST(ring_passes_between_threads),
	{0},
};
