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

static bool is_called(const obs_source_t *source, const char *name)
{
	const char *own = source ? obs_source_get_name(source) : NULL;
	return !name[0] || (own && strcmp(own, name) == 0);
}

static bool is_meant(const struct filter *filter, const struct filter_names *meant)
{
	obs_source_t *parent = obs_source_get_ref(obs_filter_get_parent(filter->context));
	const bool is = is_called(parent, meant->source) && is_called(filter->context, meant->filter);
	obs_source_release(parent);
	return is;
}

size_t filters_each(const struct filter_names *meant, filters_call call, void *data)
{
	size_t count = 0;
	pthread_mutex_lock(&mutex);
	for (struct filter *filter = first; filter; filter = filter->next) {
		if (!meant || is_meant(filter, meant)) {
			count++;
			call(filter, data);
		}
	}
	pthread_mutex_unlock(&mutex);
	return count;
}
