/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "decode_lists.h"

/* A list of at most so many entries? */
static bool is_list(const struct place *at, const msgpack_object *o, uint32_t most)
{
	if (o->type != MSGPACK_OBJECT_ARRAY)
		return decode_fail(at, "is not a list");
	if (o->via.array.size > most)
		return decode_fail(at, "has %u entries, at most %u are allowed", o->via.array.size, most);
	return true;
}

bool decode_read_styles(const struct place *at, const msgpack_object *o, struct styles *styles)
{
	if (!is_list(at, o, MAX_STYLES))
		return false;
	for (uint32_t i = 0; i < o->via.array.size; i++)
		if (!decode_read_text(at, &o->via.array.ptr[i], MAX_NAME_CHARS, &styles->names[i]))
			return false;
	styles->count = o->via.array.size;
	return true;
}

bool decode_check_notes(const struct place *at, const msgpack_object *o)
{
	struct text note;
	if (!is_list(at, o, UINT32_MAX))
		return false;
	for (uint32_t i = 0; i < o->via.array.size; i++)
		if (!decode_read_text(at, &o->via.array.ptr[i], 0, &note))
			return false;
	return true;
}

bool decode_read_values(const struct place *at, const msgpack_object *o, struct saying *saying)
{
	if (o->type != MSGPACK_OBJECT_MAP)
		return decode_fail(at, "is not a map");
	if (o->via.map.size > MAX_VALUES)
		return decode_fail(at, "has %u entries, at most %u are allowed", o->via.map.size, MAX_VALUES);
	for (uint32_t i = 0; i < o->via.map.size; i++)
		if (!decode_read_text(at, &o->via.map.ptr[i].key, 0, &saying->values[i].name) ||
			!decode_read_text(at, &o->via.map.ptr[i].val, 0, &saying->values[i].text))
			return false;
	saying->value_count = o->via.map.size;
	return true;
}

bool decode_read_sayings(
	const struct place *at, const msgpack_object *o, const struct field *fields, struct sayings *sayings)
{
	if (!is_list(at, o, MAX_SAYINGS))
		return false;
	for (uint32_t i = 0; i < o->via.array.size; i++)
		if (!decode_map(&o->via.array.ptr[i], fields, &sayings->list[i], at->key, at->error))
			return false;
	sayings->count = o->via.array.size;
	return true;
}

bool decode_check_numbers(const struct place *at, const msgpack_object *o)
{
	static const struct field any = {.low = 0, .high = 0};
	if (o->type != MSGPACK_OBJECT_MAP)
		return decode_fail(at, "is not a map");
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		struct text key;
		double value;
		if (!decode_read_text(at, &o->via.map.ptr[i].key, 0, &key) ||
			!decode_read_real(at, &o->via.map.ptr[i].val, &any, &value))
			return false;
	}
	return true;
}
