/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the filter's target to a slot of the input segment: drawn once per frame into a texture, scaled down by
 * the GPU, staged, and read back two frames later, when no one has to wait for it. Graphics thread. */
#pragma once

#include <obs-module.h>

#include "fit.h"
#include "stats.h"
#include "stream.h"

#define CAPTURE_RING 3

struct staged {
	gs_stagesurf_t *surface;
	uint64_t pts_ns; /* 0: holds nothing to be read */
};

struct capture {
	gs_texrender_t *source; /* the target at its own size, sRGB, premultiplied */
	gs_texrender_t *scaled; /* what the engine gets */
	struct staged ring[CAPTURE_RING];
	uint32_t next;        /* the surface to stage into */
	uint32_t width, height, generation; /* of the surfaces */
	uint64_t sequence;
	gs_effect_t *effect; /* not owned */
};

void capture_free(struct capture *capture);
/* Draw the filter's target; NULL when that is not possible. */
gs_texture_t *capture_source(struct capture *capture, obs_source_t *filter, uint32_t width, uint32_t height);
/* Stage this frame, and hand over the one staged two frames ago. Returns the time in ns that the CPU worked
 * outside of GL; *handed: a slot was filled. */
uint64_t capture_frame(struct capture *capture, struct stream *stream, const struct fit_rect *rect,
	uint64_t pts_ns, struct stats *stats, bool *handed);
/* Forget what is staged: it would be old by the time it were read. */
void capture_forget(struct capture *capture);
