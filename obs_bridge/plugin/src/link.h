/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter's connection to the daemon: an I/O thread that connects, says hello, keeps the heartbeat, hands
 * slots to and fro, sends changed settings, starts the daemon, and begins again whenever it is lost.
 * Knows nothing of OBS. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"
#include "receipt.h"
#include "stats.h"
#include "stream.h"

struct link;

/* A change that was made, step by step: accepted (with what is in force now), then in the picture. */
struct link_receipt {
	uint64_t rev;
	bool applied;   /* false: accepted only */
	uint64_t chunk; /* applied: from this chunk on, and this presentation time */
	uint64_t pts_ns;
	struct settings settings; /* in force */
	char note[512];
};

struct link_status;

struct link_news {
	bool state, style; /* which of them is another */
	const struct link_status *now;
};

/* What the I/O thread calls. All may be NULL but `context`. They must not call back into link_destroy. */
struct link_hooks {
	void *context;
	/* What there is to say has changed: painting began or ended, or (not more often than every few
	 * seconds) the words are others. */
	void (*state_changed)(void *context);
	/* Somebody else changed the settings: take them over. `serial` of the wish that they answer. */
	void (*mirror)(void *context, const struct settings *settings, uint64_t serial);
	/* Another state, another style, or both. */
	void (*news)(void *context, const struct link_news *news);
	void (*receipt)(void *context, const struct link_receipt *receipt);
	/* Words for people, by key (data/locale); NULL: the key itself is shown. */
	words_lookup words;
};

struct link_options {
	struct link_hooks hooks;
	const char *client;       /* program and version */
	const char *command_file; /* where the installer wrote the command of the daemon; may be NULL */
	const char *stats_path;   /* file, or folder for a file a filter; NULL: no file */
	struct stats *stats;
	bool exact_size; /* ask for the source's own size as the working size */
};

/* What is to be painted. */
struct link_source {
	char name[NAME_BYTES];
	uint32_t width, height;
	double fps;
};

/* What the user wants. */
struct link_wish {
	struct change change;
	bool may_start_daemon;
	uint64_t serial; /* counted by whoever sends it */
	/* What `mirror` has put in the user's place, and how often: what still is like that is nobody's wish.
	 */
	struct settings mirrored;
	uint64_t mirrors; /* 0: never yet */
};

/* Styles with longer names are not shown. */
#define STYLE_BYTES 256

struct link_status {
	enum daemon_state state;
	char sentence[512];
	bool open; /* a session is open */
	double fps_out;
	double latency_ms;
	uint64_t dropped; /* frames, since the session was opened */
	char model[NAME_BYTES], device[NAME_BYTES];
	char styles[MAX_STYLES][STYLE_BYTES];
	uint32_t style_count;
	struct settings settings; /* in force */
	bool settings_known;
	struct receipt last; /* of the changes made here */
};

struct link *link_create(const struct link_options *options);
/* Say goodbye, end the thread (within about a second), free everything. */
void link_destroy(struct link *link);

/* ---- any thread; never waits ---- */
void link_set_source(struct link *link, const struct link_source *source);
void link_set_wish(struct link *link, const struct link_wish *wish);
/* Should frames be captured and painted ones be shown? (not when the settings say bypass) */
bool link_wants_frames(const struct link *link);
/* Does the daemon say that it paints? (not: that it loads, waits or has failed) */
bool link_is_painting(const struct link *link);
/* Do the settings in force say that the source is to be shown? */
bool link_is_bypassed(const struct link *link);

/* Show the source, or paint again: at once here, and with the next message at the daemon. */
void link_ask_bypass(struct link *link, bool bypass);
/* Do the viewers see the source? (not: only the preview does) Taken so until it is said otherwise. */
void link_set_on_air(struct link *link, bool on_air);
/* Let the engine forget what it painted. */
void link_ask_reset(struct link *link);

/* The settings are others: say so soon (state_changed), and not for each of many. */
void link_ask_refresh(struct link *link);

/* What keeps the filter itself from painting, by the key of its words (a constant); NULL: nothing does. */
void link_set_fault(struct link *link, const char *key);

/* ---- graphics thread; never waits ---- */
/* The open stream, or NULL when there is none (or it is just being changed). Give it back in the same call.
 */
struct stream *link_borrow(struct link *link);
/* `wake`: something was put into a queue. */
void link_give_back(struct link *link, bool wake);

/* ---- any other thread ---- */
void link_get_status(struct link *link, struct link_status *status);
