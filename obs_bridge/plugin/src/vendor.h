/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Vendor "limner" of obs-websocket: requests and events for stream decks and scripts. docs/obs.md has them.
 */
#pragma once

#include "filter.h"

/* Once all modules are loaded; without obs-websocket nothing happens. */
void vendor_register(void);
/* What a filter hears, as events. Any thread but the graphics one. */
void vendor_tell_news(struct filter *filter, const struct link_news *news);
void vendor_tell_receipt(struct filter *filter, const struct link_receipt *receipt);
