/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What obs-websocket's clients may ask of vendor "limner". docs/obs.md has it. */
#pragma once

#include "websocket.h"

#define REQUEST_COUNT 8

struct request {
	const char *type;
	websocket_request answer;
};

extern const struct request requests[REQUEST_COUNT];
