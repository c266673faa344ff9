/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the link says of itself: state, sentence and receipts, and when they are news. */
#include "link_thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

/* Whoever hears of news rebuilds the properties, under the hands of a user who may be dragging a slider. */
#define REFRESH_EVERY_MS 3000
/* Somebody steers from elsewhere, maybe from a script: building a page takes OBS tens of milliseconds. */
#define ASKED_REFRESH_EVERY_MS 300
/* Who has just changed something may still hold that slider. */
#define HANDS_REST_MS 1500

static const char *words(const struct link *link, const char *key)
{
	return link->hooks.words ? link->hooks.words(key) : key;
}

static bool paints(enum daemon_state state)
{
	return state == STATE_LIVE || state == STATE_OVERLOADED;
}

static void refresh(struct link *link, uint64_t now_ns)
{
	link->refresh_wanted = false;
	link->refreshed_ns = now_ns;
	if (link->hooks.state_changed)
		link->hooks.state_changed(link->hooks.context);
}

void link_publish(struct link *link, enum daemon_state state, const char *sentence, const char *english)
{
	pthread_mutex_lock(&link->status_mutex);
	const enum daemon_state before = link->status.state;
	const bool other = before != state || !link->status.sentence[0];
	const bool same_words = strcmp(link->status.sentence, sentence) == 0;
	link->status.state = state;
	atomic_store(&link->painting, paints(state));
	link->status.open = link->phase == PHASE_OPEN;
	if (!link->status.open)
		link->status.fps_out = link->status.latency_ms = 0;
	if (!link->status.open)
		link->status.device[0] = '\0';
	text_copy(link->status.sentence, sizeof(link->status.sentence), sentence, strlen(sentence));
	pthread_mutex_unlock(&link->status_mutex);
	if (other)
		log_line(LEVEL_INFO, "%s: %s: %s", link->source.name, protocol_state_name(state), english);
	/* What keeps it from painting is worth a fresh look as well, not only another state. */
	const bool telling = state == STATE_WAITING || state == STATE_FAILED;
	if (other && !(paints(before) && paints(state)))
		refresh(link, clock_now_ns());
	else if (other || (telling && !same_words))
		link->refresh_wanted = true;
}

static struct link_news note_news(struct link *link, const struct link_status *now)
{
	const struct link_news news = {
		.state = !link->news_told || link->told_state != now->state,
		.style = now->settings_known && strcmp(link->told_style, now->settings.style) != 0,
		.now = now,
	};
	link->news_told = true;
	link->told_state = now->state;
	if (news.style)
		memcpy(link->told_style, now->settings.style, sizeof(link->told_style));
	return news;
}

static void tell_news(struct link *link)
{
	if (!link->hooks.news)
		return;
	struct link_status *now = NULL;
	pthread_mutex_lock(&link->status_mutex);
	struct link_news news = note_news(link, &link->status);
	if ((news.state || news.style) && (now = malloc(sizeof(*now))))
		*now = link->status;
	pthread_mutex_unlock(&link->status_mutex);
	news.now = now;
	if (now)
		link->hooks.news(link->hooks.context, &news);
	free(now);
}

void link_tell(struct link *link, uint64_t now_ns)
{
	tell_news(link);
	const char *fault = atomic_load(&link->fault);
	if (fault != link->told_fault) {
		link->told_fault = fault;
		if (fault)
			log_line(LEVEL_ERROR, "%s: %s", link->source.name, words(link, fault));
		refresh(link, now_ns);
	} else if (link->change_due_ns == 0 &&
		   now_ns >= link->refreshed_ns + ASKED_REFRESH_EVERY_MS * NS_PER_MS &&
		   atomic_exchange(&link->refresh_asked, false)) {
		refresh(link, now_ns);
	} else if (link->refresh_wanted && link->change_due_ns == 0 &&
		   now_ns >= link->refreshed_ns + REFRESH_EVERY_MS * NS_PER_MS &&
		   now_ns >= link->wished_ns + HANDS_REST_MS * NS_PER_MS) {
		refresh(link, now_ns);
	}
}

void link_get_status(struct link *link, struct link_status *status)
{
	pthread_mutex_lock(&link->status_mutex);
	*status = link->status;
	pthread_mutex_unlock(&link->status_mutex);
	const char *fault = atomic_load(&link->fault);
	if (!fault)
		return;
	const char *sentence = words(link, fault);
	status->state = STATE_FAILED;
	text_copy(status->sentence, sizeof(status->sentence), sentence, strlen(sentence));
}

void link_publish_words(struct link *link, enum daemon_state state, const char *key, const char *detail)
{
	char sentence[512];
	if (detail && detail[0])
		snprintf(sentence, sizeof(sentence), "%s %s", words(link, key), detail);
	else
		snprintf(sentence, sizeof(sentence), "%s", words(link, key));
	text_make_utf8(sentence); /* it may have been cut, and what a program printed may be anything */
	link_publish(link, state, sentence, sentence);
}

void link_publish_welcome(struct link *link, const struct welcome *welcome)
{
	struct link_status *status = &link->status;
	pthread_mutex_lock(&link->status_mutex);
	text_copy(status->model, sizeof(status->model), welcome->model.bytes, welcome->model.size);
	pthread_mutex_unlock(&link->status_mutex);
	link_publish_styles(link, &welcome->styles);
}

void link_publish_styles(struct link *link, const struct styles *styles)
{
	struct link_status *status = &link->status;
	pthread_mutex_lock(&link->status_mutex);
	status->style_count = 0;
	for (uint32_t i = 0; i < styles->count; i++)
		if (styles->names[i].size < STYLE_BYTES)
			text_copy(status->styles[status->style_count++], STYLE_BYTES, styles->names[i].bytes,
				styles->names[i].size);
	pthread_mutex_unlock(&link->status_mutex);
}

void link_publish_accepted(struct link *link, const struct link_receipt *receipt)
{
	struct receipt *last = &link->status.last;
	if (receipt->rev == 0) /* a hello: nothing was changed */
		return;
	pthread_mutex_lock(&link->status_mutex);
	last->rev = receipt->rev;
	last->applied = false;
	last->accepted_s = time(NULL);
	last->before = link->known;
	last->after = receipt->settings;
	memcpy(last->note, receipt->note, sizeof(last->note));
	pthread_mutex_unlock(&link->status_mutex);
}

void link_publish_applied(struct link *link, const struct link_receipt *receipt)
{
	struct receipt *last = &link->status.last;
	/* A frame shows a playout's delay after its own time, on the clock that frames have. */
	const int64_t shown_ns = (int64_t)receipt->pts_ns + (int64_t)link->stats->delay_us * 1000;
	const int64_t ahead_ns = shown_ns - (int64_t)clock_now_ns();
	if (receipt->rev == 0 || receipt->rev < last->rev)
		return;
	pthread_mutex_lock(&link->status_mutex);
	last->applied = true;
	last->chunk = receipt->chunk;
	last->shown_s = time(NULL) + (time_t)(ahead_ns / 1000000000);
	pthread_mutex_unlock(&link->status_mutex);
	/* Not under the hands of someone who is writing. */
	link->refresh_wanted |= !link->typing;
}

void link_publish_settings(struct link *link, const struct settings *settings)
{
	pthread_mutex_lock(&link->status_mutex);
	link->status.settings = *settings;
	link->status.settings_known = true;
	pthread_mutex_unlock(&link->status_mutex);
}

void link_publish_status(struct link *link, const struct status *heard)
{
	char sentence[512], english[512];
	pthread_mutex_lock(&link->status_mutex);
	text_copy(link->status.device, sizeof(link->status.device), heard->device.bytes, heard->device.size);
	link->status.fps_out = heard->fps_out;
	link->status.latency_ms = heard->latency_ms.p50;
	link->status.dropped = heard->dropped;
	pthread_mutex_unlock(&link->status_mutex);
	text_copy(english, sizeof(english), heard->sentence.bytes, heard->sentence.size);
	words_join(sentence, sizeof(sentence), &heard->sayings, link->hooks.words);
	link_publish(link, heard->state, sentence[0] ? sentence : english, english);
}
