/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "filters.h"

#include <pthread.h>
#include <string.h>

/* Held while filters are called: `filters_remove` waits for that. Never taken on the graphics thread. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct filter *first;

void filters_add(struct filter *filter)
{
	pthread_mutex_lock(&mutex);
	struct filter **end = &first;
	while (*end)
		end = &(*end)->next;
	*end = filter;
	filter->next = NULL;
	pthread_mutex_unlock(&mutex);
}

void filters_remove(struct filter *filter)
{
	pthread_mutex_lock(&mutex);
	for (struct filter **at = &first; *at; at = &(*at)->next) {
		if (*at == filter) {
			*at = filter->next;
			break;
		}
	}
	pthread_mutex_unlock(&mutex);
}

static bool is_on(const struct filter *filter, const char *source_name)
{
	if (!source_name || !source_name[0])
		return true;
	obs_source_t *parent = obs_source_get_ref(obs_filter_get_parent(filter->context));
	const char *own = parent ? obs_source_get_name(parent) : NULL;
	const bool same = own && strcmp(own, source_name) == 0;
	obs_source_release(parent);
	return same;
}

size_t filters_each(const char *source_name, filters_call call, void *data)
{
	size_t count = 0;
	pthread_mutex_lock(&mutex);
	for (struct filter *filter = first; filter; filter = filter->next) {
		if (is_on(filter, source_name)) {
			count++;
			call(filter, data);
		}
	}
	pthread_mutex_unlock(&mutex);
	return count;
}
