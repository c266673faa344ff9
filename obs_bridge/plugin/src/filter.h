/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter as OBS sees it. */
#pragma once

#include <obs-module.h>
#include <pthread.h>
#include <stdatomic.h>

#include "capture.h"
#include "fade.h"
#include "hotkeys.h"
#include "link.h"
#include "present.h"
#include "sound.h"

#define FILTER_ID "limner_filter"

/* What the user set that concerns only the drawing; read by the graphics thread. */
struct look {
	enum fit fit;
	float mix; /* 0..1 */
	struct fade_rules fade;
};

/* What was wished by a hotkey or a request, and not yet written into the settings: steer.c. */
struct steering {
	obs_data_t *settings; /* the others stay; NULL: nothing was */
	bool new_style;
};

struct filter {
	obs_source_t *context;
	/* Taken in create: while a source is being destroyed, OBS no longer has one to give. */
	obs_weak_source_t *weak;
	struct link *link;
	struct stats stats;
	struct hotkeys hotkeys;
	struct sound sound;
	struct steering steering;
	struct filter *next;  /* of all filters: filters.c */
	atomic_bool cut_away; /* the source is to be seen at once, without a fade */

	/* Settings. `update` runs on the graphics thread (or in create): nobody else writes here. */
	struct look look;
	atomic_uint_fast64_t wish_serial;
	atomic_uint_fast64_t wish_hash; /* of the last wish sent: has the user changed something since? */
	/* Held while the daemon's settings are put into the page's. `update` only tries: another one follows.
	 */
	pthread_mutex_t mirror_mutex;
	struct settings mirrored; /* the last of them */
	uint64_t mirrors;

	/* Graphics thread. */
	gs_effect_t *effect;
	struct capture capture;
	struct present present;
	struct fade fade;
	struct link_source source;    /* what there is to paint, at its real size */
	gs_texture_t *source_texture; /* the target in this frame; NULL: not drawn in this frame */
	float share;                  /* of the painted picture in this frame */
	bool new_frame;               /* video_tick has begun a frame that was not drawn yet */
	uint64_t rendered_ns;         /* frame time of the last frame that was drawn */
	uint64_t delay_ns;            /* of a painted frame that was first shown in this frame; 0: none was */
};

extern struct obs_source_info limner_filter_info;
