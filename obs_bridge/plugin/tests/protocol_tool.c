/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads lines from standard input, answers each with one line:
 *   encode KIND     -> the message in hexadecimal (fixed values, which the test knows as well)
 *   decode HEX      -> "ok TYPE key=value …" or "error CODE text" */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"

static const struct change full_change = {
	.has_style = true,
	.has_prompt = true,
	.has_strength = true,
	.has_steps = true,
	.has_seed = true,
	.has_transition_ms = true,
	.has_mode = true,
	.has_motion_aware = true,
	.has_motion_low = true,
	.has_motion_high = true,
	.has_steadiness = true,
	.has_bypass = true,
	.style = "oil painting",
	.prompt = "a fjörd, \"quoted\" ✓",
	.strength = 0.25,
	.steps = 3,
	.seed = 4294967295u,
	.transition_ms = 1500,
	.mode = "latency",
	.motion_aware = false,
	.motion_low = 0.5,
	.motion_high = 1.25,
	.steadiness = 0.75,
	.bypass = true,
};

static void encode_hello(msgpack_sbuffer *out, const struct change *settings, bool exact_size)
{
	const struct hello hello = {
		.client = "Limner OBS filter 0.1.0",
		.name = "Kamera ✓",
		.role = "filter",
		.pid = 4242,
		.source_width = 1920,
		.source_height = 1080,
		.fps = 29.97,
		.exact_size = exact_size,
		.settings = settings,
	};
	protocol_encode_hello(out, &hello);
}

static void encode(const char *kind)
{
	static const struct change nothing;
	const struct slot_message slot = {7, 255, 9223372036854775807ull, 123456789012345ull};
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	if (strcmp(kind, "hello") == 0)
		encode_hello(&out, &full_change, true);
	else if (strcmp(kind, "hello-plain") == 0)
		encode_hello(&out, &nothing, false);
	else if (strcmp(kind, "frame") == 0)
		protocol_encode_frame(&out, &slot);
	else if (strcmp(kind, "free") == 0)
		protocol_encode_free(&out, &slot);
	else if (strcmp(kind, "set") == 0)
		protocol_encode_set(&out, 9007199254740992ull, &full_change, "*");
	else
		protocol_encode_bare(&out, kind);
	for (size_t i = 0; i < out.size; i++)
		printf("%02x", (unsigned char)out.data[i]);
	printf("\n");
	msgpack_sbuffer_destroy(&out);
}

static void print_text(const char *key, struct text text)
{
	printf(" %s=", key);
	for (size_t i = 0; i < text.size; i++)
		printf("%02x", (unsigned char)text.bytes[i]);
}

static void print_string(const char *key, const char *string)
{
	print_text(key, (struct text){string, strlen(string)});
}

static void print_settings(const struct settings *s)
{
	print_string("style", s->style);
	print_string("prompt", s->prompt);
	print_string("mode", s->mode);
	printf(" strength=%.17g steps=%u seed=%u motion_aware=%d bypass=%d", s->strength, s->steps, s->seed,
		s->motion_aware, s->bypass);
	printf(" transition_ms=%u motion_low=%.17g motion_high=%.17g steadiness=%.17g", s->transition_ms,
		s->motion_low, s->motion_high, s->steadiness);
}

static void print_styles(const struct styles *styles)
{
	for (uint32_t i = 0; i < styles->count; i++) {
		char key[32];
		snprintf(key, sizeof(key), "styles.%u", i);
		print_text(key, styles->names[i]);
	}
}

static void print_sayings(const struct sayings *sayings)
{
	char key[64];
	for (uint32_t i = 0; i < sayings->count; i++) {
		const struct saying *saying = &sayings->list[i];
		snprintf(key, sizeof(key), "sayings.%u.code", i);
		print_text(key, saying->code);
		snprintf(key, sizeof(key), "sayings.%u.text", i);
		print_text(key, saying->text);
		for (uint32_t j = 0; j < saying->value_count; j++) {
			const struct value *value = &saying->values[j];
			snprintf(key, sizeof(key), "sayings.%u.values.%.*s", i, (int)value->name.size,
				value->name.bytes);
			print_text(key, value->text);
		}
	}
}

static void print_segment(const char *which, const struct segment_ref *ref)
{
	char key[32];
	snprintf(key, sizeof(key), "%s.name", which);
	print_text(key, ref->name);
	printf(" %s.size_bytes=%llu %s.slots=%u", which, (unsigned long long)ref->size_bytes, which,
		ref->slots);
}

static void print_welcome(const struct welcome *w)
{
	printf("ok welcome generation=%u width=%u height=%u frames_per_chunk=%u", w->generation, w->width,
		w->height, w->frames_per_chunk);
	print_text("session", w->session);
	print_text("model", w->model);
	print_segment("input", &w->input);
	print_segment("output", &w->output);
	print_styles(&w->styles);
	print_settings(&w->settings);
}

static void print_status(const struct status *s)
{
	printf("ok status state=%s progress=%.17g fps_in=%.17g fps_out=%.17g received=%u painted=%u "
	       "dropped=%u "
	       "p50=%.17g p95=%.17g p99=%.17g",
		protocol_state_name(s->state), s->progress, s->fps_in, s->fps_out, s->received, s->painted,
		s->dropped, s->latency_ms.p50, s->latency_ms.p95, s->latency_ms.p99);
	print_text("session", s->session);
	print_text("sentence", s->sentence);
	print_text("device", s->device);
	print_sayings(&s->sayings);
	print_settings(&s->settings);
}

static void print_message(const struct message *m)
{
	switch (m->type) {
	case MESSAGE_WELCOME:
		print_welcome(&m->welcome);
		break;
	case MESSAGE_STYLES:
		printf("ok styles");
		print_styles(&m->styles);
		break;
	case MESSAGE_FRAME:
		printf("ok frame generation=%u slot=%u sequence=%llu pts_ns=%llu", m->slot.generation,
			m->slot.slot, (unsigned long long)m->slot.sequence,
			(unsigned long long)m->slot.pts_ns);
		break;
	case MESSAGE_FREE:
		printf("ok free generation=%u slot=%u", m->slot.generation, m->slot.slot);
		break;
	case MESSAGE_ACCEPTED:
		printf("ok accepted rev=%llu", (unsigned long long)m->accepted.rev);
		print_text("session", m->accepted.session);
		print_sayings(&m->accepted.sayings);
		print_settings(&m->accepted.settings);
		break;
	case MESSAGE_APPLIED:
		printf("ok applied rev=%llu chunk=%llu pts_ns=%llu", (unsigned long long)m->applied.rev,
			(unsigned long long)m->applied.chunk, (unsigned long long)m->applied.pts_ns);
		print_text("session", m->applied.session);
		break;
	case MESSAGE_STATUS:
		print_status(&m->status);
		break;
	case MESSAGE_OVERVIEW:
		printf("ok overview");
		break;
	case MESSAGE_ERROR:
		printf("ok error");
		print_text("code", m->error.code);
		print_text("message", m->error.message);
		print_text("about", m->error.about);
		break;
	}
	printf("\n");
}

/* The bytes in a buffer of exactly their size, so that the sanitizer sees every step beyond it. */
static void decode(const char *hex)
{
	const size_t size = strlen(hex) / 2;
	uint8_t *data = malloc(size ? size : 1);
	struct message *message = malloc(sizeof(*message));
	struct protocol_error error = {0};
	for (size_t i = 0; i < size; i++) {
		const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		data[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	if (protocol_decode(data, size, message, &error)) {
		print_message(message);
		protocol_free(message);
	} else {
		printf("error %s %s\n", error.code, error.text);
	}
	free(message);
	free(data);
}

int main(void)
{
	char *line = NULL;
	size_t capacity = 0;
	while (getline(&line, &capacity, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "encode ", 7) == 0)
			encode(line + 7);
		else if (strncmp(line, "decode ", 7) == 0)
			decode(line + 7);
		fflush(stdout);
	}
	free(line);
	return 0;
}
