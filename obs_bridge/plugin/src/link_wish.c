/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user wishes, what is in force, and what of the one is to be said for the other. I/O thread. */
#include "link_thread.h"

#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "clock.h"

/* A slider that is being dragged is sent so often; a text once the hands rest for so long. */
#define SEND_EVERY_MS 100
#define TYPING_RESTS_MS 350

/* A cut to another scene and back is not worth a word. */
#define OFF_AIR_RESTS_MS 1000

/* What bypass is to be, as BYPASS_ bits; from now on it is not asked for any more. */
static int take_bypass(struct link *link)
{
	return atomic_fetch_and(&link->bypass, BYPASS_ON);
}

/* What the daemon says of it, unless it has not heard yet what was asked for here. */
static void know_bypass(struct link *link, bool bypass)
{
	int now = atomic_load(&link->bypass);
	if (link->bypass_rev == 0 && !(now & BYPASS_ASKED))
		/* Where it does not take, somebody has just asked for something. */
		atomic_compare_exchange_strong(&link->bypass, &now, bypass ? BYPASS_ON : 0);
}

/* Do the wish and the daemon agree? Then what differs later was changed later. */
static void note_agreement(struct link *link)
{
	struct change difference;
	/* While an answer is awaited, what is known is old. */
	if (!link->awaited_rev && !change_from(&link->wish.change, &link->known, &difference))
		link->shown = link->known;
}

/* What was mirrored may be old by the time that it comes back from the page: it is no wish. */
static void note_mirrored(struct link *link)
{
	if (link->wish.mirrors != link->mirrors)
		link->shown = link->heard = link->wish.mirrored;
	link->mirrors = link->wish.mirrors;
}

/* What is to be said of the wish. False: nothing is. */
static bool what_to_say(const struct link *link, struct change *difference)
{
	struct change wish = link->wish.change;
	change_drop_stale(&wish, &link->shown);
	change_drop_untouched(&wish, &link->shown);
	/* While an answer is awaited, what was said counts: whoever takes it back must be heard. */
	return change_from(&wish, link->awaited_rev ? &link->shown : &link->known, difference);
}

static bool is_custom(const struct change *wish)
{
	return strcmp(wish->style, "custom") == 0;
}

void link_first_change(struct link *link, struct change *settings)
{
	*settings = link->wish.change;
	/* What was said last is lost with the session: a style in it is still as new as it was. */
	if (link->awaited_rev)
		link->shown = link->heard;
	/* Words of the user's own bring nothing with them, and a new session knows nothing of the old one. */
	if (link->known_valid && !is_custom(settings))
		change_drop_stale(settings, &link->shown);
	if (link->hello_without_style)
		settings->has_style = false;
	link->hello_without_style = false;
	/* No property of ours, and it must outlive the connection. */
	const int bypass = take_bypass(link);
	settings->bypass = (bypass & BYPASS_ON) != 0;
	if (bypass & BYPASS_ASKED)
		link->bypass_rev = ++link->rev;
	settings->has_bypass = settings->bypass || link->bypass_rev != 0;
	link->told_off_air = settings->has_on_air = atomic_load(&link->off_air);
	settings->on_air = false;
	link->air_rev = 0;
	link->wish_after_hello = false;
	link->change_due_ns = 0;
	link->awaited_rev = 0;
}

void link_know(struct link *link, const struct settings *settings)
{
	link->known = *settings;
	link->known_valid = true;
	link_publish_settings(link, settings);
	know_bypass(link, settings->bypass);
	note_agreement(link);
	const bool settled = link->change_due_ns == 0 && link->awaited_rev == 0;
	if (settled && !change_matches(&link->wish.change, settings) && link->hooks.mirror)
		link->hooks.mirror(link->hooks.context, settings, link->wish.serial);
}

void link_take_wish(struct link *link, uint64_t now_ns)
{
	struct link_wish *wish = atomic_exchange(&link->wish_box, NULL);
	if (!wish)
		return;
	const bool typing = strcmp(wish->change.prompt, link->wish.change.prompt) != 0;
	const bool restyled = strcmp(wish->change.style, link->wish.change.style) != 0;
	struct change difference;
	if (restyled)
		link->hello_without_style = false;
	/* A style brings words of its own; whoever edits them has the look "custom" from then on. */
	link->typing = typing && (!restyled || is_custom(&wish->change));
	link->wished_ns = now_ns;
	link->wish = *wish;
	link->wish_after_hello = true;
	free(wish);
	if (!link->known_valid) {
		change_to_settings(&link->wish.change, &link->known);
		link->known_valid = true;
	}
	note_mirrored(link);
	note_agreement(link);
	/* While an answer is awaited, what is known is old: compare again when the change is due. */
	if (link->phase != PHASE_OPEN || !(link->awaited_rev || what_to_say(link, &difference)))
		return;
	if (typing)
		link->change_due_ns = now_ns + TYPING_RESTS_MS * NS_PER_MS;
	else if (link->change_due_ns == 0)
		link->change_due_ns = now_ns + SEND_EVERY_MS * NS_PER_MS;
}

void link_send_change(struct link *link, uint64_t now_ns)
{
	struct change difference;
	if (link->change_due_ns == 0 || now_ns < link->change_due_ns)
		return;
	link->change_due_ns = 0;
	if (!what_to_say(link, &difference))
		return;
	if (!link->awaited_rev)
		link->heard = link->shown;
	change_note_said(&difference, &link->shown);
	link->awaited_rev = ++link->rev;
	protocol_encode_set(&link->peer.buffer, link->rev, &difference, "");
	if (!peer_send(&link->peer, now_ns))
		link_lose(link, "it no longer reads what it is sent", true, now_ns);
}

/* On air is said at once, off air after a while. */
static bool is_air_due(struct link *link, uint64_t now_ns)
{
	const bool off_air = atomic_load(&link->off_air);
	if (!off_air || link->told_off_air)
		link->off_air_since_ns = 0;
	else if (link->off_air_since_ns == 0)
		link->off_air_since_ns = now_ns;
	if (off_air == link->told_off_air)
		return false;
	return !off_air || now_ns >= link->off_air_since_ns + OFF_AIR_RESTS_MS * NS_PER_MS;
}

static bool send_air(struct link *link, uint64_t now_ns)
{
	if (link->phase != PHASE_OPEN || !is_air_due(link, now_ns))
		return true;
	link->told_off_air = !link->told_off_air;
	const struct change change = {.has_on_air = true, .on_air = !link->told_off_air};
	link->air_rev = ++link->rev;
	protocol_encode_set(&link->peer.buffer, link->rev, &change, "");
	return peer_send(&link->peer, now_ns);
}

void link_send_asked(struct link *link, uint64_t now_ns)
{
	const int bypass = take_bypass(link);
	bool sent = true;
	if (bypass & BYPASS_ASKED) {
		const struct change change = {.has_bypass = true, .bypass = (bypass & BYPASS_ON) != 0};
		link->bypass_rev = ++link->rev;
		protocol_encode_set(&link->peer.buffer, link->rev, &change, "");
		sent = peer_send(&link->peer, now_ns);
	}
	sent = sent && send_air(link, now_ns);
	if (sent && atomic_exchange(&link->reset_asked, false)) {
		protocol_encode_bare(&link->peer.buffer, "reset");
		sent = peer_send(&link->peer, now_ns);
	}
	if (!sent)
		link_lose(link, "it no longer reads what it is sent", true, now_ns);
}
