/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vendor procedures that obs-websocket 5 offers to other plugins through OBS's procedure handler. */
#pragma once

#include <obs-module.h>

struct websocket_vendor;

typedef void (*websocket_request)(obs_data_t *request, obs_data_t *response, void *data);

/* NULL: there is no obs-websocket, or the name is taken. It is never given back. */
struct websocket_vendor *websocket_register_vendor(const char *name);
bool websocket_register_request(
	struct websocket_vendor *vendor, const char *type, websocket_request request, void *data);
void websocket_emit(struct websocket_vendor *vendor, const char *type, obs_data_t *data);
