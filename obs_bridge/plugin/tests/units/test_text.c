/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "text.h"
#include "units.h"

static void text_is_cut_at_characters(void)
{
	char small[6];
	size_t chars;
	text_copy(small, sizeof(small), "äöü", strlen("äöü"));
	CHECK(strcmp(small, "äö") == 0);
	char chosen[4 * 3 + 1];
	text_copy_chars(chosen, "😀😀😀😀", 3);
	CHECK(strcmp(chosen, "😀😀😀") == 0);
	text_copy_chars(chosen, "äb", 3);
	CHECK(strcmp(chosen, "äb") == 0);
	text_copy_chars(chosen, "b\xc3", 3);
	CHECK(chosen[0] == '\0');
	text_copy_chars(chosen, "\xf0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 3);
	CHECK(chosen[0] == '\0');
	char torn[] = "aä\xc3\xff€\xf0\x9f";
	text_make_utf8(torn);
	CHECK(strcmp(torn, "aä??€??") == 0);
	CHECK(text_check_utf8("aäö€😀", strlen("aäö€😀"), &chars) && chars == 5);
	static const char *const bad[] = {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xff", "\xc3", "\xe2\x82", "a\xf0\x9f\x98"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!text_check_utf8(bad[i], strlen(bad[i]), &chars));
	char json[32];
	text_to_json(json, sizeof(json), "a\"b\\c\n");
	CHECK(strcmp(json, "a\\\"b\\\\c\\u000a") == 0);
}

const struct test text_tests[] = {
	TEST(text_is_cut_at_characters),
	{0},
};
