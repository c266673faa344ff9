/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conversation with the daemon: what is said, what is heard, and what follows from it. I/O thread. */
#include "link_thread.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "change.h"
#include "clock.h"
#include "log.h"

#define MAX_COMPLAINTS 20

void link_set_phase(struct link *link, enum phase phase, uint64_t now_ns)
{
	link->phase = phase;
	link->phase_since_ns = now_ns;
	atomic_store(&link->open, phase == PHASE_OPEN);
}

void link_send_hello(struct link *link, uint64_t now_ns)
{
	struct change settings;
	link_first_change(link, &settings);
	link->asked = link->source;
	const struct hello hello = {
		.client = link->client,
		.name = link->source.name,
		.role = "filter",
		.pid = (uint32_t)getpid(),
		.source_width = link->source.width,
		.source_height = link->source.height,
		.fps = link->source.fps,
		.exact_size = link->exact_size,
		.settings = &settings,
	};
	protocol_encode_hello(&link->peer.buffer, &hello);
	peer_send(&link->peer, now_ns);
}

void link_lose(struct link *link, const char *why, bool daemon_died, uint64_t now_ns)
{
	link_swap_stream(link, NULL, daemon_died);
	if (!daemon_died && link->peer.socket) {
		protocol_encode_bare(&link->peer.buffer, "bye");
		peer_send(&link->peer, now_ns);
	}
	peer_close(&link->peer, daemon_died ? 0 : 200);
	if (link->phase == PHASE_OPEN)
		log_line(daemon_died ? LEVEL_WARNING : LEVEL_INFO, "%s: session closed: %s",
			link->source.name, why);
	link_set_phase(link, PHASE_CONNECTING, now_ns);
}

/* `code` of the error: there may be words of the user's own for it. */
static void refuse(struct link *link, const char *code, const char *why, uint64_t now_ns)
{
	char key[64];
	snprintf(key, sizeof(key), "Refused_%.50s", code);
	const char *known = words_find(link->hooks.words, key);
	log_line(LEVEL_WARNING, "%s: %s", link->source.name, why);
	link_lose(link, why, false, now_ns);
	link_set_phase(link, PHASE_REFUSED, now_ns);
	link_publish(link, STATE_FAILED, known ? known : why, why);
}

void link_complain(struct link *link, const char *code, const char *what)
{
	if (link->complaints++ < MAX_COMPLAINTS)
		log_line(LEVEL_WARNING, "%s: the daemon's message was refused (%s): %s", link->source.name,
			code, what);
}

static void on_welcome(struct link *link, const struct welcome *welcome, uint64_t now_ns)
{
	struct segment_error error;
	struct stream *stream = stream_open(welcome, &error);
	if (!stream) {
		refuse(link, "segment", error.text, now_ns);
		return;
	}
	link_swap_stream(link, stream, false);
	link->complaints = 0;
	link->bypass_rev = 0; /* it was in the hello */
	link_set_phase(link, PHASE_OPEN, now_ns);
	link_publish_welcome(link, welcome);
	link_publish_words(link, STATE_WAITING, "StateOpened", NULL);
	log_line(LEVEL_INFO, "%s: session '%.*s' at %ux%u, generation %u, model %.*s", link->source.name,
		(int)welcome->session.size, welcome->session.bytes, welcome->width, welcome->height,
		welcome->generation, (int)welcome->model.size, welcome->model.bytes);
	if (link->wish_after_hello)
		link->change_due_ns = now_ns;
	link_know(link, &welcome->settings);
}

static void hand_receipt(struct link *link, const struct link_receipt *receipt)
{
	if (link->hooks.receipt)
		link->hooks.receipt(link->hooks.context, receipt);
}

static void on_accepted(struct link *link, const struct accepted *accepted)
{
	struct link_receipt receipt = {.rev = accepted->rev, .settings = accepted->settings};
	char english[sizeof(receipt.note)];
	words_join(receipt.note, sizeof(receipt.note), &accepted->sayings, link->hooks.words);
	words_join(english, sizeof(english), &accepted->sayings, NULL);
	/* Whether it is on air is nobody's change. */
	if (accepted->rev != link->air_rev || !accepted->rev) {
		hand_receipt(link, &receipt);
		link_publish_accepted(link, &receipt);
	}
	if (accepted->rev >= link->awaited_rev)
		link->awaited_rev = 0;
	if (accepted->rev >= link->bypass_rev)
		link->bypass_rev = 0;
	log_line(LEVEL_INFO, "%s: settings %llu accepted%s%s", link->source.name,
		(unsigned long long)accepted->rev, english[0] ? ": " : "", english);
	link_know(link, &accepted->settings);
}

static void on_applied(struct link *link, const struct applied *applied)
{
	const struct link_receipt receipt = {.rev = applied->rev,
		.applied = true,
		.chunk = applied->chunk,
		.pts_ns = applied->pts_ns,
		.settings = link->known};
	if (applied->rev == link->air_rev && applied->rev)
		return;
	hand_receipt(link, &receipt);
	link_publish_applied(link, &receipt);
	log_line(LEVEL_INFO, "%s: settings %llu are in the picture", link->source.name,
		(unsigned long long)applied->rev);
}

static bool is(const struct text *text, const char *word)
{
	return text->size == strlen(word) && memcmp(text->bytes, word, text->size) == 0;
}

/* The daemon has closed our session (it heard nothing for a while, or ends): what we say is in vain. */
static bool is_session_over(const struct refusal *error)
{
	return is(&error->code, "no_session") || is(&error->code, "silent") || is(&error->code, "stopping");
}

static void on_error(struct link *link, const struct refusal *error, uint64_t now_ns)
{
	char text[400], code[64];
	text_copy(text, sizeof(text), error->message.bytes, error->message.size);
	text_copy(code, sizeof(code), error->code.bytes, error->code.size);
	if (is(&error->about, "hello") || link->phase != PHASE_OPEN) {
		/* A style that is no more: ask without it next time, and keep all the rest. */
		link->hello_without_style = is(&error->code, "unknown_style");
		refuse(link, code, text, now_ns);
	} else if (is_session_over(error)) {
		link_lose(link, text, false, now_ns);
	} else {
		if (link->complaints++ < MAX_COMPLAINTS)
			log_line(LEVEL_WARNING, "%s: the daemon says: %s", link->source.name, text);
		/* Only what it does not take: without a name it did not even understand it. */
		if (is(&error->about, "set") || error->about.size == 0)
			link->awaited_rev = link->bypass_rev = 0;
	}
}

static void on_message(struct link *link, const struct message *m, uint64_t now_ns)
{
	switch (m->type) {
	case MESSAGE_WELCOME:
		on_welcome(link, &m->welcome, now_ns);
		break;
	case MESSAGE_STYLES:
		link_publish_styles(link, &m->styles);
		link_ask_refresh(link);
		break;
	case MESSAGE_FRAME:
	case MESSAGE_FREE:
		link_on_slot(link, &m->slot, m->type == MESSAGE_FRAME, now_ns);
		break;
	case MESSAGE_ACCEPTED:
		on_accepted(link, &m->accepted);
		break;
	case MESSAGE_APPLIED:
		on_applied(link, &m->applied);
		break;
	case MESSAGE_STATUS:
		if (link->phase == PHASE_OPEN) {
			link_publish_status(link, &m->status);
			link_know(link, &m->status.settings);
		}
		break;
	case MESSAGE_ERROR:
		on_error(link, &m->error, now_ns);
		break;
	case MESSAGE_OVERVIEW: /* nobody asked */
		break;
	}
}

static void on_fault(struct link *link, const struct protocol_error *error, uint64_t now_ns)
{
	if (strcmp(error->code, "version") == 0)
		refuse(link, error->code, error->text, now_ns);
	else
		link_complain(link, error->code, error->text);
}

void link_read_messages(struct link *link, uint64_t now_ns)
{
	zmq_msg_t raw;
	/* A message may close the socket (a refusal). */
	while (link->peer.socket && peer_receive(&link->peer, &raw, now_ns)) {
		struct message message;
		struct protocol_error error;
		if (protocol_decode(zmq_msg_data(&raw), zmq_msg_size(&raw), &message, &error)) {
			on_message(link, &message, now_ns);
			protocol_free(&message);
		} else {
			on_fault(link, &error, now_ns);
		}
		zmq_msg_close(&raw);
	}
}
