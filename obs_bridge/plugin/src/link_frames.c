/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handing frames over: slots between the graphics thread, which never waits, and the daemon. */
#include "link_thread.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"

void link_swap_stream(struct link *link, struct stream *stream, bool unlink_old)
{
	pthread_mutex_lock(&link->stream_mutex);
	struct stream *old = link->stream;
	link->stream = stream;
	pthread_mutex_unlock(&link->stream_mutex);
	stream_close(old, unlink_old);
}

void link_on_slot(struct link *link, const struct slot_message *m, bool painted, uint64_t now_ns)
{
	struct stream *s = link->stream;
	if (!s)
		return;
	struct slots *book = painted ? &s->output_slots : &s->input_slots;
	const enum slot_verdict verdict = slots_receive(book, s->generation, m->generation, m->slot);
	if (verdict == SLOT_TAKEN) {
		const struct frame_ref frame = {
			.slot = m->slot, .sequence = m->sequence, .pts_ns = m->pts_ns, .arrival_ns = now_ns};
		ring_put(painted ? &s->output_ready : &s->input_free, &frame);
	} else if (verdict != SLOT_OLD) {
		char what[96];
		snprintf(what, sizeof(what), "%s slot %u is %s", painted ? "output" : "input", m->slot,
			slot_verdict_text(verdict));
		link_complain(link, "slot", what);
	}
}

/* The graphics thread has mapped the pixels and goes on; the copying is ours. */
static void fill_slot(struct link *link, const struct stream *s, const struct frame_ref *frame)
{
	const uint64_t began_ns = clock_now_ns();
	uint8_t *to = segment_pixels(&s->input, frame->slot);
	const size_t row = (size_t)s->width * 4;
	if (frame->linesize == row)
		memcpy(to, frame->pixels, row * s->height);
	else
		for (uint32_t y = 0; y < s->height; y++)
			memcpy(to + y * row, frame->pixels + (size_t)y * frame->linesize, row);
	segment_write_slot_header(&s->input, frame->slot, frame->sequence, frame->pts_ns);
	atomic_store(frame->copied, 1);
	histogram_add_ns(&link->stats->copy, clock_now_ns() - began_ns);
}

void link_pass_slots(struct link *link, uint64_t now_ns)
{
	struct stream *s = link->stream;
	struct frame_ref frame;
	bool sent = true;
	if (!s)
		return;
	while (sent && ring_take(&s->output_done, &frame)) {
		const struct slot_message m = {.generation = s->generation, .slot = frame.slot};
		if (!slots_give(&s->output_slots, frame.slot))
			continue;
		protocol_encode_free(&link->peer.buffer, &m);
		sent = peer_send(&link->peer, now_ns);
	}
	while (sent && ring_take(&s->input_filled, &frame)) {
		const struct slot_message m = {s->generation, frame.slot, frame.sequence, frame.pts_ns};
		fill_slot(link, s, &frame);
		if (!slots_give(&s->input_slots, frame.slot))
			continue;
		protocol_encode_frame(&link->peer.buffer, &m);
		sent = peer_send(&link->peer, now_ns);
	}
	if (!sent)
		link_lose(link, "it no longer reads what it is sent", true, now_ns);
}

/* ---- graphics thread ---- */

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
		link_wake(link);
}
