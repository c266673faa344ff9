/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

extern char **environ;

static void read_first_line(const char *path, char *to, size_t capacity)
{
	FILE *file = fopen(path, "r");
	if (!file)
		return;
	if (!fgets(to, (int)capacity, file))
		to[0] = '\0';
	to[strcspn(to, "\r\n")] = '\0';
	fclose(file);
}

void launcher_init(struct launcher *launcher, const char *command_file)
{
	*launcher = (struct launcher){0};
	if (command_file)
		snprintf(launcher->command_file, sizeof(launcher->command_file), "%s", command_file);
}

static void find_command(struct launcher *launcher)
{
	const char *chosen = getenv("LIMNER_COMMAND");
	launcher->command[0] = '\0';
	if (chosen && chosen[0])
		snprintf(launcher->command, sizeof(launcher->command), "%s", chosen);
	else if (launcher->command_file[0])
		read_first_line(launcher->command_file, launcher->command, sizeof(launcher->command));
}

/* Start it with nothing of OBS but its environment: no files, no signal dispositions, no masks. */
static int spawn(struct launcher *launcher)
{
	char *const arguments[] = {launcher->command, (char[]){"daemon"}, (char[]){"--detach"}, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
#endif
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	const int fault =
		posix_spawn(&launcher->child, launcher->command, &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (fault != 0)
		launcher->child = 0;
	return fault;
}

static enum launch_result start(struct launcher *launcher)
{
	find_command(launcher);
	if (!launcher->command[0]) {
		snprintf(launcher->fault, sizeof(launcher->fault),
			"It is not installed: run installer/run.sh, or start one with: limner daemon");
		return LAUNCH_FAILED;
	}
	const int fault = spawn(launcher);
	if (fault == 0)
		return LAUNCH_STARTED;
	snprintf(launcher->fault, sizeof(launcher->fault), "It could not be started: %s: %s",
		launcher->command, strerror(fault));
	return LAUNCH_FAILED;
}

static enum launch_result reap(struct launcher *launcher)
{
	int how;
	const pid_t ended = waitpid(launcher->child, &how, WNOHANG);
	if (ended == 0)
		return LAUNCH_NOTHING;
	launcher->child = 0;
	if (ended < 0) /* somebody else (a host with its own SIGCHLD handling) has reaped it */
		return LAUNCH_SUCCEEDED;
	if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
		return LAUNCH_SUCCEEDED;
	snprintf(launcher->fault, sizeof(launcher->fault),
		"It could not be started: \"%s daemon --detach\" ended with %s %d", launcher->command,
		WIFEXITED(how) ? "code" : "signal", WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
	return LAUNCH_FAILED;
}

enum launch_result launcher_poll(struct launcher *launcher, uint64_t now_ns, bool may_start)
{
	if (launcher->child != 0)
		return reap(launcher);
	if (!may_start || now_ns < launcher->next_ns)
		return LAUNCH_NOTHING;
	launcher->next_ns = now_ns + LAUNCH_EVERY_MS * NS_PER_MS;
	return start(launcher);
}
