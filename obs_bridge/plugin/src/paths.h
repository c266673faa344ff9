/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the daemon lives: the same rules as daemon/limner/daemon/paths.py. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct path_error {
	char text[400];
};

/* The folder of the sockets: LIMNER_RUNTIME_DIR, else limner/ in the user's runtime folder. */
bool paths_runtime_dir(char *to, size_t capacity, struct path_error *error);
/* The ZeroMQ address of the daemon. False when it would not fit a local socket. */
bool paths_daemon_endpoint(char *to, size_t capacity, struct path_error *error);
/* A folder that exists must be the user's own and closed to others: whoever else could put a socket there
 * would get the user's pictures. One that does not exist yet is fine. */
bool paths_check_private(const char *folder, struct path_error *error);
