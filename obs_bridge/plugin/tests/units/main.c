/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the pure parts. `units` lists the tests' names, `units NAME` runs one: 0, or 1 and what failed. */
#include <string.h>

#include "units.h"

static const struct test *const modules[] = {
	action_tests,
	change_tests,
	fade_tests,
	fit_tests,
	paths_tests,
	playout_tests,
	receipt_tests,
	ring_tests,
	slots_tests,
	stats_tests,
	sync_tests,
	text_tests,
	wire_check_tests,
	words_tests,
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(modules) / sizeof(*modules); i++)
		for (const struct test *test = modules[i]; test->name; test++)
			if (argc < 2) {
				printf("%s\n", test->name);
			} else if (strcmp(argv[1], test->name) == 0) {
				test->run();
				return 0;
			}
	return argc < 2 ? 0 : 2;
}
