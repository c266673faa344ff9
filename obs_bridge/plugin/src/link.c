/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "link_thread.h"
#include "log.h"

#define STATS_EVERY_MS 1000
#define LOG_EVERY_MS 10000

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
	link_advance(link, now_ns);
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

void link_wake(struct link *link)
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
		link_wake(link);
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
	link_wake(link);
}

void link_set_wish(struct link *link, const struct link_wish *wish)
{
	struct link_wish *copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *wish;
	free(atomic_exchange(&link->wish_box, copy));
	link_wake(link);
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
	link_wake(link);
}

void link_set_on_air(struct link *link, bool on_air)
{
	/* Said with whatever wakes the thread next: it need not be at once. */
	atomic_store(&link->off_air, !on_air);
}

void link_ask_reset(struct link *link)
{
	atomic_store(&link->reset_asked, true);
	link_wake(link);
}

void link_ask_refresh(struct link *link)
{
	atomic_store(&link->refresh_asked, true);
	link_wake(link);
}

void link_set_fault(struct link *link, const char *key)
{
	if (link->has_thread) /* without one, that is the fault */
		atomic_store(&link->fault, key);
}
