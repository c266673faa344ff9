/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* sockaddr_un holds 108 bytes with the final zero. */
#define MAX_SOCKET_PATH_BYTES 107
#define DAEMON_SOCKET "daemon.sock"

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && value[0] ? value : NULL;
}

static bool is_writable_dir(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode) && access(path, W_OK) == 0;
}

bool paths_runtime_dir(char *to, size_t capacity, struct path_error *error)
{
	const unsigned uid = (unsigned)getuid();
	const char *chosen = variable("LIMNER_RUNTIME_DIR");
	const char *session = variable("XDG_RUNTIME_DIR");
	char login[64];
	int length;
	snprintf(login, sizeof(login), "/run/user/%u", uid);
	if (chosen)
		length = snprintf(to, capacity, "%s", chosen);
	else if (session)
		length = snprintf(to, capacity, "%s/limner", session);
	else if (is_writable_dir(login))
		length = snprintf(to, capacity, "%s/limner", login);
	else
		length = snprintf(to, capacity, "/tmp/limner-%u", uid);
	if (length >= 0 && (size_t)length < capacity)
		return true;
	snprintf(error->text, sizeof(error->text),
		"the path of the runtime folder is too long; set "
		"LIMNER_RUNTIME_DIR to a shorter folder");
	return false;
}

bool paths_daemon_endpoint(char *to, size_t capacity, struct path_error *error)
{
	char folder[1024];
	if (!paths_runtime_dir(folder, sizeof(folder), error))
		return false;
	const size_t path_bytes = strlen(folder) + strlen("/" DAEMON_SOCKET);
	const int length = snprintf(to, capacity, "ipc://%s/" DAEMON_SOCKET, folder);
	if (path_bytes <= MAX_SOCKET_PATH_BYTES && length >= 0 && (size_t)length < capacity)
		return true;
	snprintf(error->text, sizeof(error->text),
		"%.200s/" DAEMON_SOCKET
		" is too long for a local socket; set LIMNER_RUNTIME_DIR to a shorter "
		"folder",
		folder);
	return false;
}

bool paths_check_private(const char *folder, struct path_error *error)
{
	struct stat info;
	if (lstat(folder, &info) != 0) {
		if (errno == ENOENT)
			return true;
		snprintf(error->text, sizeof(error->text), "cannot use %.200s: %s", folder, strerror(errno));
		return false;
	}
	if (!S_ISDIR(info.st_mode) || info.st_uid != getuid()) {
		snprintf(error->text, sizeof(error->text),
			"%.200s is not a folder of this user; remove it or set LIMNER_RUNTIME_DIR", folder);
		return false;
	}
	if (info.st_mode & 077) {
		snprintf(error->text, sizeof(error->text),
			"%.150s is open to other users; run: chmod 700 %.150s", folder, folder);
		return false;
	}
	return true;
}
