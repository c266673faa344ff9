/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"

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
	*launcher = (struct launcher){.words_fd = -1};
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

static void forget_words(struct launcher *launcher)
{
	if (launcher->words_fd >= 0)
		close(launcher->words_fd);
	launcher->words_fd = -1;
}

/* The last line that the child wrote: what it ended for. */
static void read_last_words(const struct launcher *launcher, char *to, size_t capacity)
{
	char end[1024];
	const off_t size = launcher->words_fd >= 0 ? lseek(launcher->words_fd, 0, SEEK_END) : 0;
	const off_t from = size > (off_t)sizeof(end) ? size - (off_t)sizeof(end) : 0;
	const ssize_t got = size > 0 ? pread(launcher->words_fd, end, sizeof(end), from) : 0;
	size_t last = got > 0 ? (size_t)got : 0;
	while (last > 0 && (end[last - 1] == '\n' || end[last - 1] == ' '))
		last--;
	size_t first = last, chars;
	while (first > 0 && end[first - 1] != '\n')
		first--;
	text_copy(to, capacity, end + first, last - first);
	if (!text_check_utf8(to, strlen(to), &chars))
		to[0] = '\0';
	text_make_printable(to);
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
	/* Into a file in memory: unlike a pipe it never fills up, and nobody has to read it. */
	launcher->words_fd = memfd_create("limner-words", MFD_CLOEXEC);
	if (launcher->words_fd >= 0)
		posix_spawn_file_actions_adddup2(&files, launcher->words_fd, STDERR_FILENO);
	else
		posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
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
	if (fault != 0) {
		launcher->child = 0;
		forget_words(launcher);
	}
	return fault;
}

static enum launch_result start(struct launcher *launcher)
{
	find_command(launcher);
	if (!launcher->command[0]) {
		launcher->fault_code = "not_installed";
		snprintf(launcher->fault, sizeof(launcher->fault),
			"It is not installed: run installer/run.sh, or start one with: limner daemon");
		return LAUNCH_FAILED;
	}
	const int fault = spawn(launcher);
	if (fault == 0)
		return LAUNCH_STARTED;
	launcher->fault_code = "not_started";
	snprintf(launcher->fault_reason, sizeof(launcher->fault_reason), "%s", strerror(fault));
	snprintf(launcher->fault, sizeof(launcher->fault), "It could not be started: %s: %s",
		launcher->command, launcher->fault_reason);
	return LAUNCH_FAILED;
}

static enum launch_result reap(struct launcher *launcher)
{
	int how;
	const pid_t ended = waitpid(launcher->child, &how, WNOHANG);
	if (ended == 0)
		return LAUNCH_NOTHING;
	char words[200];
	read_last_words(launcher, words, sizeof(words));
	forget_words(launcher);
	launcher->child = 0;
	if (ended < 0) /* somebody else (a host with its own SIGCHLD handling) has reaped it */
		return LAUNCH_SUCCEEDED;
	if (WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == EXIT_ALREADY_RUNNING))
		return LAUNCH_SUCCEEDED;
	launcher->fault_code = WIFEXITED(how) ? "ended" : "killed";
	snprintf(launcher->fault_reason, sizeof(launcher->fault_reason), "%d%s%s",
		WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how), words[0] ? ": " : "", words);
	snprintf(launcher->fault, sizeof(launcher->fault),
		"It could not be started: \"%s daemon --detach\" ended with %s %s", launcher->command,
		WIFEXITED(how) ? "code" : "signal", launcher->fault_reason);
	return LAUNCH_FAILED;
}

void launcher_free(struct launcher *launcher)
{
	forget_words(launcher);
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
