/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of link: what its files share. Nobody else includes this. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "launch.h"
#include "link.h"
#include "peer.h"

/* The I/O thread looks at least so often. */
#define POLL_MS 100

enum phase {
	PHASE_NO_SOURCE,  /* nothing to paint yet */
	PHASE_CONNECTING, /* a hello is on its way */
	PHASE_OPEN,       /* welcome: a stream is open */
	PHASE_REFUSED, /* the daemon would not have us, or its segments are bad: try again a little later */
};

/* Bits of link.bypass: in one place, so that what the daemon says cannot slip in between. */
#define BYPASS_ON 1
#define BYPASS_ASKED 2 /* asked for here, and not yet said to the daemon */

struct link {
	/* Never changes. */
	struct link_hooks hooks;
	char client[NAME_BYTES];
	char stats_path[1024];
	struct stats *stats;
	bool exact_size;
	void *zmq;
	int wake_fd;
	pthread_t thread;
	bool has_thread;

	/* Mailboxes: the newest wins, whoever takes it out frees it. */
	_Atomic(struct link_source *) source_box;
	_Atomic(struct link_wish *) wish_box;
	atomic_bool stop, open, painting, reset_asked, refresh_asked, off_air;
	atomic_int bypass;
	_Atomic(const char *) fault; /* a key of words; NULL: none */

	pthread_mutex_t stream_mutex; /* graphics: trylock only */
	struct stream *stream;        /* changed by the I/O thread under the mutex */

	pthread_mutex_t status_mutex; /* not for the graphics thread */
	struct link_status status;

	/* I/O thread only. */
	struct peer peer;
	struct launcher launcher;
	char last_fault[LAUNCH_FAULT_BYTES]; /* of the launcher, as it was logged */
	enum phase phase;
	uint64_t phase_since_ns;
	struct link_source source, asked; /* wanted now; what the last hello asked for */
	bool source_known;
	uint64_t source_changed_ns;
	struct link_wish wish;
	struct settings known; /* in force at the daemon, as far as we heard; before that, the first wish */
	struct settings shown; /* what the user saw last, or has said since: what differs is a wish */
	struct settings heard; /* `shown`, without what was said and is not answered yet */
	uint64_t mirrors;      /* of the wish that `shown` is of */
	bool known_valid, hello_without_style;
	bool wish_after_hello, typing; /* typing: the last wish was other words of the user's own */
	uint64_t wished_ns;            /* the last wish */
	uint64_t change_due_ns;        /* 0: nothing to send */
	uint64_t rev, awaited_rev;     /* awaited 0: nothing is awaited */
	uint64_t bypass_rev; /* until this (or a hello) is accepted, what the daemon says of it is old; 0:
				none */
	bool told_off_air;
	uint64_t off_air_since_ns; /* 0: it is on air, or the daemon knows */
	uint64_t air_rev;          /* of what was said last of it; no user made that change */
	uint64_t stats_due_ns, log_due_ns;
	const char *told_fault;
	bool news_told;
	enum daemon_state told_state;
	char told_style[NAME_BYTES];
	bool refresh_wanted;
	uint64_t refreshed_ns;
	uint32_t complaints; /* messages refused since the session opened */
};

/* link.c; any thread */
void link_wake(struct link *link);

/* link_connect.c */
/* Do what is due on the way to a session, and while one is open. */
void link_advance(struct link *link, uint64_t now_ns);

/* link_status.c */
/* `english`: for the log. */
void link_publish(struct link *link, enum daemon_state state, const char *sentence, const char *english);
void link_publish_words(struct link *link, enum daemon_state state, const char *key, const char *detail);
void link_publish_welcome(struct link *link, const struct welcome *welcome);
void link_publish_styles(struct link *link, const struct styles *styles);
void link_publish_settings(struct link *link, const struct settings *settings);
void link_publish_status(struct link *link, const struct status *status);
/* A change of ours was accepted, from what was in force before; then it is in the picture. */
void link_publish_accepted(struct link *link, const struct link_receipt *receipt);
void link_publish_applied(struct link *link, const struct link_receipt *receipt);
/* Say what is due to be said: a fault of our own, other words. */
void link_tell(struct link *link, uint64_t now_ns);

/* link_figures.c */
void link_write_stats(struct link *link);
void link_log_figures(const struct link *link);

/* link_session.c */
void link_set_phase(struct link *link, enum phase phase, uint64_t now_ns);
void link_send_hello(struct link *link, uint64_t now_ns);
void link_lose(struct link *link, const char *why, bool daemon_died, uint64_t now_ns);
void link_read_messages(struct link *link, uint64_t now_ns);
/* Something in what the daemon says is wrong; the session goes on, the log is not flooded. */
void link_complain(struct link *link, const char *code, const char *what);

/* link_frames.c */
void link_swap_stream(struct link *link, struct stream *stream, bool unlink_old);
/* The daemon hands us a painted frame, or gives an input slot back. */
void link_on_slot(struct link *link, const struct slot_message *slot, bool painted, uint64_t now_ns);
/* Hand over what the graphics thread has filled, and give back what it has shown. */
void link_pass_slots(struct link *link, uint64_t now_ns);

/* link_wish.c */
/* What a hello says; from then on an answer is awaited. */
void link_first_change(struct link *link, struct change *settings);
/* The daemon says what is in force. */
void link_know(struct link *link, const struct settings *settings);
void link_take_wish(struct link *link, uint64_t now_ns);
void link_send_change(struct link *link, uint64_t now_ns);
/* Bypass and reset, as they were asked for. */
void link_send_asked(struct link *link, uint64_t now_ns);
