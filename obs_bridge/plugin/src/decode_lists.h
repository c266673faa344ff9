/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of decode: fields that are lists and maps of their own, and what they share with the others. */
#pragma once

#include "decode.h"

/* Which value is being read, for the error. */
struct place {
	const char *where, *key;
	struct protocol_error *error;
};

/* Always false: notes in the error what is wrong with the value. */
bool decode_fail(const struct place *at, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One value. */
bool decode_read_real(const struct place *at, const msgpack_object *o, const struct field *f, double *to);
bool decode_read_text(const struct place *at, const msgpack_object *o, uint64_t max_chars, struct text *to);

/* Lists and maps. */
bool decode_read_styles(const struct place *at, const msgpack_object *o, struct styles *styles);
bool decode_read_sayings(
	const struct place *at, const msgpack_object *o, const struct field *fields, struct sayings *sayings);
bool decode_read_values(const struct place *at, const msgpack_object *o, struct saying *saying);
bool decode_check_notes(const struct place *at, const msgpack_object *o);
bool decode_check_numbers(const struct place *at, const msgpack_object *o);
