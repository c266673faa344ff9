/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the output segment to the screen: takes the painted frame that is due, keeps it in a texture, and
 * draws it over the source. Graphics thread. */
#pragma once

#include <obs-module.h>

#include "fit.h"
#include "stats.h"
#include "stream.h"

/* The one that shows, and others to upload into: the GPU may still be drawing from the last ones. */
#define PRESENT_TEXTURES 3

struct present {
	gs_texture_t *textures[PRESENT_TEXTURES];
	uint32_t next;         /* to upload into */
	gs_texture_t *painted; /* one of them: the last painted frame that was due; NULL: none yet */
	uint32_t width, height;
	bool failed;          /* the textures could not be made */
	struct fit_rect rect; /* the part of the source that it covers */
	gs_effect_t *effect;  /* not owned */
};

struct present_news {
	bool new_frame;     /* another painted frame is in the texture */
	uint64_t delay_ns;  /* of that frame: how much later it shows than its source did */
	bool freed;         /* a slot was given back */
	uint64_t worked_ns; /* the CPU's time, GL calls aside */
};

void present_free(struct present *present);
/* Take in what arrived and upload what is due at `now_ns`; `cut` says what of the source it covers. `forget`:
 * what is there now is too old to be shown. */
struct present_news present_advance(struct present *present, struct stream *stream,
	const struct fit_memory *cut, uint64_t now_ns, bool forget, struct stats *stats);
/* Draw at the source's size; `share` 0..1 of the painted picture. */
void present_draw(const struct present *present, gs_texture_t *source, float share);
