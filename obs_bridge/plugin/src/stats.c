/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stats.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define BIN_RATIO_LOG2 0.115

void histogram_add_ns(struct histogram *histogram, uint64_t value_ns)
{
	const double us = (double)value_ns / 1000;
	int bin = us <= 1 ? 0 : (int)(log2(us) / BIN_RATIO_LOG2);
	if (bin >= HISTOGRAM_BINS)
		bin = HISTOGRAM_BINS - 1;
	atomic_fetch_add_explicit(&histogram->bins[bin], 1, memory_order_relaxed);
}

double histogram_percentile_us(const struct histogram *histogram, double percent)
{
	uint64_t total = 0, below = 0;
	for (int i = 0; i < HISTOGRAM_BINS; i++)
		total += atomic_load_explicit(&histogram->bins[i], memory_order_relaxed);
	if (total == 0)
		return 0;
	const double wanted = (double)total * percent / 100;
	for (int i = 0; i < HISTOGRAM_BINS; i++) {
		below += atomic_load_explicit(&histogram->bins[i], memory_order_relaxed);
		if ((double)below >= wanted)
			return exp2((i + 1) * BIN_RATIO_LOG2); /* the bin's upper edge: never flatters */
	}
	return exp2(HISTOGRAM_BINS * BIN_RATIO_LOG2);
}

size_t stats_to_json(const struct stats *s, char *to, size_t capacity)
{
	const int length = snprintf(to, capacity,
		"\"painted_shown\": %llu, \"held\": %llu, \"source_shown\": %llu, \"captured\": %llu, "
		"\"dropped\": %llu, \"overtaken\": %llu, \"processed\": %llu, \"draws\": %llu, "
		"\"shown_share\": %.3f, \"delay_ms\": %.1f, \"delay_ms_p50\": %.1f, \"delay_ms_p95\": %.1f, "
		"\"latency_ms_p50\": %.1f, \"latency_ms_p95\": %.1f, \"work_us_p50\": %.1f, "
		"\"work_us_p99\": %.1f, \"frame_us_p50\": %.1f, \"frame_us_p99\": %.1f, "
		"\"upload_us_p50\": %.1f, \"upload_us_p99\": %.1f, \"copy_us_p50\": %.1f, \"copy_us_p99\": "
		"%.1f",
		(unsigned long long)s->painted_shown, (unsigned long long)s->held,
		(unsigned long long)s->source_shown, (unsigned long long)s->captured,
		(unsigned long long)s->dropped, (unsigned long long)s->overtaken,
		(unsigned long long)s->processed, (unsigned long long)s->draws, s->shown,
		(double)s->delay_us / 1000, histogram_percentile_us(&s->delay, 50) / 1000,
		histogram_percentile_us(&s->delay, 95) / 1000,
		histogram_percentile_us(&s->latency, 50) / 1000,
		histogram_percentile_us(&s->latency, 95) / 1000, histogram_percentile_us(&s->work, 50),
		histogram_percentile_us(&s->work, 99), histogram_percentile_us(&s->frame, 50),
		histogram_percentile_us(&s->frame, 99), histogram_percentile_us(&s->upload, 50),
		histogram_percentile_us(&s->upload, 99), histogram_percentile_us(&s->copy, 50),
		histogram_percentile_us(&s->copy, 99));
	return length < 0 ? 0 : (size_t)length;
}

int stats_write_file(const char *path, const char *text)
{
	char temporary[4096];
	if (snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path, (long)getpid()) >=
		(int)sizeof(temporary))
		return ENAMETOOLONG;
	FILE *file = fopen(temporary, "w");
	if (!file)
		return errno;
	const int written = fputs(text, file);
	if (fclose(file) != 0 || written < 0 || rename(temporary, path) != 0) {
		const int fault = errno;
		unlink(temporary);
		return fault;
	}
	return 0;
}
