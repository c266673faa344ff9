/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "german.h"
#include "units.h"
#include "words.h"

#define TEXT(string)                                                                                         \
	{                                                                                                    \
		string, sizeof(string) - 1                                                                   \
	}

static void words_fill_places(void)
{
	char to[16], all[100];
	words_say(all, sizeof(all), "{a}{b} {c} {a", "a", "1", "b", "{a}", NULL);
	CHECK(strcmp(all, "1{a} {c} {a") == 0);
	words_say(to, sizeof(to), "0123456789 {a}", "a", "1234é", NULL);
	CHECK(strcmp(to, "0123456789 1234") == 0); /* not half an é */
	words_say(to, 1, "{a}", "a", "1", NULL);
	CHECK(to[0] == '\0');
}

static void words_translate_what_is_known(void)
{
	static const struct sayings said = {.count = 4,
		.list = {{.code = TEXT("live"),
				 .text = TEXT("Live: 28"),
				 .values = {{TEXT("model"), TEXT("pocket")}, {TEXT("fps"), TEXT("28")}},
				 .value_count = 2},
			{.code = TEXT("newer"), .text = TEXT("newer words")}, {.text = TEXT("free")},
			{.code = TEXT("none"), .text = TEXT("x")}}};
	char to[200];
	words_join(to, sizeof(to), &said, in_german);
	CHECK(strcmp(to, "Live: 28 Bilder, pocket; newer words; free; {} {") == 0);
	words_join(to, sizeof(to), &said, NULL);
	CHECK(strcmp(to, "Live: 28; newer words; free; x") == 0);
	words_join(to, 9, &said, NULL);
	CHECK(strcmp(to, "Live: 28") == 0);
}

const struct test words_tests[] = {
	TEST(words_fill_places),
	TEST(words_translate_what_is_known),
	{0},
};
