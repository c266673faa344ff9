/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All Limner filters of this OBS: for whoever speaks to one by its source's name, or to all. */
#pragma once

#include "filter.h"

void filters_add(struct filter *filter);
void filters_remove(struct filter *filter);

/* Which filters are meant: on the source of this name, and themselves of that one; "" any. */
struct filter_names {
	const char *source, *filter;
};

/* Call for each filter that is meant (NULL: for all), none of which goes meanwhile. Returns how many there
 * were. `call` must not create or remove filters. */
typedef void (*filters_call)(struct filter *filter, void *data);
size_t filters_each(const struct filter_names *meant, filters_call call, void *data);
