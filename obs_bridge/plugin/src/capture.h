/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the filter's target to a slot of the input segment: drawn once per frame into a texture and scaled
 * down by the GPU; staged in the next frame, when that is done; mapped in the one after, when that is done as
 * well; and copied by the I/O thread while it stays mapped. Nothing waits. All functions: graphics thread. */
#pragma once

#include <obs-module.h>

#include "fit.h"
#include "stats.h"
#include "stream.h"

/* One that the GPU may still be writing, one to stage into, two that are being copied. */
#define CAPTURE_RING 4
/* Frames from staging to mapping. */
#define CAPTURE_LAG 1

struct staged {
	gs_stagesurf_t *surface;
	enum { STAGED_EMPTY, STAGED_FULL, STAGED_MAPPED } use;
	uint64_t pts_ns;
	uint64_t frame;       /* number of the frame that was staged */
	struct fit_rect rect; /* what of the source it shows */
	atomic_int copied;    /* of a mapped one: the I/O thread is done with it */
};

struct capture {
	gs_texrender_t *source;    /* the target at its own size, sRGB, premultiplied */
	gs_texrender_t *scaled[2]; /* what the engine gets: drawn in this frame, and in the last */
	int drawn;                 /* index of the one that was drawn last */
	struct fit_rect drawn_rect;
	uint64_t drawn_pts_ns; /* its presentation time; 0: nothing was drawn that is worth staging */
	struct staged ring[CAPTURE_RING];
	uint64_t frame;                     /* counts the calls of capture_frame */
	uint32_t width, height, generation; /* of the surfaces */
	uint64_t sequence;
	struct fit_memory cut; /* where the frames that were handed over come from */
	bool failed;           /* the surfaces could not be made */
	gs_effect_t *effect;   /* not owned */
};

void capture_free(struct capture *capture);
/* What a filter draws. Held by references for a whole frame: the filter may be removed in the middle of one.
 */
struct target {
	obs_source_t *source; /* the parent, or the filter before us */
	obs_source_t *parent;
};

/* Draw it as it is, as obs_source_skip_video_filter would (which does not bear a removed filter). */
void target_draw(const struct target *target);
/* Draw it into a texture; NULL when that is not possible. */
gs_texture_t *capture_source(
	struct capture *capture, const struct target *target, uint32_t width, uint32_t height);
/* Stage this frame, and hand over the one staged two frames ago. True: the I/O thread has something to do.
 * *worked_ns grows by the CPU's time outside of GL. */
bool capture_frame(struct capture *capture, struct stream *stream, const struct fit_rect *rect,
	uint64_t pts_ns, struct stats *stats, uint64_t *worked_ns);
/* Forget what is staged: it would be old by the time it were read. */
void capture_forget(struct capture *capture);
