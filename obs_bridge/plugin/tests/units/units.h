/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the pure parts share: a check that ends the program, and the list of each file. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"

#define FRAME_NS (NS_PER_S / 30)

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

/* tests/obs_bridge/test_units.py reads the names from lines that are just this. */
#define TEST(name)                                                                                           \
	{                                                                                                    \
#name, name                                                                                  \
	}

/* One list a module of src/, in test_MODULE.c; an empty test ends it. */
extern const struct test action_tests[];
extern const struct test change_tests[];
extern const struct test fade_tests[];
extern const struct test fit_tests[];
extern const struct test paths_tests[];
extern const struct test playout_tests[];
extern const struct test receipt_tests[];
extern const struct test ring_tests[];
extern const struct test slots_tests[];
extern const struct test stats_tests[];
extern const struct test sync_tests[];
extern const struct test text_tests[];
extern const struct test wire_check_tests[];
extern const struct test words_tests[];
