/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the link measures, for the log and for a file that scripts read. */
#include "link_thread.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

void link_log_figures(const struct link *link)
{
	const struct stats *s = link->stats;
	log_line(LEVEL_DEBUG,
		"%s: %llu painted frames shown, %llu held, %llu dropped; delay %.0f ms; own work p50 %.0f "
		"us, "
		"p99 %.0f us",
		link->source.name, (unsigned long long)s->painted_shown, (unsigned long long)s->held,
		(unsigned long long)s->dropped, (double)s->delay_us / 1000,
		histogram_percentile_us(&s->work, 50), histogram_percentile_us(&s->work, 99));
}

/* In a folder every filter has a file of its own, by its source's name. */
static void stats_file(const struct link *link, char *to, size_t capacity)
{
	struct stat info;
	if (stat(link->stats_path, &info) != 0 || !S_ISDIR(info.st_mode)) {
		snprintf(to, capacity, "%s", link->stats_path);
		return;
	}
	char name[NAME_BYTES];
	snprintf(name, sizeof(name), "%s", link->source.name);
	for (char *c = name; *c; c++)
		if (*c == '/' || (c == name && *c == '.'))
			*c = '_';
	snprintf(to, capacity, "%s/%.150s.json", link->stats_path, name);
}

void link_write_stats(struct link *link)
{
	char path[1200], figures[2048], text[8192], sentence[1024], name[NAME_BYTES * 2],
		model[NAME_BYTES * 2];
	if (!link->stats_path[0] || !link->source_known)
		return;
	pthread_mutex_lock(&link->status_mutex);
	const struct link_status *status = &link->status;
	text_to_json(sentence, sizeof(sentence), status->sentence);
	text_to_json(name, sizeof(name), link->source.name);
	text_to_json(model, sizeof(model), status->model);
	stats_to_json(link->stats, figures, sizeof(figures));
	snprintf(text, sizeof(text),
		"{\"source\": \"%s\", \"state\": \"%s\", \"sentence\": \"%s\", \"model\": \"%s\", "
		"\"fps\": %.2f, \"engine_latency_ms\": %.1f, %s}\n",
		name, protocol_state_name(status->state), sentence, model, status->fps_out,
		status->latency_ms, figures);
	pthread_mutex_unlock(&link->status_mutex);
	stats_file(link, path, sizeof(path));
	const int fault = stats_write_file(path, text);
	if (fault != 0) {
		log_line(LEVEL_WARNING, "cannot write figures to %s: %s", path, strerror(fault));
		link->stats_path[0] = '\0';
	}
}
