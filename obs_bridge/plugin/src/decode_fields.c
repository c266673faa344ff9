/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "decode_lists.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool decode_fail(const struct place *at, const char *format, ...)
{
	char what[160];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	at->error->code = "invalid";
	snprintf(at->error->text, sizeof(at->error->text), "%s: '%s' %s", at->where, at->key, what);
	return false;
}

static bool read_u64(const struct place *at, const msgpack_object *o, const struct field *f, uint64_t *to)
{
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return decode_fail(at, "is %lld, it must not be negative", (long long)o->via.i64);
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return decode_fail(at, "is not a whole number");
	if (o->via.u64 < f->low || o->via.u64 > f->high)
		return decode_fail(at, "is %llu, out of range %llu to %llu", (unsigned long long)o->via.u64,
			(unsigned long long)f->low, (unsigned long long)f->high);
	*to = o->via.u64;
	return true;
}

bool decode_read_real(const struct place *at, const msgpack_object *o, const struct field *f, double *to)
{
	if (o->type == MSGPACK_OBJECT_FLOAT32 || o->type == MSGPACK_OBJECT_FLOAT64)
		*to = o->via.f64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		*to = (double)o->via.u64;
	else if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*to = (double)o->via.i64;
	else
		return decode_fail(at, "is not a number");
	if (!isfinite(*to))
		return decode_fail(at, "is not finite");
	if (f->low < f->high && (*to < (double)f->low || *to > (double)f->high))
		return decode_fail(at, "is %g, out of range %llu to %llu", *to, (unsigned long long)f->low,
			(unsigned long long)f->high);
	return true;
}

bool decode_read_text(const struct place *at, const msgpack_object *o, uint64_t max_chars, struct text *to)
{
	if (o->type != MSGPACK_OBJECT_STR)
		return decode_fail(at, "is not text");
	size_t chars;
	if (!text_check_utf8(o->via.str.ptr, o->via.str.size, &chars))
		return decode_fail(at, "is not UTF-8");
	if (max_chars > 0 && chars > max_chars)
		return decode_fail(at, "has %zu characters, at most %llu are allowed", chars,
			(unsigned long long)max_chars);
	*to = (struct text){.bytes = o->via.str.ptr, .size = o->via.str.size};
	return true;
}

static bool read_copy(const struct place *at, const msgpack_object *o, const struct field *f, char *to)
{
	struct text text;
	if (!decode_read_text(at, o, f->high, &text))
		return false;
	text_copy(to, (size_t)f->high * 4 + 1, text.bytes, text.size);
	return true;
}

static bool read_state(const struct place *at, const msgpack_object *o, enum daemon_state *to)
{
	struct text text;
	if (!decode_read_text(at, o, 0, &text))
		return false;
	for (int state = STATE_OFF; state <= STATE_FAILED; state++) {
		const char *name = protocol_state_name((enum daemon_state)state);
		if (text.size == strlen(name) && memcmp(text.bytes, name, text.size) == 0) {
			*to = (enum daemon_state)state;
			return true;
		}
	}
	return decode_fail(at, "is no state that this filter knows");
}

static bool read_field(const struct place *at, const msgpack_object *o, const struct field *f, void *target)
{
	void *to = (char *)target + f->offset;
	uint64_t number;
	switch (f->kind) {
	case FIELD_U32:
		if (!read_u64(at, o, f, &number))
			return false;
		*(uint32_t *)to = (uint32_t)number;
		return true;
	case FIELD_U64:
		return read_u64(at, o, f, to);
	case FIELD_REAL:
		return decode_read_real(at, o, f, to);
	case FIELD_FLAG:
		if (o->type != MSGPACK_OBJECT_BOOLEAN)
			return decode_fail(at, "is not true or false");
		*(bool *)to = o->via.boolean;
		return true;
	case FIELD_TEXT:
		return decode_read_text(at, o, f->high, to);
	case FIELD_COPY:
		return read_copy(at, o, f, to);
	case FIELD_STATE:
		return read_state(at, o, to);
	case FIELD_MAP:
		return decode_map(o, f->fields, to, at->key, at->error);
	case FIELD_STYLES:
		return decode_read_styles(at, o, to);
	case FIELD_SAYINGS:
		return decode_read_sayings(at, o, f->fields, to);
	case FIELD_VALUES:
		return decode_read_values(at, o, target);
	case FIELD_NOTES:
		return decode_check_notes(at, o);
	case FIELD_NUMBERS:
		return decode_check_numbers(at, o);
	case FIELD_UNUSED:
		return true;
	}
	return decode_fail(at, "has a kind that nobody wrote");
}

/* Index of the field called `key`, or -1. */
static int find(const struct field *fields, const msgpack_object *key)
{
	if (key->type != MSGPACK_OBJECT_STR)
		return -1;
	for (int i = 0; fields[i].key; i++)
		if (strlen(fields[i].key) == key->via.str.size &&
			memcmp(fields[i].key, key->via.str.ptr, key->via.str.size) == 0)
			return i;
	return -1;
}

static bool unknown_key(const char *where, const msgpack_object *key, struct protocol_error *error)
{
	size_t chars;
	error->code = "invalid";
	if (key->type == MSGPACK_OBJECT_STR && text_check_utf8(key->via.str.ptr, key->via.str.size, &chars)) {
		char name[64];
		text_copy(name, sizeof(name), key->via.str.ptr, key->via.str.size);
		text_make_printable(name);
		snprintf(error->text, sizeof(error->text), "%s: unknown key '%s'", where, name);
	} else {
		snprintf(error->text, sizeof(error->text), "%s: a key that is no text", where);
	}
	return false;
}

bool decode_map(const msgpack_object *object, const struct field *fields, void *target, const char *where,
	struct protocol_error *error)
{
	struct place at = {.where = where, .key = "it", .error = error};
	uint32_t seen = 0; /* a bit a field: no message has more than 32 */
	if (object->type != MSGPACK_OBJECT_MAP)
		return decode_fail(&at, "is not a map");
	for (uint32_t i = 0; i < object->via.map.size; i++) {
		const msgpack_object_kv *entry = &object->via.map.ptr[i];
		const int index = find(fields, &entry->key);
		if (index < 0)
			return unknown_key(where, &entry->key, error);
		at.key = fields[index].key;
		if (seen & 1u << index)
			return decode_fail(&at, "is there twice");
		seen |= 1u << index;
		if (!read_field(&at, &entry->val, &fields[index], target))
			return false;
	}
	for (int i = 0; fields[i].key; i++) {
		at.key = fields[i].key;
		if (fields[i].required && !(seen & 1u << i))
			return decode_fail(&at, "is missing");
	}
	return true;
}
