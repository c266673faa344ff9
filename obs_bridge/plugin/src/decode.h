/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading one msgpack map into a struct, by a table of its fields. */
#pragma once

#include <msgpack/object.h>

#include "protocol.h"

enum field_kind {
	FIELD_U32,     /* uint32_t, low..high */
	FIELD_U64,     /* uint64_t, low..high */
	FIELD_REAL,    /* double, low..high when low < high; whole numbers are taken too */
	FIELD_FLAG,    /* bool */
	FIELD_TEXT,    /* struct text, at most `high` characters; 0: as many as there are */
	FIELD_COPY,    /* char[high * 4 + 1], at most `high` characters */
	FIELD_STATE,   /* enum daemon_state */
	FIELD_MAP,     /* a struct with fields of its own */
	FIELD_STYLES,  /* struct styles: a list of names */
	FIELD_SAYINGS, /* struct sayings: a list of maps with `fields` */
	FIELD_VALUES,  /* struct saying: a map of text to text, its values */
	FIELD_NOTES,   /* a list of texts: checked, not kept */
	FIELD_NUMBERS, /* a map of text to number: checked, not kept */
	FIELD_UNUSED,  /* known, but nothing that this filter uses: neither checked nor kept */
};

struct field {
	const char *key;
	enum field_kind kind;
	bool required;
	size_t offset;
	uint64_t low, high;
	const struct field *fields; /* of FIELD_MAP and FIELD_SAYINGS; ends with a key of NULL */
};

/* `where` names the map for the error. Absent fields that are not required keep what `target` holds. */
bool decode_map(const msgpack_object *object, const struct field *fields, void *target, const char *where,
	struct protocol_error *error);
