/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of daemon/limner/daemon/protocol.py, which is the one schema: tests/obs_bridge holds
 * every message here against it. Pixels never travel here: see segment.h. */
#pragma once

#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stdint.h>

#include "text.h"

#define PROTOCOL_VERSION 1
#define MAX_MESSAGE_BYTES (64 * 1024)
#define MAX_SIDE 8192
#define MAX_SLOTS 256
#define MAX_STYLES 256
#define MAX_SAYINGS 8
#define MAX_VALUES 6
#define MAX_NAME_CHARS 200
#define MAX_PROMPT_CHARS 1000
/* A character takes four bytes at the most; and a final zero. */
#define NAME_BYTES (MAX_NAME_CHARS * 4 + 1)
#define PROMPT_BYTES (MAX_PROMPT_CHARS * 4 + 1)
/* "auto", "throughput" or "latency" */
#define MAX_MODE_CHARS 10
#define MODE_BYTES (MAX_MODE_CHARS * 4 + 1)
#define MAX_TRANSITION_MS 60000
#define HEARTBEAT_MS 500
#define SILENCE_MS 2000

/* Settings to change: what is not `has` stays as it is. */
struct change {
	bool has_style, has_prompt, has_mode, has_strength, has_steps, has_seed, has_transition_ms,
		has_motion_aware, has_motion_low, has_motion_high, has_steadiness, has_bypass, has_on_air;
	char style[NAME_BYTES];
	char prompt[PROMPT_BYTES];
	char mode[MODE_BYTES];
	double strength; /* 0..1 */
	uint32_t steps;  /* 1..4 */
	uint32_t seed;
	uint32_t transition_ms; /* 0..60000 */
	bool motion_aware;
	double motion_low;  /* 0..1 */
	double motion_high; /* 1..1.5 */
	double steadiness;  /* 0..0.95 */
	bool bypass;
	bool on_air; /* seen by the viewers; who is not gives way */
};

/* All settings of a session, as they are in force. */
struct settings {
	char style[NAME_BYTES];
	char prompt[PROMPT_BYTES];
	char mode[MODE_BYTES];
	double strength;
	uint32_t steps;
	uint32_t seed;
	uint32_t transition_ms;
	bool motion_aware;
	double motion_low;
	double motion_high;
	double steadiness;
	bool bypass;
};

struct segment_ref {
	struct text name;
	uint64_t size_bytes;
	uint32_t slots;
};

struct styles {
	struct text names[MAX_STYLES];
	uint32_t count;
};

/* What stands in a template's place. */
struct value {
	struct text name, text;
};

/* A piece of a sentence: a code for those who have words for it, else English. */
struct saying {
	struct text code, text;
	struct value values[MAX_VALUES];
	uint32_t value_count;
};

struct sayings {
	struct saying list[MAX_SAYINGS];
	uint32_t count;
};

enum daemon_state { STATE_OFF, STATE_WAITING, STATE_LOADING, STATE_LIVE, STATE_OVERLOADED, STATE_FAILED };

/* ---- what the filter says ---- */

struct hello {
	const char *client, *name, *role;
	uint32_t pid;
	uint32_t source_width, source_height;
	double fps;
	bool exact_size;
	const struct change *settings;
};

struct slot_message {
	uint32_t generation;
	uint32_t slot;
	uint64_t sequence; /* of a frame */
	uint64_t pts_ns;   /* of a frame */
};

void protocol_encode_hello(msgpack_sbuffer *out, const struct hello *hello);
void protocol_encode_frame(msgpack_sbuffer *out, const struct slot_message *frame);
void protocol_encode_free(msgpack_sbuffer *out, const struct slot_message *freed);
/* session: "" the own one, "*" all, else an id or a name */
void protocol_encode_set(
	msgpack_sbuffer *out, uint64_t rev, const struct change *change, const char *session);
/* "query", "ping", "reset" or "bye": messages without a body. */
void protocol_encode_bare(msgpack_sbuffer *out, const char *type);

/* ---- what the filter hears; texts live as long as the message does ---- */

enum message_type {
	MESSAGE_WELCOME,
	MESSAGE_STYLES,
	MESSAGE_FRAME,
	MESSAGE_FREE,
	MESSAGE_ACCEPTED,
	MESSAGE_APPLIED,
	MESSAGE_STATUS,
	MESSAGE_OVERVIEW, /* known, but a filter never asks for one: its body is not read */
	MESSAGE_ERROR,
};

struct welcome {
	struct text session, model;
	uint32_t generation, width, height, frames_per_chunk;
	struct segment_ref input, output;
	struct styles styles;
	struct settings settings;
};

struct accepted {
	uint64_t rev;
	struct text session;
	struct settings settings;
	struct sayings sayings; /* notes */
};

struct applied {
	uint64_t rev, chunk, pts_ns;
	struct text session;
};

struct percentiles {
	double p50, p95, p99;
};

struct status {
	struct text session, sentence, device;
	struct sayings sayings;
	enum daemon_state state;
	double progress, fps_in, fps_out;
	uint32_t received, painted, dropped;
	struct percentiles latency_ms;
	struct settings settings;
};

struct refusal {
	struct text code, message, about;
};

struct message {
	enum message_type type;
	union {
		struct welcome welcome;
		struct styles styles;
		struct slot_message slot;
		struct accepted accepted;
		struct applied applied;
		struct status status;
		struct refusal error;
	};
	void *zone; /* msgpack's memory */
};

struct protocol_error {
	const char *code; /* too_large, garbage, version, unknown_type, invalid */
	char text[320];
};

/* Check and read a message; `data` must outlive it. False: *error says why and there is nothing to free. */
bool protocol_decode(const uint8_t *data, size_t size, struct message *message, struct protocol_error *error);
void protocol_free(struct message *message);

const char *protocol_state_name(enum daemon_state state);
