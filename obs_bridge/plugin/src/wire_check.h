/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape of a msgpack value, checked before msgpack-c allocates anything for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is this exactly one whole msgpack value, no deeper than max_depth, whose counts fit its bytes? */
bool wire_is_one_value(const uint8_t *data, size_t size, unsigned max_depth);
