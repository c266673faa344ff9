/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vendor.h"

#include "about.h"
#include "requests.h"
#include "websocket.h"

static struct websocket_vendor *vendor;

static void emit(const char *type, obs_data_t *about)
{
	if (vendor)
		websocket_emit(vendor, type, about);
	obs_data_release(about);
}

void vendor_tell_news(struct filter *f, const struct link_news *news)
{
	if (news->state) {
		obs_data_t *about = about_filter(f);
		obs_data_set_string(about, "state", protocol_state_name(news->now->state));
		about_put_text(about, "sentence", news->now->sentence);
		emit("StateChanged", about);
	}
	if (news->style) {
		obs_data_t *about = about_filter(f);
		about_put_look(about, &news->now->settings);
		emit("StyleChanged", about);
	}
}

void vendor_tell_receipt(struct filter *f, const struct link_receipt *receipt)
{
	obs_data_t *about = about_filter(f);
	obs_data_set_string(about, "stage", receipt->applied ? "applied" : "accepted");
	obs_data_set_int(about, "revision", (long long)receipt->rev);
	about_put_look(about, &receipt->settings);
	if (receipt->applied) {
		obs_data_set_int(about, "chunk", (long long)receipt->chunk);
		obs_data_set_int(about, "presentation_time_ns", (long long)receipt->pts_ns);
	}
	if (receipt->note[0])
		about_put_text(about, "note", receipt->note);
	emit("SettingApplied", about);
}

void vendor_register(void)
{
	vendor = websocket_register_vendor("limner");
	if (!vendor) {
		blog(LOG_INFO,
			"[limner] no obs-websocket: stream decks and scripts cannot reach the filters");
		return;
	}
	for (size_t i = 0; i < REQUEST_COUNT; i++)
		if (!websocket_register_request(vendor, requests[i].type, requests[i].answer, NULL))
			blog(LOG_WARNING, "[limner] obs-websocket did not take the request %s",
				requests[i].type);
}
