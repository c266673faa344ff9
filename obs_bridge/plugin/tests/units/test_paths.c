/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "paths.h"
#include "units.h"

static void paths_follow_the_environment(void)
{
	char to[2000], folder[] = "/tmp/limner-units-XXXXXX", long_path[200];
	struct path_error error;
	setenv("LIMNER_RUNTIME_DIR", "/somewhere/of mine", 1);
	CHECK(paths_daemon_endpoint(to, sizeof(to), &error));
	CHECK(strcmp(to, "ipc:///somewhere/of mine/daemon.sock") == 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	setenv("LIMNER_RUNTIME_DIR", long_path, 1);
	CHECK(!paths_daemon_endpoint(to, sizeof(to), &error) && strstr(error.text, "too long"));
	unsetenv("LIMNER_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", "/run/me", 1);
	CHECK(paths_runtime_dir(to, sizeof(to), &error) && strcmp(to, "/run/me/limner") == 0);
	CHECK(mkdtemp(folder) && paths_check_private(folder, &error));
	CHECK(chmod(folder, 0755) == 0 && !paths_check_private(folder, &error));
	CHECK(strstr(error.text, "chmod 700") && strstr(error.text, folder));
	rmdir(folder);
	CHECK(paths_check_private(folder, &error)); /* not there yet: fine */
	CHECK(!paths_check_private("/dev/null", &error));
}

const struct test paths_tests[] = {
	TEST(paths_follow_the_environment),
	{0},
};
