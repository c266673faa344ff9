/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Delays the sound of a source by as much as its picture is late, through OBS's own sync offset, and puts
 * back what was there. */
#pragma once

#include <obs-module.h>
#include <stdatomic.h>

#include "sync.h"

struct filter;

struct sound {
	uint64_t look_ns; /* when to look again whether all is as it should be; graphics thread */
	struct sync sync; /* graphics thread */
	atomic_uint_fast64_t wanted_ns;    /* by how much the sound is to be later */
	atomic_bool looking;               /* the UI thread has been asked to */
	_Atomic(obs_weak_source_t *) held; /* whose offset is ours; UI thread, and destroy */
};

/* Once a frame of OBS. `delay_ns` of a painted frame that is new, 0: none is. Graphics thread: what is to be
 * done is done on the UI thread. */
void sound_tick(struct filter *filter, bool painted, uint64_t delay_ns, uint64_t now_ns);
/* The settings are others: whose sound it is, or whether at all. Any thread. */
void sound_settings_changed(struct filter *filter);
/* Put back what was there; the filter ends. */
void sound_release(struct filter *filter);
