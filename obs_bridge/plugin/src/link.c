/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "link_thread.h"
#include "log.h"
#include "paths.h"

#define POLL_MS 100
#define HELLO_AGAIN_MS 500
#define REFUSED_PAUSE_MS 2000
#define STATS_EVERY_MS 1000
#define LOG_EVERY_MS 10000
/* A source that is being resized changes every frame: wait until it rests. So may its name. */
#define SIZE_RESTS_MS 300
/* Shapes nearer than this are the same shape: the working size stays. */
#define SAME_ASPECT 0.01

static uint64_t ms_since(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? (now_ns - then_ns) / NS_PER_MS : 0;
}

static void take_source(struct link *link, uint64_t now_ns)
{
	struct link_source *source = atomic_exchange(&link->source_box, NULL);
	if (!source)
		return;
	if (source->width != link->source.width || source->height != link->source.height ||
		strcmp(source->name, link->source.name) != 0)
		link->source_changed_ns = now_ns;
	link->source = *source;
	link->source_known = true;
	free(source);
}

/* Would the daemon choose another working size (or name) now than when we said hello? */
static bool outgrown(const struct link *link)
{
	const struct link_source *now = &link->source, *then = &link->asked;
	if (strcmp(now->name, then->name) != 0) /* sessions are told apart by name */
		return true;
	if (link->exact_size)
		return now->width != then->width || now->height != then->height;
	const double ratio = ((double)now->width / now->height) / ((double)then->width / then->height);
	return fabs(ratio - 1) > SAME_ASPECT;
}

static void connect_to_daemon(struct link *link, uint64_t now_ns)
{
	struct path_error error;
	char folder[1024], endpoint[1100];
	peer_close(&link->peer, 0);
	link_set_phase(link, PHASE_CONNECTING, now_ns);
	if (!paths_runtime_dir(folder, sizeof(folder), &error) || !paths_check_private(folder, &error) ||
		!paths_daemon_endpoint(endpoint, sizeof(endpoint), &error)) {
		link_set_phase(link, PHASE_REFUSED, now_ns);
		link_publish(link, STATE_FAILED, error.text, error.text);
	} else if (peer_open(&link->peer, link->zmq, endpoint, now_ns)) {
		link_send_hello(link, now_ns);
	} else {
		link_set_phase(link, PHASE_REFUSED, now_ns);
		link_publish(link, STATE_FAILED, zmq_strerror(errno), zmq_strerror(errno));
	}
}

/* No daemon answers: start one where that is wanted, and say what is up. */
static void call_daemon(struct link *link, uint64_t now_ns)
{
	if (ms_since(link->phase_since_ns, now_ns) < HELLO_AGAIN_MS / 2)
		return;
	if (link->peer.connected) { /* somebody listens: another daemon would not help */
		link_publish_words(link, STATE_WAITING, "StateNoAnswer", NULL);
		return;
	}
	switch (launcher_poll(&link->launcher, now_ns, link->wish.may_start_daemon)) {
	case LAUNCH_STARTED:
		log_line(LEVEL_INFO, "starting the daemon: %s daemon --detach", link->launcher.command);
		link->launcher.fault[0] = '\0';
		break;
	case LAUNCH_FAILED:
		if (strcmp(link->launcher.fault, link->last_fault) != 0)
			log_line(LEVEL_WARNING, "no daemon answers. %s", link->launcher.fault);
		snprintf(link->last_fault, sizeof(link->last_fault), "%s", link->launcher.fault);
		break;
	case LAUNCH_SUCCEEDED:
	case LAUNCH_NOTHING:
		break;
	}
	link_publish_words(link, STATE_WAITING, "StateWaiting",
		link->wish.may_start_daemon ? link->launcher.fault : NULL);
}

static void advance_connecting(struct link *link, uint64_t now_ns)
{
	const uint64_t age_ms = ms_since(link->phase_since_ns, now_ns);
	if (!link->peer.socket) {
		connect_to_daemon(link, now_ns);
	} else if (!peer_is_there(&link->peer) ||
		   age_ms >= (link->peer.connected ? SILENCE_MS : HELLO_AGAIN_MS)) {
		call_daemon(link, now_ns);
		connect_to_daemon(link, now_ns);
	} else {
		call_daemon(link, now_ns);
	}
}

static void advance_open(struct link *link, uint64_t now_ns)
{
	if (!peer_is_there(&link->peer)) {
		link_lose(link, "it hung up", true, now_ns);
	} else if (ms_since(link->peer.heard_ns, now_ns) >= SILENCE_MS) {
		link_lose(link, "it has been silent for 2 s", true, now_ns);
	} else if (outgrown(link) && ms_since(link->source_changed_ns, now_ns) >= SIZE_RESTS_MS) {
		link_lose(link, "the source has another shape or name now", false, now_ns);
	} else if (ms_since(link->peer.said_ns, now_ns) >= HEARTBEAT_MS - POLL_MS) {
		protocol_encode_bare(&link->peer.buffer, "ping");
		peer_send(&link->peer, now_ns);
	}
}

static void advance(struct link *link, uint64_t now_ns)
{
	switch (link->phase) {
	case PHASE_NO_SOURCE:
		link_publish_words(link, STATE_WAITING, "StateNoSource", NULL);
		if (link->source_known)
			link_set_phase(link, PHASE_CONNECTING, now_ns);
		break;
	case PHASE_CONNECTING:
		advance_connecting(link, now_ns);
		break;
	case PHASE_OPEN:
		advance_open(link, now_ns);
		break;
	case PHASE_REFUSED:
		if (ms_since(link->phase_since_ns, now_ns) >= REFUSED_PAUSE_MS)
			link_set_phase(link, PHASE_CONNECTING, now_ns);
		break;
	}
}

static void wait_for_news(struct link *link)
{
	uint64_t wakes;
	zmq_pollitem_t items[] = {
		{.fd = link->wake_fd, .events = ZMQ_POLLIN},
		{.socket = link->peer.socket, .events = ZMQ_POLLIN},
		{.socket = link->peer.monitor, .events = ZMQ_POLLIN},
	};
	zmq_poll(items, link->peer.socket ? 3 : 1, POLL_MS);
	if (items[0].revents && read(link->wake_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
		log_line(LEVEL_WARNING, "the wake-up line is broken: %s", strerror(errno));
}

static void run_once(struct link *link)
{
	const uint64_t now_ns = clock_now_ns();
	take_source(link, now_ns);
	link_take_wish(link, now_ns);
	link_read_messages(link, now_ns);
	advance(link, now_ns);
	if (link->phase == PHASE_OPEN) {
		if (link->launcher.child != 0) /* what started the daemon ends by itself: leave no zombie */
			launcher_poll(&link->launcher, now_ns, false);
		link_pass_slots(link, now_ns);
		link_send_change(link, now_ns);
		link_send_asked(link, now_ns);
	}
	link_tell(link, now_ns);
	if (now_ns >= link->stats_due_ns) {
		link->stats_due_ns = now_ns + STATS_EVERY_MS * NS_PER_MS;
		link_write_stats(link);
	}
	if (now_ns >= link->log_due_ns) {
		link->log_due_ns = now_ns + LOG_EVERY_MS * NS_PER_MS;
		link_log_figures(link);
	}
}

/* Signals are for OBS's own threads. */
static void set_up_thread(void)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_setname_np(pthread_self(), "limner-link");
}

static void *run(void *data)
{
	struct link *link = data;
	set_up_thread();
	while (!atomic_load(&link->stop)) {
		run_once(link);
		wait_for_news(link);
	}
	link_write_stats(link);
	link_log_figures(link);
	link_lose(link, "the filter ends", false, clock_now_ns());
	return NULL;
}

static void wake(struct link *link)
{
	const uint64_t one = 1;
	/* Never waits: the eventfd is non-blocking, and a full counter wakes as well. */
	if (write(link->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_line(LEVEL_WARNING, "cannot wake the I/O thread: %s", strerror(errno));
}

struct link *link_create(const struct link_options *options)
{
	struct link *link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->hooks = options->hooks;
	link->stats = options->stats;
	link->exact_size = options->exact_size;
	snprintf(link->client, sizeof(link->client), "%s", options->client);
	snprintf(link->stats_path, sizeof(link->stats_path), "%s",
		options->stats_path ? options->stats_path : "");
	snprintf(
		link->source.name, sizeof(link->source.name), "new filter"); /* until it is told its source */
	launcher_init(&link->launcher, options->command_file);
	pthread_mutex_init(&link->stream_mutex, NULL);
	pthread_mutex_init(&link->status_mutex, NULL);
	link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	link->zmq = zmq_ctx_new();
	link->has_thread = true; /* before it runs: it never changes from then on */
	if (link->wake_fd < 0 || !link->zmq || pthread_create(&link->thread, NULL, run, link) != 0) {
		log_line(LEVEL_ERROR, "cannot start the I/O thread: %s", strerror(errno));
		atomic_store(&link->stop, true);
		atomic_store(&link->fault, "FaultThread");
		link->has_thread = false;
	}
	return link;
}

void link_destroy(struct link *link)
{
	if (!link)
		return;
	if (!atomic_exchange(&link->stop, true)) {
		wake(link);
		pthread_join(link->thread, NULL);
	}
	if (link->zmq)
		zmq_ctx_term(link->zmq);
	if (link->wake_fd >= 0)
		close(link->wake_fd);
	pthread_mutex_destroy(&link->stream_mutex);
	pthread_mutex_destroy(&link->status_mutex);
	launcher_free(&link->launcher);
	free(atomic_load(&link->source_box));
	free(atomic_load(&link->wish_box));
	free(link);
}

void link_set_source(struct link *link, const struct link_source *source)
{
	struct link_source *copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *source;
	free(atomic_exchange(&link->source_box, copy));
	wake(link);
}

void link_set_wish(struct link *link, const struct link_wish *wish)
{
	struct link_wish *copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *wish;
	free(atomic_exchange(&link->wish_box, copy));
	wake(link);
}

bool link_wants_frames(const struct link *link)
{
	return atomic_load(&link->open) && !link_is_bypassed(link);
}

bool link_is_painting(const struct link *link)
{
	return atomic_load(&link->open) && atomic_load(&link->painting);
}

bool link_is_bypassed(const struct link *link)
{
	return (atomic_load(&link->bypass) & BYPASS_ON) != 0;
}

void link_ask_bypass(struct link *link, bool bypass)
{
	atomic_store(&link->bypass, BYPASS_ASKED | (bypass ? BYPASS_ON : 0));
	wake(link);
}

void link_ask_reset(struct link *link)
{
	atomic_store(&link->reset_asked, true);
	wake(link);
}

void link_ask_refresh(struct link *link)
{
	atomic_store(&link->refresh_asked, true);
	wake(link);
}

void link_set_fault(struct link *link, const char *key)
{
	if (link->has_thread) /* without one, that is the fault */
		atomic_store(&link->fault, key);
}

struct stream *link_borrow(struct link *link)
{
	if (!atomic_load(&link->open) || pthread_mutex_trylock(&link->stream_mutex) != 0)
		return NULL;
	struct stream *stream = link->stream;
	if (!stream)
		pthread_mutex_unlock(&link->stream_mutex);
	return stream;
}

void link_give_back(struct link *link, bool wake_up)
{
	pthread_mutex_unlock(&link->stream_mutex);
	if (wake_up)
		wake(link);
}
