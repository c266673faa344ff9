/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the filter measures of itself. The graphics thread writes, any thread reads; no lock. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BINS 240

/* Bins of equal ratio (about 8 %) from 1 µs to more than a minute. */
struct histogram {
	_Atomic uint32_t bins[HISTOGRAM_BINS];
};

struct stats {
	_Atomic uint64_t painted_shown; /* new painted frames that were drawn */
	_Atomic uint64_t held;          /* OBS frames that showed the last painted frame again */
	_Atomic uint64_t source_shown;  /* OBS frames that showed nothing but the source */
	_Atomic uint64_t captured;      /* frames handed to the daemon */
	_Atomic uint64_t dropped;       /* frames not handed over: no free slot */
	_Atomic uint64_t overtaken;     /* painted frames never shown: a newer one was due */
	_Atomic uint64_t processed; /* OBS frames with work done; once per frame however often it is drawn */
	_Atomic uint64_t draws;     /* calls of video_render */
	_Atomic uint64_t delay_us;  /* the playout's delay, now */
	_Atomic double shown;       /* share of the painted picture, now */
	struct histogram work;      /* the graphics thread's own work in a frame, GL calls aside */
	struct histogram frame;     /* the same with GL calls */
	struct histogram copy;      /* copying a staged frame into its slot, on the I/O thread */
	struct histogram upload;    /* copying a painted frame to the GPU */
	struct histogram delay;     /* the playout's delay */
	struct histogram latency;   /* presentation time to first display */
};

void histogram_add_ns(struct histogram *histogram, uint64_t value_ns);
/* Microseconds; percent 0..100; 0 when nothing was measured. Exact to a bin. */
double histogram_percentile_us(const struct histogram *histogram, double percent);

/* One line of JSON without its braces. Returns its length. */
size_t stats_to_json(const struct stats *stats, char *to, size_t capacity);
/* Write text to a file in one go (a temporary file, renamed). Returns 0 or errno. */
int stats_write_file(const char *path, const char *text);
