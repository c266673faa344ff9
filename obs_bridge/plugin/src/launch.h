/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting the installed daemon: `<command> daemon --detach`, which returns once the daemon has let go. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LAUNCH_EVERY_MS 5000
#define LAUNCH_FAULT_BYTES 1700
/* The command's exit code when a daemon is running already: somebody else was quicker, which is as good. */
#define EXIT_ALREADY_RUNNING 4

enum launch_result {
	LAUNCH_NOTHING,   /* nothing to say: too early, or still running */
	LAUNCH_STARTED,   /* the command was started */
	LAUNCH_SUCCEEDED, /* it ended well: a daemon is (about to be) there */
	LAUNCH_FAILED,    /* see launcher.fault */
};

struct launcher {
	char command_file[1024]; /* may be written while we run: the installer comes whenever it comes */
	char command[1024];      /* absolute path; empty: none is installed */
	pid_t child;             /* 0: none runs */
	int words_fd;            /* a file in memory: what the child says on its stderr; while it runs */
	uint64_t next_ns;        /* not before */
	char fault[LAUNCH_FAULT_BYTES]; /* why the last attempt failed, an English sentence */
	const char *fault_code; /* and for those who say it in other words: one of few, with {command} */
	char fault_reason[500]; /* and {reason} in its places */
};

/* The command is LIMNER_COMMAND, else the first line of `command_file` (may be NULL). */
void launcher_init(struct launcher *launcher, const char *command_file);
void launcher_free(struct launcher *launcher);
/* Called now and then; starts the command when it may and none runs. Never waits. */
enum launch_result launcher_poll(struct launcher *launcher, uint64_t now_ns, bool may_start);
