/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages that a client hears, as tables; decode_fields.c reads by them. */
#include "decode.h"

#include <msgpack/unpack.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "wire_check.h"

#define MAX_DEPTH 8
#define MAX_SEQUENCE INT64_MAX
#define MAX_REV (1ull << 53)

#define U32(S, M, LOW, HIGH)                                                                                 \
	{                                                                                                    \
		.key = #M, .kind = FIELD_U32, .required = true, .offset = offsetof(S, M), .low = LOW,        \
		.high = HIGH                                                                                 \
	}
#define U64(S, M, HIGH)                                                                                      \
	{                                                                                                    \
		.key = #M, .kind = FIELD_U64, .required = true, .offset = offsetof(S, M), .high = HIGH       \
	}
#define TEXT(S, M, MAX)                                                                                      \
	{                                                                                                    \
		.key = #M, .kind = FIELD_TEXT, .required = true, .offset = offsetof(S, M), .high = MAX       \
	}
#define MAP(S, M, REQUIRED, FIELDS)                                                                          \
	{                                                                                                    \
		.key = #M, .kind = FIELD_MAP, .required = REQUIRED, .offset = offsetof(S, M),                \
		.fields = FIELDS                                                                             \
	}
/* With a default in the schema. */
#define OPTIONAL(S, M, KIND, LOW, HIGH)                                                                      \
	{                                                                                                    \
		.key = #M, .kind = KIND, .offset = offsetof(S, M), .low = LOW, .high = HIGH                  \
	}

#define SAYINGS(S)                                                                                           \
	{                                                                                                    \
		.key = "sayings", .kind = FIELD_SAYINGS, .offset = offsetof(S, sayings),                     \
		.fields = saying_fields                                                                      \
	}

/* Set by others, of no use here. */
#define UNUSED(M)                                                                                            \
	{                                                                                                    \
		.key = #M, .kind = FIELD_UNUSED                                                              \
	}

static const struct field settings_fields[] = {
	OPTIONAL(struct settings, style, FIELD_COPY, 0, MAX_NAME_CHARS),
	OPTIONAL(struct settings, prompt, FIELD_COPY, 0, MAX_PROMPT_CHARS),
	OPTIONAL(struct settings, strength, FIELD_REAL, 0, 1),
	OPTIONAL(struct settings, steps, FIELD_U32, 1, 4),
	OPTIONAL(struct settings, seed, FIELD_U32, 0, UINT32_MAX),
	OPTIONAL(struct settings, transition_ms, FIELD_U32, 0, MAX_TRANSITION_MS),
	OPTIONAL(struct settings, mode, FIELD_COPY, 0, MAX_MODE_CHARS),
	OPTIONAL(struct settings, motion_aware, FIELD_FLAG, 0, 0),
	OPTIONAL(struct settings, motion_low, FIELD_REAL, 0, 1),
	OPTIONAL(struct settings, motion_high, FIELD_REAL, 1, 2),
	OPTIONAL(struct settings, steadiness, FIELD_REAL, 0, 1),
	OPTIONAL(struct settings, bypass, FIELD_FLAG, 0, 0),
	UNUSED(mix),
	UNUSED(recache),
	UNUSED(least_steps),
	UNUSED(chunk),
	UNUSED(latency_ms),
	UNUSED(adapt),
	UNUSED(motion_window),
	UNUSED(motion_smoothing),
	UNUSED(motion_hysteresis),
	UNUSED(cuts),
	UNUSED(on_air),
	UNUSED(lora),
	{0},
};

static const struct field segment_fields[] = {
	TEXT(struct segment_ref, name, MAX_NAME_CHARS),
	{.key = "size_bytes",
		.kind = FIELD_U64,
		.required = true,
		.offset = offsetof(struct segment_ref, size_bytes),
		.low = 4096,
		.high = INT64_MAX},
	U32(struct segment_ref, slots, 1, MAX_SLOTS),
	{0},
};

static const struct field percentile_fields[] = {
	OPTIONAL(struct percentiles, p50, FIELD_REAL, 0, 0),
	OPTIONAL(struct percentiles, p95, FIELD_REAL, 0, 0),
	OPTIONAL(struct percentiles, p99, FIELD_REAL, 0, 0),
	{0},
};

static const struct field welcome_fields[] = {
	TEXT(struct welcome, session, MAX_NAME_CHARS),
	U32(struct welcome, generation, 1, UINT32_MAX),
	TEXT(struct welcome, model, MAX_NAME_CHARS),
	U32(struct welcome, width, 1, MAX_SIDE),
	U32(struct welcome, height, 1, MAX_SIDE),
	U32(struct welcome, frames_per_chunk, 1, 64),
	MAP(struct welcome, input, true, segment_fields),
	MAP(struct welcome, output, true, segment_fields),
	{.key = "styles", .kind = FIELD_STYLES, .required = true, .offset = offsetof(struct welcome, styles)},
	MAP(struct welcome, settings, true, settings_fields),
	{0},
};

static const struct field styles_fields[] = {
	{.key = "styles", .kind = FIELD_STYLES, .required = true},
	{0},
};

static const struct field saying_fields[] = {
	OPTIONAL(struct saying, code, FIELD_TEXT, 0, MAX_NAME_CHARS),
	{.key = "values", .kind = FIELD_VALUES},
	TEXT(struct saying, text, 0),
	{0},
};

static const struct field frame_fields[] = {
	U32(struct slot_message, generation, 1, UINT32_MAX),
	U32(struct slot_message, slot, 0, MAX_SLOTS - 1),
	U64(struct slot_message, sequence, MAX_SEQUENCE),
	U64(struct slot_message, pts_ns, MAX_SEQUENCE),
	{0},
};

static const struct field free_fields[] = {
	U32(struct slot_message, generation, 1, UINT32_MAX),
	U32(struct slot_message, slot, 0, MAX_SLOTS - 1),
	{0},
};

static const struct field accepted_fields[] = {
	U64(struct accepted, rev, MAX_REV),
	TEXT(struct accepted, session, MAX_NAME_CHARS),
	MAP(struct accepted, settings, true, settings_fields),
	{.key = "notes", .kind = FIELD_NOTES},
	SAYINGS(struct accepted),
	{0},
};

static const struct field applied_fields[] = {
	U64(struct applied, rev, MAX_REV),
	TEXT(struct applied, session, MAX_NAME_CHARS),
	U64(struct applied, chunk, MAX_SEQUENCE),
	U64(struct applied, pts_ns, MAX_SEQUENCE),
	UNUSED(notes),
	{0},
};

static const struct field status_fields[] = {
	TEXT(struct status, session, MAX_NAME_CHARS),
	{.key = "state", .kind = FIELD_STATE, .required = true, .offset = offsetof(struct status, state)},
	TEXT(struct status, sentence, 0),
	SAYINGS(struct status),
	OPTIONAL(struct status, device, FIELD_TEXT, 0, 0),
	OPTIONAL(struct status, progress, FIELD_REAL, 0, 1),
	OPTIONAL(struct status, fps_in, FIELD_REAL, 0, 0),
	OPTIONAL(struct status, fps_out, FIELD_REAL, 0, 0),
	OPTIONAL(struct status, received, FIELD_U32, 0, UINT32_MAX),
	OPTIONAL(struct status, painted, FIELD_U32, 0, UINT32_MAX),
	OPTIONAL(struct status, dropped, FIELD_U32, 0, UINT32_MAX),
	MAP(struct status, latency_ms, false, percentile_fields),
	{.key = "stages_ms", .kind = FIELD_NUMBERS},
	UNUSED(strength),
	UNUSED(plan),
	MAP(struct status, settings, false, settings_fields),
	{0},
};

static const struct field error_fields[] = {
	TEXT(struct refusal, code, MAX_NAME_CHARS),
	TEXT(struct refusal, message, 0),
	OPTIONAL(struct refusal, about, FIELD_TEXT, 0, 0),
	{0},
};

static const struct kind {
	const char *name;
	enum message_type type;
	const struct field *fields; /* NULL: the body is not read */
} kinds[] = {
	{"welcome", MESSAGE_WELCOME, welcome_fields},
	{"styles", MESSAGE_STYLES, styles_fields},
	{"frame", MESSAGE_FRAME, frame_fields},
	{"free", MESSAGE_FREE, free_fields},
	{"accepted", MESSAGE_ACCEPTED, accepted_fields},
	{"applied", MESSAGE_APPLIED, applied_fields},
	{"status", MESSAGE_STATUS, status_fields},
	{"overview", MESSAGE_OVERVIEW, NULL},
	{"error", MESSAGE_ERROR, error_fields},
};

static bool garbage(struct protocol_error *error, const char *why)
{
	error->code = "garbage";
	snprintf(error->text, sizeof(error->text), "not a Limner message: %s", why);
	return false;
}

static bool key_is(const msgpack_object *key, const char *name)
{
	return key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(name) &&
	       memcmp(key->via.str.ptr, name, key->via.str.size) == 0;
}

/* Take "v" and "type" out of the map, so that what stays is the body. */
static bool take_envelope(
	msgpack_object_map *map, struct text *type, uint64_t *version, struct protocol_error *error)
{
	uint32_t kept = 0, types = 0, versions = 0;
	for (uint32_t i = 0; i < map->size; i++) {
		const msgpack_object_kv entry = map->ptr[i];
		if (key_is(&entry.key, "v") && entry.val.type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
			*version = entry.val.via.u64;
			versions++;
		} else if (key_is(&entry.key, "type") && entry.val.type == MSGPACK_OBJECT_STR) {
			*type = (struct text){entry.val.via.str.ptr, entry.val.via.str.size};
			types++;
		} else {
			map->ptr[kept++] = entry;
		}
	}
	map->size = kept;
	size_t chars;
	if (types != 1 || versions != 1 || !text_check_utf8(type->bytes, type->size, &chars))
		return garbage(error, "'type' (text) and 'v' (a number) must be there, once");
	return true;
}

static const struct kind *find_kind(struct text type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strlen(kinds[i].name) == type.size && memcmp(kinds[i].name, type.bytes, type.size) == 0)
			return &kinds[i];
	return NULL;
}

/* What the schema says of settings that a message leaves out. */
static void set_defaults(struct message *message)
{
	static const struct settings defaults = {.mode = "auto",
		.strength = 0.5,
		.steps = 1,
		.motion_aware = true,
		.motion_low = 0.7,
		.motion_high = 1,
		.steadiness = 0.93};
	if (message->type == MESSAGE_WELCOME)
		message->welcome.settings = defaults;
	else if (message->type == MESSAGE_ACCEPTED)
		message->accepted.settings = defaults;
	else if (message->type == MESSAGE_STATUS)
		message->status.settings = defaults;
}

static bool decode_object(msgpack_object *object, struct message *message, struct protocol_error *error)
{
	struct text type = {0};
	uint64_t version = 0;
	char name[64];
	if (object->type != MSGPACK_OBJECT_MAP)
		return garbage(error, "it is no map");
	if (!take_envelope(&object->via.map, &type, &version, error))
		return false;
	text_copy(name, sizeof(name), type.bytes, type.size);
	text_make_printable(name);
	if (version != PROTOCOL_VERSION) {
		error->code = "version";
		snprintf(error->text, sizeof(error->text),
			"message '%s' speaks protocol %llu, this filter speaks protocol %d; update the older "
			"of "
			"filter and daemon",
			name, (unsigned long long)version, PROTOCOL_VERSION);
		return false;
	}
	const struct kind *kind = find_kind(type);
	if (!kind) {
		error->code = "unknown_type";
		snprintf(error->text, sizeof(error->text), "unknown message type '%s'", name);
		return false;
	}
	message->type = kind->type;
	set_defaults(message);
	/* Every member of the union begins where the union does. */
	return !kind->fields || decode_map(object, kind->fields, &message->welcome, kind->name, error);
}

bool protocol_decode(const uint8_t *data, size_t size, struct message *message, struct protocol_error *error)
{
	memset(message, 0, sizeof(*message));
	if (size > MAX_MESSAGE_BYTES) {
		error->code = "too_large";
		snprintf(error->text, sizeof(error->text), "message of %zu bytes; the limit is %d", size,
			MAX_MESSAGE_BYTES);
		return false;
	}
	if (!wire_is_one_value(data, size, MAX_DEPTH))
		return garbage(error, "it is not one whole msgpack value");
	msgpack_unpacked unpacked;
	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, (const char *)data, size, NULL) != MSGPACK_UNPACK_SUCCESS) {
		msgpack_unpacked_destroy(&unpacked);
		return garbage(error, "msgpack cannot read it");
	}
	const bool good = decode_object(&unpacked.data, message, error);
	message->zone = msgpack_unpacked_release_zone(&unpacked);
	msgpack_unpacked_destroy(&unpacked);
	if (!good)
		protocol_free(message);
	return good;
}

void protocol_free(struct message *message)
{
	msgpack_zone_free(message->zone);
	message->zone = NULL;
}
