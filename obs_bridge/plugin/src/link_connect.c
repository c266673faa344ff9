/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way to a daemon: find it, start it, notice that it is gone, begin again. I/O thread. */
#include "link_thread.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "paths.h"

#define HELLO_AGAIN_MS 500
#define REFUSED_PAUSE_MS 2000
/* A source that is being resized changes every frame: wait until it rests. So may its name. */
#define SIZE_RESTS_MS 300
/* Shapes nearer than this are the same shape: the working size stays. */
#define SAME_ASPECT 0.01

static uint64_t ms_since(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? (now_ns - then_ns) / NS_PER_MS : 0;
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

/* Why none could be started, in the user's words; "" where one could, or was not to be. */
static void tell_fault(const struct link *link, char *to, size_t capacity)
{
	const struct launcher *l = &link->launcher;
	char key[64];
	to[0] = '\0';
	if (!l->fault[0] || !link->wish.may_start_daemon)
		return;
	snprintf(key, sizeof(key), "Launch_%s", l->fault_code);
	const char *known = words_find(link->hooks.words, key);
	if (known)
		words_say(to, capacity, known, "command", l->command, "reason", l->fault_reason, NULL);
	else
		text_copy(to, capacity, l->fault, strlen(l->fault));
}

/* No daemon answers: start one where that is wanted, and say what is up. */
static void call_daemon(struct link *link, uint64_t now_ns)
{
	char fault[sizeof(link->launcher.fault)];
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
	tell_fault(link, fault, sizeof(fault));
	link_publish_words(link, STATE_WAITING, "StateWaiting", fault);
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

void link_advance(struct link *link, uint64_t now_ns)
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
