/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing messages. Reading is in decode.c. */
#include "protocol.h"

#include <msgpack/pack.h>
#include <string.h>

static void pack_text(msgpack_packer *pk, const char *text)
{
	msgpack_pack_str_with_body(pk, text, strlen(text));
}

/* A map of `fields` entries besides "v" and "type". */
static void begin(msgpack_packer *pk, msgpack_sbuffer *out, const char *type, size_t fields)
{
	msgpack_packer_init(pk, out, msgpack_sbuffer_write);
	msgpack_pack_map(pk, fields + 2);
	pack_text(pk, "type");
	pack_text(pk, type);
	pack_text(pk, "v");
	msgpack_pack_int(pk, PROTOCOL_VERSION);
}

static void pack_number(msgpack_packer *pk, const char *key, uint64_t number)
{
	pack_text(pk, key);
	msgpack_pack_uint64(pk, number);
}

static void pack_flag(msgpack_packer *pk, const char *key, bool flag)
{
	pack_text(pk, key);
	if (flag)
		msgpack_pack_true(pk);
	else
		msgpack_pack_false(pk);
}

static void pack_real(msgpack_packer *pk, const char *key, double real)
{
	pack_text(pk, key);
	msgpack_pack_double(pk, real);
}

static void pack_string(msgpack_packer *pk, const char *key, const char *text)
{
	pack_text(pk, key);
	pack_text(pk, text);
}

static void pack_change(msgpack_packer *pk, const char *key, const struct change *c)
{
	pack_text(pk, key);
	msgpack_pack_map(pk, (size_t)c->has_style + c->has_prompt + c->has_mode + c->has_strength +
				     c->has_steps + c->has_seed + c->has_transition_ms + c->has_motion_aware +
				     c->has_motion_low + c->has_motion_high + c->has_steadiness +
				     c->has_bypass + c->has_on_air);
	if (c->has_style)
		pack_string(pk, "style", c->style);
	if (c->has_prompt)
		pack_string(pk, "prompt", c->prompt);
	if (c->has_mode)
		pack_string(pk, "mode", c->mode);
	if (c->has_strength)
		pack_real(pk, "strength", c->strength);
	if (c->has_steps)
		pack_number(pk, "steps", c->steps);
	if (c->has_seed)
		pack_number(pk, "seed", c->seed);
	if (c->has_transition_ms)
		pack_number(pk, "transition_ms", c->transition_ms);
	if (c->has_motion_aware)
		pack_flag(pk, "motion_aware", c->motion_aware);
	if (c->has_motion_low)
		pack_real(pk, "motion_low", c->motion_low);
	if (c->has_motion_high)
		pack_real(pk, "motion_high", c->motion_high);
	if (c->has_steadiness)
		pack_real(pk, "steadiness", c->steadiness);
	if (c->has_bypass)
		pack_flag(pk, "bypass", c->bypass);
	if (c->has_on_air)
		pack_flag(pk, "on_air", c->on_air);
}

void protocol_encode_hello(msgpack_sbuffer *out, const struct hello *hello)
{
	msgpack_packer pk;
	begin(&pk, out, "hello", 9);
	pack_string(&pk, "client", hello->client);
	pack_string(&pk, "name", hello->name);
	pack_string(&pk, "role", hello->role);
	pack_number(&pk, "pid", hello->pid);
	pack_number(&pk, "source_width", hello->source_width);
	pack_number(&pk, "source_height", hello->source_height);
	pack_real(&pk, "fps", hello->fps);
	pack_flag(&pk, "exact_size", hello->exact_size);
	pack_change(&pk, "settings", hello->settings);
}

void protocol_encode_frame(msgpack_sbuffer *out, const struct slot_message *frame)
{
	msgpack_packer pk;
	begin(&pk, out, "frame", 4);
	pack_number(&pk, "generation", frame->generation);
	pack_number(&pk, "slot", frame->slot);
	pack_number(&pk, "sequence", frame->sequence);
	pack_number(&pk, "pts_ns", frame->pts_ns);
}

void protocol_encode_free(msgpack_sbuffer *out, const struct slot_message *freed)
{
	msgpack_packer pk;
	begin(&pk, out, "free", 2);
	pack_number(&pk, "generation", freed->generation);
	pack_number(&pk, "slot", freed->slot);
}

void protocol_encode_set(msgpack_sbuffer *out, uint64_t rev, const struct change *change, const char *session)
{
	msgpack_packer pk;
	begin(&pk, out, "set", 3);
	pack_number(&pk, "rev", rev);
	pack_change(&pk, "change", change);
	pack_string(&pk, "session", session);
}

void protocol_encode_bare(msgpack_sbuffer *out, const char *type)
{
	msgpack_packer pk;
	begin(&pk, out, type, 0);
}

const char *protocol_state_name(enum daemon_state state)
{
	static const char *const names[] = {"off", "waiting", "loading", "live", "overloaded", "failed"};
	return (unsigned)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}
